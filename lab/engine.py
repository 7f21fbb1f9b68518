"""The Pulumi engine and its Python language host: the publisher's release, else built from its Go modules.

They live in a PULUMI_HOME of the lab's own, beside no other Pulumi of the user. What the provider plugins
are is told in `lab.plugins`.
"""

import os
import shutil
import tarfile
from pathlib import Path

from lab import builds, go, paths, progress, publishers, scratch
from lab.errors import LabError
from lab.exclusive import exclusive

VERSION = "3.230.0"
LANGUAGE_HOST_VERSION = "3.68.0"
SDK_MODULE = "github.com/pulumi/pulumi/sdk/v3"
PROGRAMS = ("pulumi", "pulumi-language-python", "pulumi-language-python-exec")
RELEASES = "https://get.pulumi.com/releases/sdk"
BIN = paths.PULUMI_HOME / "bin"
_STAMP = BIN / ".version"


def ensure() -> Path:
    """Have the engine of the pinned version in the lab's PULUMI_HOME; return the `pulumi` executable.

    Raises:
        LabError: when it can be neither fetched nor built.
    """
    if not _present():
        with exclusive(paths.PULUMI_HOME / ".installing", "the Pulumi engine"):
            if not _present():
                _install()
    return BIN / "pulumi"


def environment() -> dict[str, str]:
    """Return the environment of a `pulumi` command: our engine and Python packages first, no downloads.

    The language host built from modules ignores `runtime.options.virtualenv`, so PATH has to tell it.
    """
    search = os.pathsep.join([str(paths.VENV / "bin"), str(BIN), os.environ.get("PATH", os.defpath)])
    own = {
        "PATH": search,
        "VIRTUAL_ENV": str(paths.VENV),
        "PULUMI_HOME": str(paths.PULUMI_HOME),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
    }
    return {**os.environ, **own}


def source() -> str:
    """Return where the installed engine came from: `publisher` or `built`; "" when there is none."""
    return _STAMP.read_text().split()[1] if _present() else ""


def _present() -> bool:
    whole = all((BIN / name).is_file() for name in PROGRAMS)
    return whole and _STAMP.is_file() and _STAMP.read_text().split()[:1] == [VERSION]


def _install() -> None:
    BIN.mkdir(parents=True, exist_ok=True)
    _STAMP.unlink(missing_ok=True)
    with scratch.folder("engine") as folder:
        origin = "publisher" if _fetch(folder) else "built"
        if origin == "built":
            _build(folder)
        for name in PROGRAMS:
            (folder / "out" / name).chmod(0o755)
            (folder / "out" / name).replace(BIN / name)
    _STAMP.write_text(f"{VERSION} {origin}\n")


def _fetch(folder: Path) -> bool:
    """Try the publisher's release; tell whether its programs are in `folder`/out."""
    arch = {"amd64": "x64", "arm64": "arm64"}[paths.architecture()]
    url = f"{RELEASES}/pulumi-v{VERSION}-linux-{arch}.tar.gz"
    archive = folder / "pulumi.tar.gz"
    with progress.step(f"Pulumi engine {VERSION} from its publisher") as step:
        if not publishers.fetch(
            url, "", archive, step, checksums=f"{RELEASES}/pulumi-{VERSION}-checksums.txt"
        ):
            step.outcome = "not to be had there, found out"
            return False
        _unpack(archive, folder / "out")
    return True


def _unpack(archive: Path, out: Path) -> None:
    """Take the programs out of the release, which has a dozen other language hosts."""
    out.mkdir()
    with tarfile.open(archive) as packed:
        for name in PROGRAMS:
            member = packed.extractfile(f"pulumi/{name}")
            if member is None:
                raise LabError(f"Pulumi {VERSION}: the published archive has no file pulumi/{name}")
            with member, (out / name).open("wb") as target:
                shutil.copyfileobj(member, target)


def _build(folder: Path) -> None:
    out = folder / "out"
    out.mkdir()
    with progress.step(f"Pulumi engine {VERSION}, compiling"):
        shutil.copy2(builds.compile_programs("pulumi", VERSION, folder / "engine") / "pulumi", out)
    with progress.step(f"Pulumi language host for Python {LANGUAGE_HOST_VERSION}, compiling"):
        made = builds.compile_programs(
            "pulumi-language-python", LANGUAGE_HOST_VERSION, folder / "host", stamp=VERSION
        )
        shutil.copy2(made / "pulumi-language-python", out)
    sources, _ = go.download(SDK_MODULE, f"v{LANGUAGE_HOST_VERSION}")
    shutil.copyfile(
        sources / "python" / "cmd" / "pulumi-language-python-exec", out / "pulumi-language-python-exec"
    )
