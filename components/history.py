"""What the stack's last run gave out, read before anything is registered.

Reads the engine's own record (its built-in `readStackOutputs`, what a StackReference reads too, without a resource in
the state): no machine is asked. On a stack's first run there is nothing, and nothing is refused.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi

ATTEMPTS = 10
PAUSE_SECONDS = 0.3


@dataclass(frozen=True)
class LastRun:
    """What the last run that came to its end gave out, as far as this one has to know it.

    Attributes:
        machines: output `machines`, by name; empty on a stack's first run.
        node_loss: output `nodeLoss`, None where there is none.
        certificates: output `certificates`: the end of each leaf and authority by name; empty where there is none.
        certificate_generation: output `certificateGeneration`, None where there is none.
        applied: output `applied`, by machine; empty on a stack's first run.
    """

    machines: Mapping[str, Any]
    node_loss: Mapping[str, Any] | None
    certificates: Mapping[str, str] = field(default_factory=dict)
    certificate_generation: int | None = None
    applied: Mapping[str, Any] = field(default_factory=dict)


def last_run() -> LastRun:
    """What this stack's last run gave out.

    Raises:
        pulumi.RunError: the record could not be read.
    """
    own = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    outputs = (_read(own) or {}).get("outputs") or {}
    generation = outputs.get("certificateGeneration")
    return LastRun(
        machines=dict(outputs.get("machines") or {}),
        node_loss=outputs.get("nodeLoss") or None,
        applied=dict(outputs.get("applied") or {}),
        certificates=dict(outputs.get("certificates") or {}),
        certificate_generation=int(generation) if generation else None,
    )


def _read(stack: str) -> Any:
    """Ask the engine; a state in a folder may be met while the engine is writing it."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return pulumi.runtime.invoke("pulumi:pulumi:readStackOutputs", {"name": stack}).value
        except Exception as error:  # the SDK raises nothing more particular
            if attempt == ATTEMPTS:
                raise pulumi.RunError(
                    f"the record of this stack's last run could not be read ({error}). Nothing was touched. Look at the"
                    " state backend ('pulumi stack'), then run again."
                ) from None
            time.sleep(PAUSE_SECONDS)
    raise AssertionError("unreachable")
