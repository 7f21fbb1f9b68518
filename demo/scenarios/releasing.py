"""Availability while versions change."""

import time

from demo.show import Show
from demo.traffic import Visitors

SETTLE_SECONDS = 3
"""How long visitors go on before and after: what breaks late is seen too."""


def update_and_rollback(show: Show) -> None:
    """Roll a new version out and back under requests that are never tried again."""
    old = show.site.balancer.get()["version"]
    new = f"{old}-new"
    update = ("set", "env", "deployment/web", "--containers=web", f"TOOLING_VERSION={new}")
    for name, command, version in (
        ("rolling update", update, new),
        ("rollback", ("rollout", "undo", "deployment/web"), old),
    ):
        with Visitors([show.site.balancer], per_second=20) as visitors:
            time.sleep(SETTLE_SECONDS)
            begin = time.monotonic()
            show.kubectl(*command)
            show.wait_for_rollout()
            seconds = time.monotonic() - begin
            time.sleep(SETTLE_SECONDS)
        count = visitors.count
        show.figure(f"{name}", f"{seconds:.1f} s")
        show.figure(f"failed requests during the {name}", f"{count.failed} of {count.asked}")
        show.expect_served(visitors)
        show.expect("both versions answered", set(count.versions) == {old, new}, dict(count.versions))
        now = show.site.balancer.get()["version"]
        show.expect("the version is the wanted one", now == version, now)
    show.result(f"version {old} -> {new} -> {old}, and not one request failed")
