"""What the engine did when, from its event log: seconds by phase, as `make up` and the bench print them."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PHASES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("machines answer on SSH", ("machine-", "bridge")),
    ("artifacts staged", ("prepare-",)),
    ("machines activated", ("activate-",)),
    ("API, RBAC and add-ons", ("add-ons",)),
    ("Nodes and DNS ready", ("ready",)),
)
"""Name of a phase, and beginnings of the logical names of the commands in it."""


@dataclass(frozen=True)
class Step:
    """One command of the engine: logical name, begin and end in seconds from the run's begin."""

    name: str
    begin: float
    end: float


@dataclass(frozen=True)
class Phase:
    """A phase of a run: from the first of its commands' begins to the last of their ends, in seconds."""

    name: str
    begin: float
    end: float


def read(path: Path) -> list[Step]:
    """The commands that a run carried out, in the order of their ends; none when there is no log."""
    if not path.exists():
        return []
    return steps(json.loads(line) for line in path.read_text().splitlines())


def steps(events: Iterable[dict[str, Any]]) -> list[Step]:
    """The commands among a log's events. The engine's clock counts whole seconds here."""
    begun: dict[str, float] = {}
    done: list[Step] = []
    first: float | None = None
    for event in events:
        first = event["timestamp"] if first is None else first
        now = float(event["timestamp"] - first)
        for kind in ("resourcePreEvent", "resOutputsEvent"):
            urn = event.get(kind, {}).get("metadata", {}).get("urn", "")
            if "command:" not in urn or event[kind]["metadata"]["op"] == "same":
                continue
            name = urn.rsplit("::", 1)[1]
            if kind == "resourcePreEvent":
                begun[name] = now
            else:
                done.append(Step(name, begun.get(name, now), now))
    return done


def phases(done: list[Step]) -> list[Phase]:
    """The phases that had anything to do."""
    found = []
    for name, beginnings in PHASES:
        own = [step for step in done if step.name.startswith(beginnings)]
        if own:
            found.append(Phase(name, min(step.begin for step in own), max(step.end for step in own)))
    return found
