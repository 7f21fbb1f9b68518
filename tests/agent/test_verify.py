"""A machine compared with the state: each kind of difference is named once, with its place, and nothing else is."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from components.agent import (
    downloads,
    etcd,
    look_at_cluster,
    look_at_files,
    look_at_machine,
    look_at_units,
    packages,
    running,
    units,
    verify,
)
from components.agent.evidence import Failure


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def me() -> str:
    """The user whose files a test writes."""
    return look_at_files._user(os.getuid())


@pytest.fixture
def tree(tmp_path: Path, me: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A machine of two files, a folder and a link, as the state says."""
    monkeypatch.setattr(look_at_files, "owned", lambda: [str(tmp_path / "a.conf")])
    files = []
    for name in ("a.conf", "b.conf"):
        (tmp_path / name).write_text(name)
        (tmp_path / name).chmod(0o600)
        path = str(tmp_path / name)
        files.append({"path": path, "sha256": sha256(name), "mode": 0o600, "owner": me, "by": "activate"})
    (tmp_path / "pki").mkdir(mode=0o700)
    (tmp_path / "bin").symlink_to("/opt/one")
    return {
        "files": files,
        "folders": [{"path": str(tmp_path / "pki"), "mode": 0o700, "owner": me}],
        "links": {str(tmp_path / "bin"): "/opt/one"},
        "unwanted": [str(tmp_path / "60-cloud.conf")],
    }


def differences(found: list[dict[str, str]]) -> list[tuple[str, str]]:
    return [(Path(one["place"]).name, one["what"]) for one in found]


def test_a_machine_as_the_state_says_has_no_finding(tree: dict[str, Any]) -> None:
    assert look_at_files.files_and_links(tree) == ("2 files, 1 links", [])


HARM: dict[str, tuple[Callable[[Path], object], tuple[str, str]]] = {
    "changed": (lambda root: (root / "a.conf").write_text("x"), ("a.conf", "has another content")),
    "removed": (lambda root: (root / "a.conf").unlink(), ("a.conf", "is not there")),
    "mode": (lambda root: (root / "a.conf").chmod(0o644), ("a.conf", "has mode 0644, not 0600")),
    "folder": (lambda root: (root / "pki").chmod(0o755), ("pki", "has mode 0755, not 0700")),
    "no folder": (lambda root: (root / "pki").rmdir(), ("pki", "is not there")),
    "no link": (lambda root: (root / "bin").unlink(), ("bin", "is not there")),
    "by facts": (
        lambda root: (root / "60-cloud.conf").touch(),
        ("60-cloud.conf", "is there, and this machine's own facts ask for none"),
    ),
}


@pytest.mark.parametrize("harm", HARM)
def test_one_difference_is_one_finding(tree: dict[str, Any], tmp_path: Path, harm: str) -> None:
    done, told = HARM[harm]
    done(tmp_path)
    assert differences(look_at_files.files_and_links(tree)[1]) == [told]


def test_a_link_that_leads_elsewhere_says_where(tree: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "bin").unlink()
    (tmp_path / "bin").symlink_to("/opt/two")
    assert differences(look_at_files.files_and_links(tree)[1]) == [
        ("bin", "leads to /opt/two, not to /opt/one")
    ]


def test_a_foreign_file_beside_ours_is_no_drift(tree: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert look_at_files.files_and_links(tree)[1] == []


def test_a_file_that_is_still_owned_and_no_more_wanted_is_told(
    tree: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "old.conf").touch()
    monkeypatch.setattr(look_at_files, "owned", lambda: [str(tmp_path / "old.conf"), str(tmp_path / "gone")])
    assert differences(look_at_files.files_and_links(tree)[1]) == [
        ("old.conf", "was left by a run that did not end; the state does not know it")
    ]


def test_binaries_are_compared_with_the_states_digests_and_packages_with_its_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "missing", lambda wanted: [name for name in wanted if name == "socat"])
    for name in ("etcd", "etcdctl", "runc"):
        (tmp_path / name).write_text(name)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "etcdctl").write_text("somebody else's")
    (tmp_path / "runc").chmod(0o644)
    digests = {name: sha256(name) for name in ("etcd", "etcdctl", "runc", "gone")}
    artifact = {"name": "etcd", "folder": str(tmp_path), "files": digests, "executable": True}
    unknown = {"name": "cni-plugins", "folder": "/opt/cni", "files": {}, "executable": True}
    note, found = look_at_files.binaries({"artifacts": [artifact, unknown], "packages": ["haproxy", "socat"]})
    assert note == "4 files of 2 artifacts; no digests are known of cni-plugins"
    assert differences(found) == [
        ("etcdctl", "is not the file that was staged"),
        ("runc", "has mode 0644, not 0755"),
        ("gone", "is not there"),
        ("package socat", "is not installed"),
    ]
    assert {one["repair"] for one in found} == {"prepare"}


GOOD = {
    "LoadState": "loaded",
    "ActiveState": "active",
    "SubState": "running",
    "UnitFileState": "enabled",
    "NRestarts": "0",
    "DropInPaths": "",
    "NeedDaemonReload": "no",
    "MainPID": "7",
}


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What systemd says of one unit, which runs with what lies there; tests change it."""
    (tmp_path / "kubelet.conf").write_text("1")
    text = f"[X-Hardway]\nRestartOn={tmp_path}/kubelet.conf\nHealthy=http://127.0.0.1/healthz\n"
    (tmp_path / "kubelet.service").write_text(text)
    told: dict[str, Any] = {**GOOD, "healthy": True, "other file": False}
    monkeypatch.setattr(units, "UNIT_FOLDER", str(tmp_path))
    read = units.read
    monkeypatch.setattr(units, "read", lambda name: read(name, str(tmp_path)))
    value = units.inputs_digest(units.read("kubelet.service"))
    monkeypatch.setattr(units, "recorded", lambda: {"kubelet.service": value})
    monkeypatch.setattr(units, "answers", lambda _url: told["healthy"])
    monkeypatch.setattr(look_at_units, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(running, "runs_another_file", lambda _unit, _process: told["other file"])
    monkeypatch.setattr(look_at_units, "_ask", lambda names: dict.fromkeys(names, told))
    return told


def look_at_kubelet(drifted: set[str]) -> list[tuple[str, str]]:
    bundle = {"units": ["kubelet.service"], "drop_ins": ["/etc/ours.conf"]}
    return differences(look_at_units.units_of(bundle, drifted)[1])


STATES: dict[str, tuple[dict[str, Any], str]] = {
    "masked": ({"LoadState": "masked"}, "is masked"),
    "gone": ({"LoadState": "not-found"}, "is not loaded (not-found)"),
    "stopped": ({"ActiveState": "inactive", "SubState": "dead"}, "is inactive (dead)"),
    "disabled": ({"UnitFileState": "disabled"}, "is disabled: it would not start at the next boot"),
    "sick": ({"healthy": False}, "runs and is not healthy (http://127.0.0.1/healthz)"),
    "replaced": ({"other file": True}, "runs another file than the one that lies there now"),
    "not read": ({"NeedDaemonReload": "yes"}, "was changed on the disk since systemd read it"),
}


@pytest.mark.parametrize("state", STATES)
def test_a_unit_that_is_not_as_it_should_be_says_why(systemd: dict[str, Any], state: str) -> None:
    changes, what = STATES[state]
    systemd.update(changes)
    assert look_at_kubelet(set()) == [("kubelet.service", what)]


def test_a_timer_which_has_no_process_is_well(systemd: dict[str, Any]) -> None:
    del systemd["MainPID"], systemd["NRestarts"]
    assert look_at_kubelet(set()) == []


def test_a_unit_that_runs_with_our_drop_in_is_well(systemd: dict[str, Any]) -> None:
    systemd["DropInPaths"] = "/etc/ours.conf"
    assert look_at_kubelet(set()) == []


def test_a_foreign_drop_in_is_told_once_and_repaired_by_nobody(systemd: dict[str, Any]) -> None:
    systemd["DropInPaths"] = "/etc/ours.conf /etc/theirs.conf"
    systemd["NeedDaemonReload"] = "yes"
    bundle = {"units": ["kubelet.service"], "drop_ins": ["/etc/ours.conf"]}
    found = [one for one in look_at_units.units_of(bundle, set())[1] if one["place"] == "/etc/theirs.conf"]
    assert [(one["what"], one["repair"]) for one in found] == [("changes a unit of ours and is not ours", "")]


def test_other_inputs_than_at_the_start_are_told_unless_a_file_of_them_is_told_already(
    systemd: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "kubelet.conf").write_text("2")
    told = ("kubelet.service", "was started with other files than lie there now")
    assert look_at_kubelet(set()) == [told]
    assert look_at_kubelet({str(tmp_path / "kubelet.conf")}) == []


def certificate(path: Path, days: int) -> str:
    key = str(path.with_suffix(".key"))
    line = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    subject = ["-subj", "/CN=kubelet", "-keyout", key, "-out", str(path), "-days", str(days)]
    subprocess.run([*line, *subject], check=True, capture_output=True, timeout=30)
    return str(path)


def test_a_leaf_that_has_ended_is_told_and_the_next_end_is_counted(tmp_path: Path) -> None:
    paths = [certificate(tmp_path / "short.crt", 3), certificate(tmp_path / "long.crt", 90)]
    now = datetime.now(UTC) + timedelta(hours=1)
    assert look_at_machine.certificates(paths, now) == ("2 leaves, the first ends in 2 days", [])
    found = look_at_machine.certificates(paths, now + timedelta(days=4))[1]
    assert [one["place"] for one in found] == [paths[0]]
    assert found[0]["what"].startswith("ended at ")
    assert "certificates.generation" in found[0]["wayOut"]


def test_a_disk_with_less_than_a_kubelets_threshold_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Space:
        f_bavail, f_blocks, f_favail, f_files = 4, 100, 50, 100

    monkeypatch.setattr(os, "statvfs", lambda _path: Space)
    found = look_at_machine.disk()[1]
    assert found[0]["what"].startswith("has 4% of its space and 50% of its inodes free")


MEMBER = {"name": "cp-0", "client": "https://cp-0:2379", "peer": "https://cp-0:2380"}


def etcd_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **changes: Any) -> list[tuple[str, str]]:
    status = {"version": "3.6.14", "dbSize": 10, "dbSizeQuota": 100, "leader": 1, "header": {"member_id": 1}}
    answers = {
        "status": [{"Status": {**status, **changes.get("status", {})}}],
        "alarm": {"alarms": changes.get("alarms", [])},
        "member": {"members": [{"name": name} for name in changes.get("members", ["cp-0"])]},
    }

    def answer(*words: str, **_: object) -> str:
        return json.dumps(next(value for key, value in answers.items() if key in words))

    (tmp_path / "etcdctl").touch()
    monkeypatch.setattr(etcd, "CTL", (str(tmp_path / "etcdctl"),))
    monkeypatch.setattr(look_at_cluster, "succeeds", lambda *_, **__: changes.get("healthy", True))
    monkeypatch.setattr(look_at_cluster, "run", answer)
    bundle = {"machine": {"name": "cp-0"}, "etcd": {"members": [MEMBER]}, "versions": {"etcd": "3.6.14"}}
    return differences(look_at_cluster.etcd_member(bundle)[1])


ETCD: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    "well": ({}, []),
    "sick": ({"healthy": False}, [("member cp-0", "does not answer a read")]),
    "old": ({"status": {"version": "3.6.1"}}, [("etcd", "runs as 3.6.1, and the state says 3.6.14")]),
    "full": ({"status": {"dbSize": 81}}, [("database", "has 0 MiB of at most 0")]),
    "own alarm": ({"alarms": [{"memberID": 1, "alarm": 1}]}, [("alarm NOSPACE", "is raised")]),
    "another's alarm": ({"alarms": [{"memberID": 2, "alarm": 1}]}, []),
    "stranger": (
        {"members": ["cp-0", "cp-9"]},
        [("members", "are cp-0, cp-9, and the state says cp-0")],
    ),
}


@pytest.mark.parametrize("case", ETCD)
def test_what_etcd_says_of_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, case: str) -> None:
    changes, told = ETCD[case]
    assert etcd_says(monkeypatch, tmp_path, **changes) == told


def test_a_check_that_cannot_be_made_is_a_finding_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_bundle: object) -> None:
        raise Failure("systemctl does not answer")

    monkeypatch.setattr(look_at_files, "files_and_links", fail)
    monkeypatch.setattr(look_at_files, "binaries", lambda _bundle: ("2 files", []))
    monkeypatch.setattr(look_at_units, "units_of", lambda _bundle, _drifted: ("1 units", []))
    monkeypatch.setattr(look_at_machine, "disk", lambda: ("free", []))
    monkeypatch.setattr(look_at_machine, "clock_of", lambda _bundle: ("yes", []))
    told = verify.run({"certificates": [], "machine": {"node": False}})
    assert list(told["checks"]) == ["files", "binaries", "units", "disk", "time"]
    assert [(one["check"], one["what"]) for one in told["findings"]] == [
        ("files", "could not be looked at (Failure: systemctl does not answer)")
    ]


def test_the_look_of_a_file_that_is_gone_is_none(tmp_path: Path) -> None:
    assert downloads.look(str(tmp_path / "gone")) is None
