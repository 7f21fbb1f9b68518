"""The page in a real browser: what was entered there outlives the pod that took it, and the database's pod."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from demo.site import ADMIN, Site, name_of
from lab import paths
from tests.browser import chromium
from tests.e2e.cluster import Cluster
from tests.e2e.conftest import proof_folder

TITLE, URL = "Runbooks", "https://runbooks.example.com/"
PICTURE = paths.PROJECT / "docs" / "tooling.png"


@pytest.fixture(scope="module")
def site(cluster: Cluster) -> Iterator[Site]:
    made = Site(cluster)
    made.deploy()
    yield made
    made.remove()


@pytest.fixture(scope="module")
def page(site: Site) -> Iterator[Page]:
    """A browser that has logged in."""
    with chromium.page() as opened:
        opened.goto(f"http://{site.balancer.host}:{site.balancer.port}/")
        opened.get_by_label("Name", exact=True).fill(ADMIN)
        opened.get_by_label("Password").fill(site.admin_password)
        opened.get_by_role("button", name="Log in").click()
        yield opened


def test_who_logs_in_sees_the_teams_tools(page: Page) -> None:
    titles = page.locator("a.tool").all_inner_texts()
    assert len(titles) >= 4
    assert TITLE not in titles


def test_a_link_that_is_added_is_there(page: Page) -> None:
    page.locator("input[name=title]").fill(TITLE)
    page.locator("input[name=url]").fill(URL)
    page.get_by_role("button", name="Add").click()
    expect(_link(page)).to_have_attribute("href", URL)
    if proof_folder():
        page.screenshot(path=PICTURE, full_page=True)


def test_it_is_still_there_after_the_web_pods_were_killed(page: Page, site: Site) -> None:
    before = {name_of(pod) for pod in site.pods()}
    site.kubectl("delete", "pod", "--selector=app.kubernetes.io/name=web", "--grace-period=0", "--force")
    site.wait_until_well()
    assert before.isdisjoint(name_of(pod) for pod in site.pods())
    page.reload()
    expect(_link(page)).to_have_attribute("href", URL)


def test_it_is_still_there_after_the_database_pod_was_killed(page: Page, site: Site) -> None:
    [before] = [pod["metadata"]["uid"] for pod in site.pods("database")]
    site.kubectl("delete", "pod", "database-0", "--grace-period=0", "--force")
    site.wait(
        "another database pod",
        lambda: [one["metadata"]["uid"] for one in site.ready("database")] not in ([], [before]),
    )
    # Each replica asks the DNS and its database for itself, and may hear of the new pod some seconds after another.
    site.wait("every page with its link again", lambda: all(_seen_again(page) for _ in range(4)), 60)
    expect(_link(page)).to_have_attribute("href", URL)


def _seen_again(page: Page) -> bool:
    page.reload()
    return _link(page).count() == 1


def _link(page: Page) -> Locator:
    return page.locator("a.tool", has_text=TITLE)
