"""Machines of a lab of their own, made and unmade on this computer beside the clone's lab, in another range.

What runs in a machine beyond SSH is not looked at here.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.lab,
    pytest.mark.slow,
    pytest.mark.skipif(
        not sys.platform.startswith("linux") or os.geteuid() != 0 or shutil.which("systemd-nspawn") is None,
        reason="machines need Linux, root and systemd-nspawn",
    ),
]

PROJECT = Path(__file__).resolve().parents[2]
ADDRESSES = {"cp-0": "172.29.0.10", "default-pool-0": "172.29.0.20"}


@dataclass(frozen=True)
class Lab:
    """A lab whose commands run as processes of their own, as the engine runs them."""

    folder: Path
    environment: dict[str, str]

    def ask(self, expression: str, given: str = "") -> str:
        """Return what an expression of the lab's modules prints."""
        modules = "import json; from lab import kernel, machines, network, sweep"
        done = self.begin(f"{modules}; {expression}")
        output, error = done.communicate(given, timeout=180)
        assert done.returncode == 0, error
        return output

    def begin(self, code: str) -> "subprocess.Popen[str]":
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            text=True,
            cwd=PROJECT,
            env=self.environment,
        )

    def spec(self, name: str, host_key: str = "host") -> str:
        return json.dumps(
            {
                "name": name,
                "address": ADDRESSES[name],
                "prefix_length": 24,
                "gateway": "172.29.0.1",
                "host_key": (self.folder / host_key).read_text(),
                "authorized_key": (self.folder / "user.pub").read_text(),
            }
        )

    def create(self, name: str, host_key: str = "host") -> str:
        answer = self.ask("machines.create_from_stdin()", self.spec(name, host_key))
        assert len(answer.splitlines()) == 1, "the program reads one line of JSON and nothing else"
        return str(json.loads(answer)["identity"])

    def leftovers(self) -> list[str]:
        found = json.loads(self.ask("print(json.dumps(sweep.leftovers()))"))
        return [str(entry) for entry in found]

    def ssh(self, name: str, command: str, host_key: str = "host") -> str:
        """Run a command on a machine that shows exactly the planted host key."""
        known = self.folder / "known_hosts"
        known.write_text(f"machine {(self.folder / f'{host_key}.pub').read_text()}")
        options = {
            "UserKnownHostsFile": str(known),
            "HostKeyAlias": "machine",
            "StrictHostKeyChecking": "yes",
            "BatchMode": "yes",
            "ConnectTimeout": "10",
            "LogLevel": "ERROR",
        }
        flags = [part for key, value in options.items() for part in ("-o", f"{key}={value}")]
        login = ["-i", str(self.folder / "user"), f"root@{ADDRESSES[name]}"]
        done = subprocess.run(
            ["ssh", "-F", "none", *flags, *login, command],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    for key in ("host", "other", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)], check=True)
    ours = {"HARDWAY_INSTANCE": "7e5700", "HARDWAY_STATE": str(folder / "state")}
    made = Lab(folder, {**os.environ, **ours})
    made.ask("sweep.sweep()")
    network = json.dumps({"address": "172.29.0.1", "cidr": "172.29.0.0/24"})
    assert json.loads(made.ask("network.create_from_stdin()", network)) == {"bridge": "hw-7e5700"}
    yield made
    made.ask("sweep.sweep()")


@pytest.fixture(scope="module")
def identities(lab: Lab) -> dict[str, str]:
    """Two machines, made at the same time by two processes."""
    code = "from lab import machines; machines.create_from_stdin()"
    running = {name: lab.begin(code) for name in ADDRESSES}
    answers = {name: process.communicate(lab.spec(name), timeout=180) for name, process in running.items()}
    assert all(process.returncode == 0 for process in running.values()), answers
    return {name: json.loads(output)["identity"] for name, (output, _) in answers.items()}


def test_machines_made_at_once_answer_with_the_planted_host_key(lab: Lab, identities: dict[str, str]) -> None:
    for name, identity in identities.items():
        assert lab.ssh(name, "hostname; cat /etc/machine-id").splitlines() == [
            name,
            identity.replace("-", ""),
        ]
        assert lab.ssh(name, "systemctl is-system-running --wait") == "running"


@pytest.mark.usefixtures("identities")
def test_machines_reach_each_other_and_the_computer_and_nothing_else(lab: Lab) -> None:
    lab.ssh("cp-0", f"ping -c 1 -W 2 {ADDRESSES['default-pool-0']} && ping -c 1 -W 2 172.29.0.1")
    assert lab.ssh("cp-0", "ping -c 1 -W 1 192.0.2.1 >/dev/null 2>&1 || echo unreachable") == "unreachable"


@pytest.mark.usefixtures("identities")
def test_a_machine_writes_its_network_settings_and_groups_but_not_the_computer(lab: Lab) -> None:
    assert lab.ssh("cp-0", "sysctl -n -w net.ipv4.ip_forward=1") == "1"
    assert lab.ssh("default-pool-0", "sysctl -n net.ipv4.ip_forward") == "0"
    for setting in ("kernel.panic=1", "vm.overcommit_memory=2", "fs.inotify.max_user_instances=1"):
        assert lab.ssh("cp-0", f"sysctl -w {setting} >/dev/null 2>&1 || echo refused") == "refused"
    assert lab.ssh("cp-0", "sysctl -n vm.overcommit_memory kernel.panic kernel.panic_on_oops").split() == [
        "1",
        "10",
        "1",
    ]
    group = (
        "/sys/fs/cgroup/memory/probe" if Path("/sys/fs/cgroup/memory").is_dir() else "/sys/fs/cgroup/probe"
    )
    lab.ssh("cp-0", f"mkdir {group}")
    assert lab.ssh("default-pool-0", f"test -e {group} || echo unseen") == "unseen"
    lab.ssh("cp-0", f"rmdir {group}")


def test_creating_again_changes_nothing(lab: Lab, identities: dict[str, str]) -> None:
    booted = lab.ssh("cp-0", "cat /proc/sys/kernel/random/boot_id; ps -o lstart= -p 1")
    assert lab.create("cp-0") == identities["cp-0"]
    assert lab.ssh("cp-0", "cat /proc/sys/kernel/random/boot_id; ps -o lstart= -p 1") == booted


def test_a_new_host_key_is_planted_without_losing_the_disk(lab: Lab, identities: dict[str, str]) -> None:
    assert lab.create("cp-0", "other") == identities["cp-0"]
    assert lab.ssh("cp-0", "hostname", "other") == "cp-0"
    assert lab.create("cp-0", "host") == identities["cp-0"]
    assert lab.ssh("cp-0", "hostname") == "cp-0"


def test_a_power_cut_keeps_the_disk_and_ends_every_process(lab: Lab, identities: dict[str, str]) -> None:
    lab.ssh(
        "cp-0",
        "echo kept | tee /root/file /var/lib/etcd/file && sync; nohup setsid sleep 3600 >/dev/null 2>&1 &",
    )
    lab.ask("machines.kill('cp-0')")
    assert [
        entry for entry in lab.leftovers() if "cp-0" in entry and not entry.startswith(("mount", "folder"))
    ] == [
        "namespace hw-7e5700-cp-0",
        "interface hw-7e5700-cp-0",
    ]
    lab.ask("machines.start('cp-0')")
    assert lab.ssh("cp-0", "cat /root/file /var/lib/etcd/file; pgrep -c sleep || true") == "kept\nkept\n0"
    assert lab.create("cp-0") == identities["cp-0"]


def test_all_stopped_machines_come_back_together(lab: Lab, identities: dict[str, str]) -> None:
    lab.ask("machines.stop_all()")
    assert {machine["state"] for machine in states(lab)} == {"stopped"}
    subprocess.run(["ip", "link", "del", "hw-7e5700"], check=True)
    assert json.loads(lab.ask("print(json.dumps(machines.start_all()))")) == sorted(identities)
    assert {machine["state"] for machine in states(lab)} == {"running"}
    assert lab.ssh("cp-0", "cat /root/file") == "kept"


def states(lab: Lab) -> list[dict[str, str]]:
    rows = "[{'name': m.name, 'state': m.state} for m in machines.list_machines()]"
    found = json.loads(lab.ask(f"print(json.dumps({rows}))"))
    return [dict(row) for row in found]


def test_a_machine_whose_cable_was_cut_is_brought_back(lab: Lab, identities: dict[str, str]) -> None:
    subprocess.run(["ip", "link", "del", "hw-7e5700-cp-0"], check=True)
    assert lab.create("cp-0") == identities["cp-0"]
    assert lab.ssh("cp-0", "hostname") == "cp-0"


def test_a_wiped_machine_keeps_its_place_and_gets_a_new_identity(
    lab: Lab, identities: dict[str, str]
) -> None:
    lab.ask("machines.wipe('cp-0')")
    assert (
        lab.ask("print([m.identity for m in machines.list_machines() if m.name == 'cp-0'])").strip()
        == "[None]"
    )
    renewed = lab.create("cp-0")
    assert renewed != identities["cp-0"]
    assert lab.ssh("cp-0", "ls /root/file /var/lib/etcd/file 2>/dev/null | wc -l; hostname") == "0\ncp-0"


@pytest.mark.usefixtures("identities")
@pytest.mark.parametrize("seconds", [0.15, 0.35, 0.55, 0.8])
def test_a_making_killed_at_any_moment_is_completed_by_the_next(lab: Lab, seconds: float) -> None:
    lab.ask("machines.delete('cp-0')")
    killed = lab.begin("from lab import machines; machines.create_from_stdin()")
    assert killed.stdin
    killed.stdin.write(lab.spec("cp-0"))
    killed.stdin.close()
    time.sleep(seconds)
    killed.kill()
    killed.wait()
    identity = lab.create("cp-0")
    assert lab.ssh("cp-0", "cat /etc/machine-id") == identity.replace("-", "")


@pytest.mark.usefixtures("identities")
def test_a_second_lab_in_the_same_range_is_refused_by_the_first_ones_name(lab: Lab) -> None:
    second = Lab(lab.folder, {**lab.environment, "HARDWAY_INSTANCE": "7e5701"})
    process = second.begin("from lab import network; network.create_from_stdin()")
    _, error = process.communicate(json.dumps({"address": "172.29.0.1", "cidr": "172.29.0.0/24"}), timeout=60)
    assert process.returncode == 1
    assert f"is routed to hw-7e5700 (Hardway lab of {PROJECT})" in error
    assert second.leftovers() == [
        entry for entry in second.leftovers() if entry.startswith(("mount", "folder"))
    ]


@pytest.mark.usefixtures("identities")
def test_deleting_leaves_nothing(lab: Lab) -> None:
    lab.ask("machines.delete('default-pool-0')")
    assert [entry for entry in lab.leftovers() if "default-pool-0" in entry] == []
    lab.ask("machines.delete('default-pool-0')")
    lab.ask("machines.delete('cp-0')")
    lab.ask("network.delete()")
    assert lab.leftovers() == []


def test_a_sweep_finds_what_the_state_folder_forgot(lab: Lab) -> None:
    lab.ask("network.create_from_stdin()", json.dumps({"address": "172.29.0.1", "cidr": "172.29.0.0/24"}))
    lab.create("cp-0")
    (lab.folder / "state/lab/machines/cp-0/spec.json").unlink()
    (lab.folder / "state/lab/network.json").unlink()
    removed = json.loads(lab.ask("print(json.dumps(sweep.sweep()))"))
    assert {"namespace hw-7e5700-cp-0", "interface hw-7e5700", "folder of machine cp-0"} <= set(removed)
    assert lab.leftovers() == []
