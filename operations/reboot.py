"""Reboots the machines' operating systems, one after the other, without the cluster's users noticing.

Load balancers first, then the control plane, then the workers pool by pool. The first machine that does not come back
ends the round; the same command goes on from there. Which machines have rebooted is told by their kernels' boot ids,
not by any clock.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from components.agent.reboot import LOCK_SECONDS
from config.plan import Role
from lab.errors import LabError
from lab.exclusive import exclusive
from lab.stack import Stack, write_private
from lab.stack_plan import plan_of
from operations.phases import machines_of_role, run_everywhere, run_phase

ORDER = (Role.LOAD_BALANCER, Role.CONTROL_PLANE, Role.WORKER)
BOOT_SECONDS = 900.0
"""After which a machine counts as lost; servers that test their memory take minutes."""
LOOK_SECONDS = 20
STEP_SECONDS = 1300
"""For one step: an earlier run's lock, 600 s, and what the step itself waits for, 600 s."""
DRAIN_SPARE_SECONDS = int(LOCK_SECONDS) + 300
"""What a drain may take beside the evictions: other drains, the last turn's end, and taking the cordon back."""
ROUND_SECONDS = 86400.0
"""After which what a round left is not gone on with: machines may have been rebooted for other reasons since."""
GOING_SECONDS = 5.0
"""After which a machine that was told to reboot is on its way; it begins a second later."""


@dataclass(frozen=True)
class Round:
    """One command's work, kept in the stack's folder until all of it is done.

    Attributes:
        asked: names of the machines, in their order.
        boots: boot id of each when the round began.
        only_required: whether it was for machines that asked for a reboot.
        begun: when, in seconds since 1970.
    """

    asked: tuple[str, ...]
    boots: Mapping[str, str]
    only_required: bool
    begun: float

    def is_for(self, names: list[str], *, only_required: bool) -> bool:
        """Whether a command for these machines goes on with it."""
        fits = set(self.asked) <= set(names) if only_required else list(self.asked) == names
        return self.only_required == only_required and fits and time.time() - self.begun < ROUND_SECONDS


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--node", default="", help="names of machines, with commas between; all by default")
    parser.add_argument("--only-required", action="store_true", help="only machines that ask for it")


def run(stack: Stack, chosen: argparse.Namespace) -> int:
    """Reboot machines of the stack; gives 0.

    Raises:
        LabError: a machine can't be reached before it begins, its pods stayed, or it did not come back whole.
    """
    names = _asked(stack, chosen.node)
    with exclusive(stack.folder / "reboot.lock", "a rolling reboot"):
        work = _begin_or_continue(stack, names, only_required=chosen.only_required)
        for number, name in enumerate(work.asked, start=1):
            _reboot(stack, name, work.boots[name], f"[{number}/{len(work.asked)}]")
        stack.reboot_round.unlink(missing_ok=True)
    print(f"{len(work.asked)} machines rebooted" if work.asked else "no machine asks for a reboot")
    return 0


def _asked(stack: Stack, text: str) -> list[str]:
    """The machines in the order in which they reboot.

    Raises:
        LabError: one is no machine of the stack.
    """
    ordered = [name for role in ORDER for name in machines_of_role(stack, role)]
    wanted = text.replace(",", " ").split()
    strangers = [name for name in wanted if name not in ordered]
    if strangers:
        raise LabError(
            f"NODE={strangers[0]}: no such machine in stack {stack.name}; there are {', '.join(ordered)}"
        )
    return [name for name in ordered if not wanted or name in wanted]


def _begin_or_continue(stack: Stack, names: list[str], *, only_required: bool) -> Round:
    """The round that a command before this one left unfinished, if it was for the same; else a new one."""
    left = read_round(stack.reboot_round)
    if left is not None and left.is_for(names, only_required=only_required):
        print(
            f"going on with the round that was begun before; {stack.reboot_round.name} in {stack.folder.name}/ has it"
        )
        return left
    found = run_everywhere(stack, names, lambda name: _look(stack, name))
    lost = [str(result) for result in found.values() if isinstance(result, LabError)]
    if lost:
        raise LabError("not every machine answers, so none was rebooted.\n" + "\n".join(lost))
    good = {name: result for name, result in found.items() if not isinstance(result, LabError)}
    asked = tuple(name for name in names if good[name]["required"] or not only_required)
    boots = {name: str(good[name]["boot"]) for name in asked}
    work = Round(asked, boots, only_required, time.time())
    write_private(stack.reboot_round, json.dumps(asdict(work)))
    return work


def read_round(file: Path) -> Round | None:
    """What an earlier command left; None when there is nothing, or nothing that can be read."""
    try:
        document = json.loads(file.read_text())
        return Round(
            tuple(document["asked"]),
            dict(document["boots"]),
            bool(document["only_required"]),
            float(document["begun"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _look(stack: Stack, name: str) -> dict[str, Any]:
    return run_phase(stack, name, "reboot", {"step": "look"}, seconds=LOOK_SECONDS, say=lambda _line: None)


def _reboot(stack: Stack, name: str, before: str, place: str) -> None:
    """Take one machine through all its steps, or those that an interrupted round left."""
    begin = time.monotonic()
    node = name in machines_of_role(stack, Role.CONTROL_PLANE, Role.WORKER)
    now = _wait_for(f"{name} to answer", lambda: _look(stack, name)["boot"])
    told = ""
    if now == before:
        print(f"{place} {name}", flush=True)
        if node:
            _drain(stack, name)
            told += f"drained after {time.monotonic() - begin:.0f} s, "
        _go(stack, name, before, node=node)
        now = _wait_for(
            f"{name} to boot", lambda: _other_than(_look(stack, name)["boot"], before), cordoned=node
        )
        told += f"booted after {time.monotonic() - begin:.0f} s, "
    else:
        print(f"{place} {name} has rebooted already; looking whether it is whole", flush=True)
    run_phase(stack, name, "reboot", {"step": "settled"}, seconds=STEP_SECONDS)
    if node:
        _take_back(stack, name, now)
    print(f"  {name}: {told}whole after {time.monotonic() - begin:.0f} s", flush=True)


def _go(stack: Stack, name: str, before: str, *, node: bool) -> None:
    """Have the machine reboot; where it can't, its Node takes pods again, unless somebody else had cordoned it.

    Raises:
        LabError: it did not do it.
    """
    try:
        run_phase(stack, name, "reboot", {"step": "go"}, seconds=STEP_SECONDS)
    except LabError as error:
        if node and _stays(stack, name, before):
            try:
                _take_back(stack, name, before)
            except LabError as other:
                raise LabError(f"{error}\nIts Node was drained and is cordoned still: {other}") from None
        raise


def _stays(stack: Stack, name: str, before: str) -> bool:
    """Whether the machine still runs as before, some seconds after its reboot failed."""
    time.sleep(GOING_SECONDS)
    try:
        return bool(_look(stack, name)["boot"] == before)
    except LabError:
        return False


def _take_back(stack: Stack, name: str, boot: str) -> None:
    content = {"step": "back", "node": name, "boot": boot}
    run_phase(stack, _helper(stack, name), "reboot", content, seconds=STEP_SECONDS)


def _drain(stack: Stack, name: str) -> None:
    seconds, force = _patience(stack, name)
    content = {"step": "leave", "node": name, "seconds": seconds, "force": force}
    run_phase(stack, _helper(stack, name), "reboot", content, seconds=seconds + DRAIN_SPARE_SECONDS)


def _patience(stack: Stack, name: str) -> tuple[int, bool]:
    """The drain's seconds and force of the machine's pool; a control-plane machine has those of a pool by default."""
    for pool in plan_of(stack).pools:
        if name in [machine.name for machine in pool.machines]:
            return pool.drain.seconds, pool.drain.force
    return 300, False


def _helper(stack: Stack, name: str) -> str:
    """A control-plane machine, not the one that reboots if there is another: it has an administrator's rights."""
    names = machines_of_role(stack, Role.CONTROL_PLANE)
    return next((other for other in names if other != name), names[0])


def _other_than(boot: str, before: str) -> str | None:
    return boot if boot != before else None


def _wait_for(what: str, look: Callable[[], str | None], *, cordoned: bool = False) -> str:
    """Ask until there is an answer; a machine that boots refuses connections, or is silent.

    Args:
        what: is waited for.
        look: gives the answer, or None while there is none.
        cordoned: whether the machine's Node is cordoned, for the message.

    Raises:
        LabError: no answer within `BOOT_SECONDS`; with the last failure's words.
    """
    begin = told = time.monotonic()
    last = "it has not gone down"
    while time.monotonic() < begin + BOOT_SECONDS:
        try:
            found = look()
            if found is not None:
                return found
        except LabError as error:
            last = str(error)
        if time.monotonic() > told + 15:
            told = time.monotonic()
            print(
                f"  waiting for {what} ({told - begin:.0f} of at most {BOOT_SECONDS:.0f} s)", file=sys.stderr
            )
        time.sleep(1)
    state = ", and its Node is cordoned" if cordoned else ""
    raise LabError(
        f"waited {BOOT_SECONDS:.0f} s for {what}: {last}\nNo machine after it was touched{state}. Look at its console; "
        "when it is back, the same command goes on"
    )
