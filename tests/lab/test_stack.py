"""One stack on this computer: its generated configuration, the way in by SSH, what its state tells."""

import json
import os
import shlex
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import backend, paths, stack
from lab.errors import LabError
from lab.mirror import LockEntry
from lab.stack import Stack

COMMITTED = """\
config:
  hardway:cluster:
    name: lab
    platform: {kind: lab}
    network: {machines: 172.31.0.0/16}
"""


def entry(sha256: str) -> LockEntry:
    return LockEntry(sha256=sha256, file="f", source="built", seconds=1.0, size=1, modified=1)


ENTRIES = {"kubelet/1.37.2/amd64": entry("b" * 64), "etcd/3.6.14/amd64": entry("a" * 64)}


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """The lab's stack in a clone of the test's own."""
    monkeypatch.setattr(paths, "PROJECT", tmp_path)
    monkeypatch.setattr(paths, "STATE", tmp_path / ".hardway")
    paths.STATE.mkdir()
    (tmp_path / "Pulumi.lab.yaml").write_text(COMMITTED)
    return Stack("lab")


def generated(one: Stack) -> dict[str, Any]:
    return dict(yaml.safe_load(one.config.read_text()))


def test_the_generated_configuration_is_the_committed_one_with_mirror_and_digests(lab: Stack) -> None:
    lab.write_config(ENTRIES, "172.31.0.1")
    expected = yaml.safe_load(COMMITTED)
    expected["config"]["hardway:cluster"]["artifacts"] = {
        "mirror": "http://172.31.0.1:8473",
        "preloadImages": True,
        "digests": {"etcd/3.6.14/amd64": "a" * 64, "kubelet/1.37.2/amd64": "b" * 64},
    }
    assert generated(lab) == expected
    assert lab.source.read_text() == COMMITTED
    assert stat.S_IMODE(lab.folder.stat().st_mode) == 0o700


def test_the_engines_salt_outlives_every_new_configuration(lab: Stack) -> None:
    """Without it the engine could not decrypt its state any more."""
    lab.write_config(ENTRIES, "172.31.0.1")
    lab.config.write_text(yaml.safe_dump({**generated(lab), "encryptionsalt": "v1:salt", "stray": 1}))
    lab.write_config({}, "172.31.0.1")
    assert generated(lab)["encryptionsalt"] == "v1:salt"
    assert "stray" not in generated(lab)
    assert generated(lab)["config"]["hardway:cluster"]["artifacts"]["digests"] == {}


def test_artifacts_of_the_committed_settings_go_first(lab: Stack) -> None:
    own = "    artifacts: {mirror: 'http://mirror.example'}\n"
    lab.source.write_text(COMMITTED + own)
    lab.write_config(ENTRIES, "172.31.0.1")
    artifacts = generated(lab)["config"]["hardway:cluster"]["artifacts"]
    assert artifacts["mirror"] == "http://mirror.example"
    assert artifacts["preloadImages"] is True


def test_another_platforms_stack_runs_on_its_committed_file(lab: Stack) -> None:
    (paths.PROJECT / "Pulumi.dev.yaml").write_text(COMMITTED.replace("kind: lab", "kind: aws"))
    assert Stack("dev").config == Stack("dev").source
    assert lab.config == lab.folder / "Pulumi.lab.yaml"


def test_the_region_is_pulumis_own_setting_and_only_aws_has_one(lab: Stack) -> None:
    dev = Stack("dev")
    dev.source.write_text(
        COMMITTED.replace("kind: lab", "kind: aws").replace("config:", "config:\n  aws:region: eu-west-1")
    )
    lab.source.write_text(COMMITTED.replace("config:", "config:\n  aws:region: eu-west-1"))
    assert (dev.kind, dev.region) == ("aws", "eu-west-1")
    assert (lab.kind, lab.region) == ("lab", "")


@pytest.mark.parametrize("line", ["", "\n  aws:region:", "\n  aws:region: 1", "\n  aws:region: ''"])
def test_a_stack_on_aws_without_a_region_is_refused(lab: Stack, line: str) -> None:
    text = COMMITTED.replace("kind: lab", "kind: aws").replace("config:", f"config:{line}")
    Stack("dev").source.write_text(text)
    with pytest.raises(
        LabError, match=r"^Pulumi\.dev\.yaml: config\.aws:region is missing; platform aws needs it"
    ):
        _ = Stack("dev").region


@pytest.mark.parametrize("text", [None, "config: {}", "config: [", "config:\n  hardway:cluster: 1\n"])
def test_a_stack_file_that_cannot_be_used_is_one_clear_error(lab: Stack, text: str | None) -> None:
    if text is None:
        lab.source.unlink()
    else:
        lab.source.write_text(text)
    with pytest.raises(LabError, match=r"^Pulumi\.lab\.yaml: (no such file|cannot be read as a stack file)"):
        lab.settings()


def save(one: Stack, **machines: dict[str, Any]) -> None:
    one.folder.mkdir(parents=True, exist_ok=True)
    told = {name.replace("_", "-"): machine for name, machine in machines.items()}
    one.outputs_file.write_text(json.dumps({"machines": told}))


CP_0 = {"role": "control-plane", "sshHost": "172.31.0.10", "sshPort": 22, "sshUser": "root"}
WORKER = {"role": "worker", "sshHost": "worker.example", "sshPort": 2222.0, "sshUser": "admin"}


def options(line: list[str]) -> dict[str, str]:
    """What follows each -o."""
    pairs = (line[n + 1].split("=", 1) for n, word in enumerate(line) if word == "-o")
    return dict(pairs)


def test_ssh_uses_the_machines_own_user_host_and_port(lab: Stack) -> None:
    save(lab, cp_0=CP_0, worker_b=WORKER)
    line = stack.ssh_command(lab, "worker-b", None)
    assert line[0] == "ssh"
    assert line[line.index("-p") + 1] == "2222"
    assert line[-1] == "admin@worker.example"
    assert stack.ssh_command(lab, "cp-0", "systemctl --failed")[-2:] == [
        "root@172.31.0.10",
        "systemctl --failed",
    ]


def test_ssh_trusts_the_pinned_key_of_that_name_and_nothing_of_the_users(lab: Stack) -> None:
    save(lab, worker_b=WORKER)
    line = stack.ssh_command(lab, "worker-b", None)
    given = options(line)
    assert given["HostKeyAlias"] == "worker-b"
    assert given["StrictHostKeyChecking"] == "yes"
    assert given["UserKnownHostsFile"] == str(lab.folder / "known_hosts")
    assert given["IdentitiesOnly"] == "yes"
    assert line[1:5] == ["-F", "none", "-i", str(lab.folder / "ssh_key")]


def test_ssh_ends_a_connection_to_a_machine_that_went_silent(lab: Stack) -> None:
    save(lab, worker_b=WORKER)
    given = options(stack.ssh_command(lab, "worker-b", None))
    assert given["ServerAliveInterval"] == "15"
    assert given["ServerAliveCountMax"] == "4"


def test_ssh_goes_through_a_bastion_whose_host_key_is_pinned_too(
    lab: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = {
        "kubeconfig": "",
        "sshPrivateKey": "",
        "sshHostKeys": {"cp-0": "ssh-ed25519 AAAA"},
        "machines": {"cp-0": CP_0},
        "sshProxy": {"host": "192.0.2.7", "user": "hardway", "hostKey": "ssh-ed25519 BBBB\n"},
    }
    monkeypatch.setattr(stack, "capture", lambda _line: json.dumps(outputs))
    stack.save_outputs(lab)
    assert (lab.folder / "known_hosts").read_text() == "cp-0 ssh-ed25519 AAAA\nbastion ssh-ed25519 BBBB\n"
    proxy = shlex.split(options(stack.ssh_command(lab, "cp-0", None))["ProxyCommand"])
    assert proxy[-3:] == ["-W", "%h:%p", "hardway@192.0.2.7"]
    given = options(proxy)
    assert given["HostKeyAlias"] == "bastion"
    assert given["StrictHostKeyChecking"] == "yes"
    assert given["UserKnownHostsFile"] == str(lab.folder / "known_hosts")
    assert proxy[1:5] == ["-F", "none", "-i", str(lab.folder / "ssh_key")]


def test_without_a_bastion_ssh_goes_straight(lab: Stack) -> None:
    save(lab, cp_0=CP_0)
    assert "ProxyCommand" not in options(stack.ssh_command(lab, "cp-0", None))


def test_a_machine_that_is_not_there_is_refused_with_those_that_are(lab: Stack) -> None:
    save(lab, cp_0=CP_0, worker_b=WORKER)
    with pytest.raises(
        LabError, match=r"^NODE=cp-9: no such machine in stack lab; there are cp-0, worker-b$"
    ):
        stack.ssh_command(lab, "cp-9", None)


def test_before_the_first_good_run_there_is_no_way_in(lab: Stack) -> None:
    with pytest.raises(LabError, match="nothing is built yet; run 'make up STACK=lab'"):
        stack.ssh_command(lab, "cp-0", None)


def test_outputs_are_kept_for_this_user_alone_and_known_hosts_go_by_name(
    lab: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = {
        "kubeconfig": "apiVersion: v1\n",
        "sshPrivateKey": "a key\n",
        "sshHostKeys": {"cp-0": "ssh-ed25519 AAAA\n", "worker-b": "ssh-ed25519 BBBB"},
    }
    monkeypatch.setattr(stack, "capture", lambda _line: json.dumps(outputs))
    assert stack.save_outputs(lab) == outputs
    assert (lab.folder / "known_hosts").read_text() == "cp-0 ssh-ed25519 AAAA\nworker-b ssh-ed25519 BBBB\n"
    files = [lab.outputs_file, lab.kubeconfig, lab.folder / "ssh_key", lab.folder / "known_hosts"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


# Files for this user alone


def test_a_private_file_is_replaced_whole_and_never_lies_open(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("old")
    file.chmod(0o644)
    reader = file.open()
    previous = os.umask(0)
    try:
        stack.write_private(file, "new\n")
    finally:
        os.umask(previous)
    with reader:
        assert reader.read() == "old"
    assert file.read_text() == "new\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_a_private_file_that_cannot_be_written_leaves_the_old_one_and_no_part_of_the_new(
    tmp_path: Path,
) -> None:
    file = tmp_path / "secret"
    stack.write_private(file, "old")
    with pytest.raises(UnicodeEncodeError):
        stack.write_private(file, "new \udcff")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_with_the_cluster_goes_all_that_tells_of_it_but_the_engines_salt(
    lab: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = {"kubeconfig": "k", "sshPrivateKey": "s", "sshHostKeys": {}}
    monkeypatch.setattr(stack, "capture", lambda _line: json.dumps(outputs))
    lab.write_config(ENTRIES, "172.31.0.1")
    stack.save_outputs(lab)
    (lab.folder / "tooling/base").mkdir(parents=True)
    for name in (
        "demo.json",
        "tooling-passwords.json",
        "tooling/base/secrets.env",
        "events.json",
        "events.times.json",
        "timeline.html",
        "up.log",
        "unfinished",
        ".kubeconfig.partial-of-a-killed-run",
    ):
        (lab.folder / name).write_text("{}")
    lab.remove_files()
    assert list(lab.folder.iterdir()) == [lab.config]
    lab.remove_files()


# Ctrl-C


class Engine:
    """A process that is interrupted while it is waited for, and then ends."""

    def __init__(self, interrupts: int, status: int) -> None:
        self._interrupts = interrupts
        self._status = status
        self.ended = False

    def wait(self) -> int:
        if self._interrupts:
            self._interrupts -= 1
            raise KeyboardInterrupt
        self.ended = True
        return self._status


@pytest.mark.parametrize(
    ("presses", "while_told", "status", "expected", "calls"),
    [
        (0, 0, 0, 0, 0),
        (0, 0, 7, 7, 0),
        (1, 0, 255, 130, 1),
        (1, 0, 0, 0, 1),
        (2, 0, 255, 130, 2),
        (1, 1, 255, 130, 2),
        (1, 3, 255, 130, 4),
    ],
)
def test_ctrl_c_never_leaves_the_engine_alone_not_even_while_the_first_one_is_told(
    monkeypatch: pytest.MonkeyPatch, presses: int, while_told: int, status: int, expected: int, calls: int
) -> None:
    engine = Engine(presses, status)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: engine)
    monkeypatch.setattr(backend, "environment", dict)
    told: list[None] = []

    def tell() -> None:
        told.append(None)
        if len(told) <= while_told:
            raise KeyboardInterrupt

    try:
        assert stack.run(["pulumi"], on_interrupt=tell) == expected
    except KeyboardInterrupt:
        pytest.fail("the engine was left alone")
    assert engine.ended
    assert len(told) == calls


# What the state tells


def resource(name: str, type_: str, stdout: object) -> dict[str, Any]:
    return {
        "urn": f"urn:pulumi:lab::hardway::hardway:index:LabFleet${type_}::{name}",
        "type": type_,
        "outputs": {"stdout": stdout},
    }


def test_the_state_tells_every_machines_resource_and_identity(
    lab: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = json.dumps({"identity": "nonce-0"})
    local = "command:local:Command"
    secret = {
        "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270",
        "plaintext": json.dumps(told),
    }
    resources = [
        resource("bridge", local, "{}"),
        resource("machine-cp-0", local, secret),
        resource("machine-cp-1", local, json.dumps({"identity": "nonce-1"})),
        resource("prepare-cp-0", "command:remote:Command", "{}"),
    ]
    exported = json.dumps({"deployment": {"resources": resources}})
    monkeypatch.setattr(stack, "capture", lambda _line: exported)
    urn = "urn:pulumi:lab::hardway::hardway:index:LabFleet$command:local:Command::machine-"
    assert stack.recorded_machines(lab) == {
        "cp-0": (f"{urn}cp-0", "nonce-0"),
        "cp-1": (f"{urn}cp-1", "nonce-1"),
    }


@pytest.mark.parametrize(
    "exported", ['{"deployment": null}', '{"deployment": {}}', '{"deployment": {"resources": null}}']
)
def test_a_state_without_resources_has_no_machines(
    lab: Stack, monkeypatch: pytest.MonkeyPatch, exported: str
) -> None:
    monkeypatch.setattr(stack, "capture", lambda _line: exported)
    assert stack.recorded_machines(lab) == {}


def test_a_command_that_drains_when_it_is_replaced_is_not_repeated_after_a_failed_run(
    lab: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = "command:remote:Command"
    resources = [
        {**resource("activate-cp-0", remote, "{}"), "inputs": {"create": "agent", "stdin": "bundle"}},
        {
            **resource("drain-worker-0", remote, ""),
            "inputs": {"create": "true", "delete": "agent", "triggers": ["i"]},
        },
        {**resource("host-key-cp-0", remote, ""), "inputs": {"create": "agent", "triggers": ["i"]}},
        resource("machine-cp-0", "command:local:Command", "{}"),
    ]
    monkeypatch.setattr(stack, "capture", lambda _line: json.dumps({"deployment": {"resources": resources}}))
    monkeypatch.setattr(stack, "exists", lambda _stack: True)
    assert [urn.rpartition("::")[2] for urn in stack.confirmable(lab)] == ["activate-cp-0"]
