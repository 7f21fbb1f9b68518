"""The way in: the real command line, without sudo, reading a bundle as a machine does."""

from __future__ import annotations

import base64
import bz2
import json
import os
import shlex
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from components import bundle


def start(document: dict[str, Any], seconds: int = 30) -> subprocess.CompletedProcess[str]:
    """Run a document by the phases' own command line."""
    command = shlex.split(bundle.remote_command(seconds))
    assert command[:3] == ["sudo", "-n", "timeout"]
    text = base64.b64encode(bz2.compress(json.dumps(document).encode())).decode()
    return subprocess.run(command[2:], input=text, capture_output=True, text=True, timeout=60, check=False)


def probe(source: str, phase: str = "prepare") -> dict[str, Any]:
    """A document whose phase is the given source, beside what a real phase's bundle carries."""
    agent = {**bundle.agent_sources(phase), "components.agent.probe": source}
    return {"phase": "probe", "machine": {"name": "cp-0"}, "agent": agent, "greeting": "hello"}


def test_a_phase_gets_its_bundle_and_its_result_is_one_line_of_json() -> None:
    done = start(probe("def run(bundle):\n    return {'b': bundle['greeting'], 'a': 1}\n"))
    assert (done.returncode, done.stdout, done.stderr) == (0, '{"a": 1, "b": "hello"}\n', "")


def test_progress_goes_to_standard_error_and_leaves_the_result_alone() -> None:
    source = (
        "from components.agent.evidence import say\ndef run(bundle):\n    say('working')\n    return {}\n"
    )
    done = start(probe(source))
    assert (done.returncode, done.stdout, done.stderr) == (0, "{}\n", "working\n")


def test_a_failure_is_one_message_with_the_machines_name_and_status_1() -> None:
    source = "from components.agent.evidence import Failure\ndef run(bundle):\n    raise Failure('the disk is full')\n"
    done = start(probe(source))
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "cp-0: the disk is full\n")


def test_a_bundle_without_a_machine_fails_under_the_name_that_the_machine_has() -> None:
    source = "from components.agent.evidence import Failure\ndef run(bundle):\n    raise Failure('the disk is full')\n"
    document = probe(source)
    del document["machine"]
    assert start(document).stderr == f"{os.uname().nodename}: the disk is full\n"


def test_a_mistake_in_the_agent_itself_names_its_module_and_line() -> None:
    done = start(probe("def run(bundle):\n    return 1 / 0\n"))
    assert done.returncode == 1
    assert 'File "<components.agent.probe>", line 2, in run' in done.stderr
    assert "ZeroDivisionError" in done.stderr


def test_work_that_does_not_end_is_ended_by_the_command_itself() -> None:
    done = start(probe("import time\ndef run(bundle):\n    time.sleep(60)\n"), seconds=1)
    assert done.returncode == 124


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["end-of-time", "lost-connection"])
def test_what_must_not_stay_behind_is_removed_when_a_signal_ends_the_phase(
    tmp_path: Path, number: signal.Signals
) -> None:
    left = tmp_path / "credential"
    source = (
        "import os, time\n"
        "def run(bundle):\n"
        f"    open({str(left)!r}, 'w').close()\n"
        "    try:\n"
        f"        os.kill(os.getpid(), {int(number)})\n"
        "        time.sleep(60)\n"
        "    finally:\n"
        f"        os.unlink({str(left)!r})\n"
    )
    done = start(probe(source))
    assert (done.returncode, done.stdout) == (1, "")
    assert not left.exists()


@pytest.mark.parametrize("phase", ["prepare", "activate", "operate", "drain", "sweep", "rotate_host_key"])
def test_a_bundle_carries_every_module_that_its_phase_imports(phase: str) -> None:
    """In a Python of its own, isolated from this checkout: what is missing would be missed on the machine."""
    source = (
        "import importlib, sys\n"
        "def run(bundle):\n"
        f"    phase = importlib.import_module('components.agent.{phase}')\n"
        "    return {'runs': callable(phase.run), 'files': [\n"
        "        name for name, module in sys.modules.items()\n"
        "        if name.startswith('components') and getattr(module, '__file__', None)]}\n"
    )
    done = start(probe(source, phase))
    assert done.stderr == ""
    assert json.loads(done.stdout) == {"runs": True, "files": []}


@pytest.mark.parametrize("text", ["", "no bundle", base64.b64encode(bz2.compress(b"{}")).decode()])
def test_what_is_no_bundle_is_not_run(text: str) -> None:
    command = shlex.split(bundle.remote_command(30))[2:]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
