"""What is told of certificates that end soon: exact sentences by dates, nothing while there is time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from config.expiry import AUTHORITY_NOTICE, LEAF_NOTICE, expiry_warnings

NOW = datetime(2027, 3, 1, 12, 0, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
RENEW = (
    " Write `certificates.generation: 4` and run again: every leaf is issued anew, one machine after the other"
    " (docs/renewal.md)."
)
ROTATE = " Rotate them in three runs, beginning with `certificates.authorities` (docs/certificates.md)."


def told(*, last_generation: int | None = 3, **left: timedelta) -> list[str]:
    """What is told when certificates (underscores for dashes) have this long to go."""
    ends = {name.replace("_", "-"): f"{NOW + span:%Y-%m-%dT%H:%M:%SZ}" for name, span in left.items()}
    return expiry_warnings(NOW, ends, generation=3, last_generation=last_generation)


def test_nothing_is_told_while_leaves_have_more_than_thirty_days_and_authorities_more_than_half_a_year() -> (
    None
):
    assert told(admin=LEAF_NOTICE + SECOND, etcd_ca=AUTHORITY_NOTICE + SECOND) == []


def test_a_first_run_knows_of_no_certificate() -> None:
    assert told() == []


def test_leaves_are_told_of_from_thirty_days_by_number_and_by_the_first_one() -> None:
    week = timedelta(days=7, minutes=5)
    assert told(kubelet_cp_0=week, admin=week, scheduler=LEAF_NOTICE, flanneld=LEAF_NOTICE + SECOND) == [
        "cluster.certificates: 3 of 4 leaves end within 30 days, the first one admin on 2027-03-08 12:05 UTC"
        " (7 days left)." + RENEW
    ]


def test_the_last_two_days_are_told_in_hours() -> None:
    assert told(admin=timedelta(hours=47, minutes=59)) == [
        "cluster.certificates: 1 of 1 leaf ends within 30 days, the first one admin on 2027-03-03 11:59 UTC"
        " (47 hours left)." + RENEW
    ]


@pytest.mark.parametrize("late", [timedelta(0), timedelta(days=3)])
def test_what_has_expired_is_told_louder_and_alone(late: timedelta) -> None:
    end = f"{NOW - late:%Y-%m-%d %H:%M} UTC"
    assert told(admin=-late, kubelet_cp_0=-late, scheduler=timedelta(days=1)) == [
        f"cluster.certificates: 2 of 3 leaves HAVE EXPIRED, the first one admin on {end}, and what restarts with one"
        " does not come up again." + RENEW
    ]


def test_authorities_are_told_of_from_half_a_year_and_apart_from_leaves() -> None:
    soon = timedelta(days=20)
    assert told(kubernetes_ca=AUTHORITY_NOTICE, etcd_ca=soon, front_proxy_ca_2=AUTHORITY_NOTICE + SECOND) == [
        "cluster.certificates: 2 of 3 authorities end within 180 days, the first one etcd-ca on 2027-03-21 12:00 UTC"
        " (20 days left)." + ROTATE
    ]
    assert [line.split(" end")[0] for line in told(etcd_ca=soon, admin=soon)] == [
        "cluster.certificates: 1 of 1 leaf",
        "cluster.certificates: 1 of 1 authority",
    ]


def test_a_leaf_of_a_pool_called_like_an_authority_is_a_leaf() -> None:
    assert told(kubelet_worker_etcd_ca_1=LEAF_NOTICE + SECOND) == []
    assert len(told(kubelet_worker_etcd_ca_1=LEAF_NOTICE)) == 1


def test_a_run_that_renews_the_leaves_tells_of_authorities_alone() -> None:
    soon = timedelta(days=-1)
    (only,) = told(last_generation=2, admin=soon, kubernetes_ca=soon)
    assert only == (
        "cluster.certificates: 1 of 1 authority HAS EXPIRED, the first one kubernetes-ca on 2027-02-28 12:00 UTC, and"
        " what restarts with one does not come up again." + ROTATE
    )


def test_a_stack_of_before_the_generation_was_recorded_is_told_of_its_leaves() -> None:
    assert len(told(last_generation=None, admin=timedelta(days=1))) == 1


def test_a_time_with_another_offset_is_the_same_moment() -> None:
    ends = {"admin": "2027-03-01T13:00:00+02:00"}
    (only,) = expiry_warnings(NOW, ends, generation=1, last_generation=1)
    assert "admin on 2027-03-01 11:00 UTC," in only
