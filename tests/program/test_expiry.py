"""Certificates that end soon, as the operator is told: in previews and in runs, before anything is touched."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

import pytest

from components import stack
from tests.program.recording import Run, run_program
from tests.program.runs import lab_with

LAST = {
    "machines": {},
    "certificates": {
        "admin": "2027-01-02T03:04:05Z",
        "scheduler": "2027-06-02T03:04:05Z",
        "etcd-ca": "2036-01-02T03:04:05Z",
    },
    "certificateGeneration": 1,
}
WARNED = (
    "cluster.certificates: 1 of 2 leaves ends within 30 days, the first one admin on 2027-01-02 03:04 UTC (13 days"
    " left). Write `certificates.generation: 2` and run again: every leaf is issued anew, one machine after the other"
    " (docs/renewal.md)."
)


class Clock(datetime):
    """Stands still, two weeks before the first leaf ends."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Clock:
        return cls(2026, 12, 19, 8, 0, 0, tzinfo=tz or UTC)


def run_with(monkeypatch: pytest.MonkeyPatch, *, preview: bool, generation: int) -> Run:
    monkeypatch.setattr(stack, "datetime", Clock)
    return run_program(lab_with(certificates={"generation": generation}), preview=preview, last=LAST)


@pytest.mark.parametrize("preview", [True, False], ids=["preview", "up"])
def test_a_preview_and_a_run_warn_of_a_leaf_that_ends_soon(
    monkeypatch: pytest.MonkeyPatch, preview: bool
) -> None:
    assert run_with(monkeypatch, preview=preview, generation=1).told == (WARNED,)


def test_the_run_that_renews_is_not_warned(monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_with(monkeypatch, preview=False, generation=2)
    assert run.told == ()
    assert run.exports["certificateGeneration"] == 2
