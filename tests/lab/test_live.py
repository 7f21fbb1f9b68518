"""The table that `make up` shows on a terminal, on a real one; and the engine's plain lines elsewhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab import event_log, live, paths
from tests.lab import recordings, terminal
from tests.lab.terminal import Shown

REPLAY = """
import sys
from itertools import groupby
from lab.live import Screen
from lab.machine_progress import Progress
from tests.lab import recordings

class Clock:
    now = 0.0
    def __call__(self):
        return self.now

clock = Clock()
heard = recordings.heard(getattr(recordings, sys.argv[1]), float(sys.argv[2]))
machines = recordings.MACHINES if sys.argv[1] == "FIRST_UP" else {"cp-0": True, "cp-1": True}
with Screen(Progress(machines), clock=clock, refreshing=False) as screen:
    for seconds, events in groupby(heard, lambda one: one.seconds):
        clock.now = seconds
        screen.take(list(events))
        screen.refresh()
    clock.now = float(sys.argv[2])
"""
"""Shows a recorded run as if it happened now, by a clock that stands still between events."""

ENGINE = """
import json, os, signal, sys, time
log, record, status = sys.argv[1:]
stopped = []
signal.signal(signal.SIGINT, lambda *_: stopped.append(1))
print("Updating (lab):", flush=True)
lines = open(record).readlines()
with open(log, "w") as file:
    for line in lines[:14]:
        file.write(line)
    file.flush()
    for _ in range(600):
        if stopped or status == "0" or status == "7":
            break
        time.sleep(0.05)
    time.sleep(0.6)
    for line in lines[14:]:
        file.write(line)
if status != "0":
    print("Diagnostics:\\n  command (activate-cp-0):\\n    error: exit status 3\\n")
print("Resources:\\n    + 5 created\\n\\nDuration: 9s")
sys.exit(int(status))
"""
"""Stands for the engine: the first events, then the others when it may end; status 255 waits for Ctrl-C."""

UP = """
import os
import sys
from pathlib import Path
from types import SimpleNamespace as Plan
from lab import live, paths, stack
paths.STATE = Path(sys.argv[1])
chosen = stack.Stack("lab")
chosen.folder.mkdir(parents=True, exist_ok=True)
machines = [Plan(name="cp-0"), Plan(name="cp-1")]
engine = [sys.executable, "-c", sys.argv[2], str(chosen.events), *sys.argv[3:]]
plan = Plan(machines=machines, nodes=machines)
sys.exit(live.run(chosen, plan, engine, plain="HARDWAY_TEST_ARGUMENTS" in os.environ))
"""


def environment(**more: str) -> dict[str, str]:
    # Width and height are the terminal's own, whatever a test runner exports.
    left_out = ("NO_COLOR", "HARDWAY_PLAIN", "COLUMNS", "LINES")
    own = {name: value for name, value in os.environ.items() if name not in left_out}
    return {
        **own, "TERM": "xterm-256color", "LANG": "C.UTF-8", "PYTHONPATH": str(paths.PROJECT), **more
    }  # fmt: skip


def replay(log: str, until: float, *, columns: int = 100, rows: int = 30, **more: str) -> list[str]:
    line = [sys.executable, "-c", REPLAY, log, str(until)]
    shown = terminal.run(line, environment(**more), columns=columns, rows=rows)
    assert shown.status == 0, shown.lines
    return shown.lines


def up(folder: Path, status: int, *, interrupt_at: str = "", **more: str) -> Shown:
    line = [sys.executable, "-c", UP, str(folder), ENGINE, str(recordings.FAILED_UP), str(status)]
    return terminal.run(line, environment(**more), columns=100, rows=30, interrupt_at=interrupt_at)


# The table


def test_the_table_of_a_real_run_in_its_middle() -> None:
    assert replay("FIRST_UP", 25) == [
        "machine           made       artifacts  activated  ready      says",
        "lb-0              ✓ 3.0 s    ✓ 1.0 s    ✓ 3.0 s    -          3 files changed; kube-api-balancer.se…",
        "cp-0              ✓ 3.0 s    ✓ 11.0 s   ✓ 3.0 s    ·          92 files changed; etcd.service, kube-…",
        "cp-1              ✓ 3.0 s    ✓ 11.0 s   ✓ 3.0 s    ·          92 files changed; etcd.service, kube-…",
        "cp-2              ✓ 3.0 s    ✓ 11.0 s   ▸ 2.0 s    ·          prepared: 14 of 14 artifacts fetched",
        "worker-general-0  ✓ 3.0 s    ✓ 9.0 s    ·          ·          prepared: 12 of 12 artifacts fetched",
        "worker-general-1  ✓ 4.0 s    ✓ 9.0 s    ·          ·          prepared: 12 of 12 artifacts fetched",
        "",
        "25.0 s   105 keys ✓ 5.0 s   made 6/6   artifacts 6/6   activated 3/6   add-ons ·   ready ·",
    ]


def test_the_table_stays_when_all_is_done() -> None:
    assert replay("FIRST_UP", 49, columns=108) == [
        "machine           made       artifacts  activated  ready      says",
        "lb-0              ✓ 3.0 s    ✓ 1.0 s    ✓ 3.0 s    -          3 files changed; kube-api-balancer.service re…",
        "cp-0              ✓ 3.0 s    ✓ 11.0 s   ✓ 3.0 s    ✓ 15.0 s   92 files changed; etcd.service, kube-apiserve…",
        "cp-1              ✓ 3.0 s    ✓ 11.0 s   ✓ 3.0 s    ✓ 15.0 s   92 files changed; etcd.service, kube-apiserve…",
        "cp-2              ✓ 3.0 s    ✓ 11.0 s   ✓ 4.0 s    ✓ 15.0 s   92 files changed; etcd.service, kube-apiserve…",
        "worker-general-0  ✓ 3.0 s    ✓ 9.0 s    ✓ 3.0 s    ✓ 15.0 s   44 files changed; kube-api-balancer.service, …",
        "worker-general-1  ✓ 4.0 s    ✓ 9.0 s    ✓ 2.0 s    ✓ 15.0 s   44 files changed; kube-api-balancer.service, …",
        "cluster: all 5 Nodes Ready after 14.2 s, add-ons after 14.3 s",
        "",
        "49.0 s   105 keys ✓ 5.0 s   made 6/6   artifacts 6/6   activated 6/6   add-ons ✓ 3.0 s   ready ✓ 15.0 s",
    ]


def test_a_terminal_of_few_lines_shows_machines_where_something_happens_first() -> None:
    assert replay("FIRST_UP", 25, rows=9) == [
        "machine           made       artifacts  activated  ready      says",
        "cp-0              ✓ 3.0 s    ✓ 11.0 s   ✓ 3.0 s    ·          92 files changed; etcd.service, kube-…",
        "cp-1              ✓ 3.0 s    ✓ 11.0 s   ✓ 3.0 s    ·          92 files changed; etcd.service, kube-…",
        "cp-2              ✓ 3.0 s    ✓ 11.0 s   ▸ 2.0 s    ·          prepared: 14 of 14 artifacts fetched",
        "and 3 more machines",
        "",
        "25.0 s   105 keys ✓ 5.0 s   made 6/6   artifacts 6/6   activated 3/6   add-ons ·   ready ·",
    ]


def test_a_terminal_without_unicode_gets_plain_signs() -> None:
    lines = replay("FIRST_UP", 25, PYTHONIOENCODING="ascii:replace")
    assert lines[4].startswith("cp-2              + 3.0 s    + 11.0 s   > 2.0 s    .          prepared")


def test_warnings_and_errors_stand_above_the_table() -> None:
    assert replay("FAILED_UP", 5) == [
        "warning: a warning of the program",
        'error: activate-cp-0: exit status 3: running "echo it broke >&2; sleep 0.3; exit 3":',
        "it broke",
        "machine  made       artifacts  activated  ready      says",
        "cp-0     ✓ 1.7 s    ✓ 0.5 s    ✗ 0.3 s    ·          it broke",
        "cp-1     -          ▸ 2.7 s    ·          ·",
        "",
        "5.0 s   made 1/1   artifacts 1/2   activated 0/2   add-ons ·   ready ·",
    ]


# The whole: engine, log, table


def test_at_the_end_stands_the_engines_summary(tmp_path: Path) -> None:
    shown = up(tmp_path, 0)
    assert shown.status == 0
    assert shown.lines[-4:] == ["Resources:", "    + 5 created", "", "Duration: 9s"]
    assert "Updating (lab):" not in shown.lines
    assert "Updating (lab):" in (tmp_path / "stacks/lab/up.log").read_text()


def test_after_a_failure_stand_the_engines_whole_diagnostics(tmp_path: Path) -> None:
    shown = up(tmp_path, 7)
    assert shown.status == 7
    after = shown.lines[shown.lines.index("Diagnostics:") :]
    assert after[:3] == ["Diagnostics:", "  command (activate-cp-0):", "    error: exit status 3"]
    assert after[-1] == "Duration: 9s"
    assert any(line.startswith("cp-0     ✓ ") and " ✗ " in line for line in shown.lines)


def test_ctrl_c_reaches_the_engine_and_the_table_goes_on_to_its_end(tmp_path: Path) -> None:
    shown = up(tmp_path, 255, interrupt_at="▸")
    assert shown.status == 130
    assert "Ctrl-C: the engine ends what it has begun; once more, and it stops at once" in shown.lines
    assert any(line.startswith("cp-1     ") and "✓" in line for line in shown.lines)
    assert shown.lines[-1] == "Duration: 9s"


def test_arrival_times_are_kept_and_tell_what_whole_seconds_do_not(tmp_path: Path) -> None:
    up(tmp_path, 0)
    heard = event_log.read(tmp_path / "stacks/lab/events.json")
    assert len(heard) == len(recordings.heard(recordings.FAILED_UP))
    # The stand-in writes all of a real run's nine seconds in one.
    assert 0.5 < heard[-1].seconds < 5


@pytest.mark.parametrize("asked", ["HARDWAY_PLAIN", "NO_COLOR"])
def test_who_asks_for_plain_lines_gets_the_engines_own(tmp_path: Path, asked: str) -> None:
    shown = up(tmp_path, 0, **{asked: "1"})
    assert shown.lines == ["Updating (lab):", "Resources:", "    + 5 created", "", "Duration: 9s"]
    assert not (tmp_path / "stacks/lab/up.log").exists()


def test_a_run_with_arguments_of_its_own_shows_the_engines_lines_on_a_terminal_too(tmp_path: Path) -> None:
    shown = up(tmp_path, 0, HARDWAY_TEST_ARGUMENTS="--diff")
    assert shown.lines == ["Updating (lab):", "Resources:", "    + 5 created", "", "Duration: 9s"]
    assert (tmp_path / "stacks/lab/events.times.json").exists()


def test_without_a_terminal_there_are_plain_lines_and_still_arrival_times(tmp_path: Path) -> None:
    line = [sys.executable, "-c", UP, str(tmp_path), ENGINE, str(recordings.FAILED_UP), "0"]
    done = subprocess.run(line, env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout == "Updating (lab):\nResources:\n    + 5 created\n\nDuration: 9s\n"
    assert (tmp_path / "stacks/lab/events.times.json").exists()


# When there is a table, and what is said below it


@pytest.mark.parametrize(
    ("is_terminal", "values", "expected"),
    [
        (True, {"TERM": "xterm"}, True),
        (True, {"TERM": "xterm", "NO_COLOR": ""}, True),
        (False, {"TERM": "xterm"}, False),
        (True, {"TERM": "dumb"}, False),
        (True, {}, False),
        (True, {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (True, {"TERM": "xterm", "HARDWAY_PLAIN": "1"}, False),
    ],
)
def test_a_table_needs_a_terminal_that_can_show_it(
    is_terminal: bool, values: dict[str, str], expected: bool
) -> None:
    assert live.wanted(is_terminal, values) is expected


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("Updating\n@ updating\nResources:\n  1\n", "Resources:\n  1\n"),
        ("Updating\nDiagnostics:\n  e\n\nResources:\n  1\n", "Diagnostics:\n  e\n\nResources:\n  1\n"),
        (
            "a\n\x1b[38;5;13m\x1b[1mDiagnostics:\x1b[0m\n  e\n",
            "\x1b[38;5;13m\x1b[1mDiagnostics:\x1b[0m\n  e\n",
        ),
        ("error: the stack is locked\n", "error: the stack is locked\n"),
        ("", ""),
    ],
)
def test_what_is_said_at_the_end_is_the_diagnostics_and_the_summary_or_else_all(
    output: str, expected: str
) -> None:
    assert live.closing(output) == expected
