"""The lab's network: one bridge on this computer, and a network namespace with one cable for every machine.

Machines reach each other and the bridge's own address, and nothing else: nothing is routed or translated.
Only IPv4; firewalls of the computer other than iptables rules are not looked at.
"""

import hashlib
import ipaddress
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lab import computer, firewall, kernel, paths
from lab.commands import attempt, run
from lab.errors import LabError
from lab.shared import one_at_a_time

MTU = 1500
NAMESPACES = Path("/run/netns")
LINK_NAME_LENGTH = 15  # IFNAMSIZ - 1


@dataclass(frozen=True)
class NetworkSpec:
    """The bridge's own address and the range that the machines' addresses come from."""

    address: ipaddress.IPv4Address
    cidr: ipaddress.IPv4Network


def parse_spec(text: str) -> NetworkSpec:
    """Read a network's JSON: {"address": "172.31.0.1", "cidr": "172.31.0.0/16"}.

    Raises:
        LabError: if it is anything else, or the address lies outside the range.
    """
    try:
        content = json.loads(text)
        spec = NetworkSpec(ipaddress.IPv4Address(content["address"]), ipaddress.IPv4Network(content["cidr"]))
    except (ValueError, KeyError, TypeError) as error:
        raise LabError(f"network on standard input: {error}; expected JSON with address and cidr") from None
    if spec.address not in spec.cidr:
        raise LabError(
            f"network on standard input: address {spec.address} lies outside cidr {spec.cidr}; choose another"
        )
    return spec


def bridge() -> str:
    """Return the name of this lab's bridge."""
    return f"hw-{paths.instance()}"


def namespace(machine: str) -> str:
    """Return the name of a machine's network namespace."""
    return f"{bridge()}-{machine}"


def cable(machine: str) -> str:
    """Return the name of the computer's end of a machine's cable: the kernel allows 15 characters."""
    name = f"{bridge()}-{machine}"
    if len(name) <= LINK_NAME_LENGTH:
        return name
    room = LINK_NAME_LENGTH - len(bridge()) - 1
    return f"{bridge()}-{hashlib.sha256(machine.encode()).hexdigest()[:room]}"


def hardware_address(address: ipaddress.IPv4Address) -> str:
    """Return the MAC that belongs to an address: nobody looks for a replaced machine at its old one."""
    return "02:68:" + address.packed.hex(":")


def saved_spec() -> NetworkSpec | None:
    """Return the network of this lab as it was last created, or None."""
    file = _spec_file()
    return parse_spec(file.read_text()) if file.exists() else None


def _spec_file() -> Path:
    return paths.STATE / "lab" / "network.json"


def check(cidr: ipaddress.IPv4Network) -> None:
    """Refuse a range of which this computer already routes a part.

    Raises:
        LabError: saying by what the range is taken: an interface, or another clone's lab.
    """
    for route in _links("route", "show", "table", "all"):
        taken = _network(route)
        if taken and taken.overlaps(cidr) and route.get("dev") != bridge():
            raise LabError(
                f"network {cidr}: {taken} is routed to {_owner(str(route.get('dev')))} on this computer; "
                "choose another range in the stack file (machines' network), or take that one down first"
            )


def _network(route: dict[str, Any]) -> ipaddress.IPv4Network | None:
    """Return what a route leads to, or None for the default route, broadcasts and what is no IPv4 network."""
    if route["dst"] == "default" or route.get("type", "unicast") not in ("unicast", "local"):
        return None
    try:
        return ipaddress.IPv4Network(route["dst"])
    except ValueError:
        return None


def _owner(device: str) -> str:
    for link in _links("link", "show"):
        if link["ifname"] == device and link.get("ifalias"):
            return f"{device} ({link['ifalias']})"
    return device


def _links(*arguments: str) -> list[dict[str, Any]]:
    found = json.loads(run(["ip", "-j", "-4", *arguments]) or "[]")
    return [entry for entry in found if entry]


def create(spec: NetworkSpec) -> str:
    """Make the bridge, or bring it to its specification, and set what the lab needs of the kernel.

    Returns the bridge's name.

    Raises:
        LabError: if the range is taken or the kernel refuses.
    """
    computer.check()
    check(spec.cidr)
    with one_at_a_time("network"):
        _make_bridge(spec)
        firewall.admit(bridge(), paths.instance())
    kernel.acquire(paths.instance(), str(paths.PROJECT))
    _spec_file().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _spec_file().write_text(json.dumps({name: str(value) for name, value in asdict(spec).items()}))
    return bridge()


def _make_bridge(spec: NetworkSpec) -> None:
    name = bridge()
    if not exists(name):
        run(
            [
                "ip",
                "link",
                "add",
                name,
                "address",
                hardware_address(spec.address),
                "mtu",
                str(MTU),
                "type",
                "bridge",
            ]
        )
    run(
        [
            "ip",
            "link",
            "set",
            name,
            "type",
            "bridge",
            "stp_state",
            "0",
            "forward_delay",
            "0",
            "mcast_snooping",
            "0",
        ]
    )
    run(["ip", "link", "set", name, "alias", f"Hardway lab of {paths.PROJECT}"])
    wanted = f"{spec.address}/{spec.cidr.prefixlen}"
    present = [
        f"{entry['local']}/{entry['prefixlen']}"
        for link in _links("addr", "show", "dev", name)
        for entry in link.get("addr_info", [])
    ]
    for stale in [address for address in present if address != wanted]:
        run(["ip", "addr", "del", stale, "dev", name])
    if wanted not in present:
        run(["ip", "addr", "add", wanted, "dev", name])
    run(["ip", "link", "set", name, "up"])


def exists(link: str) -> bool:
    """Return whether this computer has a network interface of that name."""
    return Path(f"/sys/class/net/{link}").exists()


def delete() -> list[str]:
    """Remove the lab's bridge and rules, every machine's cable and namespace; return what was removed."""
    removed = []
    with one_at_a_time("network"):
        for name in leftovers():
            kind, _, what = name.partition(" ")
            command = {
                "namespace": ["ip", "netns", "del", what],
                "interface": ["ip", "link", "del", what],
            }[kind]
            attempt(command)
            removed.append(name)
        removed += firewall.withdraw(bridge(), paths.instance())
    kernel.release(paths.instance())
    _spec_file().unlink(missing_ok=True)
    return removed


def leftovers() -> list[str]:
    """Return what this lab has of them now, as `namespace NAME` and `interface NAME`."""
    names = sorted(path.name for path in NAMESPACES.iterdir()) if NAMESPACES.is_dir() else []
    found = [f"namespace {name}" for name in names if name.startswith(f"{bridge()}-")]
    links = sorted(path.name for path in Path("/sys/class/net").iterdir())
    return found + [
        f"interface {name}" for name in links if name == bridge() or name.startswith(f"{bridge()}-")
    ]


def processes() -> set[int]:
    """Return the process ids of everything that lives in a namespace of this lab, whoever started it."""
    found: set[int] = set()
    for entry in leftovers():
        kind, _, name = entry.partition(" ")
        if kind == "namespace":
            found.update(int(pid) for pid in attempt(["ip", "netns", "pids", name]).output.split())
    return found


def connect(machine: str, address: ipaddress.IPv4Interface, gateway: ipaddress.IPv4Address) -> None:
    """Give a machine a fresh network namespace with one cable to the bridge: nothing of its last run is left.

    Raises:
        LabError: if there is no bridge, or the kernel refuses.
    """
    if not exists(bridge()):
        raise LabError(f"machine {machine}: the lab's network {bridge()} does not exist; run `make up`")
    inside, outside = namespace(machine), cable(machine)
    with one_at_a_time("network"):
        disconnect(machine)
        run(["ip", "netns", "add", inside])
        peer = [
            "peer",
            "name",
            "eth0",
            "address",
            hardware_address(address.ip),
            "mtu",
            str(MTU),
            "netns",
            inside,
        ]
        run(["ip", "link", "add", outside, "mtu", str(MTU), "type", "veth", *peer])
        run(["ip", "link", "set", outside, "master", bridge(), "up"])
        run(["ip", "-n", inside, "addr", "add", str(address), "dev", "eth0"])
        for link in ("lo", "eth0"):
            run(["ip", "-n", inside, "link", "set", link, "up"])
        # Even with nothing outside: without a default route the kernel refuses packets to Service addresses
        # before any rule could translate them.
        run(["ip", "-n", inside, "route", "add", "default", "via", str(gateway)])


def connected(machine: str) -> bool:
    """Return whether a machine's cable is plugged into the bridge."""
    master = Path(f"/sys/class/net/{cable(machine)}/master")
    return master.exists() and master.resolve().name == bridge()


def disconnect(machine: str) -> None:
    """Remove a machine's cable and namespace, if they are there."""
    # The cable first: the end of a namespace takes its links along only later.
    if exists(cable(machine)):
        attempt(["ip", "link", "del", cable(machine)])
    if (NAMESPACES / namespace(machine)).exists():
        attempt(["ip", "netns", "del", namespace(machine)])


def create_from_stdin() -> None:
    """Make the network described on standard input; print the bridge's name as JSON for the program."""
    print(json.dumps({"bridge": create(parse_spec(sys.stdin.read()))}))
