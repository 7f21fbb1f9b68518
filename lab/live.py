"""`make up` on a terminal: a table of machines that fills while the engine runs; elsewhere the engine's plain lines.

The engine's own output goes to a file meanwhile. Its warnings and errors are printed above the table as they come,
its summary and, after a failure, all its diagnostics below it. Ctrl-C reaches the engine as ever, and the table goes on
until the engine has ended its work. Who gives the engine arguments of their own gets its plain lines too.
"""

import os
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from config.plan import ClusterPlan
from lab import event_log, stack
from lab.event_log import Heard
from lab.machine_progress import ADD_ONS, COLUMNS, KEYS, READY, Cell, Progress, Row, State

FRAMES_PER_SECOND = 4
LINES_BESIDE = 6
"""Lines of the screen that are no machine's: head, rest, cluster, an empty one, phases and the cursor's."""
MARKS = {
    State.WAITING: ("·", ".", "dim"),
    State.RUNNING: ("▸", ">", "cyan"),
    State.DONE: ("✓", "+", "green"),
    State.UNCHANGED: ("=", "=", "dim"),
    State.FAILED: ("✗", "x", "bold red"),
    State.NONE: ("-", "-", "dim"),
}
"""Sign of a state, the one for terminals that know no Unicode, and its style."""


def wanted(is_terminal: bool, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether to show a table: on a terminal that can move its cursor, unless the user asked for plain lines."""
    plain = any(environment.get(name) for name in ("NO_COLOR", "HARDWAY_PLAIN"))
    return is_terminal and not plain and environment.get("TERM", "dumb") not in ("dumb", "unknown")


def run(chosen: stack.Stack, plan: ClusterPlan, line: list[str], *, plain: bool = False) -> int:
    """Run the engine's `up` and show its progress; gives its exit status, and leaves arrival times beside its log.

    Args:
        chosen: the stack.
        plan: the cluster, whose machines are the table's rows.
        line: the engine's command line, with `--event-log`.
        plain: no table in any case. Who gives the engine arguments of their own (`--diff`, `--json`) wants to see what
            it prints, of which a table leaves the end only.
    """
    chosen.engine_output.unlink(missing_ok=True)
    if plain or not wanted(sys.stdout.isatty()):
        with event_log.Follower(chosen.events):
            return stack.run(line)
    nodes = {node.name for node in plan.nodes}
    screen = Screen(Progress({machine.name: machine.name in nodes for machine in plan.machines}))
    with (
        chosen.engine_output.open("wb") as output,
        screen,
        event_log.Follower(chosen.events, screen.take),
    ):
        status = stack.run(line, output=output, on_interrupt=screen.interrupted)
    print("\n" + closing(chosen.engine_output.read_text(errors="replace")), end="")
    return status


def closing(output: str) -> str:
    """The end of what the engine printed: its diagnostics, if there are any, and its summary.

    An engine that came to neither has said why, and all of it is given.
    """
    found = re.search(r"^(\x1b\[[0-9;]*m)*(Diagnostics|Resources):", output, re.MULTILINE)
    return output[found.start() :] if found else output


class Screen:
    """The table on the terminal for as long as the block runs; what is printed meanwhile stands above it."""

    def __init__(
        self,
        progress: Progress,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        refreshing: bool = True,
    ) -> None:
        """Prepare a screen.

        Args:
            progress: what to show; events go to `take`.
            console: the terminal; standard output's when None.
            clock: seconds that never go back.
            refreshing: whether the table is drawn anew by itself, several times a second.
        """
        self._progress = progress
        self._console = console or Console(highlight=False)
        self._clock = clock
        self._begin = clock()
        self._first: float | None = None
        self._lock = threading.RLock()
        self._live = Live(
            get_renderable=self.render,
            console=self._console,
            auto_refresh=refreshing,
            refresh_per_second=FRAMES_PER_SECOND,
            vertical_overflow="crop",
        )

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def take(self, heard: list[Heard]) -> None:
        """Show what happened; called from the thread that follows the log."""
        with self._lock:
            if heard and self._first is None:
                self._first = self._clock() - heard[-1].seconds
            words = self._progress.take(heard)
        for word in words:
            style = "red" if word.severity == "error" else "yellow"
            about = f"{word.about}: " if word.about else ""
            self._console.print(Text(f"{word.severity}: {about}{word.text}", style=style))

    def interrupted(self) -> None:
        """Tell what Ctrl-C does."""
        self._console.print("\nCtrl-C: the engine ends what it has begun; once more, and it stops at once")

    def refresh(self) -> None:
        """Draw the table now."""
        self._live.refresh()

    def render(self) -> Group:
        """The table as it is now, at most as high as the terminal."""
        with self._lock:
            now = self._clock() - (self._begin if self._first is None else self._first)
            shown = self._fitting(self._console.size.height - LINES_BESIDE)
            table = Table(box=None, expand=True, pad_edge=False, header_style="dim")
            table.add_column("machine", no_wrap=True, min_width=max(map(len, self._progress.rows), default=0))
            for name in (*COLUMNS, READY):
                table.add_column(name, no_wrap=True, min_width=9)
            table.add_column("says", no_wrap=True, overflow="ellipsis", ratio=1)
            for name, row in shown.items():
                cells = (self._cell(cell, now) for cell in row.cells.values())
                table.add_row(name, *cells, Text(row.said, style="dim"))
            return Group(table, *self._below(len(shown)), Text(""), self._phases(now))

    def _fitting(self, height: int) -> dict[str, Row]:
        """The rows to show: all, or those where something happens before those that wait and those that are done."""
        rows = self._progress.rows
        if len(rows) <= height:
            return rows
        first = sorted(
            rows, key=lambda name: (not rows[name].failed, not rows[name].running, rows[name].finished)
        )
        chosen = set(first[: max(height, 1)])
        return {name: row for name, row in rows.items() if name in chosen}

    def _below(self, shown: int) -> list[Text]:
        """How many machines had no place, and what was last said of the cluster as a whole."""
        more, said = len(self._progress.rows) - shown, self._progress.said
        lines = [f"and {more} more machines"] if more else []
        lines += [f"cluster: {said}"] if said else []
        return [Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in lines]

    def _cell(self, cell: Cell, now: float) -> Text:
        known = self._console.encoding.startswith("utf")
        sign, plain, style = MARKS[cell.state]
        timed = cell.state in (State.RUNNING, State.DONE, State.FAILED)
        figure = f" {_duration(cell.seconds(now))}" if timed else ""
        return Text((sign if known else plain) + figure, style=style)

    def _phases(self, now: float) -> Text:
        """One line for the whole: the time since the engine's start, what is behind and what is being done."""
        progress = self._progress
        parts = [Text(_duration(self._clock() - self._begin), style="bold")]
        if progress.keys:
            parts.append(Text.assemble(f"{progress.keys} keys ", self._cell(progress.cluster[KEYS], now)))
        for column in COLUMNS:
            done, of = progress.count(column)
            if of:
                parts.append(Text(f"{column} {done}/{of}", style="green" if done == of else ""))
        parts += [
            Text.assemble(f"{name} ", self._cell(progress.cluster[name], now)) for name in (ADD_ONS, READY)
        ]
        return Text("   ", no_wrap=True, overflow="ellipsis").join(parts)


def _duration(seconds: float) -> str:
    """Seconds as people read them: tenths below a minute, minutes and seconds above."""
    if seconds < 59.95:
        return f"{max(seconds, 0.0):.1f} s"
    return f"{int(seconds) // 60}:{int(seconds) % 60:02} min"
