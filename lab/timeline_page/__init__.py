"""`timeline.html`: one self-contained page that shows a run of the engine, a bar for each resource.

This module gathers what the page tells; `page.js` draws it, `page.css` dresses it. The page loads nothing from
anywhere, and its Content-Security-Policy forbids it to. It holds names, types, times and what machines said, no inputs
and no outputs.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.render import render
from lab import critical_path, event_log, mirror, stack, timeline
from lab.errors import LabError
from lab.event_log import Heard
from lab.timeline import Step

_FOLDER = Path(__file__).parent
KEYS = "keys and certificates"
OTHER = "other steps"
KINDS = (KEYS, *(name for name, _ in timeline.PHASES), OTHER)
"""What a step is for, in the order of a run; a phase of `make up` where it belongs to one."""
WHOLE_CLUSTER = "whole cluster"
"""The group of what belongs to no single machine."""
_OF_MACHINE = ("machine-", "prepare-", "activate-")
"""Beginnings of logical names whose rest is a machine's name."""


@dataclass(frozen=True)
class Run:
    """A run as the page tells it.

    Attributes:
        stack: name of the stack.
        begun: the engine's first event.
        seconds: until its last one.
        exact: whether times are those of arrival, not the engine's whole seconds.
        steps: those of resources; no components, none of the engine's own.
        critical: the chain of steps that the run's length came from.
        ended: whether the engine told of the run's end.
    """

    stack: str
    begun: datetime
    seconds: float
    exact: bool
    steps: Sequence[Step]
    critical: Sequence[Step]
    components: Mapping[str, str]
    ended: bool


def write(chosen: stack.Stack) -> Path:
    """Write the page of a stack's last `up`; gives its path.

    Raises:
        LabError: there was no run to show.
    """
    heard = event_log.read(chosen.events)
    if not heard:
        raise LabError(f"stack {chosen.name}: no run to show yet; run 'make up STACK={chosen.name}'")
    exact = any(one.seconds % 1 for one in heard)
    # Who waits for whom takes a second to ask, and matters only where something was done.
    idle = all(step.op == "same" for step in timeline.steps(heard))
    text = page(gather(chosen.name, heard, {} if idle else _graph(chosen), exact=exact))
    mirror.write_atomically(chosen.timeline, text)
    return chosen.timeline


def _graph(chosen: stack.Stack) -> dict[str, set[str]]:
    """Who waits for whom, by the stack's state; nothing when the state can't be read, as after an early failure."""
    try:
        return critical_path.dependencies(stack.exported(chosen))
    except (LabError, ValueError):
        return {}


def gather(stack_name: str, heard: Sequence[Heard], graph: critical_path.Dependencies, *, exact: bool) -> Run:
    """What the page tells of a run.

    Args:
        stack_name: for the title.
        heard: all the events of the run, at least one.
        graph: which resource waits for which.
        exact: whether times are those of arrival.
    """
    steps = timeline.steps(heard)
    return Run(
        stack=stack_name,
        begun=datetime.fromtimestamp(heard[0].event["timestamp"], UTC),
        # The engine may end seconds after its summary, with nothing to show for it.
        seconds=max(_last_of(heard), *(step.end or step.begin for step in steps), 0.001),
        exact=exact,
        steps=[step for step in steps if not step.component and not step.type.startswith("pulumi:")],
        critical=critical_path.critical_path(steps, graph),
        components={step.urn: step.parent for step in steps if step.component},
        ended=any("summaryEvent" in one.event for one in heard),
    )


def _last_of(heard: Sequence[Heard]) -> float:
    return next((one.seconds for one in heard if "summaryEvent" in one.event), heard[-1].seconds)


def page(run: Run) -> str:
    """The whole page."""
    data = json.dumps(_told(run), separators=(",", ":"))
    values = {
        "title": f"Hardway timeline: stack {run.stack}".replace("&", "&amp;").replace("<", "&lt;"),
        "style": (_FOLDER / "page.css").read_text(),
        "script": (_FOLDER / "page.js").read_text(),
        # Nothing that a machine says may end the script element that holds the data.
        "data": data.replace("<", "\\u003c"),
    }
    return render((_FOLDER / "page.html.tmpl").read_text(), values)[0]


def _told(run: Run) -> dict[str, Any]:
    """The page's data, as JSON knows it."""
    machines = machine_names(run.steps)
    places = {id(step): place for place, step in enumerate(run.critical)}
    return {
        "stack": run.stack,
        "begun": run.begun.isoformat(),
        "seconds": run.seconds,
        "exact": run.exact,
        "ended": run.ended,
        "kinds": KINDS,
        "machines": [*machines, WHOLE_CLUSTER],
        "components": list(dict.fromkeys(_component(step, run.components) for step in run.steps)),
        "holders": len(run.components),
        "critical": [place for step in run.critical for place, one in enumerate(run.steps) if one is step],
        "steps": [
            {
                "name": step.name,
                "type": step.type,
                "op": step.op,
                "begin": step.begin,
                "end": step.end,
                "outcome": step.outcome,
                "said": step.said,
                "kind": KINDS.index(kind(step)),
                "component": _component(step, run.components),
                "machine": machine_of(step.name, machines),
                "critical": id(step) in places,
            }
            for step in run.steps
        ],
    }


def kind(step: Step) -> str:
    """What a step is for: one of `KINDS`."""
    if step.type.startswith("tls:"):
        return KEYS
    return next((name for name, beginnings in timeline.PHASES if step.name.startswith(beginnings)), OTHER)


def machine_names(steps: Iterable[Step]) -> list[str]:
    """The machines that a run made or worked on, sorted."""
    return sorted(
        {
            step.name.removeprefix(beginning)
            for step in steps
            if not step.type.startswith("tls:")
            for beginning in _OF_MACHINE
            if step.name.startswith(beginning)
        }
    )


def machine_of(name: str, machines: Iterable[str]) -> str:
    """The machine that a logical name such as `kubelet-cp-0` belongs to; the longest name that fits."""
    fitting = [machine for machine in machines if f"-{name}-".find(f"-{machine}-") >= 0]
    return max(fitting, key=len, default=WHOLE_CLUSTER)


def _component(step: Step, parents: Mapping[str, str]) -> str:
    """Name of the outermost component that a step's resource stands in; the stack's own where it stands in none."""
    urn, above = "", step.parent
    while above and "pulumi:pulumi:Stack::" not in above:
        urn, above = above, parents.get(above, "")
    return urn.rsplit("::", 1)[1] if urn else "stack"


def last(chosen: stack.Stack) -> Path:
    """The page of a stack's last `up`.

    A run that was killed left no page: it is written now.

    Raises:
        LabError: there was no run to show.
    """
    log, page_file = chosen.events, chosen.timeline
    if not page_file.exists() or (log.exists() and log.stat().st_mtime > page_file.stat().st_mtime):
        write(chosen)
    return page_file


def show(page_file: Path) -> None:
    """Open a page where there is a display, and wait for nothing: some viewers stay until they are closed."""
    if {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ) and shutil.which("xdg-open"):
        nothing = subprocess.DEVNULL
        subprocess.Popen(
            ["xdg-open", str(page_file)],
            stdin=nothing,
            stdout=nothing,
            stderr=nothing,
            start_new_session=True,
        )
