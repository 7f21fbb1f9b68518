"""The script that takes snapshots, run: with etcd's programs and the machine's folders stood in for."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from components.render import ROOTFS

SCRIPT = ROOTFS / "etcd/usr/local/lib/hardway/etcd-backup"
DATA = b"database" * 64
WHOLE = DATA + hashlib.sha256(DATA).digest()
CTL = """#!{python}
import pathlib, sys, time
if "status" in sys.argv:
    print('[{{"Status": {{"dbSize": {size}}}}}]')
else:
    path = pathlib.Path(sys.argv[sys.argv.index("save") + 1])
    pathlib.Path(sys.argv[0] + "-asked").write_text(time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))
    time.sleep({seconds})
    path.write_bytes(bytes.fromhex("{content}"))
    sys.exit("{error}" or 0)
"""
UTL = """#!{python}
print('{{"hash": 10, "revision": 4711, "totalKey": 12, "totalSize": 9}}')
"""


class Machine:
    """A machine's folder and programs."""

    def __init__(self, root: Path) -> None:
        self.folder, self.bin = root / "backups", root / "bin"
        self.script = root / "etcd-backup"
        self.folder.mkdir()
        self.bin.mkdir()
        text = SCRIPT.read_text()
        for old, new in {"/var/lib/hardway-backups": self.folder, "/opt/hardway/bin": self.bin}.items():
            assert f'"{old}"' in text
            text = text.replace(old, str(new))
        self.script.write_text(text)
        self.has_etcd()

    def has_etcd(self, *, content: bytes = WHOLE, size: int = 1, error: str = "", seconds: float = 0) -> None:
        """Put etcd's programs there, as they behave when all is well or otherwise."""
        values = {"python": sys.executable, "content": content.hex(), "size": size, "error": error}
        values["seconds"] = seconds
        for name, text in {"etcdctl": CTL, "etcdutl": UTL}.items():
            (self.bin / name).write_text(text.format(**values))
            (self.bin / name).chmod(0o755)

    def holds(self, *hours: float) -> list[str]:
        """Snapshots of that many hours ago; gives their names."""
        names = []
        for age in hours:
            stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() - age * 3600))
            names.append(f"etcd-{stamp}-1.db")
            (self.folder / names[-1]).write_bytes(WHOLE)
        return names

    def names(self) -> list[str]:
        """What lies there, but for the lock."""
        return sorted(path.name for path in self.folder.iterdir() if path.name != ".lock")

    def back_up(self, keep: int = 96, days: int = 7) -> subprocess.CompletedProcess[str]:
        """Run the script."""
        return subprocess.run(
            [sys.executable, "-I", str(self.script)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "BACKUP_KEEP": str(keep), "BACKUP_DAYS": str(days)},
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine without any snapshot."""
    return Machine(tmp_path)


def test_a_snapshot_says_when_it_was_taken_and_its_revision_and_is_for_its_owner_only(
    machine: Machine,
) -> None:
    done = machine.back_up()
    assert done.returncode == 0, done.stderr
    (name,) = machine.names()
    assert name.startswith(time.strftime("etcd-%Y%m%dT", time.gmtime()))
    assert name.endswith("Z-4711.db")
    assert (machine.folder / name).stat().st_mode & 0o777 == 0o600
    assert (machine.folder / name).read_bytes() == WHOLE
    assert done.stdout == f"{name}: {len(WHOLE)} bytes, 12 keys, hash 0000000a\n"


def test_its_time_is_no_later_than_when_etcd_was_asked(machine: Machine) -> None:
    machine.has_etcd(seconds=2)
    assert machine.back_up().returncode == 0
    (name,) = machine.names()
    assert name.split("-")[1] <= (machine.bin / "etcdctl-asked").read_text()


def test_the_oldest_go_by_count(machine: Machine) -> None:
    names = machine.holds(1, 2, 3)
    assert machine.back_up(keep=2).returncode == 0
    left = machine.names()
    assert len(left) == 2
    assert names[0] in left


def test_the_oldest_go_by_age(machine: Machine) -> None:
    names = machine.holds(1, 23, 25, 400)
    assert machine.back_up(days=1).returncode == 0
    assert set(machine.names()) & set(names) == set(names[:2])


def test_the_newest_stays_however_old_it_is_when_no_other_can_be_taken(machine: Machine) -> None:
    names = machine.holds(1000, 1001)
    machine.has_etcd(error="context deadline exceeded")
    done = machine.back_up(keep=1, days=1)
    assert done.returncode == 1
    assert done.stderr == "etcdctl failed: context deadline exceeded\n"
    assert machine.names() == [names[0]]


@pytest.mark.parametrize(
    "content", [WHOLE[:-1], DATA, b"", WHOLE[:100]], ids=["cut", "no digest", "empty", "half"]
)
def test_what_does_not_end_in_its_digest_gets_no_name(machine: Machine, content: bytes) -> None:
    machine.has_etcd(content=content)
    done = machine.back_up()
    assert done.returncode == 1
    assert "does not end in its own digest" in done.stderr
    assert machine.names() == []


def test_a_full_disk_is_told_before_anything_is_written(machine: Machine) -> None:
    machine.has_etcd(size=1 << 60)
    done = machine.back_up()
    assert done.returncode == 1
    assert f"{machine.folder}: " in done.stderr
    assert "MiB free, and a snapshot needs 1099511627840; make room there" in done.stderr
    assert "Traceback" not in done.stderr
    assert machine.names() == []


def test_what_an_interrupted_run_left_is_swept_by_the_next(machine: Machine) -> None:
    for name in (".partial.db", ".partial.db.part"):
        (machine.folder / name).write_text("half")
    assert machine.back_up().returncode == 0
    assert len(machine.names()) == 1


def test_a_bucket_that_takes_nothing_is_told_and_the_snapshot_stays(machine: Machine, tmp_path: Path) -> None:
    """A boto3 of the test's own, found beside the script: -I would hide it, so it is run without."""
    (tmp_path / "boto3.py").write_text(
        "class client:\n"
        "    def __init__(self, name): assert name == 's3'\n"
        "    def upload_file(self, path, bucket, key): raise RuntimeError(f'AccessDenied {bucket} {key}')\n"
    )
    done = subprocess.run(
        [sys.executable, str(machine.script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={
            **os.environ,
            "BACKUP_KEEP": "9",
            "BACKUP_DAYS": "9",
            "BACKUP_BUCKET": "ours",
            "BACKUP_PREFIX": "dev/cp-0",
        },
    )
    (name,) = machine.names()
    assert done.returncode == 1
    assert done.stderr == (
        f"{name} stays here and did not reach s3://ours/dev/cp-0/: AccessDenied ours dev/cp-0/{name}\n"
    )
