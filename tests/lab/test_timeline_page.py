"""What the timeline's page tells, before a browser draws it."""

import argparse
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab import __main__ as command_line
from lab import critical_path, event_log, paths, stack, timeline_page
from lab.errors import LabError
from lab.event_log import Heard
from lab.stack import Stack
from lab.timeline import Step
from lab.timeline_page import Run
from tests.lab import recordings


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """A stack whose last run was the recorded one that failed."""
    monkeypatch.setattr(paths, "STATE", tmp_path)
    monkeypatch.setattr(stack, "exported", lambda _: [])
    one = Stack("lab")
    one.folder.mkdir(parents=True)
    one.events.write_bytes(recordings.FAILED_UP.read_bytes())
    return one


@pytest.fixture(scope="module")
def first() -> Run:
    graph = critical_path.dependencies(recordings.state())
    return timeline_page.gather("lab", recordings.heard(recordings.FIRST_UP), graph, exact=False)


def told(page: str) -> dict[str, Any]:
    """The data that the page holds."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    return dict(json.loads(found[1]))


def test_every_resource_has_a_step_with_its_component_its_machine_and_what_it_is_for(first: Run) -> None:
    data = told(timeline_page.page(first))
    by_name = {step["name"]: step for step in data["steps"] if step["type"].startswith("command:")}
    kinds = data["kinds"]
    assert len(data["steps"]) == 131
    assert (data["seconds"], data["exact"], data["ended"]) == (49.0, False, True)
    assert {
        name: (one["component"], one["machine"], kinds[one["kind"]]) for name, one in by_name.items()
    } == {
        "bridge": ("network", "whole cluster", "machines answer on SSH"),
        "add-ons": ("control-plane", "whole cluster", "API, RBAC and add-ons"),
        "ready": ("ready", "whole cluster", "Nodes and DNS ready"),
        **{f"machine-{name}": ("fleet", name, "machines answer on SSH") for name in recordings.MACHINES},
        **{f"prepare-{name}": (component(name), name, "artifacts staged") for name in recordings.MACHINES},
        **{f"activate-{name}": (component(name), name, "machines activated") for name in recordings.MACHINES},
        **{
            f"drain-{name}": (component(name), name, "other steps")
            for name, is_node in recordings.MACHINES.items()
            if is_node
        },
    }


def component(machine: str) -> str:
    return "pool-general" if machine.startswith("worker") else "control-plane"


def test_machines_are_those_that_steps_were_done_on_and_the_rest_is_the_whole_clusters(first: Run) -> None:
    assert told(timeline_page.page(first))["machines"] == [*sorted(recordings.MACHINES), "whole cluster"]


def test_the_critical_path_is_told_in_its_order(first: Run) -> None:
    data = told(timeline_page.page(first))
    names = [data["steps"][place]["name"] for place in data["critical"]]
    assert names[:3] == ["bridge", "machine-cp-0", "prepare-cp-0"]
    assert names[-1] == "ready"
    assert sorted(names) == sorted(step["name"] for step in data["steps"] if step["critical"])


@pytest.mark.parametrize(
    ("name", "machine"),
    [
        ("kubelet-cp-1", "cp-1"),
        ("ssh-host-cp-1-rotated", "cp-1"),
        ("machine-cp-10", "cp-10"),
        ("activate-worker-cp-1", "worker-cp-1"),
        ("kube-proxy", "whole cluster"),
        ("cp-1x", "whole cluster"),
    ],
)
def test_a_name_belongs_to_the_machine_whose_whole_name_is_in_it(name: str, machine: str) -> None:
    assert timeline_page.machine_of(name, ["cp-1", "cp-10", "worker-cp-1"]) == machine


def test_the_page_loads_nothing_and_may_not(first: Run) -> None:
    page = timeline_page.page(first)
    assert "default-src 'none'" in page
    assert re.findall(r"https?://|@import|url\(|<link|<img|\bsrc=", page) == []


def test_what_a_machine_says_cannot_end_the_data(first: Run) -> None:
    said = "</script><script>alert(1)</script><!--"
    run = replace(first, steps=[replace(first.steps[0], said=said)], critical=[])
    page = timeline_page.page(run)
    assert page.count("</script>") == 2
    assert told(page)["steps"][0]["said"] == said


def test_no_input_or_output_of_a_resource_reaches_the_page() -> None:
    metadata = {
        "urn": "urn:pulumi:lab::hardway::tls:index/privateKey:PrivateKey::ca",
        "op": "create",
        "new": {"custom": True, "inputs": {"key": "SENTINEL"}, "outputs": {"key": "SENTINEL"}},
    }
    heard = [Heard(0.0, {"timestamp": 0, "resOutputsEvent": {"metadata": metadata}})]
    page = timeline_page.page(timeline_page.gather("lab", heard, {}, exact=True))
    assert told(page)["steps"][0]["name"] == "ca"
    assert "SENTINEL" not in page


# Files


def test_a_failed_run_leaves_its_page_with_the_times_of_arrival(lab: Stack) -> None:
    times = event_log.times_file(recordings.FAILED_UP).read_text()
    event_log.times_file(lab.events).write_text(times)
    data = told(timeline_page.write(lab).read_text())
    failed = [step for step in data["steps"] if step["outcome"] == "failed"]
    assert [(step["name"], step["begin"], step["end"]) for step in failed] == [
        ("activate-cp-0", 2.852, 3.153)
    ]
    assert data["exact"] is True
    assert [data["steps"][place]["name"] for place in data["critical"]] == [
        "machine-cp-0",
        "prepare-cp-0",
        "activate-cp-0",
    ]


def test_a_state_that_cannot_be_read_costs_the_page_nothing_but_who_waits_for_whom(
    lab: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Stack) -> None:
        raise LabError("no state")

    monkeypatch.setattr(stack, "exported", fail)
    assert len(told(timeline_page.write(lab).read_text())["steps"]) == 4


def test_a_run_that_changed_nothing_does_not_ask_for_the_state(
    lab: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack, "exported", lambda _: pytest.fail("asked"))
    lab.events.write_text(lab.events.read_text().replace('"op":"create"', '"op":"same"'))
    assert told(timeline_page.write(lab).read_text())["critical"] == []


def test_the_page_of_a_killed_run_is_written_when_it_is_asked_for(lab: Stack) -> None:
    assert not lab.timeline.exists()
    assert timeline_page.last(lab) == lab.timeline
    assert lab.timeline.exists()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], bool]]:
    """What was opened on a display, and whether apart from this terminal."""
    lines: list[tuple[list[str], bool]] = []

    def begin(line: list[str], *, start_new_session: bool, **files: int) -> None:
        assert files == dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        lines.append((line, start_new_session))

    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(subprocess, "Popen", begin)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("waited for a viewer"))
    return lines


def test_where_there_is_a_display_the_page_is_opened_and_nobody_waits_for_the_viewer(
    lab: Stack, monkeypatch: pytest.MonkeyPatch, opened: list[tuple[list[str], bool]]
) -> None:
    timeline_page.show(lab.timeline)
    assert opened == []
    monkeypatch.setenv("DISPLAY", ":0")
    timeline_page.show(lab.timeline)
    assert opened == [(["xdg-open", str(lab.timeline)], True)]


def test_the_path_is_told_before_a_viewer_begins(
    lab: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[str] = []
    monkeypatch.setattr(command_line, "_inside", lambda _: None)
    monkeypatch.setattr(timeline_page, "show", lambda _: told.append(capsys.readouterr().out))
    command_line._timeline(argparse.Namespace(stack="lab"))
    assert told == [f"{lab.timeline}\n"]


def test_without_a_run_there_is_nothing_to_show(lab: Stack) -> None:
    lab.events.unlink()
    with pytest.raises(LabError, match=r"^stack lab: no run to show yet; run 'make up STACK=lab'$"):
        timeline_page.last(lab)


def test_what_is_gone_with_the_cluster_takes_its_page_along(lab: Stack) -> None:
    timeline_page.write(lab)
    event_log.times_file(lab.events).write_text("[]")
    lab.engine_output.write_text("")
    lab.remove_files()
    assert list(lab.folder.iterdir()) == []


def test_a_step_that_is_no_phase_of_up_is_another_step() -> None:
    step = Step("urn:pulumi:lab::hardway::aws:ec2/vpc:Vpc::network", "create", 0, 1, "done")
    assert timeline_page.kind(step) == "other steps"
