"""A rolling reboot: its order, what stops it, and how it goes on."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

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
    """

    def __init__(self) -> None:
        self.boots = dict.fromkeys(ROLES, 1)
        self.steps: list[str] = []
        self.required: set[str] = set()
        self.broken: str | None = None

    def phase(
        self, _stack: Any, machine: str, _phase: str, content: dict[str, Any], **_: Any
    ) -> dict[str, Any]:
        """One phase on a machine."""
        step = content["step"]
        about = content.get("node", machine)
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
