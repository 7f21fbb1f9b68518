"""What of the computer the lab could leave changed, to be compared before and after."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from lab import kernel, paths
from lab.commands import attempt


@dataclass(frozen=True)
class Snapshot:
    """One look at the computer; another lab's things (it may come and go meanwhile) are left out."""

    interfaces: frozenset[str]
    namespaces: frozenset[str]
    mounts: frozenset[str]
    control_groups: frozenset[str]
    firewall: tuple[str, ...]
    settings: tuple[tuple[str, int], ...]
    processes: frozenset[str]


def take() -> Snapshot:
    """Look at the computer now."""
    return Snapshot(
        interfaces=_ours_or_nobodys(path.name for path in Path("/sys/class/net").iterdir()),
        namespaces=_ours_or_nobodys(path.name for path in _children(Path("/run/netns"))),
        mounts=frozenset(
            line.split()[1] for line in Path("/proc/mounts").read_text().splitlines() if _of_us(line)
        ),
        control_groups=frozenset(
            str(path)
            for path in Path("/sys/fs/cgroup").glob("*/*/")
            if not re.match(rf"hardway-(?!{paths.instance()})", path.name)
        ),
        firewall=_firewall(),
        settings=tuple((name, kernel.read(name)) for name in sorted(_SETTINGS)),
        processes=frozenset(_processes()),
    )


_SETTINGS = {**kernel.AT_LEAST, **kernel.AT_LEAST_KEYS, **kernel.EXACTLY}


def _children(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _ours_or_nobodys(names: object) -> frozenset[str]:
    assert hasattr(names, "__iter__")
    foreign = re.compile(rf"hw-(?!{paths.instance()})[0-9a-f]{{6}}")
    return frozenset(str(name) for name in names if not foreign.match(str(name)))


def _of_us(line: str) -> bool:
    return str(paths.STATE) in line or f"hw-{paths.instance()}" in line


def _firewall() -> tuple[str, ...]:
    """The rules of iptables and nftables without their counters."""
    commands = (["iptables-save"], ["nft", "--stateless", "list", "ruleset"])
    rules = "".join(attempt(command).output for command in commands if shutil.which(command[0]))
    kept = [line.strip() for line in rules.splitlines() if not line.startswith(("#", ":"))]
    return tuple(
        line for line in kept if line and not re.search(rf"hw-(?!{paths.instance()})[0-9a-f]{{6}}", line)
    )


def _processes() -> list[str]:
    """Command lines of what the lab or its engine runs here, without the tests themselves."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            here = (folder / "cwd").resolve().is_relative_to(paths.PROJECT)
        except OSError:
            continue
        nspawn = "systemd-nspawn" in line and f"hw-{paths.instance()}" in line
        if nspawn or (here and re.search(r"lab\.fileserver|pulumi", line) and "pytest" not in line):
            found.append(line.strip())
    return found
