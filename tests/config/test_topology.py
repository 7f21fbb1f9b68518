"""docs/topology.svg: drawn from the plan of the lab's stack file, so that it cannot go stale."""

from __future__ import annotations

from xml.etree import ElementTree

from docs.draw_topology import DARK, LIGHT, TOPOLOGY_FILE, topology, topology_text
from tests.config.clusters import hosts, lab, plan_of

SVG = "{http://www.w3.org/2000/svg}"


def words(picture: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(picture).iter(f"{SVG}text")]


def test_the_committed_picture_is_what_the_plan_says() -> None:
    assert TOPOLOGY_FILE.read_text() == topology_text(), "run `python -m docs.draw_topology`"


def test_every_machine_stands_in_the_picture_with_its_address_once() -> None:
    plan = plan_of(lab())
    text = words(TOPOLOGY_FILE.read_text())
    assert {machine.name: text.count(machine.name) for machine in plan.machines} == dict.fromkeys(
        (machine.name for machine in plan.machines), 1
    )
    assert [text.count(str(machine.address)) for machine in plan.machines] == [1] * len(plan.machines)


def test_another_plan_makes_another_picture() -> None:
    text = words(topology(plan_of(hosts())))
    assert {"Cluster office", "worker-b", "192.168.40.21", "machines 192.168.40.0/24"} <= set(text)
    assert "cp-0" not in text


def test_light_and_dark_colour_the_same_things() -> None:
    assert set(LIGHT) == set(DARK)
    assert [name for name in LIGHT if LIGHT[name] == DARK[name]] == []
