"""Every secret of the real cluster as a sentinel, searched for wherever it must not be: none is found."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from lab import event_log
from lab import stack as lab_stack
from tests.e2e.cluster import Cluster
from tests.e2e.sentinels import needles, seen, seen_in

SEARCH = r"""
import json, os, stat, subprocess, sys
from pathlib import Path
wanted = [(needle.encode(), name) for needle, name in json.load(sys.stdin).items()]
hits = {}

def look(where, data):
    for name in {name for needle, name in wanted if needle in data}:
        hits.setdefault(name, []).append(where)

for folder in Path("/proc").glob("[0-9]*"):
    if folder.name == str(os.getpid()):
        continue
    for kind in ("cmdline", "environ"):
        try:
            look(f"{kind} of {(folder / 'comm').read_text().strip()}", (folder / kind).read_bytes())
        except OSError:
            pass
look("journal", subprocess.run(["journalctl", "--no-pager", "--all"], capture_output=True).stdout)
look("ps", subprocess.run(["ps", "-ef", "ww"], capture_output=True).stdout)
device = os.stat("/").st_dev
files = 0
for top, folders, names in os.walk("/"):
    # The kernel's, and what containers of the same image share with everybody.
    folders[:] = [one for one in folders if os.path.join(top, one) not in ("/proc", "/sys", "/dev", "/opt/hardway")]
    for name in names:
        path = os.path.join(top, name)
        try:
            about = os.lstat(path)
            everybody = about.st_mode & stat.S_IROTH
            units = path.startswith(("/etc/systemd/", "/tmp/", "/var/tmp/", "/run/hardway"))
            if not stat.S_ISREG(about.st_mode) or about.st_size > 8 << 20 or not (everybody or units):
                continue
            files += 1
            with open(path, "rb") as file:
                look(path, file.read())
        except OSError:
            pass
print(json.dumps({"hits": hits, "files": files}))
"""
"""Runs on a machine: needles on standard input, sightings out; the machine's own secret files are not for everybody."""


@pytest.fixture(scope="module")
def wanted(cluster: Cluster) -> dict[str, str]:
    found = needles(cluster)
    names = set(found.values())
    assert {"passphrase", "encryption at rest", "digests", "a ServiceAccount's token"} <= names
    for key in (
        "kubernetes-ca",
        "etcd-ca",
        "front-proxy-ca",
        "service-account",
        "ssh-login",
        "secret-seed",
        "admin",
    ):
        assert any(name.startswith(f"{key} (") for name in names), key
    return found


def _search(cluster: Cluster, machine: str, wanted: Mapping[str, str]) -> tuple[dict[str, list[str]], int]:
    quoted = SEARCH.replace("'", "'\"'\"'")
    said = cluster.ssh(machine, f"python3 -I -c '{quoted}'", stdin=json.dumps(wanted), seconds=180)
    answer = json.loads(said.splitlines()[-1])
    return dict(answer["hits"]), int(answer["files"])


def test_the_state_shows_no_secret_unless_it_is_asked_to(cluster: Cluster, wanted: dict[str, str]) -> None:
    line = ["pulumi", "stack", "export", "--stack", cluster.name]
    assert seen(lab_stack.capture(line), wanted) == set()
    assert "ssh-login (privateKeyOpenssh)" in seen(lab_stack.capture([*line, "--show-secrets"]), wanted)


def test_neither_output_nor_event_log_nor_timeline_nor_preview_shows_a_secret(
    cluster: Cluster, wanted: dict[str, str]
) -> None:
    previewed = cluster.lab("preview", FULL="1")
    assert previewed.status == 0, previewed.tail()
    stack = cluster.stack
    written = [*cluster.logs.glob("*.log"), stack.events, event_log.times_file(stack.events), stack.timeline]
    assert stack.events.stat().st_size > 0
    assert seen_in(written, wanted) == {}


def test_this_computers_processes_show_no_secret(wanted: dict[str, str]) -> None:
    """`environ` is its owner's alone; a command line is everybody's."""
    lines = subprocess.run(["ps", "-ef", "ww"], capture_output=True, text=True, check=True).stdout
    assert seen(lines, wanted) == set()
    lines = "".join(
        path.read_bytes().decode(errors="replace")
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if os.access(path, os.R_OK)
    )
    assert seen(lines, wanted) == set()


def test_no_file_of_this_clone_that_others_may_read_shows_a_secret(
    cluster: Cluster, wanted: dict[str, str]
) -> None:
    folder = cluster.stack.folder
    readable = [path for path in folder.rglob("*") if path.is_file() and path.stat().st_mode & 0o004]
    assert folder.stat().st_mode & 0o077 == 0
    assert seen_in(readable, wanted) == {}


def test_no_machine_shows_a_secret_to_others_in_processes_journals_units_or_files(
    cluster: Cluster, wanted: dict[str, str]
) -> None:
    files = 0
    for machine in [*cluster.nodes, "lb-0"]:
        hits, looked_at = _search(cluster, machine, wanted)
        assert hits == {}, machine
        assert looked_at > 100, machine
        files += looked_at
    cluster.figures["secrets searched for, in files of all machines"] = (
        f"{len(set(wanted.values()))}, {files}"
    )


@pytest.mark.parametrize(
    "place", ["/etc/systemd/system/planted.conf", "/var/tmp/planted", "/etc/planted", "journal"]
)
def test_a_secret_that_is_planted_is_found(cluster: Cluster, wanted: dict[str, str], place: str) -> None:
    """Else that nothing is found would tell nothing."""
    needle = next(needle for needle, name in wanted.items() if name == "encryption at rest")
    machine = "lb-0"
    command = (
        "systemd-cat --identifier=planted" if place == "journal" else f"install -m 0644 /dev/stdin {place}"
    )
    planted = f"planted-{place}-{needle}" if place != "journal" else None
    if planted is None:  # a journal forgets nothing, so what is planted there is no secret
        planted = "sentinel-of-a-test-in-the-journal"
        wanted = {planted: "planted"}
    cluster.ssh(machine, command, stdin=planted)
    try:
        hits, _ = _search(cluster, machine, wanted)
    finally:
        cluster.ssh(machine, f"rm -f {place}" if place != "journal" else "true")
    assert [place] in hits.values(), hits
