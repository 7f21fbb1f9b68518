"""Pulumi's provider plugins: the official ones whenever they can be had, else the stand-ins of lab/providers.

A stand-in lies where the engine looks for the official plugin, with a marker file beside it that holds the
digest of its sources. Platform `aws` has to refuse it: `stand_ins()` tells.
"""

import hashlib
import shutil
import subprocess
from pathlib import Path

from lab import engine, go, paths, progress, publishers, scratch
from lab.errors import LabError
from lab.exclusive import exclusive

VERSIONS = {"command": "1.2.1", "tls": "5.3.1"}
SOURCES = paths.PROJECT / "lab" / "providers"
INSTALL_SECONDS = 180
_MARKER = ".hardway-stand-in"


def ensure() -> None:
    """Have every plugin that the program uses in the lab's PULUMI_HOME.

    Raises:
        LabError: when one can be neither installed nor built.
    """
    if all(_official(name) for name in VERSIONS):
        return
    with exclusive(paths.PULUMI_HOME / ".installing", "provider plugins"):
        for name in VERSIONS:
            if not _official(name) and not _install_official(name):
                _ensure_stand_in(name)


def stand_ins() -> list[str]:
    """Return the plugins that are not the official ones."""
    return [name for name in VERSIONS if _marker(name).is_file()]


def _folder(name: str) -> Path:
    return paths.PULUMI_HOME / "plugins" / f"resource-{name}-v{VERSIONS[name]}"


def _program(name: str) -> Path:
    return _folder(name) / f"pulumi-resource-{name}"


def _marker(name: str) -> Path:
    return _folder(name) / _MARKER


def _official(name: str) -> bool:
    return _program(name).is_file() and not _marker(name).is_file()


def _install_official(name: str) -> bool:
    """Ask the engine to download the plugin, where its publisher answers; tell whether it is there now."""
    arch = paths.architecture()
    file = f"pulumi-resource-{name}-v{VERSIONS[name]}-linux-{arch}.tar.gz"
    if not publishers.reachable(f"https://get.pulumi.com/releases/plugins/{file}"):
        return False
    command = [str(engine.ensure()), "plugin", "install", "resource", name, VERSIONS[name], "--reinstall"]
    with progress.step(f"plugin {name} {VERSIONS[name]} from its publisher"):
        try:
            subprocess.run(
                command, env=engine.environment(), timeout=INSTALL_SECONDS, capture_output=True, check=True
            )
        except (OSError, subprocess.SubprocessError) as error:
            progress.note(f"plugin {name}: {error}; the stand-in serves instead")
            return False
    _marker(name).unlink(missing_ok=True)
    return _official(name)


def _ensure_stand_in(name: str) -> None:
    digest = _sources_digest()
    if _program(name).is_file() and _marker(name).read_text().strip() == digest:
        return
    with progress.step(f"plugin {name} {VERSIONS[name]}, stand-in, compiling"):
        _build_stand_in(name, digest)


def _build_stand_in(name: str, digest: str) -> None:
    if not (SOURCES / "go.mod").is_file():
        raise LabError(f"{SOURCES}: no Go module there, so plugin {name} can't be built; restore it from git")
    with scratch.folder(f"plugin-{name}") as folder:
        # A copy, since Go may complete go.sum, and a build has no business in the user's checkout.
        module = shutil.copytree(SOURCES, folder / "module")
        program = folder / f"pulumi-resource-{name}"
        command = [str(go.toolchain()), "build", *go.Flags().arguments(), "-o", str(program)]
        package = f"./cmd/pulumi-resource-{name}"
        go.run([*command, package], purpose=f"go build {package}", folder=module, environ=go.environment())
        _folder(name).mkdir(parents=True, exist_ok=True)
        # The marker goes first: a stand-in must never be taken for the official plugin.
        _marker(name).write_text("unfinished\n")
        program.replace(_program(name))
        _marker(name).write_text(f"{digest}\n")


def _sources_digest() -> str:
    digest = hashlib.sha256()
    for path in sorted(SOURCES.rglob("*")):
        if path.is_file() and not path.name.endswith("_test.go"):
            digest.update(f"{path.relative_to(SOURCES)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]
