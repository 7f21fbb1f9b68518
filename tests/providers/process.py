"""Executables under test: built from the Go module, started, and ended."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab import paths
from tests.providers.wire import Client

_SOURCES = Path(__file__).parents[2] / "lab" / "providers"


def build(target: Path, package: str) -> Path:
    """Return an executable of the Go module, built with the lab's own cache."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("no Go on PATH to build the stand-ins with; name a folder in HARDWAY_PROVIDER_DIR")
    cache = paths.CACHE / "go"
    environ = {
        **os.environ,
        "GOCACHE": str(cache / "build"),
        "GOMODCACHE": str(cache / "mod"),
        "CGO_ENABLED": "0",
    }
    command = [go, "build", "-trimpath", "-ldflags", "-s -w", "-o", str(target), f"./cmd/{package}"]
    subprocess.run(command, cwd=_SOURCES, env=environ, check=True, timeout=900)
    return target / package


@contextmanager
def running(program: Path) -> Iterator[Client]:
    """Start a provider and end it, with what the engine would say to it in between."""
    with subprocess.Popen([program], stdout=subprocess.PIPE, text=True, env=_environment()) as process:
        assert process.stdout is not None
        try:
            yield Client(int(process.stdout.readline()))
        finally:
            process.kill()


def _environment() -> dict[str, str]:
    # An agent of the person who runs the tests would offer keys to the tests' server.
    return {name: value for name, value in os.environ.items() if name != "SSH_AUTH_SOCK"}
