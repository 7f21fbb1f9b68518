"""What the engine did when, from its event log: steps on resources, and seconds by phase.

`make up` and the bench print the phases, `lab.timeline_page` draws the steps. Nothing here reads the engine's state.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lab import event_log
from lab.event_log import Heard

PHASES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("machines answer on SSH", ("machine-", "bridge")),
    ("artifacts staged", ("prepare-",)),
    ("machines activated", ("activate-",)),
    ("API, RBAC and add-ons", ("add-ons",)),
    ("Nodes and DNS ready", ("ready",)),
)
"""Name of a phase, and beginnings of the logical names of the commands in it."""

ENDS = {"resOutputsEvent": "done", "resOpFailedEvent": "failed"}
"""Events that end a step, and its outcome."""
OWN_WORK = "replace"
"""The engine's word for "old and new belong together", beside the two steps that do the work."""


@dataclass(frozen=True)
class Step:
    """One step of the engine on a resource.

    Attributes:
        urn: the resource's URN.
        op: what the engine did, in its words: `create`, `update`, `same`, `delete`, `create-replacement`, ...
        parent: URN of the component that it belongs to; "" for the stack.
        component: whether it is a component, which only holds others and does nothing itself.
        begin: seconds from the run's first event.
        end: the same; None when the run ended before the step did.
        outcome: `done`, `failed` or `unfinished`.
        said: what the resource said last, or the error that it failed with.
    """

    urn: str
    op: str
    begin: float
    end: float | None
    outcome: str
    parent: str = ""
    component: bool = False
    said: str = ""

    @property
    def name(self) -> str:
        """The logical name."""
        return self.urn.rsplit("::", 1)[1]

    @property
    def type(self) -> str:
        """The type token, without those of its parents."""
        return self.urn.split("::")[2].rsplit("$", 1)[-1]


@dataclass(frozen=True)
class Phase:
    """A phase of a run: from the first of its commands' begins to the last of their ends, in seconds."""

    name: str
    begin: float
    end: float


@dataclass
class _Run:
    """What was heard of a run so far."""

    steps: list[Step] = field(default_factory=list)
    open: dict[tuple[str, str], int] = field(default_factory=dict)
    last: dict[str, int] = field(default_factory=dict)

    def begin(self, metadata: dict[str, Any], now: float) -> None:
        urn, op = metadata["urn"], metadata["op"]
        own = metadata.get("new") or metadata.get("old") or {}
        self.open[urn, op] = self.last[urn] = len(self.steps)
        parent, component = str(own.get("parent") or ""), bool(own) and not own.get("custom")
        self.steps.append(Step(urn, op, now, None, "unfinished", parent, component))

    def end(self, metadata: dict[str, Any], now: float, outcome: str) -> None:
        key = (metadata["urn"], metadata["op"])
        if key not in self.open:
            self.begin(metadata, now)
        place = self.open.pop(key)
        self.steps[place] = replace(self.steps[place], end=now, outcome=outcome)

    def say(self, urn: str, severity: str, text: str) -> None:
        place = self.last.get(urn)
        if place is None or severity == "debug" or not text:
            return
        # An error is the step's last word, and the first one names the cause.
        if severity == "error" and not self.steps[place].said.startswith("error: "):
            self.steps[place] = replace(self.steps[place], said=f"error: {text}")
        elif not self.steps[place].said.startswith("error: "):
            self.steps[place] = replace(self.steps[place], said=text.splitlines()[-1])


def read(log: Path) -> list[Step]:
    """The steps of a run, in the order of their begins; none when there is no log."""
    return steps(event_log.read(log))


def steps(heard: Iterable[Heard]) -> list[Step]:
    """The steps that events tell of, in the order of their begins; components among them."""
    run = _Run()
    for one in heard:
        metadata = step_metadata(one.event)
        if metadata and metadata["op"] != OWN_WORK:
            if "resourcePreEvent" in one.event:
                run.begin(metadata, one.seconds)
            else:
                run.end(metadata, one.seconds, next(ENDS[kind] for kind in ENDS if kind in one.event))
        elif told := one.event.get("diagnosticEvent"):
            run.say(told.get("urn", ""), told["severity"], told["message"].strip())
    return run.steps


def step_metadata(event: dict[str, Any]) -> dict[str, Any] | None:
    """What an event on a resource's step says of it; None for events of other kinds."""
    for kind in ("resourcePreEvent", *ENDS):
        if "urn" in event.get(kind, {}).get("metadata", {}):
            return dict(event[kind]["metadata"])
    return None


def phases(done: Iterable[Step]) -> list[Phase]:
    """The phases that had anything to do, by the commands that were carried out."""
    found = []
    commands = [
        step for step in done if "command:" in step.type and step.op != "same" and step.end is not None
    ]
    for name, beginnings in PHASES:
        own = [step for step in commands if step.name.startswith(beginnings)]
        if own:
            found.append(
                Phase(name, min(step.begin for step in own), max(step.end or step.begin for step in own))
            )
    return found
