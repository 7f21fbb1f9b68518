"""systemd units: which have to restart, restarting them in order, and waiting until they are healthy.

A unit file says itself what it depends on, in a section that systemd ignores:

    [X-Hardway]
    RestartOn=    files (globs) whose change asks for a restart
    ReloadOn=     files (globs) whose change asks for a reload: what the unit has begun goes on
    Healthy=      URL that answers 200 when the unit does its work; none: being active is enough
    Critical=yes  restarting it takes a vote or an API server away for a moment
    HealthyEnvironment=  file with values for ${...} in that URL

What a unit was last started with is recorded as a digest after it became healthy. A restart is due when that
differs from what lies there now, so an interrupted run is made good by the next one.
"""

import configparser
import glob
import json
import os
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass

from components.agent.evidence import Failure, run, say, succeeds, unit_evidence, wait_until, write_file
from components.agent.files import digest

UNIT_FOLDER = "/etc/systemd/system"
RECORD = "/var/lib/hardway/units.json"
HEALTH_SECONDS = 90.0
CRASH_LOOP = 5
"""Restarts by systemd after which a unit counts as broken."""


@dataclass(frozen=True)
class Unit:
    """One unit of ours.

    Attributes:
        name: such as kubelet.service.
        restart_on: files (globs) whose change asks for a restart.
        healthy: URL to ask, or None.
        critical: whether the cluster has to be able to spare it before it restarts.
        reload_on: files (globs) whose change asks for a reload.
    """

    name: str
    restart_on: tuple[str, ...]
    healthy: str | None
    critical: bool
    reload_on: tuple[str, ...] = ()


def read(name: str, folder: str = UNIT_FOLDER) -> Unit:
    """Read an installed unit file's own section."""
    with open(f"{folder}/{name}") as file:
        return parse(name, file.read(), folder)


def parse(name: str, text: str, folder: str = UNIT_FOLDER) -> Unit:
    """What a unit file's text says of itself."""
    parser = configparser.RawConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string("[X-Hardway]\n" + text.partition("[X-Hardway]\n")[2])
    section = parser["X-Hardway"]
    path = f"{folder}/{name}"
    url = section.get("Healthy")
    environment = section.get("HealthyEnvironment")
    if url and environment and os.path.exists(environment):
        url = _expand(url, environment)
    restart_on = (path, f"{path}.d/*.conf", *section.get("RestartOn", "").split())
    reload_on = tuple(section.get("ReloadOn", "").split())
    return Unit(name, restart_on, url, section.get("Critical") == "yes", reload_on)


def _expand(url: str, environment: str) -> str:
    with open(environment) as file:
        values = dict(line.strip().split("=", 1) for line in file if "=" in line)
    return re.sub(r"\$\{(\w+)\}", lambda match: values[match.group(1)].strip('"'), url)


def inputs_digest(unit: Unit) -> str:
    """Digest of everything that the unit would be started with now."""
    return _digest_of((*unit.restart_on, *unit.reload_on))


def _digest_of(patterns: tuple[str, ...]) -> str:
    return digest([path for pattern in patterns for path in (glob.glob(pattern) or [pattern])])


def recorded(path: str = RECORD) -> dict[str, str]:
    """What each unit was last started with."""
    try:
        with open(path) as file:
            return dict(json.load(file))
    except FileNotFoundError:
        return {}


def record(unit: Unit, value: str, path: str = RECORD) -> None:
    """Remember what a unit was started with."""
    values = {**recorded(path), unit.name: value}
    if unit.reload_on:
        values[_started(unit)] = _digest_of(unit.restart_on)
    write_file(path, json.dumps(values, indent=1, sort_keys=True), 0o600)


def _started(unit: Unit) -> str:
    """Under which name the record has what no reload takes up."""
    return f"{unit.name} started"


def _takes_a_reload(unit: Unit) -> bool:
    """Whether the unit runs, and all that changed is what a reload takes up."""
    if not unit.reload_on or not is_active(unit.name):
        return False
    return recorded().get(_started(unit)) == _digest_of(unit.restart_on)


def is_active(name: str) -> bool:
    """Whether systemd calls the unit active; `activating` is not."""
    return states([name])[name] == "active"


def states(names: list[str]) -> dict[str, str]:
    """What systemd calls each unit."""
    lines = run("systemctl", "show", "--property=ActiveState", "--value", *names).split()
    return dict(zip(names, lines, strict=True))


def is_healthy(unit: Unit) -> bool:
    """Whether the unit is active and its URL, if it has one, answers 200 within two seconds."""
    if not is_active(unit.name):
        return False
    return unit.healthy is None or answers(unit.healthy)


def answers(url: str, seconds: float = 2) -> bool:
    """Whether a URL on this machine answers 200; unchecked, since it is loopback and no secret is sent."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(url, timeout=seconds, context=context) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def start_without_waiting(units: list[Unit]) -> None:
    """Queue restarts and return: the gate at the end of the chain waits for what was not running."""
    if not units:
        return
    _forget_failures([unit.name for unit in units])
    run("systemctl", "restart", "--no-block", *(unit.name for unit in units))
    for unit in units:
        record(unit, inputs_digest(unit))


def restart_and_wait(unit: Unit, seconds: float = HEALTH_SECONDS) -> None:
    """Restart one unit and wait until it is healthy; Failure with its last lines when it is not in time.

    It is reloaded instead where that is enough.
    """
    begin = time.monotonic()
    value = inputs_digest(unit)
    _forget_failures([unit.name])
    if _takes_a_reload(unit):
        _reload(unit, value, seconds)
        return
    run("systemctl", "restart", "--no-block", unit.name)
    # The old process may still answer: wait for the restart job to be taken up before asking for health.
    wait_until(
        f"{unit.name} to restart", lambda: not _has_job(unit.name) or not is_active(unit.name), seconds
    )
    wait_until(f"{unit.name} to be healthy", lambda: _settled(unit), seconds)
    if not is_healthy(unit):
        raise Failure(
            f"{unit.name} was restarted and is not healthy after {time.monotonic() - begin:.0f} s; "
            "no machine after this one was changed. Correct the cause and run again.\n"
            + unit_evidence(unit.name)
        )
    record(unit, value)
    say(f"restarted {unit.name}, healthy after {time.monotonic() - begin:.1f} s")


def _reload(unit: Unit, value: str, seconds: float) -> None:
    """Not queued: systemctl fails when the unit refuses what lies there now, and the unit goes on as it was."""
    run("systemctl", "reload", unit.name)
    if not wait_until(f"{unit.name} to be healthy", lambda: is_healthy(unit), seconds):
        raise Failure(
            f"{unit.name} was reloaded and is not healthy after {seconds:.0f} s. Correct the cause and run again.\n"
            + unit_evidence(unit.name)
        )
    record(unit, value)
    say(f"reloaded {unit.name}")


def _settled(unit: Unit) -> bool:
    """Healthy, or falling over so often that waiting on tells nothing new."""
    return restarts(unit.name) >= CRASH_LOOP or (is_healthy(unit) and not _has_job(unit.name))


def restarts(name: str) -> int:
    """How often systemd has restarted the unit by itself since it was started."""
    return int(run("systemctl", "show", "--property=NRestarts", "--value", name).strip() or 0)


def _forget_failures(names: list[str]) -> None:
    """Reset counters and start limits; a unit that systemd has not loaded yet has none."""
    succeeds("systemctl", "reset-failed", *names)


def _has_job(name: str) -> bool:
    return run("systemctl", "show", "--property=Job", "--value", name).strip() not in ("", "0")


def due(units: list[Unit], was: dict[str, str]) -> list[Unit]:
    """Units that have to be (re)started: their inputs differ from what they run with, or they do not run."""
    now = states([unit.name for unit in units]) if units else {}
    return [unit for unit in units if inputs_digest(unit) != was.get(unit.name) or now[unit.name] != "active"]


def remove(names: list[str]) -> None:
    """Stop and disable units that the machine is to have no more; their files go with the tree."""
    for name in names:
        if os.path.exists(f"{UNIT_FOLDER}/{name}"):
            run("systemctl", "disable", "--now", name, timeout=120)


def stop_withdrawn(names: Iterable[str]) -> None:
    """Stop what still runs by a unit file that is gone; systemd keeps such a unit until it ends.

    Asked of what runs, not of who took the file away: a run that was interrupted in between is made good by the next.
    """
    gone = [name for name in names if not os.path.exists(f"{UNIT_FOLDER}/{name}")]
    running = (
        [name for name, state in states(gone).items() if state not in ("inactive", "failed")] if gone else []
    )
    if running:
        run("systemctl", "stop", *running, timeout=120)


def enable(names: list[str]) -> None:
    """Read the unit files anew and start the units at every boot."""
    run("systemctl", "daemon-reload")
    run("systemctl", "enable", "--quiet", *names)
