"""A rolling reboot: its order, what stops it, and how it goes on."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.agent import reboot as agent
from lab.errors import LabError
from operations import reboot

ROLES = {
    "worker-a-0": "worker",
    "cp-0": "control-plane",
    "cp-1": "control-plane",
    "cp-2": "control-plane",
    "lb-0": "load-balancer",
    "worker-a-1": "worker",
}


class Machines:
    """Machines behind made-up phases: each reboots when told, unless it is `broken`.

    Attributes:
        boots: how often each has booted.
        steps: what was asked, but for looks.
        required: machines that ask for a reboot.
        broken: a step and a machine at which that fails.
        seconds: the bound of each step, but for looks, by `STEP MACHINE`.
    """

    def __init__(self) -> None:
        self.boots = dict.fromkeys(ROLES, 1)
        self.steps: list[str] = []
        self.required: set[str] = set()
        self.broken: str | None = None
        self.seconds: dict[str, int] = {}

    def phase(
        self, _stack: Any, machine: str, _phase: str, content: dict[str, Any], *, seconds: int, **_: Any
    ) -> dict[str, Any]:
        """One phase on a machine."""
        step = content["step"]
        about = content.get("node", machine)
        self.seconds[f"{step} {about}"] = seconds
        if f"{step} {about}" == self.broken:
            raise LabError(f"{machine}: reboot failed.\n{step}")
        if step != "look":
            self.steps.append(f"{step} {about}" if about == machine else f"{step} {about} by {machine}")
        if step == "go":
            self.boots[machine] += 1
        return {"boot": f"{machine}-{self.boots[machine]}", "required": machine in self.required}


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch) -> Machines:
    made = Machines()
    monkeypatch.setattr(reboot, "run_phase", made.phase)
    monkeypatch.setattr(reboot, "_patience", lambda *_: (300, False))
    monkeypatch.setattr(time, "sleep", lambda _: None)
    return made


@pytest.fixture
def stack(tmp_path: Path) -> Any:
    outputs = {"machines": {name: {"role": role} for name, role in ROLES.items()}}
    return SimpleNamespace(
        name="lab", folder=tmp_path, reboot_round=tmp_path / "reboot.json", outputs=lambda: outputs
    )


def play(stack: Any, node: str = "", *, only_required: bool = False) -> int:
    """The command."""
    return reboot.run(stack, argparse.Namespace(node=node, only_required=only_required))


def gone(machines: Machines) -> list[str]:
    """Machines that rebooted, in that order."""
    return [step.removeprefix("go ") for step in machines.steps if step.startswith("go ")]


def test_balancers_go_first_then_the_control_plane_then_workers(stack: Any, machines: Machines) -> None:
    assert play(stack) == 0
    assert gone(machines) == ["lb-0", "cp-0", "cp-1", "cp-2", "worker-a-0", "worker-a-1"]
    assert not stack.reboot_round.exists()


def test_a_node_is_drained_before_and_taken_back_after_by_another_control_plane_machine(
    stack: Any, machines: Machines
) -> None:
    play(stack, "cp-0,lb-0")
    assert machines.steps == [
        "go lb-0",
        "settled lb-0",
        "leave cp-0 by cp-1",
        "go cp-0",
        "settled cp-0",
        "back cp-0 by cp-1",
    ]


def test_a_machine_that_does_not_come_back_whole_ends_the_round_which_goes_on_where_it_was(
    stack: Any, machines: Machines
) -> None:
    machines.broken = "settled cp-1"
    with pytest.raises(LabError, match="cp-1: reboot failed"):
        play(stack)
    assert gone(machines) == ["lb-0", "cp-0", "cp-1"]
    machines.broken = None
    assert play(stack) == 0
    assert gone(machines) == ["lb-0", "cp-0", "cp-1", "cp-2", "worker-a-0", "worker-a-1"]
    assert machines.steps.count("back cp-1 by cp-0") == 1
    assert set(machines.boots.values()) == {2}


def test_a_round_for_other_machines_begins_anew(stack: Any, machines: Machines) -> None:
    machines.broken = "leave worker-a-0"
    with pytest.raises(LabError):
        play(stack)
    play(stack, "cp-0")
    assert machines.boots["cp-0"] == 3


def test_pods_that_stay_end_the_round_before_the_machine_goes_down(stack: Any, machines: Machines) -> None:
    machines.broken = "leave worker-a-0"
    with pytest.raises(LabError):
        play(stack, "worker-a-0,worker-a-1")
    assert gone(machines) == []


def test_nothing_reboots_when_one_of_them_does_not_answer(stack: Any, machines: Machines) -> None:
    machines.broken = "look worker-a-1"
    with pytest.raises(LabError, match=r"not every machine answers, so none was rebooted\.\nworker-a-1"):
        play(stack)
    assert machines.steps == []


def test_only_machines_that_ask_for_it_reboot_when_that_is_wanted(stack: Any, machines: Machines) -> None:
    machines.required = {"cp-2", "worker-a-1"}
    assert play(stack, only_required=True) == 0
    assert gone(machines) == ["cp-2", "worker-a-1"]


def test_a_machine_that_is_none_of_the_stacks_is_named(stack: Any, machines: Machines) -> None:
    with pytest.raises(LabError, match="NODE=cp-7: no such machine in stack lab; there are lb-0, cp-0, cp-1"):
        play(stack, "cp-7")
    assert machines.steps == []


def test_a_machine_that_never_answers_again_is_given_up(
    stack: Any, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reboot, "BOOT_SECONDS", 0.01)
    real = machines.phase

    def silent(stack: Any, machine: str, phase: str, content: dict[str, Any], **rest: Any) -> dict[str, Any]:
        if machine == "cp-0" and machines.boots["cp-0"] == 2:
            raise LabError("cp-0: connection refused")
        return real(stack, machine, phase, content, **rest)

    monkeypatch.setattr(reboot, "run_phase", silent)
    with pytest.raises(LabError, match=r"for cp-0 to boot: cp-0: connection refused\nNo machine after it"):
        play(stack)
    assert gone(machines) == ["lb-0", "cp-0"]


def test_a_machine_that_never_answers_before_its_drain_is_not_told_to_be_cordoned(
    stack: Any, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    machines.broken = "settled cp-0"
    with pytest.raises(LabError):
        play(stack)
    machines.broken = "look cp-0"
    monkeypatch.setattr(reboot, "BOOT_SECONDS", 0.01)
    with pytest.raises(LabError) as before:
        play(stack)
    assert "for cp-0 to answer: " in str(before.value)
    assert "No machine after it was touched. Look at its console" in str(before.value)
    with pytest.raises(LabError, match=r"and its Node is cordoned\. Look"):
        reboot._wait_for("cp-0 to boot", lambda: None, cordoned=True)


def test_a_machine_that_does_not_reboot_gets_its_pods_back_and_the_round_goes_on_with_it(
    stack: Any, machines: Machines
) -> None:
    machines.broken = "go worker-a-0"
    with pytest.raises(LabError, match=r"worker-a-0: reboot failed\.\ngo$"):
        play(stack, "worker-a-0")
    assert machines.steps == ["leave worker-a-0 by cp-0", "back worker-a-0 by cp-0"]
    machines.broken = None
    assert play(stack, "worker-a-0") == 0
    assert machines.boots["worker-a-0"] == 2


def test_a_balancer_that_does_not_reboot_has_no_node_to_take_back(stack: Any, machines: Machines) -> None:
    machines.broken = "go lb-0"
    with pytest.raises(LabError):
        play(stack)
    assert machines.steps == []


def test_a_machine_that_reboots_though_its_answer_was_lost_stays_cordoned_until_it_is_back(
    stack: Any, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = machines.phase

    def deaf(stack: Any, machine: str, phase: str, content: dict[str, Any], **rest: Any) -> dict[str, Any]:
        result = real(stack, machine, phase, content, **rest)
        if content["step"] == "go":
            raise LabError(f"{machine}: connection lost")
        return result

    monkeypatch.setattr(reboot, "run_phase", deaf)
    with pytest.raises(LabError, match=r"^worker-a-0: connection lost$"):
        play(stack, "worker-a-0")
    assert machines.steps == ["leave worker-a-0 by cp-0", "go worker-a-0"]


def test_a_node_that_cannot_be_taken_back_either_is_told_beside_the_reason(
    stack: Any, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = machines.phase

    def broken(stack: Any, machine: str, phase: str, content: dict[str, Any], **rest: Any) -> dict[str, Any]:
        if content["step"] in ("go", "back"):
            raise LabError(f"{machine}: no {content['step']}")
        return real(stack, machine, phase, content, **rest)

    monkeypatch.setattr(reboot, "run_phase", broken)
    with pytest.raises(LabError) as raised:
        play(stack, "worker-a-0")
    assert str(raised.value) == (
        "worker-a-0: no go\nIts Node was drained and is cordoned still: cp-0: no back"
    )


def left_after(stack: Any, machines: Machines, *, only_required: bool) -> None:
    """A round that ended at cp-2, for which cp-1 and cp-2 asked."""
    machines.required = {"cp-1", "cp-2"}
    machines.broken = "leave cp-2"
    with pytest.raises(LabError):
        play(stack, only_required=only_required)
    machines.broken = None
    machines.steps.clear()


def test_machines_that_ask_for_it_do_not_go_on_with_a_round_of_all(stack: Any, machines: Machines) -> None:
    left_after(stack, machines, only_required=False)
    play(stack, only_required=True)
    assert gone(machines) == ["cp-1", "cp-2"]


def test_a_round_of_all_does_not_go_on_with_one_of_those_that_asked(stack: Any, machines: Machines) -> None:
    machines.required = set(ROLES)
    machines.broken = "leave cp-2"
    with pytest.raises(LabError):
        play(stack, only_required=True)
    machines.broken = None
    machines.steps.clear()
    play(stack)
    assert gone(machines) == ["lb-0", "cp-0", "cp-1", "cp-2", "worker-a-0", "worker-a-1"]


def test_a_round_of_those_that_asked_goes_on_for_those(stack: Any, machines: Machines) -> None:
    left_after(stack, machines, only_required=True)
    play(stack, only_required=True)
    assert gone(machines) == ["cp-2"]


@pytest.mark.parametrize(("age", "expected"), [(86300, ["cp-2"]), (86401, ["cp-1", "cp-2"])])
def test_a_round_is_gone_on_with_for_a_day(
    stack: Any, machines: Machines, age: float, expected: list[str]
) -> None:
    left_after(stack, machines, only_required=True)
    document = json.loads(stack.reboot_round.read_text())
    stack.reboot_round.write_text(json.dumps({**document, "begun": document["begun"] - age}))
    play(stack, only_required=True)
    assert gone(machines) == expected


def test_what_an_earlier_release_left_begins_anew(stack: Any, machines: Machines) -> None:
    stack.reboot_round.write_text('{"asked": ["cp-0"], "boots": {"cp-0": "cp-0-0"}}')
    play(stack, "cp-0")
    assert gone(machines) == ["cp-0"]


def test_every_step_has_more_time_than_what_it_waits_for_itself(stack: Any, machines: Machines) -> None:
    play(stack, "cp-0")
    earlier_run, other_drain = 600, agent.LOCK_SECONDS
    assert machines.seconds["go cp-0"] > earlier_run + 60
    assert machines.seconds["settled cp-0"] > 2 * agent.UNITS_SECONDS
    assert machines.seconds["back cp-0"] > agent.NODE_SECONDS
    assert machines.seconds["leave cp-0"] == 300 + other_drain + 300
