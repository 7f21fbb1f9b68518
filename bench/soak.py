"""What is too long for `make test`, one part after the other, each bounded, with a report to be committed.

`make soak`: everything built from nothing, the lab's bring-up, and the tests that are marked `soak`. A part that fails
keeps no other from running, since each begins from nothing. `--plan` says what it would take and ends.
"""

from __future__ import annotations

import argparse
import datetime
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import paths

REPORT = Path("docs/proof/soak.md")
"""Below the project's folder."""
TESTS = "tests with the mark `soak`"
MINUTE = 60.0


@dataclass(frozen=True)
class Part:
    """One command of the soak.

    Attributes:
        name: what it is, for people.
        arguments: of Python.
        seconds: after which it is ended and counts as failed.
        usually: what it takes on two processors, in words.
    """

    name: str
    arguments: tuple[str, ...]
    seconds: float
    usually: str


PARTS = (
    Part(
        "everything built from nothing",
        ("-m", "bench.from_nothing"),
        120 * MINUTE,
        "60 minutes, 20 GB of disk",
    ),
    Part("the lab brought up from nothing", ("-m", "bench.bring_up"), 15 * MINUTE, "3 minutes"),
    Part(TESTS, ("-m", "pytest", "-m", "soak", "tests/e2e", "-q"), 300 * MINUTE, "1 to 3 hours"),
)
COLLECT = ("-m", "pytest", "-m", "soak", "tests/e2e", "-q", "--collect-only")


@dataclass(frozen=True)
class Outcome:
    """How a part ended: its exit status, all that it said, seconds it took, and a report of its own."""

    part: Part
    status: int
    said: str
    seconds: float
    report: str = ""

    @property
    def word(self) -> str:
        """`passed`, or how it failed."""
        return "passed" if self.status == 0 else f"failed with status {self.status}"


def tests_of(collected: str) -> list[str]:
    """Names of the tests in what pytest says when it only collects."""
    return [line.strip() for line in collected.splitlines() if "::" in line]


def plan(tests: Sequence[str]) -> str:
    """What a soak takes, for whoever is about to start one."""
    bound = sum(part.seconds for part in PARTS) / 3600
    lines = [f"make soak runs {len(PARTS)} parts, {bound:.1f} hours at most:"]
    lines += [f"  {part.name:36}{part.usually}; ended after {part.seconds / 60:.0f}" for part in PARTS]
    lines += ["These tests, each with a bound of its own:", *(f"  {test}" for test in tests)]
    return "\n".join([*lines, f"Its report is {REPORT}; commit it."])


def run(part: Part) -> Outcome:
    """Run one part, its output shown as it comes and kept; all that it started is ended with it."""
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hardway-soak-") as folder:
        report, log = Path(folder) / "report.md", Path(folder) / "log"
        with log.open("wb") as sink:
            process = subprocess.Popen(
                [sys.executable, *part.arguments],
                cwd=paths.PROJECT,
                env={**os.environ, "HARDWAY_REPORT": str(report)},
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            status = _follow(process, log, begin + part.seconds)
        seconds = time.monotonic() - begin
        told = report.read_text() if report.exists() else ""
        return Outcome(part, status, log.read_text(errors="replace"), seconds, told)


def _follow(process: subprocess.Popen[bytes], log: Path, deadline: float) -> int:
    """Show what a process writes until it ends or its time is over; gives its status."""
    with log.open("rb") as source:
        ended = asked = False
        while not ended:
            try:
                process.wait(1)
                ended = True
            except subprocess.TimeoutExpired:
                if time.monotonic() > deadline and not asked:
                    # As Ctrl-C does: pytest takes its cluster down then.
                    asked, deadline = True, time.monotonic() + 5 * MINUTE
                    os.killpg(process.pid, signal.SIGINT)
                elif time.monotonic() > deadline:
                    os.killpg(process.pid, signal.SIGKILL)
            except BaseException:
                os.killpg(process.pid, signal.SIGINT)
                raise
            sys.stdout.buffer.write(source.read())
            sys.stdout.flush()
    return process.returncode


def report(outcomes: Iterable[Outcome], day: datetime.date) -> str:
    """The report: parts, then what each said, the tests by their own."""
    known = list(outcomes)
    lines = ["# The soak", "", f"`make soak` on {day.isoformat()}, {os.cpu_count()} processors.", ""]
    lines += ["| part | outcome | seconds |", "|---|---|---|"]
    lines += [f"| {one.part.name} | {one.word} | {one.seconds:.0f} |" for one in known]
    for one in known:
        lines += ["", f"## {one.part.name[0].upper()}{one.part.name[1:]}", ""]
        lines += [one.report.strip()] if one.report else ["```", *_last_lines(one.said), "```"]
    return "\n".join(lines) + "\n"


def _last_lines(said: str, count: int = 60) -> list[str]:
    return [line.rstrip() for line in said.splitlines()][-count:]


def main(arguments: Sequence[str]) -> int:
    """Say what it takes, run it, write the report; gives 1 when a part failed."""
    parser = argparse.ArgumentParser(prog="python3 -m bench.soak", description=__doc__)
    parser.add_argument("--plan", action="store_true", help="only say what it would take")
    only = parser.parse_args(arguments).plan
    collected = subprocess.run(
        [sys.executable, *COLLECT], cwd=paths.PROJECT, capture_output=True, text=True, check=False
    )
    print(plan(tests_of(collected.stdout)), flush=True)
    if only:
        return 0
    outcomes: list[Outcome] = []
    for part in PARTS:
        print(f"\n=== {part.name} ===", flush=True)
        outcomes.append(run(part))
        # After each part: what is done is reported, whatever becomes of the rest.
        (paths.PROJECT / REPORT).write_text(report(outcomes, datetime.datetime.now(datetime.UTC).date()))
    return int(any(one.status for one in outcomes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
