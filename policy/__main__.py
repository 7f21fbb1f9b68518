"""The policy pack that the engine runs: `pulumi preview --policy-pack policy`. It only translates.

A violation stops a preview or an update before anything is touched. What a preview can't know yet is told as
advice; the same rule then judges it in `pulumi up`, right before the resource would be made.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

# The engine runs this folder as a program, so that the package itself has to be made known.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

# Only the pack's own environment has it, and mypy runs in the program's.
from pulumi_policy import (  # type: ignore[import-not-found]
    EnforcementLevel,
    Policy,
    PolicyPack,
    PolicyResource,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError  # type: ignore[import-not-found]

from policy.model import (
    UNKNOWN,
    Finding,
    Resource,
    ResourceRule,
    StackRule,
    Unknown,
    default_tags_of,
)
from policy.rules import RESOURCE_RULES, STACK_RULES


def _plain(value: Any) -> Any:
    """A value without the proxies that raise when something unknown is looked at."""
    if isinstance(value, Mapping):
        return {key: _item(value, key) for key in value}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_item(value, index) for index in range(len(value))]
    return value


def _item(values: Any, key: Any) -> Any:
    try:
        return _plain(values[key])
    except UnknownValueError:
        return UNKNOWN


def _resource(given: ResourceValidationArgs | PolicyResource) -> Resource:
    defaults: Mapping[str, Any] | Unknown = {}
    if given.provider is not None and given.resource_type.startswith("aws:"):
        defaults = default_tags_of(_plain(given.provider.props))
    return Resource(given.resource_type, given.name, _plain(given.props), defaults)


def _report(findings: Iterable[Finding], known: bool, report: ReportViolation) -> None:
    for finding in findings:
        if finding.known == known:
            # The engine itself names the resource.
            report(f"{finding.reason}; {finding.way_out}", None)


def _of_resource(rule: ResourceRule, known: bool) -> Policy:
    def validate(given: ResourceValidationArgs, report: ReportViolation) -> None:
        _report(rule.check(_resource(given)), known, report)

    return ResourceValidationPolicy(_name(rule, known), rule.description, validate, _level(known))


def _of_stack(rule: StackRule, known: bool) -> Policy:
    def validate(given: StackValidationArgs, report: ReportViolation) -> None:
        _report(rule.check([_resource(one) for one in given.resources]), known, report)

    return StackValidationPolicy(_name(rule, known), rule.description, validate, _level(known))


def _name(rule: ResourceRule | StackRule, known: bool) -> str:
    return rule.name if known else f"{rule.name}-not-known-yet"


def _level(known: bool) -> EnforcementLevel:
    return EnforcementLevel.MANDATORY if known else EnforcementLevel.ADVISORY


PolicyPack(
    "hardway",
    [_of_resource(rule, known) for rule in RESOURCE_RULES for known in (True, False)]
    + [_of_stack(rule, known) for rule in STACK_RULES for known in (True, False)],
)
