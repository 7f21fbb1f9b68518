"""One-time steps: the bootstrap credential lives for one step, and the gate tells what it waits for."""

from __future__ import annotations

import glob
import json
import os
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from components.agent import nodes, operate
from components.agent.evidence import Failure

CREDENTIAL = {"ca.crt": "CA", "client.crt": "CERTIFICATE", "client.key": "KEY"}
ADD_ONS = {
    "step": "add-ons",
    "api": "https://127.0.0.1:6443",
    "seconds": 5,
    "digest": "d",
    "manifests": {"rbac": "kind: A", "coredns": "kind: B"},
    "secret_manifests": {},
    "absent": {"local-path": "kind: C"},
    "credential": CREDENTIAL,
}


class Kubectl:
    """kubectl that takes notes and looks at the files it is given.

    Attributes:
        calls: verb and words, in order.
        seen: what lay in the folder of the credential and in that of the manifests at the time.
        failures: how often to fail.
    """

    def __init__(self, failures: int = 0) -> None:
        self.calls: list[list[str]] = []
        self.seen: list[dict[str, str]] = []
        self.modes: set[int] = set()
        self.folder = ""
        self.failures = failures

    def run(self, *command: str, timeout: float = 60, text: str | None = None) -> str:
        """Note one call."""
        flags = dict(word.split("=", 1) for word in command if word.startswith("--") and "=" in word)
        self.folder = os.path.dirname(flags["--client-key"])
        for path in Path(self.folder).iterdir():
            self.modes.add(path.stat().st_mode & 0o777)
        verb = next(word for word in command[1:] if not word.startswith("--"))
        self.calls.append([verb, text or ""])
        if verb == "apply":
            self.seen.append({path.name: path.read_text() for path in Path(flags["--filename"]).iterdir()})
        if self.failures:
            self.failures -= 1
            raise Failure('namespaces "kube-system" not found')
        return ""


@pytest.fixture(autouse=True)
def folders(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Stands in for /run."""
    make = tempfile.mkdtemp

    def mkdtemp(suffix: str | None = None, prefix: str | None = None, dir: str | None = None) -> str:  # noqa: A002
        assert dir == "/run"
        return make(suffix, prefix, str(tmp_path))

    monkeypatch.setattr(tempfile, "mkdtemp", mkdtemp)
    monkeypatch.setattr(operate, "machine_lock", nullcontext)
    record = tmp_path_factory.mktemp("state") / "add-ons.json"
    monkeypatch.setattr(operate, "RECORD", str(record))
    return tmp_path


def use(kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch, *, answers: bool = True) -> None:
    monkeypatch.setattr(operate, "command", kubectl.run)
    monkeypatch.setattr(operate, "answers", lambda _url: answers)


def test_wanted_manifests_are_applied_and_those_applied_once_are_deleted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kubectl = Kubectl()
    use(kubectl, monkeypatch)
    Path(operate.RECORD).write_text('["local-path", "rbac"]')
    assert operate.run(ADD_ONS) == {"applied": ["coredns", "rbac"], "digest": "d"}
    assert kubectl.seen == [{"rbac.yaml": "kind: A", "coredns.yaml": "kind: B"}]
    assert kubectl.calls == [["apply", ""], ["delete", "kind: C"]]
    assert json.loads(Path(operate.RECORD).read_text()) == ["coredns", "rbac"]


def test_a_secret_manifest_is_applied_like_others_for_nobody_else_to_read_and_gone_afterwards(
    monkeypatch: pytest.MonkeyPatch, folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kubectl = Kubectl()
    use(kubectl, monkeypatch)
    modes: set[int] = set()

    def look(*command: str, timeout: float = 60, text: str | None = None) -> str:
        modes.update(path.stat().st_mode & 0o777 for path in folders.rglob("*.yaml"))
        return kubectl.run(*command, timeout=timeout, text=text)

    monkeypatch.setattr(operate, "command", look)
    done = operate.run({**ADD_ONS, "secret_manifests": {"serving": "kind: KEY"}})
    assert done["applied"] == ["coredns", "rbac", "serving"]
    assert kubectl.seen[0]["serving.yaml"] == "kind: KEY"
    assert modes == {0o600}
    assert list(folders.iterdir()) == []
    assert json.loads(Path(operate.RECORD).read_text()) == ["coredns", "rbac", "serving"]
    assert "KEY" not in "".join(capsys.readouterr())


@pytest.mark.parametrize("record", [None, "[]", '["rbac", "coredns"]'])
def test_what_this_machine_never_applied_is_not_deleted(
    monkeypatch: pytest.MonkeyPatch, record: str | None
) -> None:
    """The operator may have brought a storage class of the same name."""
    kubectl = Kubectl()
    use(kubectl, monkeypatch)
    if record is not None:
        Path(operate.RECORD).write_text(record)
    operate.run(ADD_ONS)
    assert kubectl.calls == [["apply", ""]]


def test_an_add_on_whose_deletion_failed_is_deleted_by_the_next_run(
    monkeypatch: pytest.MonkeyPatch, slept: list[float]
) -> None:
    Path(operate.RECORD).write_text('["local-path", "rbac"]')
    kubectl = Kubectl()
    use(kubectl, monkeypatch)

    def fails_to_delete(*command: str, timeout: float = 60, text: str | None = None) -> str:
        if "delete" in command:
            raise Failure("connection refused")
        return kubectl.run(*command, timeout=timeout, text=text)

    monkeypatch.setattr(operate, "command", fails_to_delete)
    with pytest.raises(Failure, match="connection refused"):
        operate.run(ADD_ONS)
    use(kubectl, monkeypatch)
    operate.run(ADD_ONS)
    assert kubectl.calls[-1] == ["delete", "kind: C"]


def test_a_credential_that_a_killed_run_left_is_removed(
    monkeypatch: pytest.MonkeyPatch, folders: Path
) -> None:
    abandoned = folders / "hardway-credential-old"
    abandoned.mkdir()
    (abandoned / "client.key").write_text("KEY")
    other = folders / "somebody-elses"
    other.mkdir()
    monkeypatch.setattr(glob, "glob", lambda _pattern: [str(abandoned)])
    use(Kubectl(), monkeypatch)
    operate.run(ADD_ONS)
    assert list(folders.iterdir()) == [other]


@pytest.mark.parametrize("failures", [0, 99])
def test_the_bootstrap_credential_is_private_and_gone_afterwards(
    monkeypatch: pytest.MonkeyPatch, folders: Path, slept: list[float], failures: int
) -> None:
    kubectl = Kubectl(failures)
    use(kubectl, monkeypatch)
    if failures:
        with pytest.raises(Failure, match="not found"):
            operate.run(ADD_ONS)
    else:
        operate.run(ADD_ONS)
    assert kubectl.modes == {0o600}
    assert kubectl.folder
    assert list(folders.iterdir()) == []


def test_a_new_api_server_is_given_time_for_its_own_namespaces(
    monkeypatch: pytest.MonkeyPatch, slept: list[float]
) -> None:
    kubectl = Kubectl(failures=3)
    use(kubectl, monkeypatch)
    operate.run(ADD_ONS)
    assert [verb for verb, _ in kubectl.calls] == ["apply"] * 4
    assert slept == [1, 1, 1]


def test_an_api_that_never_answers_is_told_with_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    use(Kubectl(), monkeypatch, answers=False)
    monkeypatch.setattr(operate, "unit_evidence", lambda unit: f"--- {unit}")
    with pytest.raises(Failure) as caught:
        operate.run({**ADD_ONS, "seconds": 0})
    assert str(caught.value).splitlines() == [
        "the API is not ready after 0 s; it needs a majority of etcd's members.",
        "--- etcd.service",
        "--- kube-apiserver.service",
    ]


def gate(*names: str, seconds: float = 5, registered: bool = False) -> dict[str, Any]:
    wanted = [{"name": name, "labels": {"pool": "a"}, "taints": []} for name in names]
    return {
        "step": "gate",
        "api": "https://127.0.0.1:6443",
        "seconds": seconds,
        "digest": "d",
        "nodes": wanted,
        "registered": registered,
        "deployments": [],
    }


def seen_as(**ready: str) -> dict[str, Any]:
    return {
        name: {
            "metadata": {"name": name},
            "status": {"conditions": [{"type": "Ready", "status": status, "message": f"{name} says no"}]},
        }
        for name, status in ready.items()
    }


def labels_into(labelled: list[str]) -> Callable[..., bool]:
    """Take a note of every Node that is labelled; it always succeeds."""

    def label(_kubectl: object, _node: object, wanted: dict[str, Any]) -> bool:
        labelled.append(wanted["name"])
        return True

    return label


def test_the_gate_opens_when_every_planned_node_is_ready_and_labels_each_once(
    monkeypatch: pytest.MonkeyPatch, slept: list[float]
) -> None:
    looks = [{}, seen_as(a="False"), seen_as(a="True"), seen_as(a="True", b="True", stranger="False")]
    labelled: list[str] = []
    use(Kubectl(), monkeypatch)
    monkeypatch.setattr(nodes, "read", lambda _kubectl: looks.pop(0))
    monkeypatch.setattr(nodes, "label_and_taint", labels_into(labelled))
    assert operate.run(gate("a", "b")) == {"digest": "d", "nodes": ["a", "b"]}
    assert labelled == ["a", "b"]
    assert looks == []


def test_a_gate_that_stays_shut_says_for_whom(monkeypatch: pytest.MonkeyPatch) -> None:
    use(Kubectl(), monkeypatch)
    monkeypatch.setattr(nodes, "read", lambda _kubectl: seen_as(a="True", b="False"))
    monkeypatch.setattr(nodes, "label_and_taint", lambda *_: True)
    with pytest.raises(Failure) as caught:
        operate.run(gate("a", "b", "c", seconds=0.1))
    lines = str(caught.value).splitlines()
    assert lines[1:] == [
        "  b: b says no",
        "  c: is not registered; look at 'journalctl -u kubelet -u kube-api-balancer' on it; a kubelet"
        " registers when it starts ('systemctl restart kubelet')",
    ]


def test_with_a_cni_of_the_operators_own_the_gate_opens_when_all_have_registered(
    monkeypatch: pytest.MonkeyPatch, slept: list[float]
) -> None:
    looks = [seen_as(a="False"), seen_as(a="False", b="Unknown")]
    labelled: list[str] = []
    use(Kubectl(), monkeypatch)
    monkeypatch.setattr(nodes, "read", lambda _kubectl: looks.pop(0))
    monkeypatch.setattr(nodes, "label_and_taint", labels_into(labelled))
    assert operate.run(gate("a", "b", registered=True)) == {"digest": "d", "nodes": ["a", "b"]}
    assert labelled == ["a", "b"]
    assert looks == []


@pytest.mark.parametrize("registered", [False, True])
def test_a_node_whose_labels_could_not_be_set_is_tried_again_before_the_gate_opens(
    monkeypatch: pytest.MonkeyPatch, slept: list[float], registered: bool
) -> None:
    outcomes = [False, False, True]
    use(Kubectl(), monkeypatch)
    monkeypatch.setattr(nodes, "read", lambda _kubectl: seen_as(a="True"))
    monkeypatch.setattr(nodes, "label_and_taint", lambda *_: outcomes.pop(0))
    operate.run(gate("a", registered=registered))
    assert outcomes == []
