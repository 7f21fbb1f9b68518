"""What `make verify` saw, as a table for people and as a document for machines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from operations.verify import Seen

CHECKS = ("files", "binaries", "units", "versions", "certificates", "etcd", "time", "disk")
"""In the order in which a table has them."""
HEAD = ("machine", "check", "result", "")


def as_json(name: str, seen: Mapping[str, Seen]) -> str:
    """The document: `stack`, `drift`, `unreached`, and of each machine `reached`, `checks` and `findings`."""
    machines: dict[str, Any] = {
        machine: {
            "reached": not one.unreached,
            "error": one.unreached,
            "checks": dict(one.checks),
            "findings": [dict(finding) for finding in one.findings],
        }
        for machine, one in seen.items()
    }
    document = {
        "stack": name,
        "drift": any(one.findings for one in seen.values()),
        "unreached": [machine for machine, one in seen.items() if one.unreached],
        "machines": machines,
    }
    return json.dumps(document, indent=2)


def as_table(name: str, seen: Mapping[str, Seen]) -> str:
    """A row for each machine and check, one more for each further difference, and a closing sentence."""
    rows = [HEAD, *(row for machine, one in seen.items() for row in _rows(machine, one))]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]).rstrip()
        for row in rows
    ]
    return "\n".join([*lines, "", _closing(name, seen)])


def _rows(machine: str, one: Seen) -> Iterator[tuple[str, str, str, str]]:
    if one.unreached:
        yield machine, "-", "not asked", one.unreached.replace("\n", " ")[:300]
        return
    for check in sorted(one.checks, key=CHECKS.index):
        found = [finding for finding in one.findings if finding["check"] == check]
        if not found:
            yield machine, check, "ok", one.checks[check]
        for finding in found:
            yield machine, check, "DRIFT", f"{finding['place']} {finding['what']}; {finding['wayOut']}"


def _closing(name: str, seen: Mapping[str, Seen]) -> str:
    count = sum(len(one.findings) for one in seen.values())
    drifted = [machine for machine, one in seen.items() if one.findings]
    away = [machine for machine, one in seen.items() if one.unreached]
    suffix = "" if name == "lab" else f" STACK={name}"
    parts = []
    if drifted:
        things = "1 thing differs" if count == 1 else f"{count} things differ"
        parts.append(
            f"{things} from the state, on {', '.join(drifted)}: 'make repair{suffix}' shows what it would do about it."
        )
    if away:
        parts.append(f"Not asked: {', '.join(away)}.")
    return " ".join(parts) or f"{len(seen)} machines are as the state says."
