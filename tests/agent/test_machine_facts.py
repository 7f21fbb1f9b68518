"""What only the machine knows, and the drop-ins that follow from it."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import replace

import pytest

from components.agent import machine_facts
from components.agent.activate import PREPARED_UNITS
from components.agent.evidence import Failure
from components.agent.machine_facts import (
    CAP_SYS_RESOURCE,
    Facts,
    check_distribution,
    check_kernel_settings,
    drop_ins,
    has_capability,
)
from components.agent.units import UNIT_FOLDER
from components.render import ROOTFS

HOST = Facts(
    cgroup_v2=True,
    may_lower_oom_score=True,
    swap=False,
    nft_queue=True,
    container=False,
    resolver="/etc/resolv.conf",
)
KUBELET = "/etc/kubernetes/kubelet.conf.d/50-machine.conf"
CONTAINERD = "/etc/containerd/conf.d/50-machine.toml"
POLICIES = "/etc/systemd/system/kube-network-policies.service.d/50-machine.conf"
TABLE = "/etc/systemd/system/kube-network-policies-table.service"
PODS = "172.20.0.0/16"
RUNTIME = "io.containerd.cri.v1.runtime"


def kubelet(facts: Facts) -> dict[str, object]:
    found: dict[str, object] = json.loads(drop_ins(facts, PODS)[KUBELET])
    return {key: value for key, value in found.items() if key not in ("apiVersion", "kind")}


def containerd(facts: Facts) -> dict[str, object]:
    plugin: dict[str, object] = tomllib.loads(drop_ins(facts, PODS)[CONTAINERD])["plugins"][RUNTIME]
    return plugin


def keeper() -> dict[str, list[str]]:
    """What the table's unit says, by key; lines that go on are joined as systemd joins them."""
    text = drop_ins(replace(HOST, nft_queue=False), PODS)[TABLE]
    said: dict[str, list[str]] = {}
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        key, is_said, value = line.partition("=")
        if is_said and not key.startswith("#"):
            said.setdefault(key, []).append(value)
    return said


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (HOST, {"cgroupDriver": "systemd", "resolvConf": "/etc/resolv.conf"}),
        (
            replace(HOST, cgroup_v2=False),
            {"cgroupDriver": "cgroupfs", "failCgroupV1": False, "resolvConf": "/etc/resolv.conf"},
        ),
        (
            replace(HOST, swap=True, resolver="/run/systemd/resolve/resolv.conf"),
            {
                "cgroupDriver": "systemd",
                "failSwapOn": False,
                "resolvConf": "/run/systemd/resolve/resolv.conf",
            },
        ),
    ],
    ids=["plain-host", "cgroup-v1", "swap-and-resolved"],
)
def test_the_kubelet_is_told_exactly_what_differs_here(facts: Facts, expected: dict[str, object]) -> None:
    assert kubelet(facts) == expected


@pytest.mark.parametrize("unified", [False, True])
def test_kubelet_and_containerd_cannot_disagree_on_the_cgroup_driver(unified: bool) -> None:
    facts = replace(HOST, cgroup_v2=unified)
    runc = containerd(facts)["containerd"]["runtimes"]["runc"]  # type: ignore[index]
    assert runc["options"]["SystemdCgroup"] == (kubelet(facts)["cgroupDriver"] == "systemd") == unified


@pytest.mark.parametrize("capable", [False, True])
def test_pods_do_not_ask_for_what_the_machine_may_not_give(capable: bool) -> None:
    assert containerd(replace(HOST, may_lower_oom_score=capable))["restrict_oom_score_adj"] is not capable


def test_containerd_runs_our_runc_and_our_plugins() -> None:
    plugin = containerd(HOST)
    assert plugin["cni"] == {"bin_dirs": ["/opt/cni/bin"], "conf_dir": "/etc/cni/net.d"}
    runc = plugin["containerd"]["runtimes"]["runc"]  # type: ignore[index]
    assert runc["runtime_type"] == "io.containerd.runc.v2"
    assert runc["options"]["BinaryName"] == "/opt/hardway/bin/runc"


def test_only_a_kernel_without_the_queue_expression_gets_rules_by_iptables() -> None:
    assert set(drop_ins(HOST, PODS)) == {KUBELET, CONTAINERD}
    assert set(drop_ins(replace(HOST, nft_queue=False), PODS)) == {KUBELET, CONTAINERD, POLICIES, TABLE}


def test_where_policies_can_make_no_table_another_process_owns_that_name() -> None:
    """Else each refused attempt, one a second, drops the packets that wait for a verdict."""
    found = drop_ins(replace(HOST, nft_queue=False), PODS)
    assert """ExecStart=/bin/sh -c 'exec <>/run/kube-network-policies-table/commands; \\
    echo "add table inet kube-network-policies { flags owner; }" >&0; exec nft -i'
""" in found[TABLE]
    assert found[POLICIES].splitlines()[:3] == [
        "[Unit]",
        "Wants=kube-network-policies-table.service",
        "After=kube-network-policies-table.service",
    ]


def test_the_owner_is_the_units_only_process_so_that_systemd_sees_it_end() -> None:
    """Tried under systemd 252 with nft 1.0.6: killed, it is made anew; a child of it would hold that up for 90 s."""
    found = keeper()
    (start,) = found["ExecStart"]
    assert start.endswith("exec nft -i'")
    assert [word for word in ("|", "<(", "sleep", "& ") if word in start] == []
    assert (found["Type"], found["Restart"], found["StartLimitIntervalSec"]) == (["exec"], ["always"], ["0"])


def test_a_table_of_nobodys_goes_first_and_an_owned_one_lies_there_before_the_policies_start() -> None:
    found = keeper()
    table = "table inet kube-network-policies"
    assert found["ExecStartPre"] == [
        f"nft 'add {table}; delete {table}'",
        "mkfifo /run/kube-network-policies-table/commands",
    ]
    assert found["RuntimeDirectory"] == ["kube-network-policies-table"]
    assert found["ExecStartPost"] == [
        "/bin/sh -c 'for _ in $$(seq 50); do "
        f'nft list {table} 2>/dev/null | grep -q "flags owner" && exit; sleep 0.1; done; exit 1\''
    ]


def test_the_owner_of_the_table_ends_with_the_policies_that_it_is_for() -> None:
    assert keeper()["PartOf"] == ["kube-network-policies.service"]


def test_activate_knows_every_unit_that_prepare_may_take_away() -> None:
    planted = [path for path in machine_facts.DROP_INS if path.endswith(".service")]
    assert planted == [f"{UNIT_FOLDER}/{name}" for name in PREPARED_UNITS]


def test_new_connections_to_a_pod_from_a_pod_and_from_a_pod_to_its_own_machine_are_queued() -> None:
    text = drop_ins(replace(HOST, nft_queue=False), PODS)[POLICIES]
    queue = "-m conntrack --ctstate NEW -j NFQUEUE --queue-num 100 --queue-bypass"
    rules = [f"{match} {PODS} {queue}" for match in ("POSTROUTING -d", "POSTROUTING -s", "INPUT -s")]
    assert text.splitlines()[4:] == [
        "[Service]",
        *(
            f"ExecStartPre=/bin/sh -c 'iptables -w -t mangle -C {rule} 2>/dev/null"
            f" || iptables -w -t mangle -A {rule}'"
            for rule in rules
        ),
    ]


@pytest.mark.parametrize(
    ("status", "found"),
    [
        ("Name:\tsystemd\nCapBnd:\t000001ffffffffff\nCapAmb:\t0000000000000000\n", True),
        ("CapBnd:\t000001fffeffffff\n", False),
        ("CapEff:\t000001ffffffffff\nCapBnd:\t0000000000000000\n", False),
        ("Name:\tsystemd\n", False),
    ],
    ids=["all", "all-but-this", "effective-is-not-bounding", "not-told"],
)
def test_a_capability_is_read_from_the_bounding_set(status: str, found: bool) -> None:
    assert has_capability(status, CAP_SYS_RESOURCE) is found


@pytest.mark.parametrize(
    ("release", "system"),
    [
        ('PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n', "debian 12"),
        ('ID=debian\nVERSION_ID="13"\n', "debian 13"),
        ('NAME="Ubuntu"\nVERSION_ID="24.04"\nID=ubuntu\nID_LIKE=debian\n', "ubuntu 24.04"),
        ('VERSION_ID="26.10"\nID=ubuntu\n', "ubuntu 26.10"),
    ],
)
def test_a_supported_distribution_is_named(release: str, system: str) -> None:
    assert check_distribution(release) == system


@pytest.mark.parametrize(
    ("release", "system"),
    [
        ('ID=debian\nVERSION_ID="11"\n', "debian 11"),
        ("ID=debian\n", "debian 0"),
        ('ID=ubuntu\nVERSION_ID="22.04"\n', "ubuntu 22.04"),
        ('ID="rocky"\nVERSION_ID="9.5"\n', "rocky 9.5"),
        ("ID=alpine\nVERSION_ID=3.22.1\n", "alpine 3.22.1"),
        ("", "unknown 0"),
    ],
)
def test_any_other_distribution_is_refused_with_the_way_out(release: str, system: str) -> None:
    with pytest.raises(Failure) as caught:
        check_distribution(release)
    assert str(caught.value) == (
        f"{system} is not supported; install Debian 12 or later, or Ubuntu 24.04 or later"
    )


class Kernel:
    """Settings of a made-up kernel; some refuse to be written."""

    def __init__(self, settings: dict[str, str], *fixed: str) -> None:
        self.settings = settings
        self.fixed = fixed
        self.written: list[str] = []

    def read(self, name: str) -> str | None:
        """The setting, None where the kernel has it not."""
        return self.settings.get(name)

    def succeeds(self, *command: str) -> bool:
        """Write one."""
        assert command[:3] == ("sysctl", "--quiet", "--write")
        name, value = command[3].split("=")
        if name in self.fixed or name not in self.settings:
            return False
        self.settings[name] = value
        self.written.append(name)
        return True


def check(kernel: Kernel, wanted: str, monkeypatch: pytest.MonkeyPatch, *, container: bool = False) -> None:
    monkeypatch.setattr(machine_facts, "_read_setting", kernel.read)
    monkeypatch.setattr(machine_facts, "succeeds", kernel.succeeds)
    check_kernel_settings(wanted, container=container)


def test_only_the_settings_that_differ_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel({"net.ipv4.ip_forward": "0", "kernel.panic": "10"})
    check(kernel, "# why\nnet.ipv4.ip_forward = 1\n\nkernel.panic = 10\n", monkeypatch)
    assert kernel.written == ["net.ipv4.ip_forward"]


def test_a_setting_that_cannot_be_changed_is_named_with_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel({"vm.panic_on_oom": "2", "kernel.panic": "0"}, "vm.panic_on_oom", "kernel.panic")
    with pytest.raises(Failure) as caught:
        check(kernel, "vm.panic_on_oom = 0\nkernel.panic = 10\n", monkeypatch)
    assert str(caught.value) == (
        "kernel settings that this machine cannot change: vm.panic_on_oom is 2, wanted 0; "
        "kernel.panic is 0, wanted 10; set them on its host"
    )


@pytest.mark.parametrize("name", ["net.netfilter.nf_conntrack_max", "net.bridge.bridge-nf-call-iptables"])
def test_what_only_the_host_of_a_container_has_is_no_reason_to_stop(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(Kernel({}), f"{name} = 1\n", monkeypatch, container=True)
    with pytest.raises(Failure, match=f"{re.escape(name)} is None, wanted 1"):
        check(Kernel({}), f"{name} = 1\n", monkeypatch, container=False)


def test_a_container_is_excused_from_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel({"net.ipv4.ip_forward": "0"}, "net.ipv4.ip_forward")
    with pytest.raises(Failure, match=r"net\.ipv4\.ip_forward is 0, wanted 1"):
        check(kernel, "net.ipv4.ip_forward = 1\n", monkeypatch, container=True)


@pytest.mark.parametrize(("has", "enough"), [("8192", True), ("65536", True), ("128", False)])
def test_more_inotify_instances_than_wanted_are_enough(
    has: str, enough: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = Kernel({"fs.inotify.max_user_instances": has}, "fs.inotify.max_user_instances")
    if enough:
        check(kernel, "fs.inotify.max_user_instances = 8192\n", monkeypatch)
        return
    with pytest.raises(Failure, match=r"fs\.inotify\.max_user_instances is 128, wanted 8192"):
        check(kernel, "fs.inotify.max_user_instances = 8192\n", monkeypatch)


def test_the_shipped_settings_are_read_to_the_last_line(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOTFS / "node/etc/sysctl.d/90-kubernetes.conf").read_text()
    names = [line.split(" = ")[0] for line in text.splitlines() if not line.startswith("#")]
    kernel = Kernel(dict.fromkeys(names, "not yet"))
    monkeypatch.setattr(machine_facts, "_enough", lambda *_: False)
    check(kernel, text, monkeypatch)
    assert kernel.written == names
