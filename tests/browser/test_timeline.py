"""The timeline's page in a real browser: both groupings, the critical path, details, keyboard, print, failures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from lab import critical_path, timeline_page
from tests.browser import chromium
from tests.lab import recordings

# Root and Linux, as the lab: the browser is a Debian package, which `make test` installs and `make check` does without.
pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    with chromium.page(viewport={"width": 1400, "height": 900}) as opened:
        yield opened


@pytest.fixture
def problems(browser: Page) -> Iterator[list[str]]:
    """What the page's script complained of, and every request that it made; none of either is allowed."""
    found: list[str] = []
    note = {
        "pageerror": lambda error: found.append(str(error)),
        "console": lambda message: found.append(message.text),
        "request": lambda request: None if request.url.startswith("file:") else found.append(request.url),
    }
    for name, function in note.items():
        browser.on(name, function)  # type: ignore[call-overload]
    yield found
    for name, function in note.items():
        browser.remove_listener(name, function)
    assert found == []


@pytest.fixture
def first(browser: Page, problems: list[str], tmp_path: Path) -> Page:
    """The page of the recorded first run."""
    graph = critical_path.dependencies(recordings.state())
    run = timeline_page.gather("lab", recordings.heard(recordings.FIRST_UP), graph, exact=False)
    return show(browser, run, tmp_path)


@pytest.fixture
def failed(browser: Page, problems: list[str], tmp_path: Path) -> Page:
    """The page of the recorded run that failed."""
    run = timeline_page.gather("lab", recordings.heard(recordings.FAILED_UP), {}, exact=True)
    return show(browser, run, tmp_path)


def show(browser: Page, run: timeline_page.Run, folder: Path) -> Page:
    file = folder / "timeline.html"
    file.write_text(timeline_page.page(run))
    browser.goto(file.as_uri())
    return browser


def names(chart: Locator) -> list[str]:
    return chart.locator(".row:not(.axis) .name").all_inner_texts()


def bar(page: Page, name: str) -> Locator:
    return page.locator(f'#resources .bar[aria-label^="{name}, "]')


def test_the_head_sums_the_run_up(first: Page) -> None:
    expect(first.get_by_role("heading", level=1)).to_have_text("Stack lab: make up took 49\u00a0s")
    assert first.locator("#tiles dd").all_inner_texts() == [
        "49 s\n6 machines",
        "131\n131 created; 26 components",
        "2 min 27 s\n3.0 steps at once on average",
        "44 s\n9 steps, 90 % of the run",
    ]


def test_phases_tell_when_and_how_much_work(first: Page) -> None:
    rows = first.locator("#phases .row:not(.axis)").all_inner_texts()
    assert [row.split("\n")[0] for row in rows] == list(timeline_page.KINDS)
    assert rows[2].split("\n") == ["artifacts staged", "6 to 17 s", "6 · 52 s"]


def test_the_critical_path_is_a_staircase_of_its_steps(first: Page) -> None:
    chart = first.locator("#critical")
    assert names(chart) == [f"{number}{name}" for number, name in enumerate(recordings.CHAIN, 1)]
    boxes = [one.bounding_box() for one in chart.locator(".bar").all()]
    lefts = [box["x"] for box in boxes if box]
    assert lefts == sorted(lefts)
    assert len(lefts) == len(recordings.CHAIN)


def test_groups_are_components_or_machines(first: Page) -> None:
    groups = first.locator("#resources .group .name")
    assert groups.all_inner_texts() == ["fleet", "pki", "network", "control-plane", "pool-general", "ready"]
    first.get_by_text("By machine").click()
    assert groups.all_inner_texts() == [*sorted(recordings.MACHINES), "whole cluster"]
    expect(first.locator("#resources .group + .row .name").first).to_have_text("machine-cp-0")


def test_every_resource_has_a_bar_once_all_is_expanded(first: Page) -> None:
    few = first.locator("#resources .bar[role=img]").count()
    first.get_by_role("button", name="Expand all").click()
    assert (few, first.locator("#resources .bar[role=img]").count()) == (26, 131)
    first.get_by_role("button", name="Collapse all").click()
    expect(first.locator("#resources .bar[role=img]")).to_have_count(0)


def test_a_bar_lies_where_its_seconds_are(first: Page) -> None:
    track = first.locator("#resources .track").first.bounding_box()
    box = bar(first, "activate-cp-1").bounding_box()
    assert track
    assert box
    second = track["width"] / 49
    assert box["x"] - track["x"] == pytest.approx(20 * second, abs=1)
    assert box["width"] == pytest.approx(3 * second, abs=1)


def test_only_the_critical_path_is_left_when_that_is_asked_for(first: Page) -> None:
    first.get_by_label("Critical path only").check()
    rows = first.locator("#resources .member .name").all_inner_texts()
    assert sorted(rows) == sorted(recordings.CHAIN)


def test_the_pointer_shows_what_a_bar_stands_for(first: Page) -> None:
    bar(first, "prepare-cp-0").hover()
    card = first.locator("#card")
    expect(card.get_by_role("heading")).to_have_text("prepare-cp-0, on the critical path")
    assert card.locator("dd").all_inner_texts() == [
        "command:remote:Command",
        "created",
        "6 s",
        "17 s",
        "11 s",
        "control-plane; cp-0",
        "prepared: 14 of 14 artifacts fetched",
    ]
    first.mouse.move(1, 1)
    expect(card).to_be_hidden()


def test_the_keyboard_goes_from_bar_to_bar_and_shows_the_same(first: Page) -> None:
    bar(first, "machine-lb-0").focus()
    first.keyboard.press("ArrowDown")
    expect(first.locator("#card h3")).to_have_text("machine-cp-0, on the critical path")
    first.keyboard.press("End")
    expect(first.locator("#card h3")).to_have_text("ready, on the critical path")
    first.keyboard.press("Escape")
    expect(first.locator("#card")).to_be_hidden()
    # All bars of a chart are one stop of the Tab key.
    assert first.locator("#resources .bar[tabindex='0']").count() == 1


def test_a_group_is_opened_and_closed_by_its_button_and_keeps_the_focus(first: Page) -> None:
    button = first.get_by_role("button", name="fleet")
    expect(button).to_have_attribute("aria-expanded", "true")
    button.press("Enter")
    expect(button).to_have_attribute("aria-expanded", "false")
    expect(button).to_be_focused()
    assert "machine-cp-0" not in names(first.locator("#resources"))


def test_every_bar_tells_a_screen_reader_what_the_eye_sees(first: Page) -> None:
    expect(bar(first, "activate-cp-1")).to_have_attribute(
        "aria-label",
        "activate-cp-1, command:remote:Command, began at 20 s, took 3 s, created, on the critical path",
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_on_its_ground_in_both_schemes(first: Page, scheme: str) -> None:
    first.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    colours = first.evaluate(
        "() => ['--panel', '--ink', '--quiet', '--failed'].map("
        "(name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim())"
    )
    ground, *inks = (luminance(colour) for colour in colours)
    for ink in inks:
        lighter, darker = max(ground, ink), min(ground, ink)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5
    assert (ground < 0.2) is (scheme == "dark")


def luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb`, as WCAG 2 defines it."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("width", [380, 800, 1400, 2200])
def test_nothing_runs_out_of_the_page(first: Page, width: int) -> None:
    first.set_viewport_size({"width": width, "height": 900})
    assert first.evaluate("document.documentElement.scrollWidth") <= width
    first.set_viewport_size({"width": 1400, "height": 900})


def test_paper_shows_bars_and_no_controls(first: Page) -> None:
    first.emulate_media(media="print")
    expect(first.locator("#unfold")).to_be_hidden()
    expect(bar(first, "ready")).to_be_visible()
    first.emulate_media(media="screen")


def test_a_failure_is_red_has_its_words_and_ends_the_chain(failed: Page) -> None:
    expect(failed.get_by_role("heading", level=1)).to_have_text("Stack lab: make up failed after 8.4\u00a0s")
    expect(failed.get_by_role("alert")).to_contain_text("activate-cp-0 error: exit status 3")
    expect(bar(failed, "activate-cp-0")).to_have_class("bar failed critical")
    assert names(failed.locator("#critical")) == ["1machine-cp-0", "2prepare-cp-0", "3activate-cp-0"]


def test_what_had_not_ended_is_open_to_the_end_of_the_run(
    browser: Page, problems: list[str], tmp_path: Path
) -> None:
    heard = recordings.heard(recordings.FIRST_UP, until=26)
    page = show(browser, timeline_page.gather("lab", heard, {}, exact=False), tmp_path)
    expect(page.get_by_role("heading", level=1)).to_have_text(
        "Stack lab: make up was cut off after 26\u00a0s"
    )
    expect(bar(page, "activate-cp-2")).to_have_class("bar unfinished critical")
    track = page.locator("#resources .track").first.bounding_box()
    box = bar(page, "activate-cp-2").bounding_box()
    assert track
    assert box
    assert box["x"] + box["width"] == pytest.approx(track["x"] + track["width"], abs=1)


def test_a_run_that_changed_nothing_says_so(browser: Page, problems: list[str], tmp_path: Path) -> None:
    heard = recordings.heard(recordings.FIRST_UP)
    for one in heard:
        for event in one.event.values():
            if isinstance(event, dict) and "metadata" in event:
                event["metadata"]["op"] = "same"
    page = show(browser, timeline_page.gather("lab", heard, {}, exact=False), tmp_path)
    expect(page.locator("#tiles dd").nth(1)).to_have_text("131131 unchanged; 26 components")
    expect(bar(page, "ready")).to_have_class("bar same")
    expect(page.locator("#critical-section")).to_be_hidden()
    expect(page.locator("#phases-section")).to_be_hidden()
