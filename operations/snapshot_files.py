"""Snapshots of etcd between machines and this computer, over the stack's own SSH; checked by their digest."""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
from collections.abc import Iterable
from pathlib import Path

from lab import stack
from lab.errors import LabError

TRANSFER_SECONDS = 1800
"""What 8 GiB, etcd's quota, take over 5 MB/s."""
SPARE = 64 << 20
"""Bytes that stay free beside a snapshot on a machine."""


def file_digest(path: Path) -> str:
    """sha256 of a file, as hexadecimal text."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(chosen: stack.Stack, machine: str, remote: str, local: Path) -> None:
    """Copy a machine's file into one of this computer, for this user only.

    Args:
        chosen: the stack.
        machine: its name.
        remote: the file there.
        local: the file to make here.

    Raises:
        LabError: it did not come through.
    """
    line = stack.ssh_command(chosen, machine, f"sudo -n cat {shlex.quote(remote)}")
    descriptor = os.open(local, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as sink:
        _transfer(line, machine, remote, stdout=sink.fileno())


def send(chosen: stack.Stack, machine: str, local: Path, remote: str, digest: str) -> None:
    """Copy a file of this computer to a machine, unless it is there already.

    Args:
        chosen: the stack.
        machine: its name.
        local: the file.
        remote: where it goes; it appears there whole or not at all.
        digest: its sha256.

    Raises:
        LabError: there is no room for it, which is found out before anything is sent, or it did not come through.
    """
    folder, needed = os.path.dirname(remote), local.stat().st_size + SPARE
    # A connection that breaks ends `cat` as the file's end does: only the digest tells them apart.
    script = f"""umask 077
folder={shlex.quote(folder)} target={shlex.quote(remote)} partial={shlex.quote(f"{folder}/.sent-{digest[:16]}")}
same() {{ echo "{digest}  $1" | sha256sum --check --status 2>/dev/null; }}
refuse() {{ echo "$1" >&2; exit 1; }}
same "$target" && exit
test -d "$folder" || exit 3
trap 'rm -f "$partial"' EXIT
trap 'exit 1' HUP INT TERM
rm -f "$partial"
free=$(df --output=avail --block-size=1 "$folder" | tail -n 1)
test $free -ge {needed} || refuse "$folder has $((free >> 20)) MiB free and needs {(needed >> 20) + 1}; make room there"
cat >"$partial" || exit 1
same "$partial" || refuse "what came there is not what was sent; run again"
mv "$partial" "$target"
"""
    line = stack.ssh_command(chosen, machine, f"sudo -n sh -c {shlex.quote(script)}")
    with local.open("rb") as source:
        _transfer(line, machine, remote, stdin=source.fileno())


def _transfer(
    line: list[str],
    machine: str,
    remote: str,
    *,
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.DEVNULL,
) -> None:
    try:
        done = subprocess.run(
            line,
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            timeout=TRANSFER_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LabError(f"{machine}: {remote} was not copied within {TRANSFER_SECONDS} s; run again") from None
    if done.returncode == 3:
        raise LabError(f"{machine}: {os.path.dirname(remote)} is missing there; run 'make up' once")
    if done.returncode:
        raise LabError(
            f"{machine}: {remote} was not copied: {done.stderr.strip() or f'ssh ended with {done.returncode}'}"
        )


def chosen_snapshot(text: str) -> Path:
    """The snapshot that an operator names: a file, or a folder that `make backup` made.

    Raises:
        LabError: there is none.
    """
    path = Path(text).expanduser()
    if path.is_dir():
        return _only(path, path.glob("*.db"))
    if not path.is_file():
        raise LabError(f"SNAPSHOT={text}: no such file or folder; 'make backup' prints where it puts one")
    return path


def _only(folder: Path, found: Iterable[Path]) -> Path:
    paths = sorted(found)
    if len(paths) != 1:
        names = ", ".join(path.name for path in paths) or "none"
        raise LabError(
            f"SNAPSHOT={folder}: one .db file is wanted in that folder, and there is {names}; name the file"
        )
    return paths[0]
