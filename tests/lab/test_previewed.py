"""A preview as it is shown: the engine runs once, no machine is asked, and the plan is taken away."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import held_pods, paths, previewed, stack
from tests.lab.test_blast_radius import PLAN, Planned, files, gone

Keep = Callable[[Iterable[str]], Iterator[str]]
PRINTED = [
    "Previewing update (lab):\n",
    "Resources:\n",
    "    1 unchanged\n",
    "Update plan written to 'preview-plan.json'\n",
    "Run `pulumi up --plan='preview-plan.json'` to constrain the update\n",
]


class Shown:
    """A stack whose engine prints and plans what the test says; whoever asks a machine fails.

    Attributes:
        done: what was run or asked, in order.
    """

    def __init__(self, planned: Planned, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[str] = []
        self.planned = planned
        self.status = 0
        self.writes_a_plan = True

        def nobody(*_: object, **__: object) -> None:
            raise AssertionError("a preview asks no machine and starts nothing but the engine")

        monkeypatch.setattr(stack, "ssh_command", nobody)
        monkeypatch.setattr(subprocess, "Popen", nobody)
        monkeypatch.setattr(subprocess, "run", nobody)
        monkeypatch.setattr(stack, "run_filtered", self.engine)
        monkeypatch.setattr(stack, "exported", self.exported)
        monkeypatch.setattr(held_pods, "held_pods", self.held)

    def engine(self, line: list[str], keep: Keep, *, errors_without: tuple[str, ...]) -> int:
        assert all(line.lstrip().startswith(errors_without) for line in PRINTED[3:])
        self.done.append("engine")
        if self.writes_a_plan:
            plan_file = Path(line[line.index("--save-plan") + 1])
            plan_file.write_text(json.dumps({"resourcePlans": self.planned.entries}))
        print("".join(keep(PRINTED)), end="")
        return self.status

    def exported(self, _stack: stack.Stack) -> list[dict[str, Any]]:
        self.done.append("state")
        return self.planned.state

    def held(self, _stack: stack.Stack, _plan: object, nodes: Iterable[str]) -> list[str]:
        self.done.append(f"API about {', '.join(nodes)}")
        return []

    def show(self, *, whole: bool = False) -> int:
        return previewed.show(stack.Stack("lab"), PLAN, [], whole=whole)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(paths, "STATE", tmp_path)
    return tmp_path


def test_a_preview_without_a_change_ends_with_the_engines_count(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = Shown(Planned(), monkeypatch)
    assert shown.show() == 0
    assert shown.done == ["engine"]
    assert capsys.readouterr().out == "".join(PRINTED[:3])


@pytest.mark.parametrize("whole", [False, True])
def test_a_restart_is_told_below_the_engines_words_and_nobody_is_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], whole: bool
) -> None:
    shown = Shown(Planned().configured("cp-0", files=files(config="x")), monkeypatch)
    assert shown.show(whole=whole) == 0
    assert shown.done == ["engine", "state"]
    told = capsys.readouterr().out
    assert told == (
        "".join(PRINTED[:3])
        + "\nThis run disturbs: cp-0 restarts kubelet. No pod is moved or restarted by that.\n"
    )


def test_only_a_drain_has_the_api_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Shown(gone("worker-general-1"), monkeypatch)
    assert shown.show() == 0
    assert shown.done == ["engine", "state", "API about worker-general-1"]


def test_the_plan_is_gone_afterwards_also_after_a_refusal(
    monkeypatch: pytest.MonkeyPatch, state: Path
) -> None:
    shown = Shown(gone("worker-general-1"), monkeypatch)
    shown.status = 1
    assert shown.show() == 1
    assert shown.done == ["engine"]
    assert [path for path in state.rglob("*") if path.is_file()] == []


def test_a_plan_that_cannot_be_read_costs_the_paragraph_and_not_the_preview(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = Shown(Planned(), monkeypatch)
    shown.writes_a_plan = False
    assert shown.show() == 0
    said = capsys.readouterr()
    assert "what this run disturbs could not be told (FileNotFoundError" in said.out + said.err
