"""The engine's state on this computer: where it is, its passphrase, and a lock that a killed engine left behind."""

import json
import os
import secrets
import socket
from pathlib import Path
from typing import Any

from lab import engine, mirror, orphans, paths, progress
from lab.errors import LabError

PROJECT_NAME = "hardway"
PASSPHRASE = paths.STATE / "passphrase"
STATE = paths.STATE / "state"
_STACKS = STATE / ".pulumi" / "stacks" / PROJECT_NAME
_LOCKS = STATE / ".pulumi" / "locks" / "organization" / PROJECT_NAME


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
    """Make the state folder and, once, a passphrase that nobody but this user can read.

    Raises:
        LabError: the passphrase is gone and stacks are encrypted with it.
    """
    paths.STATE.mkdir(mode=0o700, exist_ok=True)
    STATE.mkdir(mode=0o700, exist_ok=True)
    if is_locked_out():
        raise LabError(
            f"{PASSPHRASE}: is gone, but stacks are encrypted with it; put it back from your backup. Without one a lab "
            "can still be removed ('make down'); the keys of a cluster on your own hosts are lost"
        )
    if not PASSPHRASE.exists():
        descriptor = os.open(PASSPHRASE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")


def is_locked_out() -> bool:
    """Whether stacks with resources exist in our state folder and our passphrase does not."""
    given = {"PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE", "PULUMI_BACKEND_URL"} & set(
        os.environ
    )
    return not given and not PASSPHRASE.exists() and bool(stacks_with_resources())


def stacks_with_resources() -> list[str]:
    """Names of the stacks in our state folder that hold anything."""
    return [file.stem for file in sorted(_STACKS.glob("*.json")) if _holds_resources(file)]


def _holds_resources(checkpoint: Path) -> bool:
    try:
        latest = json.loads(checkpoint.read_text())["checkpoint"].get("latest") or {}
    except (ValueError, KeyError):
        return True
    return bool(latest.get("resources"))


def forget(stack: str) -> None:
    """Remove a stack from our state folder, whatever it holds."""
    for file in (*_STACKS.glob(f"{stack}.json*"), *_LOCKS.glob(f"{stack}/*.json")):
        file.unlink()


def put_back_whole_state(stack: str) -> None:
    """Put the engine's own copy in the place of a state that a killed engine was just writing.

    The engine copies a state before it writes the next one, and does not write in one step (seen: an empty file). What
    the last step did is then unknown to the state, and done anew by the next run.
    """
    state, copy = _STACKS / f"{stack}.json", _STACKS / f"{stack}.json.bak"
    if state.exists() and not _is_whole(state) and copy.exists() and _is_whole(copy):
        progress.note(f"stack {stack}: its state was not written to the end; the one before it is put back")
        mirror.write_atomically(state, copy.read_text())


def _is_whole(checkpoint: Path) -> bool:
    try:
        return "checkpoint" in json.loads(checkpoint.read_text())
    except ValueError:
        return False


def release_dead_locks(stack: str) -> None:
    """Remove the stack's locks whose engine on this computer is gone, and its helpers; refuse while one lives.

    Raises:
        LabError: another engine works on the stack.
    """
    for lock in _LOCKS.glob(f"{stack}/*.json"):
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
        put_back_whole_state(stack)
    orphans.end()


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
