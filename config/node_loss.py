"""Whether another lease and another grace may come in one run, judged before anything is touched.

Machines are changed one after the other, so for minutes some have the last run's values and some this run's: every
lease has to fit into every grace. Pure; what the values are on a machine is not asked, and what a run that failed has
changed is not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from config.node_contradictions import renewals_fit
from config.plan import NodeLossPlan


def node_loss_refusals(now: NodeLossPlan, last: Mapping[str, Any] | None) -> list[str]:
    """Why this run must not begin, one line with the way out.

    Each of both may go up or down alone, and both in one run where the longer lease fits into the shorter grace. The
    settings' own rule (`config.node_contradictions`) has passed: this run's lease fits into this run's grace.

    Args:
        now: of this run.
        last: output `nodeLoss` of the last run, None when there is none.
    """
    if not last:
        return []
    lease, grace = int(last["leaseSeconds"]), int(last["graceSeconds"])
    if renewals_fit(max(lease, now.lease_seconds), min(grace, now.grace_seconds)):
        return []
    if now.grace_seconds < grace:
        reason = f"the control plane would wait {now.grace_seconds} s for Nodes that still renew a lease of {lease} s"
        between = _written(now.lease_seconds, grace)
    else:
        renewed = f"already renew a lease of {now.lease_seconds} s"
        reason = f"control-plane machines that still wait {grace} s would wait for Nodes that {renewed}"
        between = _written(lease, now.grace_seconds)
    then = _written(now.lease_seconds, now.grace_seconds)
    return [
        f"cluster.nodeLoss: machines are changed one after the other, so {reason}, and healthy Nodes would be called"
        f" lost. Way out: two runs. Write {between} in the first and {then} in the second."
    ]


def _written(lease: int, grace: int) -> str:
    return f"`nodeLoss: {{leaseSeconds: {lease}, graceSeconds: {grace}}}`"
