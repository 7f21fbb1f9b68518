"""The stack's settings, read once, and what a human has to be told before anything is touched."""

from __future__ import annotations

import os
import signal

import pulumi

from config.plan import ClusterPlan, plan_cluster
from config.settings import Settings, SettingsError, load_settings


def load_plan() -> tuple[Settings, ClusterPlan]:
    """Read `hardway:cluster` of the stack and plan it.

    Raises:
        pulumi.RunError: the settings have mistakes; all of them are in the message.
    """
    # The engine interrupts the program when a step has failed; a traceback of that would bury the step's own
    # evidence.
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    source = f"Pulumi.{pulumi.get_stack()}.yaml"
    try:
        settings = load_settings(pulumi.Config("hardway").get_object("cluster"), source)
    except SettingsError as error:
        raise pulumi.RunError(str(error)) from None
    plan = plan_cluster(settings)
    for warning in plan.warnings:
        pulumi.log.warn(warning)
    return settings, plan
