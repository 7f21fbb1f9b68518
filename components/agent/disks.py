"""Disks of a machine's own, such as etcd's: found by their volume, formatted once, mounted at every boot.

Only a blank disk is formatted. Nothing is ever unmounted, moved or grown here, and a disk that the settings name no
more stays mounted: what runs on it is not prepare's to stop.
"""

import glob
import os
import subprocess

from components.agent.evidence import Failure, run, set_owner, succeeds, unit_evidence, wait_until, write_file

PATIENCE_SECONDS = 120.0
FIRST_BYTES = 1 << 20
BLOCK_DEVICES = "/sys/block"
BY_ID = "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_"
UNIT_FOLDER = "/etc/systemd/system"
_NOTHING_FOUND = 2

_UNIT = """\
[Unit]
Description={volume} at {where}
Before=etcd.service

[Mount]
What=/dev/disk/by-uuid/{uuid}
Where={where}
Type=ext4
# Without the disk the machine still boots and answers on SSH at once: nofail takes this mount out of local-fs.target,
# which everything else waits for. What keeps its data here has RequiresMountsFor= and does not start without it.
Options=nofail

[Install]
WantedBy=multi-user.target
"""


def mount(disks: list[dict[str, str]], seconds: float = PATIENCE_SECONDS) -> None:
    """Mount every disk, now and at every boot, and give its root to its owner alone.

    Args:
        disks: each with `mount` (a folder), `volume` (an EBS volume's id), `owner` (a user that exists), and on
            instances that name their disks themselves (Xen) `device`, such as /dev/sdf.
        seconds: how long a disk may take to appear.

    Raises:
        Failure: a disk does not appear, holds something else, or its folder is in use.
    """
    for disk in disks:
        where, volume = disk["mount"], disk["volume"]
        device = _wait_for(disk, seconds)
        if not _holds(where, device):
            _check_mount_point(where, volume)
        uuid = _ensure_file_system(device, volume, f"hardway-{os.path.basename(where)}"[:16])
        _mount(where, volume, uuid)
        if not _holds(where, device):
            raise Failure(
                f"{where} is mounted, but not from {volume} ({device}): another disk has the file system's UUID "
                f"{uuid} too, such as one from a snapshot of it. Detach that, then run again"
            )
        set_owner(where, disk["owner"], 0o700)


def find(disk: dict[str, str]) -> str | None:
    """The block device of a volume, by the serial number that EBS gives its NVMe disks; None while it is absent."""
    serial = disk["volume"].replace("-", "")
    for path in sorted(glob.glob(f"{BLOCK_DEVICES}/*/device/serial")):
        with open(path) as file:
            if file.read().strip() == serial:
                return f"/dev/{path.split('/')[-3]}"
    name = disk.get("device", "")
    # Xen's driver calls xvdf what was attached as sdf.
    candidates = [f"{BY_ID}{serial}", name, name.replace("/dev/sd", "/dev/xvd")]
    return next((os.path.realpath(path) for path in candidates if path and os.path.exists(path)), None)


def _wait_for(disk: dict[str, str], seconds: float) -> str:
    wait_until(f"volume {disk['volume']}", lambda: find(disk) is not None, seconds)
    device = find(disk)
    if device is None:
        raise Failure(
            f"volume {disk['volume']} for {disk['mount']} did not appear within {seconds:.0f} s. See whether it is "
            f"attached to this instance ('aws ec2 describe-volumes --volume-ids {disk['volume']}') and which disks "
            "the machine has ('lsblk --output NAME,SERIAL,SIZE,MOUNTPOINT'), then run again"
        )
    return device


def _holds(where: str, device: str) -> bool:
    """Whether a folder is the root of the file system on this device."""
    return os.path.ismount(where) and os.stat(where).st_dev == os.stat(device).st_rdev


def _check_mount_point(where: str, volume: str) -> None:
    """Refuse to hide what lies below: a member would find an empty folder where its data was."""
    os.makedirs(where, mode=0o700, exist_ok=True)
    if os.path.ismount(where):
        raise Failure(
            f"{where} is mounted from another disk than {volume}; 'findmnt {where}' names it. Stop what uses it and "
            "unmount it, then run again"
        )
    if os.listdir(where):
        raise Failure(
            f"{where} is not empty, and {volume} mounted there would hide what it holds. Stop what uses it, move its "
            "contents away, then run again"
        )


def _ensure_file_system(device: str, volume: str, label: str) -> str:
    """The UUID of the device's ext4; it is made first when the device is blank."""
    found = _probe(device)
    if not found and _begins_with_zeros(device):
        run("mkfs.ext4", "-q", "-L", label, device, timeout=600)
        # The links by UUID, which the mount unit waits for, follow the new file system.
        succeeds("udevadm", "settle", "--timeout=30")
        found = _probe(device)
    if found.get("TYPE") != "ext4":
        kind = found.get("TYPE") or found.get("PTTYPE") or "something that is not known"
        raise Failure(
            f"{volume} ({device}) holds {kind} and neither ext4 nor nothing; it was not touched. Give a volume that "
            "is new or has ext4; or, when its contents are of no worth, overwrite its beginning with zeros "
            f"('wipefs --all {device}', then 'dd if=/dev/zero of={device} bs=1M count=1'). Then run again"
        )
    return found["UUID"]


def _probe(device: str) -> dict[str, str]:
    """What blkid sees on a device when it looks for itself; nothing on a blank one."""
    done = subprocess.run(
        ["blkid", "-p", "--output", "export", device],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode not in (0, _NOTHING_FOUND):
        words = (done.stderr or done.stdout).strip()
        raise Failure(f"blkid cannot tell what {device} holds (status {done.returncode}): {words}")
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


def _begins_with_zeros(device: str) -> bool:
    with open(device, "rb") as file:
        return not any(file.read(FIRST_BYTES))


def _mount(where: str, volume: str, uuid: str) -> None:
    """Plant the mount's unit, enable and start it."""
    name = run("systemd-escape", "--path", "--suffix=mount", where).strip()
    path, text = f"{UNIT_FOLDER}/{name}", _UNIT.format(volume=volume, where=where, uuid=uuid)
    if not _is(path, text):
        write_file(path, text, 0o600)
        run("systemctl", "daemon-reload")
    run("systemctl", "enable", "--quiet", name)
    try:
        run("systemctl", "start", name, timeout=150)
    except Failure as failure:
        raise Failure(f"{volume} could not be mounted at {where}: {failure}\n{unit_evidence(name)}") from None


def _is(path: str, text: str) -> bool:
    try:
        with open(path) as file:
            return file.read() == text
    except FileNotFoundError:
        return False
