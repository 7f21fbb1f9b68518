"""The stack's settings and its past, read once, and what a human has to be told before anything is touched."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from datetime import UTC, datetime

import pulumi

from components.history import LastRun, last_run
from config.changes import Replacement, refusals, replacements
from config.expiry import expiry_warnings
from config.node_loss import node_loss_refusals
from config.plan import ClusterPlan, plan_cluster
from config.region import FOREIGN_KEYS, is_on_aws, provider_problems
from config.settings import Settings, SettingsError, load_settings
from config.skew import skew_refusals

RECURSION_OF_A_MACHINE = 10


def load_plan() -> tuple[Settings, ClusterPlan, Mapping[str, Replacement]]:
    """Read `hardway:cluster` of the stack, plan it, and compare it with the stack's last run.

    Raises:
        pulumi.RunError: the settings have mistakes, or ask for more at once than a cluster survives; all of it is in
            the message.
    """
    # The engine interrupts the program when a step has failed; a traceback of that would bury the step's own
    # evidence.
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    source = f"Pulumi.{pulumi.get_stack()}.yaml"
    provider = _provider_keys()
    value = pulumi.Config("hardway").get_object("cluster")
    try:
        settings = load_settings(
            value, source, around=provider_problems(provider) if is_on_aws(value) else ()
        )
    except SettingsError as error:
        raise pulumi.RunError(str(error)) from None
    plan = plan_cluster(settings, region=provider.get("region", ""))
    last = last_run()
    refused = [
        *refusals(plan, last.machines),
        *node_loss_refusals(plan.node_loss, last.node_loss),
        *skew_refusals(plan, last.applied),
    ]
    if refused:
        lines = "\n".join(f"  {source}: {reason}" for reason in refused)
        raise pulumi.RunError(f"this run would endanger the cluster; nothing was touched.\n{lines}")
    # The SDK looks for cycles by recursion along depends_on (resource_cycle_breaker.py), and a pool's machines follow
    # one another: a thousand of them is deeper than Python goes by itself.
    sys.setrecursionlimit(max(sys.getrecursionlimit(), 1000 + RECURSION_OF_A_MACHINE * len(plan.machines)))
    for warning in (*plan.warnings, *_expiry(plan, last)):
        pulumi.log.warn(warning)
    return settings, plan, replacements(plan, last.machines)


def _expiry(plan: ClusterPlan, last: LastRun) -> list[str]:
    """What ends soon of the certificates that the last run gave out."""
    return expiry_warnings(
        datetime.now(UTC),
        last.certificates,
        generation=plan.certificates.generation,
        last_generation=last.certificate_generation,
    )


def _provider_keys() -> dict[str, str]:
    """The values of the AWS provider's own keys in the stack, by their names below `aws:`."""
    own = pulumi.Config("aws")
    values = {key: own.get(key) for key in ("region", *FOREIGN_KEYS)}
    return {key: value for key, value in values.items() if value is not None}
