"""Phase 2: make the machine what the bundle says, restart only what changed, wait until it is healthy.

One activate serves the first creation, an update and a repair, and tells them apart by what it finds. What
never ran before is started without waiting, since its peers come later in the chain; what ran is restarted
only while the cluster can spare it, and waited for.
"""

import os
import urllib.error
from datetime import UTC, datetime
from fnmatch import fnmatch
from typing import Any

from components.agent import clock, etcd, files, make_way, running, skew, units
from components.agent.evidence import Failure, say, wait_until
from components.agent.kubelet_api import get as _get
from components.agent.lock import machine_lock

READY_SECONDS = 120.0
QUORUM_SECONDS = 60.0
PREPARED_UNITS = ("kube-network-policies-table.service",)
"""Units whose files prepare plants and takes away, as `machine_facts` says; named here, so that its rules are not sent
along."""


def run(bundle: dict[str, Any]) -> dict[str, Any]:
    """Activate this machine; gives what it now runs with."""
    with machine_lock():
        _check_staged(bundle)
        _refuse_half_a_restore(bundle)
        clock.check(bundle["files"])
        _refuse_to_lose_quorum(bundle)
        skew.check(bundle, _version_of)
        cordoned = make_way.make_way(bundle)
        try:
            restarted = _apply(bundle)
        except Failure as failure:
            if cordoned:
                raise Failure(f"{_stays_cordoned(bundle)} {failure}") from None
            raise
    return {
        "digest": bundle["digest"],
        "identity": bundle["identity"],
        "versions": bundle["versions"],
        "restarted": restarted,
    }


def _stays_cordoned(bundle: dict[str, Any]) -> str:
    return f"Node {bundle['machine']['name']} is drained and stays cordoned until a run ends well here."


def _version_of(api: str) -> str | None:
    """What an API server says that it is; None when it does not answer, or this machine has no credential yet."""
    try:
        return str(_get(f"{api}/version")["gitVersion"])
    except (OSError, KeyError, ValueError):
        return None


def _check_staged(bundle: dict[str, Any]) -> None:
    absent = [target for target in bundle["links"].values() if not os.path.exists(target)]
    if absent:
        raise Failure(
            f"{absent[0]} is not staged; run again: after a run that failed, 'make up' has every machine prepared "
            "anew"
        )


def _refuse_half_a_restore(bundle: dict[str, Any]) -> None:
    """Refuse to start etcd while only some members may have the restored data."""
    if bundle.get("etcd") and os.path.exists(etcd.RESTORE_MARK):
        raise Failure(
            "a restore of etcd was begun here and has not ended. Nothing was changed here. Run 'make restore' with the "
            f"same snapshot again; or, to give it up, remove {etcd.RESTORE_MARK} on every control-plane machine and "
            "run again"
        )


def _refuse_to_lose_quorum(bundle: dict[str, Any]) -> None:
    """Refuse before the first file changes, when etcd or the API server would restart and quorum would go.

    Without quorum nothing can be lost any more: then the files are written and everything is started.
    """
    if not bundle.get("etcd") or not os.path.exists(etcd.CTL[0]) or not _touches_critical_unit(bundle):
        return
    members = [member["name"] for member in bundle["etcd"]["members"]]
    healthy = etcd.healthy_members(bundle["etcd"]["members"])
    own = bundle["machine"]["name"]
    others = [name for name in healthy if name != own]
    has_quorum = len(healthy) >= len(members) // 2 + 1
    if own in healthy and has_quorum and not etcd.may_lose(len(others), len(members)):
        sick = ", ".join(name for name in members if name not in healthy)
        raise Failure(
            f"changing this machine would cost etcd its quorum: {sick} is not healthy. "
            f"Nothing was changed here. Look at 'systemctl status etcd' on {sick}, bring it back or "
            "replace it, then run again"
        )


def _touches_critical_unit(bundle: dict[str, Any]) -> bool:
    """Whether etcd or the API server would restart: what it restarts on will change, or has since it last started."""
    paths = files.differing(bundle["files"], bundle["links"])
    texts = {
        os.path.basename(f["path"]): f["text"]
        for f in bundle["files"]
        if f["path"].startswith(units.UNIT_FOLDER)
    }
    critical = [unit for name in bundle["units"] if (unit := units.parse(name, texts[name])).critical]
    patterns = [pattern for unit in critical for pattern in unit.restart_on]
    was = units.recorded()
    changed_before = any(
        units.inputs_digest(unit) != was.get(unit.name) or running.runs_another_file(unit)
        for unit in critical
    )
    return changed_before or any(fnmatch(path, pattern) for path in paths for pattern in patterns)


def _apply(bundle: dict[str, Any]) -> list[str]:
    names = bundle["units"]
    was = units.recorded()
    units.remove(
        [
            os.path.basename(path)
            for path in files.owned()
            if path.startswith(units.UNIT_FOLDER + "/") and path not in {f["path"] for f in bundle["files"]}
        ]
    )
    # Not in prepare, which touches nothing that runs. Before any restart: what restarts may need what these hold.
    units.stop_withdrawn(PREPARED_UNITS)
    files.make_folders(bundle["folders"])
    changes = running.changed_at(files.differing(bundle["files"], bundle["links"]))
    changed = files.apply(bundle["files"])
    changed += files.switch_links(bundle["links"])
    healthy, rejoined = _join_etcd(bundle) if bundle.get("etcd") else ([], False)
    units.enable(names)
    own = [units.read(name) for name in names]
    due = units.due(own, was)
    due += [
        unit
        for unit in own
        if unit not in due
        and (
            _has_lost_its_node(bundle, unit)
            or running.runs_another_file(unit)
            or running.read_what_changed(unit, changes)
        )
    ]
    waited = [unit for unit in due if unit.name in was or (rejoined and unit.critical)]
    if not _is_alive(bundle, healthy):
        waited = []
    units.start_without_waiting([unit for unit in due if unit not in waited])
    _restart_in_order(bundle, waited, healthy)
    if "kubelet.service" in was:
        make_way.give_back(bundle)
    say(f"{len(changed)} files changed; {', '.join(unit.name for unit in due) or 'nothing'} restarted")
    return [unit.name for unit in due]


def _is_alive(bundle: dict[str, Any], healthy: list[str]) -> bool:
    """Whether waiting for health makes sense: the cluster this machine is a part of can do its work.

    Without quorum, or without any API server, units are only started: their peers come later in the chain.
    """
    if bundle.get("etcd"):
        return len(healthy) >= len(bundle["etcd"]["members"]) // 2 + 1
    # Asked directly: this machine's own balancer may be what is broken, or about to change.
    return not bundle["machine"]["node"] or any(
        units.answers(f"{api}/readyz") for api in bundle["api_servers"]
    )


def _restart_in_order(bundle: dict[str, Any], waited: list[units.Unit], healthy: list[str]) -> None:
    """Restart what ran before, one unit after the other, each only when the one before it is healthy.

    A unit that ran before and is broken now is waited for too: or else a second try of a bad change would go on to
    the next machine.
    """
    for unit in waited:
        started = datetime.now(UTC)
        if unit.name == "etcd.service":
            etcd.hand_over(_own_member(bundle), bundle["etcd"]["members"], healthy)
        units.restart_and_wait(unit)
        if unit.name == "kubelet.service":
            _wait_for_node(bundle, started)


def _own_member(bundle: dict[str, Any]) -> dict[str, str]:
    return next(member for member in bundle["etcd"]["members"] if member["name"] == bundle["machine"]["name"])


def _join_etcd(bundle: dict[str, Any]) -> tuple[list[str], bool]:
    """Bring the membership in order; gives the healthy members, and whether this one joins a living cluster anew.

    Raises:
        Failure: this member has no data, the others know a cluster, and it does not answer in time.
    """
    own, members = _own_member(bundle), bundle["etcd"]["members"]
    healthy = etcd.healthy_members(members)
    if not healthy and not etcd.has_data() and etcd.is_established(own, members):
        found = wait_until("etcd's quorum", lambda: bool(etcd.healthy_members(members)), QUORUM_SECONDS)
        healthy = etcd.healthy_members(members) if found else []
        if not healthy:
            raise Failure(
                f"{own['name']} has no etcd data and the other members, which do, have no quorum without "
                "it. Founding a second cluster would lose theirs: bring them back first ('systemctl status etcd' on "
                "each), then run again"
            )
    decision = etcd.join(own, members, healthy)
    if decision is not etcd.Decision.START:
        say(f"etcd member {own['name']}: {decision.value}")
    joins = (etcd.Decision.JOIN, etcd.Decision.REJOIN, etcd.Decision.DISCARD_AND_JOIN)
    return healthy, decision in joins


def _wait_for_node(bundle: dict[str, Any], since: datetime) -> None:
    """Wait until the API calls this Node Ready, and its kubelet has told of the new version since the restart."""
    name, wanted = bundle["machine"]["name"], bundle["versions"]["kubelet"]
    if not wait_until(f"Node {name} to be Ready", lambda: _node_is_ready(bundle, since), READY_SECONDS):
        raise Failure(
            f"Node {name} is not Ready with kubelet {wanted} {READY_SECONDS:.0f} s after its kubelet restarted; "
            f"'kubectl describe node {name}' tells its conditions"
        )


def _has_lost_its_node(bundle: dict[str, Any], unit: units.Unit) -> bool:
    """Whether a kubelet that runs has no Node any more: it registers when it starts and never again.

    A drain deletes the Node of a machine that is to go. When the machine stays after all (the run was ended in
    between, the setting was taken back), this is what brings its Node back.
    """
    if unit.name != "kubelet.service":
        return False
    try:
        _get(f"{bundle['api']}/api/v1/nodes/{bundle['machine']['name']}")
    except urllib.error.HTTPError as error:
        return error.code == 404
    except (OSError, urllib.error.URLError):
        return False
    return False


def _node_is_ready(bundle: dict[str, Any], since: datetime) -> bool:
    """Ask with the kubelet's own credential, which may read its Node and its lease."""
    name, api = bundle["machine"]["name"], bundle["api"]
    try:
        node = _get(f"{api}/api/v1/nodes/{name}")
        lease = _get(f"{api}/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}")
    except (OSError, urllib.error.URLError):
        return False
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"]["conditions"])
    heard = datetime.fromisoformat(lease["spec"]["renewTime"]) > since
    return ready and heard and make_way.runs(node, bundle["versions"]["kubelet"])
