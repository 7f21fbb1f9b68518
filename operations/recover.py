"""`make recover BACKUP=`: a stack's state is lost and its machines are fine; the state comes back from a backup.

No machine is asked or changed. What was changed after the backup is unknown to the state then: the next `make up`
brings both together.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import yaml

from lab import backend, stack
from lab.errors import LabError
from operations.backup import STACK, STATUS

SALT = "encryptionsalt"
PROVIDER_KEYS = (SALT, "secretsprovider", "encryptedkey")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which backup."""
    parser.add_argument("backup", help="a folder that 'make backup' made")


def run(chosen: stack.Stack, given: argparse.Namespace) -> int:
    """Check, import, and read what the state gives out."""
    folder = Path(given.backup).expanduser()
    about = _read(folder)
    if about["stack"] != chosen.name:
        raise LabError(f"{folder}: is of stack {about['stack']}; run 'make recover STACK={about['stack']}'")
    _check_passphrase(about, folder)
    if stack.exists(chosen) and stack.exported(chosen):
        raise LabError(
            f"stack {chosen.name} has a state, with {len(stack.exported(chosen))} resources. To have the backup's in "
            f"its place, take it away first: 'pulumi stack rm --force --preserve-config {chosen.name}' (no machine is "
            "touched by that)"
        )
    _put_back_config(chosen, folder / chosen.source.name)
    stack.ensure(chosen)
    stack.capture(["pulumi", "stack", "import", "--stack", chosen.name, "--file", str(folder / STACK)])
    outputs = stack.save_outputs(chosen)
    print(
        f"Stack {chosen.name} has its state of {about['taken']} back: {about['resources']} resources, "
        f"{len(outputs['machines'])} machines. No machine was asked.\n"
        f"  make preview STACK={chosen.name}   shows what was changed since, if anything"
    )
    return 0


def _read(folder: Path) -> dict[str, Any]:
    try:
        about = dict(json.loads((folder / STATUS).read_text()))
        json.loads((folder / STACK).read_text())
    except (OSError, ValueError) as error:
        raise LabError(f"BACKUP={folder}: is no folder that 'make backup' made ({error})") from None
    return about


def _check_passphrase(about: dict[str, Any], folder: Path) -> None:
    """Refuse before anything is made, when there is nothing to read the backup's secrets with.

    Raises:
        LabError: this computer has no passphrase; one that it would make itself could not be the right one.
    """
    environment = backend.environment()
    given = "PULUMI_CONFIG_PASSPHRASE" in environment
    if about["secrets"] != "passphrase" or given:
        return
    file = Path(environment["PULUMI_CONFIG_PASSPHRASE_FILE"])
    if not file.exists():
        raise LabError(
            f"{folder}: its secrets are encrypted with a passphrase, and {file} does not exist; write it there "
            "(mode 0600) or set PULUMI_CONFIG_PASSPHRASE_FILE"
        )


def _put_back_config(chosen: stack.Stack, saved: Path) -> None:
    """Have the engine use the salt that the backup's secrets were encrypted with.

    A lab's generated file comes back whole; of a committed one, which may have been edited since, only the lines that
    say how secrets are encrypted.
    """
    if not saved.exists():
        raise LabError(f"{saved}: is missing in the backup; without its salt nothing in {STACK} can be read")
    chosen.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if chosen.config != chosen.source:
        stack.write_private(chosen.config, saved.read_text())
        return
    if not chosen.source.exists():
        chosen.source.write_text(saved.read_text())
        print(f"{chosen.source.name} was missing and is the backup's now", file=sys.stderr)
        return
    old, now = yaml.safe_load(saved.read_text()), yaml.safe_load(chosen.source.read_text())
    lines = {key: old[key] for key in PROVIDER_KEYS if key in old}
    if any(now.get(key, value) != value for key, value in lines.items()):
        raise LabError(
            f"{chosen.source.name}: its {SALT} is another one than the backup's; write the backup's ({saved}) there"
        )
    missing = {key: value for key, value in lines.items() if key not in now}
    if missing:
        chosen.source.write_text(yaml.safe_dump(missing) + chosen.source.read_text())
