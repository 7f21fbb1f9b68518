"""The runs that tests look at, each made once."""

from __future__ import annotations

import gc
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from tests.components.artifacts import MIRROR, all_digests
from tests.components.trees import lab_settings
from tests.config.clusters import any_digests, dev, plan_of, prod
from tests.program.recording import Run, run_program


def with_artifacts(value: dict[str, Any]) -> dict[str, Any]:
    """Settings with a mirror and a digest for everything, as the lab's generated configuration has them."""
    mirrored = {**value, "artifacts": {"mirror": MIRROR, "digests": any_digests()}}
    digests = all_digests(plan_of(mirrored))
    return {**value, "artifacts": {"mirror": MIRROR, "preloadImages": True, "digests": digests}}


def lab_with(**changes: Any) -> dict[str, Any]:
    """The lab's settings as the program gets them, with whole sections replaced."""
    return with_artifacts({**lab_settings(), **changes})


def run_of(value: Mapping[str, Any], *, preview: bool = False, last: Mapping[str, Any] | None = None) -> Run:
    """The run of these settings, after a last run that gave out these machines, remembered."""
    run = _remembered(json.dumps(value, sort_keys=True), preview, json.dumps(last, sort_keys=True))
    if isinstance(run, Exception):
        raise run
    return run


@cache
def _remembered(value: str, preview: bool, last: str) -> Run | Exception:
    """A program that fails is remembered too: a hundred tests would each run it again."""
    before = json.loads(last)
    gc.disable()  # it would look at every run that is remembered, again and again
    try:
        return run_program(
            json.loads(value), preview=preview, last=None if before is None else {"machines": before}
        )
    except Exception as error:
        return error
    finally:
        gc.enable()


def dev_run(*, preview: bool = False) -> Run:
    """The small cluster on AWS."""
    return run_of(dev(), preview=preview)


def prod_run(*, preview: bool = False) -> Run:
    """The large cluster on AWS."""
    return run_of(prod(), preview=preview)


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
