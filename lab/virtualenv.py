"""The virtual environment of the Pulumi program and of the tests, one for each set of pinned requirements."""

import hashlib
import os
import shutil
import sys
from pathlib import Path

from lab import go, paths, progress
from lab.errors import LabError
from lab.exclusive import exclusive

REQUIREMENTS = ("requirements.txt", "requirements-dev.txt")
_COMPLETE = ".complete"


def ensure() -> Path:
    """Have `.venv` in the project lead to an environment with the pinned packages; return the link's path.

    Raises:
        LabError: when pip fails, or `.venv` is something of the user's own.
    """
    folder = paths.CACHE / "venv" / _fingerprint()
    if not (folder / _COMPLETE).is_file():
        with exclusive(paths.CACHE / "venv" / ".installing", "Python packages"):
            if not (folder / _COMPLETE).is_file():
                _install(folder)
    _link(folder)
    return paths.VENV


def _fingerprint() -> str:
    """Return what the environment depends on, as a short digest: Python and the pinned packages."""
    digest = hashlib.sha256(f"{sys.version_info[:3]} {os.path.realpath(sys.base_prefix)}".encode())
    for name in REQUIREMENTS:
        digest.update((paths.PROJECT / name).read_bytes())
    return digest.hexdigest()[:16]


def _install(folder: Path) -> None:
    # Not made elsewhere and moved: an environment's scripts carry its absolute path.
    shutil.rmtree(folder, ignore_errors=True)
    with progress.step("Python packages, pinned in requirements.txt and requirements-dev.txt"):
        go.run([sys.executable, "-m", "venv", str(folder)], purpose="virtual environment")
        python = str(folder / "bin" / "python")
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
        files = [word for name in REQUIREMENTS for word in ("-r", str(paths.PROJECT / name))]
        go.run([*pip, *files], purpose="Python packages")
        # The AWS SDK is most of the code and only platform `aws` imports it: compiling costs half a minute.
        compiling = [python, "-m", "compileall", "-q", "-j", "0", "-x", "pulumi_aws", str(folder / "lib")]
        go.run(compiling, purpose="Python packages, compiling")
    (folder / _COMPLETE).touch()


def _link(folder: Path) -> None:
    if paths.VENV.is_symlink() and paths.VENV.readlink() == folder:
        return
    if paths.VENV.exists() and not paths.VENV.is_symlink():
        raise LabError(f"{paths.VENV}: exists and was not made by the lab; move it away and run again")
    partial = paths.VENV.with_name(f".venv.partial-{os.getpid()}")
    partial.unlink(missing_ok=True)
    partial.symlink_to(folder)
    partial.replace(paths.VENV)
