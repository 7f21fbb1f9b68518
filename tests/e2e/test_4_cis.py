"""No scored check of the CIS benchmark fails on any machine."""

from __future__ import annotations

from pathlib import Path

from tests.e2e import cis
from tests.e2e.cluster import Cluster


def test_the_table_has_every_scored_check_once() -> None:
    numbers = [check.number for check in cis.CHECKS]
    assert len(numbers) == len(set(numbers)) == cis.SCORED


def test_checks_fail_where_nothing_is_found() -> None:
    """All but those that ask for the absence of something."""
    nothing = cis.Facts(flags={}, files={}, kubelet={}, kube_proxy={})
    passing = [check.number for check in cis.CHECKS if check.judge(nothing) is None]
    assert passing == ["4.2.6", "4.2.10", "4.3.1"]


def test_no_scored_check_fails(cluster: Cluster, proof: Path | None) -> None:
    rows = cis.judge(cluster)
    report = cis.table(cluster, rows)
    print(report)
    if proof:
        proof.mkdir(parents=True, exist_ok=True)
        (proof / "cis.md").write_text(report)
    assert {row.check.number: row.failures for row in rows if row.failures} == {}
