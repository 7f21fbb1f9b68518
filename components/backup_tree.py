"""Files by which a control-plane machine takes snapshots of its own etcd member.

The script, its service and the timer are static (`rootfs/etcd`, `rootfs/etcd-backup`); these say how often, how many
and where to.
"""

from __future__ import annotations

from components.agent import snapshots
from components.render import File, environment
from config.plan import ClusterPlan, MachinePlan

BACKUP_FOLDER = snapshots.FOLDER
"""Where snapshots lie."""
BACKUP_SCRIPT = "/usr/local/lib/hardway/etcd-backup"
SETTINGS = "/etc/etcd/backup.env"
INTERVAL = "/etc/systemd/system/hardway-etcd-backup.timer.d/50-interval.conf"
_SPREAD = 3
"""The machines' times are spread over a third of the interval, so that members do not do it at once."""


def backup_files(plan: ClusterPlan, machine: MachinePlan) -> dict[str, File]:
    """What the script and the timer are told on one control-plane machine, by path."""
    backup = plan.etcd.backup
    values: dict[str, object] = {"BACKUP_KEEP": backup.keep, "BACKUP_DAYS": backup.days}
    if backup.bucket is not None:
        values |= {
            "BACKUP_BUCKET": backup.bucket,
            "BACKUP_PREFIX": f"{plan.name}/{machine.name}",
            "AWS_DEFAULT_REGION": backup.region,
        }
    files = {SETTINGS: File(environment(values))}
    if backup.minutes:
        files[INTERVAL] = File(_interval(backup.minutes))
    return files


def _interval(minutes: int) -> str:
    """The timer's drop-in: from snapshot to snapshot; a machine's delay is always the same."""
    return (
        "[Timer]\n"
        f"OnUnitActiveSec={minutes}min\n"
        f"RandomizedDelaySec={minutes * 60 // _SPREAD}s\n"
        "FixedRandomDelay=true\n"
    )
