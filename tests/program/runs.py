"""The runs that tests look at, each made once."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from tests.components.artifacts import MIRROR, all_digests
from tests.components.trees import lab_settings
from tests.config.clusters import plan_of
from tests.program.recording import Run, run_program


def with_artifacts(value: dict[str, Any]) -> dict[str, Any]:
    """Settings with a mirror and a digest for everything, as the lab's generated configuration has them."""
    digests = all_digests(plan_of(value))
    return {**value, "artifacts": {"mirror": MIRROR, "preloadImages": True, "digests": digests}}


def lab_with(**changes: Any) -> dict[str, Any]:
    """The lab's settings as the program gets them, with whole sections replaced."""
    return with_artifacts({**lab_settings(), **changes})


def run_of(value: dict[str, Any], *, preview: bool = False) -> Run:
    """The run of these settings, remembered."""
    run = _remembered(json.dumps(value, sort_keys=True), preview)
    if isinstance(run, Exception):
        raise run
    return run


@cache
def _remembered(value: str, preview: bool) -> Run | Exception:
    """A program that fails is remembered too: a hundred tests would each run it again."""
    try:
        return run_program(json.loads(value), preview=preview)
    except Exception as error:
        return error


def lab_run(*, preview: bool = False) -> Run:
    """The lab's own run."""
    return run_of(lab_with(), preview=preview)


def changed(before: Run, after: Run) -> dict[str, set[str]]:
    """Resources of both runs whose inputs differ, as `type name`, with the inputs that differ."""
    old = {resource.urn: resource for resource in before.resources}
    result: dict[str, set[str]] = {}
    for resource in after.resources:
        was = old.get(resource.urn)
        if was is not None and was.inputs != resource.inputs:
            names = {*was.inputs, *resource.inputs}
            differing = {name for name in names if was.inputs.get(name) != resource.inputs.get(name)}
            result[f"{resource.type} {resource.name}"] = differing
    return result


def added(before: Run, after: Run) -> set[str]:
    """Resources of the later run alone, as `type name`."""
    known = {resource.urn for resource in before.resources}
    return {f"{one.type} {one.name}" for one in after.resources if one.urn not in known}
