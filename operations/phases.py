"""Phases of the agent that a person asks for, on machines of a stack.

Over the same SSH and by the same bundles as the program's, but outside of any run of the engine.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from components import bundle
from config.plan import Role
from lab import stack
from lab.errors import LabError

CONNECT_SECONDS = 30
"""What connecting and ending may take beside the work itself."""
TIMED_OUT = 124
"""Status of `timeout`, which ends the work on the machine (coreutils)."""


def machines_of_role(chosen: stack.Stack, *roles: Role) -> list[str]:
    """Names of the stack's machines of some roles, in the order of its last good run; all without a role.

    Raises:
        LabError: nothing is built yet.
    """
    machines = chosen.outputs()["machines"]
    return [name for name, machine in machines.items() if not roles or machine["role"] in roles]


def run_phase(
    chosen: stack.Stack,
    machine: str,
    phase: str,
    content: Mapping[str, Any],
    *,
    seconds: int,
    say: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Run a phase of the agent on one machine and give its result.

    Args:
        chosen: the stack.
        machine: its name.
        phase: module of `components.agent`.
        content: the phase's data; `machine.name` is added where it is missing. It travels on standard input only.
        seconds: after which the work is ended on the machine, whatever happens here; ssh itself is ended
            `CONNECT_SECONDS` later.
        say: takes each line of progress; printed behind the machine's name by default.

    Raises:
        LabError: the machine can't be reached, or the phase failed or did not end in time, with its evidence.
    """
    tell = say or (lambda line: print(f"  {machine}: {line}", file=sys.stderr, flush=True))
    text = bundle.encode(phase, {"machine": {"name": machine}, **content}, key="")
    line = stack.ssh_command(chosen, machine, bundle.remote_command(seconds))
    process = subprocess.Popen(
        line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    bound = _Bound(process, seconds + CONNECT_SECONDS)
    with ThreadPoolExecutor(max_workers=1) as beside, process:
        told = beside.submit(_follow, process.stderr, tell)
        try:
            # Where ssh has ended already, its status and words tell why; closing writes what is left.
            with suppress(BrokenPipeError):
                process.stdin.write(text)
            with suppress(BrokenPipeError):
                process.stdin.close()
            result = process.stdout.read()
            status = process.wait()
        except KeyboardInterrupt:
            process.kill()
            raise
        finally:
            bound.cancel()
        said = told.result()
    if status:
        words = "\n".join(said[-40:]) or f"ssh ended with status {status}"
        over = bound.reached or status == TIMED_OUT
        how = f"did not end within its {seconds} s and was ended" if over else "failed"
        raise LabError(f"{machine}: {phase} {how}.\n{words}")
    return dict(json.loads(result.strip().splitlines()[-1]))


class _Bound:
    """Kills a process when its time is over.

    Attributes:
        reached: whether it was over.
    """

    def __init__(self, process: subprocess.Popen[str], seconds: float) -> None:
        self.reached = False
        self._process = process
        self._timer = threading.Timer(seconds, self._kill)
        self._timer.daemon = True
        self._timer.start()

    def _kill(self) -> None:
        self.reached = True
        self._process.kill()

    def cancel(self) -> None:
        """The process has ended by itself."""
        self._timer.cancel()


def _follow(stream: Iterable[str], tell: Callable[[str], None]) -> list[str]:
    lines = []
    for line in stream:
        lines.append(line.rstrip("\n"))
        tell(lines[-1])
    return lines


def run_everywhere(
    chosen: stack.Stack, machines: Iterable[str], work: Callable[[str], dict[str, Any]]
) -> dict[str, dict[str, Any] | LabError]:
    """Do the same on several machines at once; gives each one's result, or its failure, by name.

    Args:
        chosen: the stack.
        machines: their names.
        work: takes a name and gives the result, as `run_phase` does.
    """
    names = list(machines)

    def attempt(name: str) -> dict[str, Any] | LabError:
        try:
            return work(name)
        except LabError as error:
            return error

    with ThreadPoolExecutor(max_workers=max(1, min(16, len(names)))) as pool:
        return dict(zip(names, pool.map(attempt, names), strict=True))
