"""How far each machine is while the engine runs, from the events heard so far. Nothing here draws."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from lab import timeline
from lab.event_log import Heard

COLUMNS = {"made": "machine-", "artifacts": "prepare-", "activated": "activate-"}
"""What is done on each machine, and the beginning of the logical name of the step that does it."""
READY = "ready"
"""The last column and the one step behind it, which asks after all Nodes at once."""
ADD_ONS = "add-ons"
KEYS = "keys"


class State(Enum):
    """How far something is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    NONE = "none"
    """There is nothing to do, and never will be."""


@dataclass
class Cell:
    """One thing that is done on a machine or for the cluster: how far it is, and its seconds in the run."""

    state: State = State.WAITING
    begin: float = 0.0
    end: float = 0.0

    def seconds(self, now: float) -> float:
        """How long it took, or has taken so far."""
        return (now if self.state is State.RUNNING else self.end) - self.begin


@dataclass
class Row:
    """A machine: its cells by column, and the last line that it said."""

    cells: dict[str, Cell]
    said: str = ""

    @property
    def running(self) -> bool:
        """Whether something is being done on it."""
        return any(cell.state is State.RUNNING for cell in self.cells.values())

    @property
    def failed(self) -> bool:
        """Whether something on it went wrong."""
        return any(cell.state is State.FAILED for cell in self.cells.values())

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do on it."""
        return not any(cell.state in (State.WAITING, State.RUNNING) for cell in self.cells.values())


@dataclass(frozen=True)
class Word:
    """A warning or an error that the engine told, and the logical name of what it is about, if anything."""

    severity: str
    about: str
    text: str


@dataclass
class Progress:
    """What is known of a run.

    Attributes:
        machines: whether each machine becomes a Node, by its name, in the order to show them.
    """

    machines: Mapping[str, bool]
    rows: dict[str, Row] = field(init=False)
    cluster: dict[str, Cell] = field(init=False)
    said: str = ""
    keys: int = 0

    def __post_init__(self) -> None:
        self.cluster = {name: Cell() for name in (KEYS, ADD_ONS, READY)}
        self.rows = {}
        for name, is_node in self.machines.items():
            cells = {column: Cell() for column in COLUMNS}
            cells[READY] = self.cluster[READY] if is_node else Cell(State.NONE)
            self.rows[name] = Row(cells)

    def take(self, heard: Iterable[Heard]) -> list[Word]:
        """Note what happened; gives the warnings and errors among it."""
        words = []
        for one in heard:
            if metadata := timeline.step_metadata(one.event):
                failed, begins = "resOpFailedEvent" in one.event, "resourcePreEvent" in one.event
                self._step(metadata["urn"], metadata["op"], one.seconds, begins=begins, failed=failed)
            elif told := one.event.get("diagnosticEvent"):
                words += self._told(told.get("urn", ""), told["severity"], told["message"].strip())
        return words

    def count(self, column: str) -> tuple[int, int]:
        """How many machines have a column behind them, of how many that it is for."""
        cells = [row.cells[column] for row in self.rows.values()]
        own = [cell for cell in cells if cell.state is not State.NONE]
        return sum(cell.state in (State.DONE, State.UNCHANGED) for cell in own), len(own)

    def _step(self, urn: str, op: str, now: float, *, begins: bool, failed: bool) -> None:
        kind, name = _parts(urn)
        if kind.startswith("hardway:") or op.startswith(("delete", "discard")) or op == timeline.OWN_WORK:
            return
        cell = self._cell(kind, name)
        if cell is None:
            return
        if begins:
            _begin(cell, now)
            self._skipped(name)
        else:
            cell.end = now
            good = State.UNCHANGED if op == "same" and cell.state is not State.DONE else State.DONE
            cell.state = State.FAILED if failed else good
            self.keys += cell is self.cluster[KEYS]

    def _cell(self, kind: str, name: str) -> Cell | None:
        if kind.startswith("tls:"):
            return self.cluster[KEYS]
        if name in (ADD_ONS, READY):
            return self.cluster[name] if kind.startswith("command:") else None
        for column, beginning in COLUMNS.items():
            row = self.rows.get(name.removeprefix(beginning)) if name.startswith(beginning) else None
            if row:
                return row.cells[column]
        return None

    def _skipped(self, name: str) -> None:
        """A machine on which steps begin and which nobody made is the operator's own."""
        row = self.rows.get(name.removeprefix(COLUMNS["artifacts"]))
        if row and row.cells["made"].state is State.WAITING:
            row.cells["made"].state = State.NONE

    def _told(self, urn: str, severity: str, text: str) -> list[Word]:
        name = _parts(urn)[1]
        if severity in ("warning", "error"):
            return [Word(severity, name, text)]
        if severity == "debug" or not text or not urn:
            return []
        line = text.splitlines()[-1]
        if name in (ADD_ONS, READY):
            self.said = line
        else:
            row = self.rows.get(name.split("-", 1)[-1])
            if row:
                row.said = line
        return []


def _begin(cell: Cell, now: float) -> None:
    if cell.state is State.WAITING:
        cell.begin = now
    if cell.state is not State.FAILED:
        cell.state = State.RUNNING


def _parts(urn: str) -> tuple[str, str]:
    """Type and logical name of a resource; both "" for no URN."""
    if not urn:
        return "", ""
    return urn.split("::")[2].rsplit("$", 1)[-1], urn.rsplit("::", 1)[1]
