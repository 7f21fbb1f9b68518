"""Another lease and another grace in one run: allowed where every machine's old and new value fit together."""

from __future__ import annotations

from itertools import product

import pytest

from config.node_contradictions import renewals_fit
from config.node_loss import node_loss_refusals
from config.plan import NodeLossPlan

Pair = tuple[int, int]
"""Lease and grace in seconds."""


def told(last: Pair) -> dict[str, float]:
    """The output of a run; the engine gives every number back as a float."""
    return {"leaseSeconds": float(last[0]), "graceSeconds": float(last[1])}


def refused(last: Pair, now: Pair) -> list[str]:
    return node_loss_refusals(NodeLossPlan(*now), told(last))


@pytest.mark.parametrize(
    ("last", "now"),
    [
        ((40, 50), (40, 50)),
        ((8, 8), (8, 8)),
        ((40, 50), (8, 50)),
        ((8, 50), (8, 8)),
        ((8, 8), (8, 50)),
        ((8, 50), (40, 50)),
        ((40, 50), (30, 30)),
        ((30, 30), (40, 50)),
        ((40, 50), (36, 31)),
        ((8, 50), (40, 30)),
        ((40, 30), (8, 50)),
    ],
    ids=str,
)
def test_one_value_at_a_time_or_two_that_fit_crosswise_are_allowed(last: Pair, now: Pair) -> None:
    assert refused(last, now) == []


@pytest.mark.parametrize("nothing", [None, {}])
def test_when_nothing_is_known_of_the_last_run_everything_is_allowed(
    nothing: dict[str, float] | None,
) -> None:
    assert node_loss_refusals(NodeLossPlan(8, 8), nothing) == []


def test_both_lowered_are_refused_since_workers_still_renew_slowly() -> None:
    assert refused((40, 50), (8, 8)) == [
        "cluster.nodeLoss: machines are changed one after the other, so the control plane would wait 8 s for Nodes"
        " that still renew a lease of 40 s, and healthy Nodes would be called lost. Way out: two runs. Write"
        " `nodeLoss: {leaseSeconds: 8, graceSeconds: 50}` in the first and"
        " `nodeLoss: {leaseSeconds: 8, graceSeconds: 8}` in the second."
    ]


def test_both_raised_are_refused_since_a_control_plane_machine_still_waits_briefly() -> None:
    assert refused((8, 8), (40, 50)) == [
        "cluster.nodeLoss: machines are changed one after the other, so control-plane machines that still wait 8 s"
        " would wait for Nodes that already renew a lease of 40 s, and healthy Nodes would be called lost. Way out: two"
        " runs. Write"
        " `nodeLoss: {leaseSeconds: 8, graceSeconds: 50}` in the first and"
        " `nodeLoss: {leaseSeconds: 40, graceSeconds: 50}` in the second."
    ]


@pytest.mark.parametrize(("grace", "few"), [(29, True), (30, False)])
def test_three_renewals_of_the_old_lease_are_enough_for_the_new_grace(grace: int, few: bool) -> None:
    assert bool(refused((40, 50), (10, grace))) is few


PAIRS = [
    (lease, grace) for lease, grace in product(range(4, 41, 3), range(6, 56, 4)) if renewals_fit(lease, grace)
]


def test_no_two_valid_pairs_lack_a_way_in_two_allowed_runs() -> None:
    """The pair between is the one that the message names."""
    tried = 0
    for last, now in product(PAIRS, PAIRS):
        if not (found := refused(last, now)):
            continue
        tried += 1
        between = (now[0], last[1]) if now[1] < last[1] else (last[0], now[1])
        assert f"Write `nodeLoss: {{leaseSeconds: {between[0]}, graceSeconds: {between[1]}}}`" in found[0]
        assert renewals_fit(*between)
        assert refused(last, between) == refused(between, now) == []
    assert tried > 1000
