"""`make verify`: every machine compared with what the state says of it. Nothing is changed anywhere.

Exit status: 0 no drift, 1 drift, 2 a machine could not be asked.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from lab import stack
from lab.errors import LabError
from operations import phases
from operations.expected import expected
from operations.recorded import Recorded, recorded
from operations.report import as_json, as_table

MACHINE_SECONDS = 60
"""What looking at one machine may take; all are looked at together."""
CLOCK_SECONDS = 5.0
"""How far a machine's clock may be from this computer's."""
CLEAN, DRIFTED, UNKNOWN = 0, 1, 2


@dataclass(frozen=True)
class Seen:
    """What came of looking at one machine.

    Attributes:
        checks: a note for each check that was made.
        findings: check, place, what, wayOut, repair.
        unreached: why it could not be asked; "" where it was.
    """

    checks: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[Mapping[str, str], ...] = ()
    unreached: str = ""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What it can be told."""
    parser.add_argument("--json", action="store_true", help="one JSON document instead of the table")
    add_seconds(parser)


def add_seconds(parser: argparse.ArgumentParser) -> None:
    """How long looking may take: the one thing that `verify` and `repair` are both told."""
    parser.add_argument(
        "--seconds", type=int, default=MACHINE_SECONDS, help="after which a machine's look is ended"
    )


def run(chosen: stack.Stack, given: argparse.Namespace) -> int:
    """Look, print, and give the exit status."""
    seen = look(chosen, recorded(chosen), given.seconds)
    print(as_json(chosen.name, seen) if given.json else as_table(chosen.name, seen))
    return status(seen)


def look(chosen: stack.Stack, machines: Mapping[str, Recorded], seconds: int) -> dict[str, Seen]:
    """Look at every machine at once.

    Args:
        chosen: the stack.
        machines: what the state holds, by name.
        seconds: after which each machine's look is ended.
    """
    with ThreadPoolExecutor(max_workers=max(1, min(32, len(machines)))) as pool:
        seen = pool.map(lambda name: _look_at(chosen, name, machines[name], seconds), machines)
        return dict(zip(machines, seen, strict=True))


def _look_at(chosen: stack.Stack, name: str, machine: Recorded, seconds: int) -> Seen:
    content = expected(machine.prepare.document, machine.prepare.result, machine.activate.document)
    begin = time.time()
    try:
        told = phases.run_phase(chosen, name, "verify", content, seconds=seconds, say=lambda line: None)
    except LabError as error:
        return Seen(unreached=_why(str(error), seconds))
    return judged(told, begin, time.time())


def _why(words: str, seconds: int) -> str:
    if words.endswith("status 124"):  # of `timeout`
        return f"looking took over {seconds} s, which is bounded; try again, or give it longer with --seconds"
    return words


def judged(told: Mapping[str, Any], begin: float, end: float) -> Seen:
    """What a machine told, with its clock compared.

    Args:
        told: the result of the agent's `verify`.
        begin: when it was asked, by this computer's clock.
        end: when its answer was there.
    """
    findings = list(told["findings"])
    away = max(begin - told["clock"], told["clock"] - end)
    if away > CLOCK_SECONDS:
        findings.append(
            {
                "check": "time",
                "place": "clock",
                "what": f"is {away:.0f} s or more away from this computer's",
                "wayOut": "compare both with a third; have chrony or systemd-timesyncd run",
                "repair": "",
            }
        )
    return Seen(told["checks"], tuple(findings))


def status(seen: Mapping[str, Seen]) -> int:
    """The exit status: what could not be asked weighs more than what differs."""
    if any(one.unreached for one in seen.values()):
        return UNKNOWN
    return DRIFTED if any(one.findings for one in seen.values()) else CLEAN
