"""Running providers, and what the table's cases need made.

HARDWAY_PROVIDER_DIR names the folder with the executables `pulumi-resource-command` and `pulumi-resource-tls`
to test; without it the stand-ins are built from their sources.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.providers.made import Made
from tests.providers.process import build, running
from tests.providers.wire import Client


@pytest.fixture(scope="session")
def providers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with both executables."""
    chosen = os.environ.get("HARDWAY_PROVIDER_DIR")
    if chosen:
        return Path(chosen)
    folder = tmp_path_factory.mktemp("providers")
    for package in ("pulumi-resource-command", "pulumi-resource-tls"):
        build(folder, package)
    return folder


@pytest.fixture(scope="session")
def clients(providers: Path) -> Iterator[dict[str, Client]]:
    """A running provider by the first word of its types."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(running(providers / f"pulumi-resource-{name}"))
            for name in ("command", "tls")
        }


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The tests' SSH server: host, port, hostKey and privateKey."""
    program = build(tmp_path_factory.mktemp("ssh"), "ssh-test-server")
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
        process.kill()


@pytest.fixture(scope="session")
def made(clients: dict[str, Client], request: pytest.FixtureRequest) -> Made:
    """What the placeholders of the table stand for."""
    return Made(clients, request)
