"""The engine's state on this computer: where it is, its passphrase, and a lock that a killed engine left behind."""

import json
import os
import secrets
import socket
from pathlib import Path
from typing import Any

from lab import engine, paths, progress
from lab.errors import LabError

PROJECT_NAME = "hardway"
PASSPHRASE = paths.STATE / "passphrase"
STATE = paths.STATE / "state"


def environment() -> dict[str, str]:
    """The environment of every `pulumi` command: engine, state folder, passphrase.

    A backend or passphrase that the user has set in the environment goes first.
    """
    values = engine.environment()
    # The engine writes its event log only where its debugging flags are switched on.
    values["PULUMI_DEBUG_COMMANDS"] = "true"
    values.setdefault("PULUMI_BACKEND_URL", f"file://{STATE}")
    if not {"PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"} & set(values):
        values["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(PASSPHRASE)
    return values


def prepare() -> None:
    """Make the state folder and, once, a passphrase that nobody but this user can read."""
    paths.STATE.mkdir(mode=0o700, exist_ok=True)
    STATE.mkdir(mode=0o700, exist_ok=True)
    if not PASSPHRASE.exists():
        if any((STATE / ".pulumi").glob(f"stacks/{PROJECT_NAME}/*.json")):
            raise LabError(
                f"{PASSPHRASE}: is gone, but stacks exist that are encrypted with it; put it back from your backup, or "
                "'make clean' to give the stacks up"
            )
        descriptor = os.open(PASSPHRASE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")


def release_dead_locks(stack: str) -> None:
    """Remove the stack's locks whose engine on this computer is gone; refuse while one lives.

    Raises:
        LabError: another engine works on the stack.
    """
    for lock in (STATE / ".pulumi" / "locks").glob(f"organization/{PROJECT_NAME}/{stack}/*.json"):
        holder = _read(lock)
        if holder.get("hostname") != socket.gethostname() or _is_engine(int(holder.get("pid", 0))):
            raise LabError(
                f"stack {stack}: process {holder.get('pid')} on {holder.get('hostname')} works on it since "
                f"{holder.get('timestamp')}; wait for its end"
            )
        progress.note(
            f"stack {stack}: its engine (process {holder.get('pid')}) was killed; its lock is taken away"
        )
        lock.unlink()


def _read(lock: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(lock.read_text()))
    except (OSError, ValueError):
        return {"pid": 0, "hostname": socket.gethostname()}


def _is_engine(pid: int) -> bool:
    """Whether the process lives and is a Pulumi engine; numbers are used again."""
    try:
        return b"pulumi" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
