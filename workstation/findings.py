"""What `make doctor` finds: one line for each check, and a table of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    """How a check ended."""

    GOOD = "ok"
    FETCHED = "make gets it"
    """Absent, and the first `make` that needs it installs it by itself."""
    DOUBTFUL = "look at it"
    """It may work."""
    MISSING = "missing"
    """It will not work."""


@dataclass(frozen=True)
class Finding:
    """One check's end.

    Attributes:
        check: what was looked at.
        found: what is there.
        verdict: whether that is enough.
        remedy: how to get what is missing; "" when nothing has to be done.
    """

    check: str
    found: str
    verdict: Verdict
    remedy: str = ""


def good(check: str, found: str) -> Finding:
    """All is well."""
    return Finding(check, found, Verdict.GOOD)


def fetched(check: str, found: str, remedy: str = "") -> Finding:
    """It is not there, and `make` gets it."""
    return Finding(check, found, Verdict.FETCHED, remedy)


def doubtful(check: str, found: str, remedy: str) -> Finding:
    """It may work, and here is what would be better."""
    return Finding(check, found, Verdict.DOUBTFUL, remedy)


def missing(check: str, found: str, remedy: str) -> Finding:
    """It will not work, and here is the way out."""
    return Finding(check, found, Verdict.MISSING, remedy)


def table(findings: Sequence[Finding]) -> Iterator[str]:
    """The findings as lines of a table, with a heading."""
    rows = [("check", "found", "verdict", "how to get it")]
    rows += [(one.check, one.found, one.verdict.value, one.remedy) for one in findings]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)]
        yield "  ".join([*cells, row[3]]).rstrip()
