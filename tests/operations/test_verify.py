"""What the operator's side of verify and repair makes of the state and of what machines tell."""

from __future__ import annotations

import argparse
import io
import json
from typing import Any

import pytest

from components import bundle
from lab import bring_up, paths, stack
from lab.errors import LabError
from operations import recorded, repair, verify
from operations.expected import expected
from operations.report import as_json, as_table
from operations.verify import Seen
from tests.components.trees import lab_plan
from tests.program.runs import lab_run

FACTS = {
    "cgroup_v2": True,
    "may_lower_oom_score": True,
    "swap": False,
    "nft_queue": False,
    "container": False,
    "resolver": "/etc/resolv.conf",
}


def expected_of(name: str, **facts: object) -> dict[str, Any]:
    run = lab_run()
    activate = {**run.document(f"activate-{name}"), "facts": {**FACTS, **facts}}
    prepare = run.document(f"prepare-{name}")
    members = {
        one["folder"]: dict.fromkeys(one["binaries"], "0" * 64)
        for one in prepare["artifacts"]
        if one["name"] in ("etcd", "containerd", "crictl", "cni-plugins")
    }
    return expected(prepare, {"members": members}, activate)


def test_every_file_of_both_phases_is_expected_and_the_drop_ins_that_the_facts_ask_for() -> None:
    run = lab_run()
    paths = {one["path"]: one["by"] for one in expected_of("cp-0")["files"]}
    written = {one["path"] for one in run.document("activate-cp-0")["files"]}
    kernel = set(run.document("prepare-cp-0")["kernel_files"])
    assert written
    assert kernel
    assert {path for path, by in paths.items() if by == "activate"} == written
    assert {path for path, by in paths.items() if by == "prepare"} - kernel == {
        "/etc/kubernetes/kubelet.conf.d/50-machine.conf",
        "/etc/containerd/conf.d/50-machine.toml",
        "/etc/systemd/system/kube-network-policies.service.d/50-machine.conf",
        "/etc/systemd/system/kube-network-policies-table.service",
    }


def test_what_other_facts_asked_for_is_not_wanted() -> None:
    assert expected_of("cp-0", nft_queue=True)["unwanted"] == [
        "/etc/systemd/system/kube-network-policies.service.d/50-machine.conf",
        "/etc/systemd/system/kube-network-policies-table.service",
        "/etc/kubernetes/kubelet.conf.d/60-cloud.conf",
    ]


def test_no_content_of_a_file_travels_to_verify() -> None:
    text = json.dumps(expected_of("cp-0"))
    for file in lab_run().document("activate-cp-0")["files"]:
        lines = [line for line in file["text"].splitlines() if len(line) > 40]
        assert not [line for line in lines if json.dumps(line)[1:-1] in text], file["path"]


def test_every_staged_file_has_a_digest_and_every_leaf_is_looked_at() -> None:
    looked_at = expected_of("cp-0")
    assert [one["name"] for one in looked_at["artifacts"] if not one["files"]] == []
    kubelet = next(one for one in looked_at["artifacts"] if one["name"] == "kubelet")
    document = lab_run().document("prepare-cp-0")
    wanted = next(one for one in document["artifacts"] if one["name"] == "kubelet")
    assert kubelet["files"] == {"kubelet": wanted["sha256"]}
    assert "/etc/kubernetes/pki/apiserver.crt" in looked_at["certificates"]
    assert "/etc/kubernetes/pki/ca.crt" not in looked_at["certificates"]
    assert looked_at["api_port"] == lab_plan().network.api_port


def test_a_balancer_machine_is_asked_for_neither_node_nor_leaf_nor_member() -> None:
    looked_at = expected_of("lb-0")
    assert (looked_at["certificates"], looked_at["unwanted"], "etcd" in looked_at) == ([], [], False)


def test_a_bundle_of_verify_is_small() -> None:
    assert len(bundle.encode("verify", expected_of("cp-0"), key="")) < 36_000


def resource(name: str, document: dict[str, Any], result: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "urn": f"urn:pulumi:lab::hardway::x$command:remote:Command::{name}",
        "type": "command:remote:Command",
        "inputs": {"stdin": {"plaintext": json.dumps(bundle.encode("prepare", document, key=""))}},
        "outputs": {"stdout": {"plaintext": json.dumps(json.dumps(result))}},
        **more,
    }


STATE = [
    resource("prepare-w-0", {"a": 1}, {"members": {}}),
    resource("activate-w-0", {"b": 2}, {"digest": "d"}),
    resource("activate-w-0", {"b": 1}, {"digest": "old"}, delete=True),
    resource("prepare-w-1", {"a": 1}, {}),
    resource("drain-w-0", {}, {}),
    {"urn": "urn:x::activate-w-0", "type": "hardway:index:NodeConfig"},
]


def test_a_machine_of_the_state_is_one_that_was_prepared_and_activated() -> None:
    read = recorded.read(STATE)
    assert list(read) == ["w-0"]
    assert read["w-0"].activate.document["b"] == 2
    assert read["w-0"].prepare.result == {"members": {}}


def found(check: str, place: str, phase: str) -> dict[str, str]:
    return {"check": check, "place": place, "what": "differs", "wayOut": "do that", "repair": phase}


CLEAN = Seen({"files": "3 files", "binaries": "2 files"})
CHANGED = Seen({"units": "2 units", "files": "3 files"}, (found("files", "/etc/a", "activate"),))
DAMAGED = Seen({"binaries": "2 files"}, (found("binaries", "/opt/b", "prepare"),))
FULL = Seen({"disk": "free: 1%"}, (found("disk", "/", ""),))
AWAY = Seen(unreached="w-0: no route to host")


@pytest.mark.parametrize(
    ("seen", "status"),
    [([CLEAN], 0), ([CLEAN, CHANGED], 1), ([CHANGED, AWAY], 2), ([AWAY], 2)],
    ids=["clean", "drift", "drift-and-unreached", "unreached"],
)
def test_the_exit_status_tells_clean_from_drift_from_unknown(seen: list[Seen], status: int) -> None:
    assert verify.status({str(number): one for number, one in enumerate(seen)}) == status


def test_the_table_has_a_row_for_each_check_and_says_place_reason_and_way_out() -> None:
    assert as_table("lab", {"cp-0": CLEAN, "w-0": CHANGED, "w-1": AWAY}).splitlines() == [
        "machine  check     result",
        "cp-0     files     ok         3 files",
        "cp-0     binaries  ok         2 files",
        "w-0      files     DRIFT      /etc/a differs; do that",
        "w-0      units     ok         2 units",
        "w-1      -         not asked  w-0: no route to host",
        "",
        "1 thing differs from the state, on w-0: 'make repair' shows what it would do about it. Not asked: w-1.",
    ]


def test_a_clean_cluster_is_one_sentence_at_the_end() -> None:
    assert as_table("lab", {"cp-0": CLEAN}).splitlines()[-1] == "1 machines are as the state says."


def test_the_document_for_machines_has_these_keys() -> None:
    document = json.loads(as_json("lab", {"w-0": CHANGED, "w-1": AWAY}))
    assert document == {
        "stack": "lab",
        "drift": True,
        "unreached": ["w-1"],
        "machines": {
            "w-0": {
                "reached": True,
                "error": "",
                "checks": {"units": "2 units", "files": "3 files"},
                "findings": [found("files", "/etc/a", "activate")],
            },
            "w-1": {"reached": False, "error": "w-0: no route to host", "checks": {}, "findings": []},
        },
    }


@pytest.mark.parametrize(
    ("clock", "away"),
    [(99.0, None), (103.0, None), (93.0, "7 s"), (112.0, "9 s")],
    ids=["a", "b", "late", "early"],
)
def test_a_clock_is_compared_with_the_time_in_which_it_was_read(clock: float, away: str | None) -> None:
    seen = verify.judged({"checks": {}, "findings": [], "clock": clock}, begin=100, end=103)
    assert [one["what"] for one in seen.findings] == (
        [f"is {away} or more away from this computer's"] if away else []
    )


MACHINES = {
    name: recorded.Recorded(
        recorded.Step(f"urn::prepare-{name}", {}, {}), recorded.Step(f"urn::activate-{name}", {}, {})
    )
    for name in ("cp-0", "w-0", "w-1")
}


def test_a_repair_repeats_the_steps_of_the_machines_that_differ_and_no_others() -> None:
    seen = {"cp-0": CLEAN, "w-0": CHANGED, "w-1": DAMAGED}
    urns = repair.steps_to_repeat(MACHINES, seen)
    assert repair.names_of(urns) == ["activate-w-0", "prepare-w-1", "activate-w-1"]
    assert repair.steps_to_repeat(MACHINES, {"cp-0": FULL, "w-0": AWAY}) == []


class Made:
    """A stack whose machines tell what the test says, and what was done to it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *told: dict[str, Seen], pending: list[str]) -> None:
        self.done: list[str] = []
        answers = list(told)
        monkeypatch.setattr(repair, "recorded", lambda _stack: MACHINES)
        monkeypatch.setattr(verify, "look", lambda *_: answers.pop(0))
        monkeypatch.setattr(stack, "pending", lambda _stack: pending)
        monkeypatch.setattr(stack, "run_filtered", lambda line, _keep: self._note(line))
        monkeypatch.setattr(bring_up, "refresh", lambda _stack: None)
        monkeypatch.setattr(bring_up, "up", lambda _stack, words: self._note(["up", *words]))

    def _note(self, line: list[str]) -> int:
        self.done.append(" ".join(line))
        return 0


@pytest.fixture
def chosen(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> stack.Stack:
    monkeypatch.setattr(paths, "STATE", tmp_path)
    monkeypatch.setattr(stack, "command", lambda _stack, verb, *words: [verb, *words])
    return stack.Stack("made-up")


def run(chosen: stack.Stack, *, yes: bool) -> int:
    return repair.run(chosen, argparse.Namespace(yes=yes, seconds=60))


TARGET = "--target-replace urn::activate-w-0"


def test_a_repair_is_previewed_then_done_then_verified(
    chosen: stack.Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Made(monkeypatch, {"w-0": CHANGED}, {"w-0": CLEAN}, pending=[])
    assert run(chosen, yes=True) == 0
    assert made.done == [f"preview --diff {TARGET}", f"up {TARGET}"]


def test_without_a_yes_nothing_is_done_after_the_preview(
    chosen: stack.Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = Made(monkeypatch, {"w-0": CHANGED}, pending=[])
    monkeypatch.setattr(repair, "_agreed", lambda: False)
    assert run(chosen, yes=False) == 1
    assert made.done == [f"preview --diff {TARGET}"]
    assert "Nothing was done. 'make repair YES=1' does it." in capsys.readouterr().out


def test_a_variable_that_happens_to_be_set_agrees_to_nothing(
    chosen: stack.Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Made(monkeypatch, {"w-0": CHANGED}, pending=[])
    monkeypatch.setenv("YES", "1")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert run(chosen, yes=False) == 1
    assert made.done == [f"preview --diff {TARGET}"]


def test_a_clean_cluster_is_not_repaired(chosen: stack.Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(monkeypatch, {"w-0": CLEAN}, pending=["activate-cp-0"])
    assert run(chosen, yes=True) == 0
    assert made.done == []


def test_a_repair_brings_no_change_of_settings_along(
    chosen: stack.Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Made(monkeypatch, {"w-0": CHANGED}, pending=["activate-cp-0", "ready"])
    with pytest.raises(LabError, match=r"asks for what was not applied yet \(activate-cp-0, ready\)"):
        run(chosen, yes=True)
    assert made.done == []


def test_after_a_run_that_failed_there_is_nothing_to_compare_with(
    chosen: stack.Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    Made(monkeypatch, {"w-0": CHANGED}, pending=[])
    chosen.folder.mkdir(parents=True)
    chosen.unfinished.touch()
    with pytest.raises(LabError, match="the last run did not end well"):
        run(chosen, yes=True)


def test_what_no_step_puts_right_is_left_to_somebody(
    chosen: stack.Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = Made(monkeypatch, {"w-0": FULL}, pending=[])
    assert run(chosen, yes=True) == 1
    assert made.done == []
    assert "No step of ours puts this right" in capsys.readouterr().out
