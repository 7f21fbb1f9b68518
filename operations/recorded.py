"""What the state holds of each machine: the exact bundles of its last good prepare and activate.

They are secret. They are decrypted in memory, and nothing of them is written or printed here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from components import bundle
from lab import stack
from lab.errors import LabError


@dataclass(frozen=True)
class Step:
    """One command on a machine, as the state has it.

    Attributes:
        urn: the engine's name of it.
        document: what its bundle held.
        result: what the machine answered.
    """

    urn: str
    document: Mapping[str, Any]
    result: Mapping[str, Any]


@dataclass(frozen=True)
class Recorded:
    """One machine's two steps."""

    prepare: Step
    activate: Step


def recorded(chosen: stack.Stack) -> dict[str, Recorded]:
    """Every machine that was ever activated, by name.

    Raises:
        LabError: there is none, or no state that could be read.
    """
    machines = read(stack.exported(chosen, "--show-secrets"))
    if not machines:
        raise LabError(f"stack {chosen.name}: its state holds no machine; run 'make up STACK={chosen.name}'")
    return machines


def read(resources: Iterable[Mapping[str, Any]]) -> dict[str, Recorded]:
    """The machines among a state's resources, as `pulumi stack export --show-secrets` tells them."""
    steps = {
        str(resource["urn"]).rsplit("::", 1)[1]: _step(resource)
        for resource in resources
        if resource["type"] == "command:remote:Command"
        and str(resource["urn"]).rsplit("::", 1)[1].startswith(("prepare-", "activate-"))
        and not resource.get("delete")
    }
    names = [name.removeprefix("activate-") for name in steps if name.startswith("activate-")]
    return {
        name: Recorded(steps[f"prepare-{name}"], steps[f"activate-{name}"])
        for name in names
        if f"prepare-{name}" in steps
    }


def _step(resource: Mapping[str, Any]) -> Step:
    outputs = resource.get("outputs", {})
    document = bundle.decode(str(_plain(resource["inputs"]["stdin"])))
    return Step(str(resource["urn"]), document, json.loads(str(_plain(outputs["stdout"]))))


def _plain(value: Any) -> Any:
    """A value of the state, out of the wrapping that says that it is secret."""
    return json.loads(value["plaintext"]) if isinstance(value, Mapping) and "plaintext" in value else value
