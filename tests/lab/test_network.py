"""Names and refusals of the lab's network, and its kernel settings; no interface is made here."""

import ipaddress
import json
from pathlib import Path

import pytest

from lab import firewall, kernel, network, shared
from lab.commands import Finished
from lab.errors import LabError

ROUTES = [
    {"dst": "default", "gateway": "192.0.2.1", "dev": "eth0"},
    {"dst": "192.0.2.0/24", "dev": "eth0"},
    {"dst": "172.31.0.0/16", "dev": "hw-ffffff"},
    {"type": "broadcast", "dst": "10.0.0.255", "dev": "eth0"},
]
LINKS = [{"ifname": "hw-ffffff", "ifalias": "Hardway lab of /home/somebody/clone"}, {"ifname": "eth0"}]


@pytest.fixture
def routed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARDWAY_INSTANCE", "abcdef")

    def answer(arguments: list[str]) -> str:
        return json.dumps(ROUTES if "route" in arguments else LINKS)

    monkeypatch.setattr(network, "run", answer)


@pytest.mark.usefixtures("routed")
@pytest.mark.parametrize(
    ("cidr", "owner"),
    [
        ("192.0.2.128/25", "192.0.2.0/24 is routed to eth0 on"),
        ("192.0.0.0/16", "192.0.2.0/24 is routed to eth0 on"),
        ("172.31.7.0/24", "172.31.0.0/16 is routed to hw-ffffff (Hardway lab of /home/somebody/clone) on"),
    ],
)
def test_a_range_that_the_computer_routes_is_refused_and_its_owner_named(cidr: str, owner: str) -> None:
    with pytest.raises(LabError) as caught:
        network.check(ipaddress.IPv4Network(cidr))
    assert owner in str(caught.value)
    assert "choose another range" in str(caught.value)


@pytest.mark.usefixtures("routed")
@pytest.mark.parametrize("cidr", ["172.30.0.0/16", "10.0.0.0/24"])
def test_a_free_range_is_accepted_beside_a_default_route(cidr: str) -> None:
    network.check(ipaddress.IPv4Network(cidr))


@pytest.mark.usefixtures("routed")
def test_its_own_range_is_not_taken_for_a_foreign_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARDWAY_INSTANCE", "ffffff")
    network.check(ipaddress.IPv4Network("172.31.0.0/16"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value"),
        ('{"address": "172.31.0.1"}', "'cidr'"),
        ('{"address": "172.31.0.1", "cidr": "172.31.0.1/16"}', "host bits set"),
        ('{"address": "10.0.0.1", "cidr": "172.31.0.0/16"}', "lies outside cidr"),
        ("[]", "expected JSON with address and cidr"),
    ],
)
def test_a_network_that_is_none_is_refused(text: str, reason: str) -> None:
    with pytest.raises(LabError, match=reason):
        network.parse_spec(text)


def test_interface_names_fit_and_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARDWAY_INSTANCE", "abcdef")
    assert network.cable("cp-0") == "hw-abcdef-cp-0"
    machines = ["cp-0", "cp-1", "default-0", "default-1", "default-10", "load-balancer-0"]
    names = [network.cable(machine) for machine in machines]
    assert len(set(names)) == len(machines)
    assert max(len(name) for name in names) <= 15


def test_hardware_addresses_follow_addresses() -> None:
    assert network.hardware_address(ipaddress.IPv4Address("172.31.0.10")) == "02:68:ac:1f:00:0a"


@pytest.mark.parametrize(
    ("chain", "inserted"),
    [("-P {} ACCEPT\n", []), ("-P {} DROP\n-A {} -j DOCKER\n", ["FORWARD", "INPUT"])],
)
def test_rules_are_added_only_where_something_filters(
    chain: str, inserted: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    added: list[list[str]] = []

    def iptables(arguments: list[str]) -> Finished:
        listing = arguments[2] == "-S"
        return Finished(0 if listing else 1, chain.replace("{}", arguments[3]) if listing else "", "")

    def insert(arguments: list[str]) -> str:
        added.append(arguments)
        return ""

    (tmp_path / "filtered").write_text("1\n")
    monkeypatch.setattr(firewall, "BRIDGE_CALLS_IPTABLES", tmp_path / "filtered")
    monkeypatch.setattr(firewall, "attempt", iptables)
    monkeypatch.setattr(firewall, "run", insert)
    firewall.admit("hw-abcdef", "abcdef")
    assert [arguments[3] for arguments in added] == inserted


@pytest.fixture
def computer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """A computer of its own: settings in files, and two labs whose bridges stand."""
    settings = {
        "fs.inotify.max_user_instances": 128,
        "fs.inotify.max_user_watches": 1000000,
        "kernel.keys.root_maxkeys": 1000000,
        "kernel.keys.root_maxbytes": 25000000,
        "vm.overcommit_memory": 0,
        "vm.panic_on_oom": 0,
        "kernel.panic": 1,
        "kernel.panic_on_oops": 0,
    }
    for name, value in settings.items():
        file = tmp_path / "sys" / name.replace(".", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")
    monkeypatch.setattr(kernel, "PROC_SYS", tmp_path / "sys")
    monkeypatch.setattr(kernel, "MODULES", tmp_path / "none")
    monkeypatch.setattr(kernel, "FOLDER", tmp_path / "run")
    monkeypatch.setattr(shared, "FOLDER", tmp_path / "run")
    monkeypatch.setattr(kernel, "_alive", lambda name: name in ("aaaaaa", "bbbbbb"))
    return settings


def test_settings_are_raised_and_the_last_lab_puts_them_back(computer: dict[str, int]) -> None:
    kernel.acquire("aaaaaa", "/one")
    kernel.acquire("bbbbbb", "/two")
    assert kernel.read("fs.inotify.max_user_instances") == 8192
    assert kernel.read("fs.inotify.max_user_watches") == 1000000, "a higher value stays"
    assert kernel.read("vm.overcommit_memory") == 1
    assert kernel.instances() == {"aaaaaa": "/one", "bbbbbb": "/two"}
    assert kernel.release("aaaaaa") == []
    assert kernel.read("kernel.panic") == 10
    assert sorted(kernel.release("bbbbbb")) == [
        "fs.inotify.max_user_instances",
        "kernel.panic",
        "kernel.panic_on_oops",
        "vm.overcommit_memory",
    ]
    assert {name: kernel.read(name) for name in computer} == computer


def test_a_setting_that_somebody_changed_meanwhile_is_left_to_them(
    computer: dict[str, int], tmp_path: Path
) -> None:
    kernel.acquire("aaaaaa", "/one")
    (tmp_path / "sys/kernel/panic").write_text("30\n")
    assert "kernel.panic" not in kernel.release("aaaaaa")
    assert kernel.read("kernel.panic") == 30
    assert kernel.read("vm.overcommit_memory") == computer["vm.overcommit_memory"]


@pytest.mark.usefixtures("computer")
def test_a_lab_whose_bridge_is_gone_holds_no_setting() -> None:
    kernel.acquire("cccccc", "/killed")
    kernel.acquire("aaaaaa", "/one")
    assert "vm.overcommit_memory" in kernel.release("aaaaaa")


@pytest.mark.usefixtures("computer")
def test_a_kernel_without_a_setting_is_named() -> None:
    with pytest.raises(LabError, match=r"kernel setting vm\.nonsense: No such file"):
        kernel.read("vm.nonsense")
