"""Scaling, by hand and by load."""

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from demo.show import Show
from demo.site import OVERLAY, REPLICAS
from demo.traffic import Visitors

MANY = 6
LOAD_WORKERS = 4
BURN = "/burn?milliseconds=100"
LOAD_SECONDS = 180
CALM_SECONDS = 300


def by_hand(show: Show) -> None:
    """Ask for six replicas, count who answers, and ask for two again."""
    # Else it would put its own number in the place of ours.
    show.kubectl("delete", "horizontalpodautoscaler", "web")
    try:
        # It may have added some for what was shown before.
        _shrink(show)
        _scale(show)
    finally:
        show.apply_overlay(OVERLAY)


def _scale(show: Show) -> None:
    with Visitors([show.site.balancer]) as visitors:
        begin = time.monotonic()
        show.kubectl("scale", "deployment/web", f"--replicas={MANY}")
        show.site.wait("six replicas Ready", lambda: len(show.site.ready()) == MANY)
        seconds = time.monotonic() - begin
        answered: set[str] = set()
        show.site.wait("all six have answered", lambda: _ask(show, answered) and len(answered) == MANY, 60)
        show.kubectl("get", "pods", "--selector=app.kubernetes.io/name=web", "--output=wide")
        _shrink(show)
        time.sleep(3)
    show.expect_served(visitors)
    show.figure("2 to 6 replicas Ready", f"{seconds:.1f} s")
    show.figure("failed requests while scaling by hand", f"{visitors.count.failed} of {visitors.count.asked}")
    show.result(
        f"six replicas after {seconds:.1f} s, each of them answered; then two again, and no request failed"
    )


def _shrink(show: Show) -> None:
    show.kubectl("scale", "deployment/web", f"--replicas={REPLICAS}")
    show.site.wait("two replicas", lambda: len(show.site.pods()) == REPLICAS)


def _ask(show: Show, answered: set[str]) -> bool:
    answered.update(show.site.balancer.get()["pod"] for _ in range(20))
    return True


def by_load(show: Show) -> None:
    """Burn processor time in the replicas until the autoscaler has asked for more, then stop."""
    show.site.wait("the autoscaler sees the load", lambda: _seen_load(show) is not None)
    show.kubectl("get", "horizontalpodautoscaler", "web")
    begin = time.monotonic()
    until = begin + LOAD_SECONDS
    with ThreadPoolExecutor(LOAD_WORKERS) as load:
        stop = Event()
        for _ in range(LOAD_WORKERS):
            load.submit(_burn, show, until, stop)
        try:
            show.site.wait("more replicas Ready", lambda: len(show.site.ready()) > REPLICAS, LOAD_SECONDS)
            first = time.monotonic() - begin
            show.site.wait("six replicas Ready", lambda: len(show.site.ready()) == MANY, LOAD_SECONDS)
            all_six = time.monotonic() - begin
            show.kubectl("get", "horizontalpodautoscaler", "web")
            show.kubectl("top", "pods")
        finally:
            stop.set()
    calm = time.monotonic()
    show.site.wait("two replicas again", lambda: len(show.site.pods()) == REPLICAS, CALM_SECONDS)
    back = time.monotonic() - calm
    show.figure("load to more than 2 replicas Ready", f"{first:.0f} s")
    show.figure("load to 6 replicas Ready", f"{all_six:.0f} s")
    show.figure("load gone to 2 replicas", f"{back:.0f} s")
    show.result(f"under load six replicas after {all_six:.0f} s; {back:.0f} s after its end two again")


def _burn(show: Show, until: float, stop: Event) -> None:
    while not stop.is_set() and time.monotonic() < until:
        try:
            show.site.balancer.get(BURN, 10)
        except OSError:
            time.sleep(0.2)


def _seen_load(show: Show) -> int | None:
    """The load in percent of the request, as the autoscaler last saw it; None while it sees none."""
    for metric in show.site.get("horizontalpodautoscaler", "web")["status"].get("currentMetrics") or []:
        current = (metric.get("resource") or {}).get("current") or {}
        if "averageUtilization" in current:
            return int(current["averageUtilization"])
    return None
