"""What a machine of the lab is made from, as the program hands it over: JSON on standard input."""

import ipaddress
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lab.errors import LabError

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
FIELDS = ("name", "address", "prefix_length", "gateway", "host_key", "authorized_key")


@dataclass(frozen=True)
class MachineSpec:
    """One machine: its name, its place in the network, the host key it shows, the key that may log in."""

    name: str
    address: ipaddress.IPv4Address
    prefix_length: int
    gateway: ipaddress.IPv4Address
    host_key: str
    authorized_key: str

    @property
    def interface(self) -> ipaddress.IPv4Interface:
        """The address with the length of its network's prefix."""
        return ipaddress.IPv4Interface(f"{self.address}/{self.prefix_length}")


def parse(text: str, place: str = "machine on standard input") -> MachineSpec:
    """Read a machine's JSON.

    Raises:
        LabError: saying what is wrong with it; never with a key in the message.
    """
    try:
        content = json.loads(text)
    except ValueError as error:
        raise LabError(f"{place}: no JSON ({error}); expected an object with {', '.join(FIELDS)}") from None
    if not isinstance(content, dict) or set(content) != set(FIELDS):
        given = sorted(content) if isinstance(content, dict) else type(content).__name__
        raise LabError(f"{place}: has {given}; expected an object with exactly {', '.join(FIELDS)}")
    return _checked(content, place)


def _checked(content: dict[str, Any], place: str) -> MachineSpec:
    name = checked_name(content["name"])
    try:
        spec = MachineSpec(
            name,
            ipaddress.IPv4Address(content["address"]),
            int(content["prefix_length"]),
            ipaddress.IPv4Address(content["gateway"]),
            str(content["host_key"]),
            str(content["authorized_key"]),
        )
        network = spec.interface.network
    except (ValueError, TypeError) as error:
        raise LabError(f"{place}: machine {name}: {error}; give IPv4 addresses and a prefix length") from None
    if spec.gateway not in network:
        raise LabError(
            f"{place}: machine {name}: gateway {spec.gateway} lies outside {network}; it can't be reached"
        )
    if "PRIVATE KEY" not in spec.host_key:
        raise LabError(f"{place}: machine {name}: host_key is no private key; give an OpenSSH ed25519 one")
    if not spec.authorized_key.startswith(("ssh-", "ecdsa-")):
        raise LabError(
            f"{place}: machine {name}: authorized_key is no OpenSSH public key; give one line of one"
        )
    return spec


def checked_name(name: object) -> str:
    """Return a machine's name if it is one: it becomes a host name, a folder and a namespace.

    Raises:
        LabError: if it is not usable as all of these.
    """
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise LabError(
            f"machine {name!r}: not a name; use up to 40 of a-z, 0-9 and -, neither first nor last a -"
        )
    return name


def save(spec: MachineSpec, file: Path) -> None:
    """Keep a machine's specification, host key included, readable by root alone."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = file.with_suffix(".unfinished")
    unfinished.touch(mode=0o600)
    plain = {name: value if isinstance(value, int) else str(value) for name, value in asdict(spec).items()}
    unfinished.write_text(json.dumps(plain))
    unfinished.replace(file)


def load(file: Path) -> MachineSpec | None:
    """Return the specification kept in a file, or None if there is none."""
    return parse(file.read_text(), str(file)) if file.exists() else None
