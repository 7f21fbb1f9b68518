"""`make backup`: a snapshot of etcd and what else brings a cluster back, in a folder on this computer.

The folder appears under its name when it is complete. Nothing in it is of use without the passphrase (or key) by which
the stack's secrets are encrypted, and that is not in it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

from config.plan import Role
from lab import backend, paths, stack
from lab.errors import LabError
from operations import phases, snapshot_files

SECONDS = 900
STACK, STATUS, SNAPSHOT = "stack.json", "backup.json", "etcd.db"


def arguments(parser: argparse.ArgumentParser) -> None:
    """It takes none."""


def run(chosen: stack.Stack, _arguments: argparse.Namespace) -> int:
    """Make the folder and tell what is in it."""
    begin = time.monotonic()
    name = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    folder = chosen.folder / "backups" / name
    partial = folder.with_name(f".{name}{stack.PARTIAL}{os.getpid()}")
    partial.mkdir(mode=0o700, parents=True)
    try:
        about = _fill(chosen, partial)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    print(_told(chosen, folder, about, time.monotonic() - begin))
    return 0


def _fill(chosen: stack.Stack, folder: Path) -> dict[str, Any]:
    machine, taken = _take(chosen)
    snapshot_files.fetch(chosen, machine, taken["path"], folder / SNAPSHOT)
    if snapshot_files.file_digest(folder / SNAPSHOT) != taken["sha256"]:
        raise LabError(f"{machine}: {taken['path']} changed on its way here; run 'make backup' again")
    text = stack.capture(["pulumi", "stack", "export", "--stack", chosen.name])
    stack.write_private(folder / STACK, text)
    stack.write_private(folder / chosen.config.name, chosen.config.read_text())
    applied = chosen.outputs()["applied"]
    about = {
        "stack": chosen.name,
        "platform": chosen.kind,
        "taken": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine,
        "snapshot": {**taken["status"], "size": taken["size"], "sha256": taken["sha256"]},
        "etcd": taken["etcd"],
        "kubernetes": sorted(
            {one["versions"]["kubelet"] for one in applied.values() if "kubelet" in one["versions"]}
        ),
        "resources": len((json.loads(text).get("deployment") or {}).get("resources") or []),
        "secrets": secrets_provider(text),
    }
    stack.write_private(folder / STATUS, json.dumps(about, indent=2, sort_keys=True) + "\n")
    return about


def _take(chosen: stack.Stack) -> tuple[str, dict[str, Any]]:
    """A snapshot of the first member that gives one, with its machine.

    Raises:
        LabError: none did; each one's reason.
    """
    reasons = []
    for machine in phases.machines_of_role(chosen, Role.CONTROL_PLANE):
        try:
            return machine, phases.run_phase(chosen, machine, "backup", {}, seconds=SECONDS)
        except LabError as error:
            reasons.append(str(error))
    raise LabError("no member of etcd gave a snapshot.\n" + "\n".join(reasons))


def secrets_provider(export: str) -> str:
    """How the secrets in a stack's export are encrypted, by the provider's own name."""
    deployment = json.loads(export).get("deployment") or {}
    provider = deployment.get("secrets_providers") or {}
    url = (provider.get("state") or {}).get("url")
    return str(url or provider.get("type") or "none")


def _told(chosen: stack.Stack, folder: Path, about: dict[str, Any], seconds: float) -> str:
    snapshot = about["snapshot"]
    return "\n".join(
        [
            f"Backup of stack {chosen.name}, {seconds:.1f} s: {_shown(folder)}",
            f"  {SNAPSHOT:20} {snapshot['size']} bytes, {snapshot['totalKey']} keys, revision {snapshot['revision']}, "
            f"hash {snapshot['hash']:08x}, of {about['machine']} (etcd {about['etcd']})",
            f"  {STACK:20} {about['resources']} resources, secrets encrypted ({about['secrets']})",
            f"  {chosen.config.name:20} the stack's configuration, with the salt of its encryption",
            f"  {STATUS:20} what is told here",
            _needed(about["secrets"]),
        ]
    )


def _needed(provider: str) -> str:
    if provider != "passphrase":
        return f"Not in it, and needed to use it: the right to decrypt by {provider}. Keep a copy off this computer."
    given = os.environ.get("PULUMI_CONFIG_PASSPHRASE_FILE")
    where = (
        "the one in PULUMI_CONFIG_PASSPHRASE"
        if "PULUMI_CONFIG_PASSPHRASE" in os.environ
        else f"{given or _shown(backend.PASSPHRASE)}"
    )
    return f"Not in it, and needed to use it: the passphrase ({where}). Keep both off this computer, apart."


def _shown(path: Path) -> str:
    return str(path.relative_to(paths.PROJECT)) if path.is_relative_to(paths.PROJECT) else str(path)
