"""Phase 1: everything a machine needs before it is told what to be. Never touches what runs.

Packages, users, disks, kernel settings, artifacts into versioned folders, drop-ins from the machine's own facts. All
machines do this at once, so a new version is staged everywhere while the old one serves.
"""

import os
import pwd
from dataclasses import asdict
from typing import Any

from components.agent import cloud, cloud_init, disks, downloads, machine_facts, packages
from components.agent.evidence import Failure, say, write_file
from components.agent.evidence import run as command
from components.agent.lock import machine_lock

STATE = "/var/lib/hardway"


def run(bundle: dict[str, Any]) -> dict[str, Any]:
    """Prepare this machine; gives what was found and staged."""
    cloud_init.wait()
    with open("/etc/os-release") as release:
        system = machine_facts.check_distribution(release.read())
    _check_architecture(bundle["machine"]["architecture"])
    os.makedirs(STATE, mode=0o700, exist_ok=True)
    with machine_lock():
        packages.install(bundle["packages"], bundle.get("proxy"))
        packages.silence_haproxy()
        for user, home in bundle["users"].items():
            _make_user(user, home)
        disks.mount(bundle.get("disks", []))
        facts = machine_facts.find()
        _apply_kernel_files(bundle["kernel_files"], container=facts.container)
        provider = cloud.provider_id(bundle.get("cloud"))
        if bundle["machine"]["node"]:
            _plant_drop_ins(machine_facts.drop_ins(facts, bundle["pods"]) | cloud.drop_in(provider))
        fetched = downloads.stage(bundle["artifacts"], bundle.get("proxy"))
    say(f"prepared: {fetched} of {len(bundle['artifacts'])} artifacts fetched")
    # Among the facts, since activate runs again when they change: the kubelet reads a drop-in at its start only.
    identity = {} if provider is None else {"provider_id": provider}
    return {
        "system": system,
        "identity": bundle["identity"],
        "facts": asdict(facts) | identity,
        # Into the state, where `verify` finds them: an archive's digest says nothing of the files in it.
        "members": _members(bundle["artifacts"]),
    }


def _members(artifacts: list[dict[str, Any]]) -> dict[str, dict[str, str]]:
    """sha256 of each file that came out of an archive, by the archive's folder."""
    found = {}
    for artifact in artifacts:
        files = downloads.staged_files(downloads.folder(artifact))
        digests = {name: str(file["sha256"]) for name, file in files.items()}
        if "reference" not in artifact and set(digests.values()) != {artifact["sha256"]}:
            found[downloads.folder(artifact)] = digests
    return found


def _check_architecture(wanted: str) -> None:
    found = machine_facts.architecture()
    if found != wanted:
        raise Failure(
            f"this machine is {found} and the settings say {wanted}; correct its architecture there"
        )


def _make_user(name: str, home: str) -> None:
    try:
        pwd.getpwnam(name)
    except KeyError:
        command(
            "useradd", "--system", "--user-group", "--home-dir", home, "--shell", "/usr/sbin/nologin", name
        )
    os.makedirs(home, mode=0o700, exist_ok=True)
    entry = pwd.getpwnam(name)
    os.chown(home, entry.pw_uid, entry.pw_gid)
    os.chmod(home, 0o700)


def _plant_drop_ins(wanted: dict[str, str]) -> None:
    """Write what the facts ask for, and take away what they asked for once (a kernel learns a new expression)."""
    for path in (*machine_facts.DROP_INS, cloud.DROP_IN):
        if path in wanted:
            write_file(path, wanted[path], 0o600)
        elif os.path.exists(path):
            os.unlink(path)


def _apply_kernel_files(files: dict[str, str], *, container: bool) -> None:
    for path, text in files.items():
        write_file(path, text)
        if path.startswith("/etc/modules-load.d/"):
            machine_facts.load_modules(text)
    for path, text in files.items():
        if path.startswith("/etc/sysctl.d/"):
            machine_facts.check_kernel_settings(text, container=container)
