"""`make repair`: verify, then have the engine repeat exactly the steps of the machines that differ, and verify again.

What is repeated is what the state says; a stack file that asks for something else is the business of `make up`, and
is refused here. Nothing is done to a machine that does not differ.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from components.agent.findings import ACTIVATE, PREPARE
from lab import bring_up, review, stack
from lab.errors import LabError
from operations import verify
from operations.recorded import Recorded, recorded
from operations.report import as_table
from operations.verify import Seen


def arguments(parser: argparse.ArgumentParser) -> None:
    """What it can be told."""
    parser.add_argument("--yes", action="store_true", help="do it; without, a terminal is asked")
    verify.add_seconds(parser)


def run(chosen: stack.Stack, given: argparse.Namespace) -> int:
    """Verify, show what would be repeated, do it where that is wanted, verify again; gives the exit status."""
    machines = recorded(chosen)
    _refuse_unfinished(chosen)
    bring_up.refresh(chosen)  # the lab's engine reads a generated copy of the stack file
    with ThreadPoolExecutor(max_workers=1) as beside:
        pending = beside.submit(stack.pending, chosen)
        seen = verify.look(chosen, machines, given.seconds)
        print(as_table(chosen.name, seen), flush=True)
        targets = steps_to_repeat(machines, seen)
        _refuse_pending(chosen, pending.result() if targets else [])
    if not targets:
        return _nothing_to_repeat(seen)
    words = [word for urn in targets for word in ("--target-replace", urn)]
    print(f"\nTo be repeated: {', '.join(names_of(targets))}.", flush=True)
    status = stack.run_filtered(stack.command(chosen, "preview", "--diff", *words), review.changed_only)
    if status:
        return status
    if not (given.yes or _agreed()):
        print("Nothing was done. 'make repair YES=1' does it.")
        return verify.DRIFTED
    status = bring_up.up(chosen, words)
    if status:
        return status
    after = verify.look(chosen, recorded(chosen), given.seconds)
    print(as_table(chosen.name, after))
    return verify.status(after)


def steps_to_repeat(machines: Mapping[str, Recorded], seen: Mapping[str, Seen]) -> list[str]:
    """URNs of the steps that put right what was found: an activate, and the prepare before it where that is damaged.

    Args:
        machines: what the state holds, by name.
        seen: what verify saw, by name.
    """
    urns = []
    for name, one in seen.items():
        phases = {finding["repair"] for finding in one.findings}
        if PREPARE in phases:
            urns.append(machines[name].prepare.urn)
        if phases & {PREPARE, ACTIVATE}:
            urns.append(machines[name].activate.urn)
    return urns


def names_of(urns: list[str]) -> list[str]:
    """The logical names of resources."""
    return [urn.rsplit("::", 1)[1] for urn in urns]


def _refuse_unfinished(chosen: stack.Stack) -> None:
    if chosen.unfinished.exists():
        raise LabError(
            f"stack {chosen.name}: the last run did not end well, so the state does not tell what machines should run;"
            f" 'make up STACK={chosen.name}' has every machine confirm it. Nothing was touched"
        )


def _refuse_pending(chosen: stack.Stack, pending: list[str]) -> None:
    if pending:
        raise LabError(
            f"{chosen.source.name} asks for what was not applied yet ({', '.join(pending)}); a repair would bring"
            f" some of it to some machines. 'make up STACK={chosen.name}' first, or take the change back. Nothing was"
            " touched"
        )


def _nothing_to_repeat(seen: Mapping[str, Seen]) -> int:
    if any(one.findings for one in seen.values()):
        print("No step of ours puts this right; each line says what does.")
    return verify.status(seen)


def _agreed() -> bool:
    """Ask at a terminal; elsewhere nobody has agreed."""
    if not sys.stdin.isatty():
        return False
    return input("Do this? [yes/no] ").strip().lower() in ("y", "yes")
