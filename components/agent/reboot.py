"""The steps of a machine's reboot, each on the machine that can do it; the order is the operator's command's.

On a control-plane machine: `leave` cordons and drains a Node, `back` waits until the same Node is Ready with its new
boot and lets pods on it again. On the machine itself: `look`, `go` and `settled`.
"""

import json
import os
from typing import Any

from components.agent import drain, etcd, members, nodes, units
from components.agent.evidence import Failure, say, succeeds, unit_evidence, wait_until
from components.agent.evidence import run as command
from components.agent.lock import hold, machine_lock

BOOT_ID = "/proc/sys/kernel/random/boot_id"
REQUIRED = "/run/reboot-required"
"""Debian and Ubuntu make it when an update waits for a reboot."""
OURS = "hardway.dev/cordoned-for-reboot"
"""Annotation of a Node that this made unschedulable: whoever cordoned one by hand finds it cordoned afterwards."""
LOCK_SECONDS = 300.0
"""How long a drain waits for another; the operator's command has it in its bound."""
UNITS_SECONDS = 300.0
NODE_SECONDS = 180.0
KUBECTL = [nodes.KUBECTL, f"--kubeconfig={nodes.ADMIN}", "--request-timeout=35s"]


def run(bundle: dict[str, Any]) -> dict[str, Any]:
    """Run the bundle's step."""
    steps = {"look": _look, "go": _go, "settled": _settled, "leave": _leave, "back": _back}
    return steps[bundle["step"]](bundle)


def boot_id() -> str:
    """What the kernel calls this boot."""
    with open(BOOT_ID) as file:
        return file.read().strip()


def _look(_bundle: dict[str, Any]) -> dict[str, Any]:
    return {"boot": boot_id(), "required": os.path.exists(REQUIRED)}


def _go(bundle: dict[str, Any]) -> dict[str, Any]:
    """Hand etcd's leadership over and reboot a second later, when the answer has left."""
    with machine_lock():
        if members.is_member():
            known = members.read()
            if len(known) > 1:
                healthy = members.refuse_unless_all_answer(known, "a reboot")
                own = next(member for member in known if member["name"] == bundle["machine"]["name"])
                etcd.hand_over(own, known, healthy)
        before = boot_id()
        command(
            "systemd-run",
            "--collect",
            "--on-active=1s",
            "--timer-property=AccuracySec=100ms",
            "systemctl",
            "reboot",
        )
    return {"boot": before}


def _settled(_bundle: dict[str, Any]) -> dict[str, Any]:
    """Wait until every unit of ours does its work, and on a member of etcd all members do."""
    own = [units.read(name) for name in _own_units()]
    sick: list[str] = []

    def all_healthy() -> bool:
        sick[:] = [unit.name for unit in own if not units.is_healthy(unit)]
        return not sick

    if not wait_until("its units", all_healthy, UNITS_SECONDS, interval=0.5):
        evidence = "\n".join(unit_evidence(unit) for unit in sick)
        raise Failure(f"rebooted, and {', '.join(sick)} not healthy {UNITS_SECONDS:.0f} s later\n{evidence}")
    if members.is_member():
        wait_until("etcd's members", _all_members_answer, UNITS_SECONDS, interval=0.5)
        members.refuse_unless_all_answer(members.read(), "the next reboot")
    return {"boot": boot_id(), "units": [unit.name for unit in own]}


def _own_units() -> list[str]:
    """Units that the last activate left on this machine."""
    return [name for name in units.recorded() if os.path.exists(f"{units.UNIT_FOLDER}/{name}")]


def _all_members_answer() -> bool:
    try:
        known = members.read()
    except Failure:
        return False
    return len(etcd.healthy_members(known)) == len(known)


def _leave(bundle: dict[str, Any]) -> dict[str, Any]:
    """Cordon and drain a Node; when pods stayed, it is as schedulable as before this or an earlier round."""
    name = bundle["node"]
    with hold(drain.LOCK, "another drain", LOCK_SECONDS):
        node = _node(name)
        if _is_ours(node):
            node["spec"].pop(
                "unschedulable", None
            )  # a round that was ended did that, so a drain takes it back
        ours = not node.get("spec", {}).get("unschedulable")
        try:
            if ours:
                command(*KUBECTL, "annotate", "node", name, f"{OURS}=yes", "--overwrite")
            drain.empty(KUBECTL, node, float(bundle["seconds"]), force=bool(bundle["force"]))
        except (Failure, SystemExit):
            # It takes pods again: a mark that stayed would take back a cordon that somebody else makes later.
            if ours and succeeds(*KUBECTL, "uncordon", name):
                succeeds(*KUBECTL, "annotate", "node", name, f"{OURS}-")
            raise
    return {"node": name}


def _back(bundle: dict[str, Any]) -> dict[str, Any]:
    """Wait until the Node is Ready with this boot; then pods may come, unless somebody else had cordoned it."""
    name, boot = bundle["node"], bundle["boot"]

    def ready() -> bool:
        node = nodes.read(KUBECTL).get(name)
        return node is not None and node["status"]["nodeInfo"]["bootID"] == boot and nodes.is_ready(node)

    if not wait_until(f"Node {name} to be Ready", ready, NODE_SECONDS, interval=0.5):
        missing = nodes.describe_missing(nodes.read(KUBECTL), [name], NODE_SECONDS)
        raise Failure(f"Node {name} has rebooted and takes no pods yet: {missing}")
    if _is_ours(_node(name)):
        command(*KUBECTL, "uncordon", name)
        command(*KUBECTL, "annotate", "node", name, f"{OURS}-")
    cordoned = _is_cordoned(name)
    if cordoned:
        say(f"Node {name} stays cordoned, as it was before")
    return {"node": name, "cordoned": cordoned}


def _is_ours(node: dict[str, Any]) -> bool:
    return OURS in node["metadata"].get("annotations", {})


def _is_cordoned(name: str) -> bool:
    return bool(_node(name).get("spec", {}).get("unschedulable"))


def _node(name: str) -> dict[str, Any]:
    return dict(json.loads(command(*KUBECTL, "get", "node", name, "--output=json")))
