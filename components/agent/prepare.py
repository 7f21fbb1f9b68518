"""Phase 1: everything a machine needs before it is told what to be. Never touches what runs.

Packages, users, kernel settings, artifacts into versioned folders, drop-ins from the machine's own facts. All
machines do this at once, so a new version is staged everywhere while the old one serves.
"""

import os
import pwd
import subprocess
from dataclasses import asdict
from typing import Any

from components.agent import downloads, machine_facts
from components.agent.evidence import Failure, say, succeeds, write_file
from components.agent.evidence import run as command
from components.agent.lock import machine_lock

STATE = "/var/lib/hardway"


def run(bundle: dict[str, Any]) -> dict[str, Any]:
    """Prepare this machine; gives what was found and staged."""
    with open("/etc/os-release") as release:
        system = machine_facts.check_distribution(release.read())
    _check_architecture(bundle["machine"]["architecture"])
    os.makedirs(STATE, mode=0o700, exist_ok=True)
    with machine_lock():
        _install_packages(bundle["packages"])
        _silence_haproxy()
        for user, home in bundle["users"].items():
            _make_user(user, home)
        facts = machine_facts.find()
        _apply_kernel_files(bundle["kernel_files"], container=facts.container)
        if bundle["machine"]["node"]:
            _plant_drop_ins(machine_facts.drop_ins(facts, bundle["pods"]))
        fetched = downloads.stage(bundle["artifacts"])
    say(f"prepared: {fetched} of {len(bundle['artifacts'])} artifacts fetched")
    return {"system": system, "identity": bundle["identity"], "facts": asdict(facts)}


def _check_architecture(wanted: str) -> None:
    found = machine_facts.architecture()
    if found != wanted:
        raise Failure(
            f"this machine is {found} and the settings say {wanted}; correct its architecture there"
        )


def _install_packages(wanted: list[str]) -> None:
    """Install the packages that are missing; another run of the package manager is waited for."""
    listed = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *wanted],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    ).stdout
    missing = [package for package in wanted if f"{package} installed\n" not in listed]
    if not missing:
        return
    say(f"installing packages: {' '.join(missing)}")
    apt = [
        "env",
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "--quiet",
        "--yes",
        "-o",
        "DPkg::Lock::Timeout=300",
    ]
    command(*apt, "update", timeout=300)
    command(*apt, "install", "--no-install-recommends", *missing, timeout=600)


def _silence_haproxy() -> None:
    """The package starts a service of its own, whoever installed it; ours has another name and configuration."""
    if succeeds("systemctl", "is-enabled", "--quiet", "haproxy.service"):
        command("systemctl", "disable", "--now", "haproxy.service")


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
    for path in machine_facts.DROP_INS:
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
