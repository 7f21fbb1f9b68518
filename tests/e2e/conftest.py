"""One cluster for the session: brought up by the command line, and taken down with nothing left.

HARDWAY_E2E_REUSE=<stack> takes a cluster that stands already (for work on the tests themselves) and leaves
it; tests that change settings are then skipped unless the stack is the tests' own. HARDWAY_WRITE_PROOF=1
writes what was measured to docs/proof, HARDWAY_REPORT=<file> writes it there, without a heading.
"""

from __future__ import annotations

import datetime
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import machines, paths, sweep
from lab import stack as lab_stack
from tests.e2e import snapshot
from tests.e2e.cluster import Cluster
from tests.e2e.pods import import_images

STACK = "e2e"
HERE = Path(__file__).parent
_figures: dict[str, str] = {}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "soak: takes minutes more than the rest; `-m soak` runs it")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark everything here as `lab`, bound it, and leave the long ones out unless they are asked for."""
    for item in items:
        if HERE not in item.path.parents:
            continue
        item.add_marker(pytest.mark.lab)
        item.add_marker(pytest.mark.slow)
        item.add_marker(pytest.mark.timeout(1800))
        if item.get_closest_marker("soak") and "soak" not in str(config.getoption("markexpr")):
            item.add_marker(pytest.mark.skip(reason="long; run with -m soak"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what was measured; write the report that is to be committed, if that was asked for."""
    if not _figures:
        return
    terminalreporter.section("figures of the lab")
    for name, value in _figures.items():
        terminalreporter.write_line(f"{name:70}{value}")
    if report := os.environ.get("HARDWAY_REPORT"):
        Path(report).write_text(_report(terminalreporter).partition("\n\n")[2])
    folder = proof_folder()
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "e2e.md").write_text(_report(terminalreporter))


def _report(reporter: pytest.TerminalReporter) -> str:
    """Every test of this folder as a sentence with its outcome, and the figures."""
    lines = [
        "# The tests in the lab",
        "",
        f"Run on {datetime.date.today().isoformat()}, {os.cpu_count()} processors.",
        "",
    ]
    lines += [
        "| measured | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in _figures.items()),
        "",
    ]
    lines += ["| what was asserted | outcome | seconds |", "|---|---|---|"]
    for outcome in ("passed", "failed", "error", "skipped"):
        for result in reporter.stats.get(outcome, []):
            if "tests/e2e/" in result.nodeid and (result.when == "call" or outcome != "passed"):
                sentence = result.nodeid.rpartition("::")[2].removeprefix("test_").replace("_", " ")
                lines.append(f"| {sentence} | {outcome} | {result.duration:.0f} |")
    return "\n".join(lines) + "\n"


def impossible() -> str | None:
    """Why this computer can't run the lab, in one line; None if it can."""
    if not sys.platform.startswith("linux"):
        return f"the lab needs Linux, and this is {sys.platform}"
    if os.geteuid() != 0:
        return "the lab needs root: it makes network interfaces and mounts"
    if shutil.which("apt-get") is None:
        return "the lab needs Debian's tools (apt-get)"
    return None


@pytest.fixture(scope="session")
def before() -> snapshot.Snapshot:
    """The computer as it was before the cluster."""
    return snapshot.take()


@pytest.fixture(scope="session")
def cluster(before: snapshot.Snapshot) -> Iterator[Cluster]:
    """The cluster, all Nodes Ready, with the tests' images on its workers."""
    reason = impossible()
    if reason:
        pytest.skip(reason)
    reused = os.environ.get("HARDWAY_E2E_REUSE", "")
    # Not pytest's own folder: the next session that starts beside this one would remove it.
    logs = paths.STATE / "e2e"
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir(mode=0o700, parents=True)
    made = Cluster(reused or STACK, logs, _figures)
    if reused:
        import_images(made)
        yield made
        return
    present = machines.list_machines()
    if present:
        pytest.fail(
            f"a cluster of this clone stands already ({', '.join(one.name for one in present)}) and "
            "the tests would have to destroy it: 'make down' first, or HARDWAY_E2E_REUSE=<stack> to test that one",
            pytrace=False,
        )
    try:
        made.write_settings()
        done = made.up()
        made.figures["up, all Nodes Ready, artifacts cached or built"] = f"{done.seconds:.1f} s"
        import_images(made)
        yield made
    finally:
        _take_down(made)


def _take_down(made: Cluster) -> None:
    """Leave nothing, whatever state the tests left it in."""
    done = made.lab("down")
    assert done.status == 0, done.tail()
    if lab_stack.exists(made.stack):  # a `down` that had to sweep has given the stack up itself
        lab_stack.capture(["pulumi", "stack", "rm", made.name, "--yes", "--preserve-config"])
    shutil.rmtree(made.stack.folder, ignore_errors=True)
    made.stack.source.unlink(missing_ok=True)
    assert sweep.leftovers() == []


@pytest.fixture
def own_settings(cluster: Cluster) -> Iterator[Cluster]:
    """For tests that change settings: only the tests' own stack file is ever written, and it is put back."""
    if cluster.name != STACK:
        pytest.skip(f"changes settings, and stack {cluster.name} is not the tests' own")
    yield cluster
    cluster.write_settings()


def proof_folder() -> Path | None:
    """Where to write reports to be committed, if that was asked for."""
    return paths.PROJECT / "docs" / "proof" if os.environ.get("HARDWAY_WRITE_PROOF") else None


@pytest.fixture(scope="session")
def proof() -> Path | None:
    """See `proof_folder`."""
    return proof_folder()
