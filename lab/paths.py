"""Where the lab keeps things, and the name that tells one clone's things from another's.

Nothing here creates a folder: whoever writes into one makes it.
"""

import hashlib
import os
import platform
import re
from pathlib import Path

from lab.errors import LabError

PROJECT = Path(__file__).resolve().parent.parent
"""Root of this clone."""

STATE = Path(os.environ.get("HARDWAY_STATE") or PROJECT / ".hardway").resolve()
"""What belongs to this clone's lab: machines, stack state, passphrase. HARDWAY_STATE moves it."""


def _cache_folder() -> Path:
    """Return the folder of everything slow to make again; shared by all clones of this user."""
    chosen = os.environ.get("HARDWAY_CACHE")
    if chosen:
        return Path(chosen).expanduser().resolve()
    user_cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(user_cache).expanduser().resolve() / "hardway"


CACHE = _cache_folder()
MIRROR = CACHE / "mirror"
"""Artifacts and images as the file server hands them out: <artifact>/<version>/<arch>/<file>."""

WORK = CACHE / "work"
"""Scratch space of builds; whatever lies here after a run was interrupted and may be deleted."""

PULUMI_HOME = CACHE / "pulumi"
VENV = PROJECT / ".venv"
"""A link to the virtual environment in the cache that fits requirements.txt."""


def instance() -> str:
    """Return six hexadecimal characters that name all that this clone makes on the computer.

    HARDWAY_INSTANCE chooses others, so that tests have a lab of their own beside the clone's.

    Raises:
        LabError: if HARDWAY_INSTANCE holds anything else.
    """
    chosen = os.environ.get("HARDWAY_INSTANCE")
    if chosen:
        if not re.fullmatch(r"[0-9a-f]{6}", chosen):
            raise LabError(
                f"HARDWAY_INSTANCE: {chosen!r} is not six hexadecimal characters; unset it or choose such"
            )
        return chosen
    return hashlib.sha256(str(PROJECT).encode()).hexdigest()[:6]


def architecture() -> str:
    """Return this computer's architecture as Go and the publishers call it: amd64 or arm64.

    Raises:
        LabError: for any other processor.
    """
    names = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
    machine = platform.machine()
    if machine not in names:
        raise LabError(
            f"this computer: processor {machine} is not supported by the lab; use an x86-64 or 64-bit ARM one"
        )
    return names[machine]
