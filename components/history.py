"""What the stack's last run gave out, read before anything is registered.

Reads the engine's own record (its built-in `readStackOutputs`, what a StackReference reads too, without a resource in
the state): no machine is asked. On a stack's first run there is nothing, and nothing is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi


def last_machines() -> Mapping[str, Any]:
    """The output `machines` of this stack's last run, by name; empty on the first one."""
    own = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    answer = pulumi.runtime.invoke("pulumi:pulumi:readStackOutputs", {"name": own}).value or {}
    return dict((answer.get("outputs") or {}).get("machines") or {})
