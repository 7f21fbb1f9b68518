"""Compares this machine with what the state says of it. Changes nothing.

Each check gives findings (what differs, and the way out) and a note on what was looked at. A finding says which phase
puts it right: `activate`, `prepare`, or none, where somebody has to decide.
"""

import time
from collections.abc import Callable
from typing import Any

from components.agent import look_at_cluster, look_at_files, look_at_machine, look_at_units
from components.agent.evidence import Failure

Finding = dict[str, str]


def run(bundle: dict[str, Any]) -> dict[str, Any]:
    """Look at everything that the bundle names.

    Args:
        bundle: what this machine has to be: `files` and `folders` (digests, modes, owners), `links`, `artifacts`,
            `units`, `versions`, `certificates`, and what belongs to its role.

    Returns:
        `checks`: a note for each check that was made; `findings`: check, place, what, wayOut, repair; `clock`: this
        machine's seconds since 1970.
    """
    findings: list[Finding] = []
    notes: dict[str, str] = {}
    drifted: set[str] = set()
    for check, look in _checks(bundle, drifted):
        try:
            notes[check], found = look()
        except (Failure, OSError, ValueError, KeyError) as error:
            notes[check], found = "could not be looked at", [_unseen(check, error)]
        findings += [{"check": check, **finding} for finding in found]
        drifted |= {finding["place"] for finding in found}
    return {"checks": notes, "findings": findings, "clock": time.time()}


def _checks(
    bundle: dict[str, Any], drifted: set[str]
) -> list[tuple[str, Callable[[], tuple[str, list[Finding]]]]]:
    """Each check by its name, in the order in which one explains the next."""
    checks: list[tuple[str, Callable[[], tuple[str, list[Finding]]]]] = [
        ("files", lambda: look_at_files.files_and_links(bundle)),
        ("binaries", lambda: look_at_files.binaries(bundle)),
        ("units", lambda: look_at_units.units_of(bundle, drifted)),
        ("disk", look_at_machine.disk),
        ("time", lambda: look_at_machine.clock_of(bundle)),
    ]
    if bundle["certificates"]:
        checks.append(("certificates", lambda: look_at_machine.certificates(bundle["certificates"])))
    if bundle["machine"]["node"]:
        checks.append(("versions", lambda: look_at_cluster.versions(bundle)))
    if bundle.get("etcd"):
        checks.append(("etcd", lambda: look_at_cluster.etcd_member(bundle)))
    return checks


def _unseen(check: str, error: Exception) -> Finding:
    words = " ".join(str(error).split())[:300]
    return {
        "place": check,
        "what": f"could not be looked at ({type(error).__name__}: {words})",
        "wayOut": "bring back what it names, then verify again",
        "repair": "",
    }
