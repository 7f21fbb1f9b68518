"""No scored check of the CIS benchmark fails on any machine."""

from __future__ import annotations

from pathlib import Path

from tests.e2e import cis
from tests.e2e.cluster import Cluster


def test_the_table_has_every_scored_check_once() -> None:
    numbers = [check.number for check in cis.CHECKS]
    assert len(numbers) == len(set(numbers)) == cis.SCORED


def test_no_scored_check_fails(cluster: Cluster, proof: Path | None) -> None:
    rows = cis.judge(cluster)
    report = cis.table(cluster, rows)
    print(report)
    if proof:
        proof.mkdir(parents=True, exist_ok=True)
        (proof / "cis.md").write_text(report)
    assert {row.check.number: row.failures for row in rows if row.failures} == {}
