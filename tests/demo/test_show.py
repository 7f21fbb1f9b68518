"""A scenario is told as it goes, and ends where something does not hold."""

from __future__ import annotations

from typing import cast

import pytest

from demo.scenarios import ALL
from demo.show import Promise, Scenario, Show, Told
from demo.site import Site
from lab.errors import LabError


class MadeUpSite:
    """A site whose kubectl says what it was asked."""

    namespace = "tooling"

    def __init__(self, output: str = "done\n") -> None:
        self.output = output
        self.waited = 0

    def kubectl(self, *arguments: str, seconds: float = 60) -> str:
        return self.output

    def wait_until_well(self) -> None:
        self.waited += 1


def stage(site: MadeUpSite) -> tuple[Show, list[str]]:
    said: list[str] = []
    return Show(cast(Site, site), Told("scale"), said.append), said


def test_a_command_is_said_before_its_output_and_kept() -> None:
    show, said = stage(MadeUpSite("one\ntwo\n"))
    assert show.kubectl("scale", "deployment/web", "--replicas=6") == "one\ntwo\n"
    assert said == ["    $ kubectl -n tooling scale deployment/web --replicas=6", "      one", "      two"]
    assert show.told.commands == ["kubectl -n tooling scale deployment/web --replicas=6"]


def test_a_long_output_is_cut_on_the_screen_and_not_for_the_scenario() -> None:
    show, said = stage(MadeUpSite("line\n" * 20))
    assert len(show.kubectl("get", "pods").splitlines()) == 20
    assert said[-1] == "      ... 8 more lines"


def test_what_does_not_hold_ends_the_scenario_with_what_was_seen() -> None:
    show, _ = stage(MadeUpSite())
    with pytest.raises(
        LabError, match=r"^scenario scale: it does not hold that no request failed; seen: 3 of 9$"
    ):
        show.expect("no request failed", False, "3 of 9")


def test_a_scenario_begins_on_a_site_that_is_well_and_is_timed() -> None:
    site = MadeUpSite()
    scenario = Scenario("scale", Promise.SCALING, "It scales.", lambda show: show.result("it did"))
    told = scenario.on(cast(Site, site), lambda _: None)
    assert (site.waited, told.key, told.result) == (1, "scale", "it did")
    assert told.seconds >= 0


def test_keys_are_unique_and_every_promise_is_kept_at_least_once() -> None:
    keys = [scenario.key for scenario in ALL]
    assert len(set(keys)) == len(keys)
    assert {scenario.promise for scenario in ALL} == set(Promise)
