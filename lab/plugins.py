"""Pulumi's provider plugins: the official ones whenever they can be had, else the stand-ins of lab/providers.

A stand-in lies where the engine looks for the official plugin, with a marker file beside it that holds the
digest of its sources. Platform `aws` runs on official plugins only: `require_official` has them or refuses.
"""

import hashlib
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from lab import engine, go, paths, progress, publishers, scratch
from lab.errors import LabError
from lab.exclusive import exclusive

VERSIONS = {"aws": "7.29.0", "command": "1.2.1", "tls": "5.3.1"}
"""Versions of the official plugins, those of the Python packages in requirements.txt."""
STAND_INS = ("command", "tls")
"""What lab/providers has a stand-in for: all that platforms `lab` and `hosts` use."""
SOURCES = paths.PROJECT / "lab" / "providers"
INSTALL_SECONDS = 600
"""The plugin for AWS alone is hundreds of megabytes."""
_MARKER = ".hardway-stand-in"


def ensure() -> None:
    """Have the plugins that platforms `lab` and `hosts` use in the lab's PULUMI_HOME.

    Raises:
        LabError: when one can be neither installed nor built.
    """
    if all(is_official(name) for name in STAND_INS):
        return
    with exclusive(paths.PULUMI_HOME / ".installing", "provider plugins"):
        for name in STAND_INS:
            if not is_official(name) and not _install_official(name):
                _ensure_stand_in(name)


def require_official(needed: Iterable[str] = VERSIONS) -> None:
    """Have official plugins, installed now where their publisher answers; builds nothing.

    A stand-in has only been compared with the official plugin's documentation, and a cluster that costs money is
    no place to find out what it does otherwise.

    Args:
        needed: names of plugins; by default all that platform `aws` uses.

    Raises:
        LabError: one can't be had; it lists all of them, and nothing was installed.
    """
    absent = [name for name in needed if not is_official(name)]
    unreachable = [name for name in absent if not publishers.reachable(url(name))]
    if unreachable:
        raise LabError(_refusal(unreachable))
    for name in absent:
        with exclusive(paths.PULUMI_HOME / ".installing", "provider plugins"):
            if not is_official(name) and not _install_official(name):
                raise LabError(_refusal([name]))


def _refusal(names: list[str]) -> str:
    found = [
        f"{name} {VERSIONS[name]} ({'a stand-in of lab/providers' if _marker(name).is_file() else 'not installed'})"
        for name in names
    ]
    commands = "".join(f"\n  {by_hand(name)}" for name in names)
    return (
        "platform aws needs Pulumi's official plugins, and these are not on this computer, nor does their publisher "
        f"answer from here: {', '.join(found)}.\n"
        "Nothing was touched. Run this again where the network reaches Pulumi's downloads: it then installs them by "
        f"itself.\nOr fetch the archives elsewhere, and install them here:{commands}"
    )


def by_hand(name: str) -> str:
    """The command that installs an official plugin from its archive, fetched by hand; a stand-in makes room for it."""
    install = f"pulumi plugin install resource {name} {VERSIONS[name]} --reinstall --file {_archive(name)}"
    return f"PULUMI_HOME={paths.PULUMI_HOME} {paths.PULUMI_HOME}/bin/{install}"


def stand_ins() -> list[str]:
    """Return the plugins that are not the official ones."""
    return [name for name in STAND_INS if _marker(name).is_file()]


def is_official(name: str) -> bool:
    """Tell whether the plugin of the pinned version is there, whole and its publisher's."""
    return _program(name).is_file() and not _marker(name).is_file() and not _partial(name).exists()


def _folder(name: str) -> Path:
    return paths.PULUMI_HOME / "plugins" / f"resource-{name}-v{VERSIONS[name]}"


def _partial(name: str) -> Path:
    """The file that the engine leaves beside a plugin whose installation did not come to its end."""
    return _folder(name).with_name(f"{_folder(name).name}.partial")


def _program(name: str) -> Path:
    return _folder(name) / f"pulumi-resource-{name}"


def _marker(name: str) -> Path:
    return _folder(name) / _MARKER


def _archive(name: str) -> str:
    return f"pulumi-resource-{name}-v{VERSIONS[name]}-linux-{paths.architecture()}.tar.gz"


def url(name: str) -> str:
    """Where the publisher keeps the plugin's archive."""
    return f"https://get.pulumi.com/releases/plugins/{_archive(name)}"


def _install_official(name: str) -> bool:
    """Ask the engine to download the plugin, where its publisher answers; tell whether it is there now."""
    if not publishers.reachable(url(name)):
        return False
    command = [str(engine.ensure()), "plugin", "install", "resource", name, VERSIONS[name], "--reinstall"]
    with progress.step(f"plugin {name} {VERSIONS[name]} from its publisher"):
        try:
            subprocess.run(
                command, env=engine.environment(), timeout=INSTALL_SECONDS, capture_output=True, check=True
            )
        except (OSError, subprocess.SubprocessError) as error:
            progress.note(f"plugin {name}: {error}")
            return False
    _marker(name).unlink(missing_ok=True)
    return is_official(name)


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
