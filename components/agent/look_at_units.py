"""Units of ours: whether they run, would run after a boot, and run with what lies on the disk now."""

import os
from fnmatch import fnmatch
from typing import Any

from components.agent import running, units
from components.agent.evidence import run, wait_until
from components.agent.findings import ACTIVATE, finding

Finding = dict[str, str]
PATIENCE_SECONDS = 10.0
"""How long a unit that does not answer is asked again."""
_ASKED = "Id,LoadState,ActiveState,SubState,UnitFileState,NRestarts,DropInPaths,NeedDaemonReload,MainPID"


def units_of(bundle: dict[str, Any], drifted: set[str]) -> tuple[str, list[Finding]]:
    """Every unit that the state names.

    Args:
        bundle: `units`, and `drop_ins`: paths of drop-ins that are ours.
        drifted: paths that differ already; what follows from them is not told again.
    """
    told = _ask(bundle["units"])
    recorded = units.recorded()
    found: list[Finding] = []
    for name in bundle["units"]:
        shown = told.get(name, {})
        foreign = [path for path in shown.get("DropInPaths", "").split() if path not in bundle["drop_ins"]]
        found += [_foreign(path) for path in foreign]
        what = _state(shown) or _inputs(name, shown, recorded, drifted | set(foreign))
        found += [finding(name, what, ACTIVATE)] if what else _health(name)
    restarts = {name: int(shown.get("NRestarts") or 0) for name, shown in told.items()}
    again = [f"{name} {count} times" for name, count in restarts.items() if count]
    note = f"{len(bundle['units'])} units"
    return note + (f"; restarted by systemd: {', '.join(again)}" if again else ""), found


def _ask(names: list[str]) -> dict[str, dict[str, str]]:
    blocks = run("systemctl", "show", f"--property={_ASKED}", *names).strip().split("\n\n")
    shown = [dict(line.split("=", 1) for line in block.splitlines()) for block in blocks]
    return dict(zip(names, shown, strict=True))


def _foreign(path: str) -> Finding:
    return finding(
        path,
        "changes a unit of ours and is not ours",
        way_out=f"if nobody needs it: 'rm {path}', 'systemctl daemon-reload' and restart the unit",
    )


def _state(shown: dict[str, str]) -> str:
    """What systemd says against the unit; empty where it runs and will after a boot."""
    if shown.get("LoadState") == "masked":
        return "is masked"
    if shown.get("LoadState") != "loaded":
        return f"is not loaded ({shown.get('LoadState', 'unknown')})"
    if shown["ActiveState"] != "active":
        return f"is {shown['ActiveState']} ({shown['SubState']})"
    if shown["UnitFileState"] != "enabled":
        return f"is {shown['UnitFileState']}: it would not start at the next boot"
    return ""


def _inputs(name: str, shown: dict[str, str], recorded: dict[str, str], drifted: set[str]) -> str:
    """Whether a unit that runs does so with something else than what lies there; empty where a path tells it."""
    path = f"{units.UNIT_FOLDER}/{name}"
    if path in drifted or not os.path.exists(path):
        return ""
    unit = units.read(name)
    patterns = (*unit.restart_on, *unit.reload_on)
    told = any(fnmatch(one, pattern) for one in drifted for pattern in patterns)
    if not told and recorded.get(name) != units.inputs_digest(unit):
        return "was started with other files than lie there now"
    # A timer has no process.
    if running.runs_another_file(unit, int(shown.get("MainPID") or 0)) and not _is_told(unit, drifted):
        return "runs another file than the one that lies there now"
    if not told and shown["NeedDaemonReload"] == "yes":
        return "was changed on the disk since systemd read it"
    return ""


def _health(name: str) -> list[Finding]:
    """Whether a unit that runs with what it should does its work; it is given time, since it may be starting."""
    path = f"{units.UNIT_FOLDER}/{name}"
    unit = units.read(name) if os.path.exists(path) else None
    url = unit.healthy if unit else None
    if url is None or wait_until(
        f"{name} to be healthy", lambda: units.answers(url), PATIENCE_SECONDS, interval=1
    ):
        return []
    way_out = f"'journalctl -u {name}' on it says why"
    return [finding(name, f"runs and is not healthy ({url})", way_out=way_out)]


def _is_told(unit: units.Unit, drifted: set[str]) -> bool:
    """Whether the binary itself is among what differs already."""
    return any(os.path.realpath(link) in drifted for link in unit.restart_on if os.path.islink(link))
