"""Snapshots of etcd in settings, plan, files and rights."""

from __future__ import annotations

from dataclasses import replace

import pytest

from components.node import _backup_packages
from components.tree import machine_files, machine_units
from config.iam import control_plane_policy, worker_policy
from config.plan import BackupPlan, ClusterPlan
from tests.components.trees import lab_plan
from tests.config.clusters import lab, plan_of
from tests.config.integrations import integrated

TIMER = "hardway-etcd-backup.timer"


def with_bucket(bucket: str | None = "ours") -> ClusterPlan:
    """A cluster on aws whose snapshots go to a bucket."""
    plan = integrated()
    return replace(plan, etcd=replace(plan.etcd, backup=BackupPlan(15, 96, 7, bucket, "eu-central-1")))


def test_every_control_plane_machine_takes_a_snapshot_every_quarter_of_an_hour() -> None:
    plan = lab_plan()
    assert plan.etcd.backup == BackupPlan(15, 96, 7, None, "")
    for machine in plan.machines:
        files = machine_files(plan, machine)
        assert (TIMER in machine_units(files)) == (machine in plan.control_plane)
    files = machine_files(plan, plan.machine("cp-1"))
    assert files["/etc/etcd/backup.env"].text == 'BACKUP_KEEP="96"\nBACKUP_DAYS="7"\n'
    interval = files[f"/etc/systemd/system/{TIMER}.d/50-interval.conf"].text
    assert interval == "[Timer]\nOnUnitActiveSec=15min\nRandomizedDelaySec=300s\nFixedRandomDelay=true\n"


def test_minutes_of_zero_leave_the_service_for_make_backup_and_no_timer() -> None:
    plan = plan_of(lab(etcd={"backup": {"minutes": 0, "keep": 3}}))
    files = machine_files(plan, plan.machine("cp-0"))
    assert TIMER not in machine_units(files)
    assert [path for path in files if TIMER in path] == []
    assert "/etc/systemd/system/hardway-etcd-backup.service" in files
    assert files["/etc/etcd/backup.env"].text.startswith('BACKUP_KEEP="3"\n')


def test_the_script_belongs_to_the_user_that_runs_it() -> None:
    files = machine_files(lab_plan(), lab_plan().machine("cp-0"))
    script = files["/usr/local/lib/hardway/etcd-backup"]
    assert (script.owner, script.mode) == ("etcd", 0o700)


def test_a_bucket_is_told_to_the_script_below_clusters_and_machines_names() -> None:
    plan = with_bucket()
    text = machine_files(plan, plan.machine("cp-2"))["/etc/etcd/backup.env"].text
    assert text.endswith(
        f'BACKUP_BUCKET="ours"\nBACKUP_PREFIX="{plan.name}/cp-2"\nAWS_DEFAULT_REGION="eu-central-1"\n'
    )


def test_a_control_plane_machine_may_put_below_its_clusters_prefix_and_do_nothing_else_there() -> None:
    plan = with_bucket()
    policy = control_plane_policy(plan)
    assert policy is not None
    assert policy["Statement"] == [
        {
            "Sid": "PutBackups",
            "Effect": "Allow",
            "Action": ["s3:PutObject"],
            "Resource": [f"arn:aws:s3:::ours/{plan.name}/*"],
        }
    ]
    assert worker_policy(plan) is None
    assert control_plane_policy(with_bucket(None)) is None


@pytest.mark.parametrize(("machine", "expected"), [("cp-0", ("python3-boto3",)), ("worker-general-0", ())])
def test_aws_client_is_installed_where_snapshots_are_sent_from_and_nowhere_else(
    machine: str, expected: tuple[str, ...]
) -> None:
    plan = with_bucket()
    assert _backup_packages(plan, plan.machine(machine)) == expected
    assert _backup_packages(with_bucket(None), plan.machine(machine)) == ()
