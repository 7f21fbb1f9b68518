"""The page of promises tells what was seen, promise by promise, and nothing that was not played."""

from __future__ import annotations

from demo import page
from demo.scenarios import ALL
from demo.show import Promise, Told


def told(key: str) -> Told:
    return Told(key, [f"kubectl show {key}"], f"seen: {key}", {f"figure of {key}": "7 s"}, 3.2, "2026-11-23")


def test_every_scenario_that_was_played_has_a_row_a_figure_and_a_section() -> None:
    text = page.text([told(scenario.key) for scenario in ALL], 2, "3 control-plane machines")
    for scenario in ALL:
        assert (
            f"| **{scenario.promise}** | {scenario.sentence} | `make demo ARGS='--only {scenario.key}'` | "
            f"seen: {scenario.key} |" in text
        )
        assert f"| figure of {scenario.key} | 7 s |" in text
        seen = f"seen: {scenario.key}. (2026-11-23, 3 s)"
        assert f"### {scenario.sentence}\n\n```\n$ kubectl show {scenario.key}\n```\n\n{seen}\n" in text


def test_what_was_not_played_is_not_told() -> None:
    text = page.text([told("scale")], 2, "3 control-plane machines")
    assert "on 2 processors, in the lab: 3 control-plane machines, and" in text
    assert "seen: scale" in text
    assert "autoscale" not in text


def test_the_table_goes_by_promises_in_their_order() -> None:
    text = page.text([told(scenario.key) for scenario in ALL], 2, "3 control-plane machines")
    places = [text.index(f"**{promise}**") for promise in Promise]
    assert places == sorted(places)
