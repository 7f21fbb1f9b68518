"""etcd membership: what a member must do to join or rejoin, and whether the cluster can spare it now.

`decide` is pure: facts in, one decision out. A wiped member never rejoins as `new` beside a living cluster
(etcd#2780, #11410, #20269): it is removed, added again and starts as `existing`.
"""

import glob
import json
import os
import ssl
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from typing import Any

from components.agent.evidence import Failure, run, say, succeeds, write_file

DATA = "/var/lib/etcd/member"
LOG = f"{DATA}/wal/*.wal"
"""What makes a data folder a member's: etcd makes the folder itself before it is refused by its peers."""
ENVIRONMENT = "/var/lib/hardway/etcd-initial.env"
RESTORE_MARK = "/var/lib/hardway/etcd-restore.json"
"""Exists from the staging of a restore to its end."""
CTL = (
    "/opt/hardway/bin/etcdctl",
    "--cacert=/etc/etcd/pki/ca.crt",
    "--cert=/etc/etcd/pki/healthcheck-client.crt",
    "--key=/etc/etcd/pki/healthcheck-client.key",
)


class Decision(Enum):
    """What a member does before its etcd starts."""

    START = "start"
    FOUND = "found"
    JOIN = "join"
    REJOIN = "rejoin"
    DISCARD_AND_JOIN = "discard-and-join"


@dataclass(frozen=True)
class Situation:
    """What the member finds.

    Attributes:
        has_data: whether its own data folder holds a member.
        others_alive: whether a cluster with quorum answers through another member.
        listed: whether that cluster lists this member, by its peer address.
        founding: whether it is listed since the cluster's founding and has never started.
        added: whether it was added to the living cluster and has never started.
    """

    has_data: bool
    others_alive: bool
    listed: bool
    founding: bool = False
    added: bool = False


def decide(situation: Situation) -> Decision:
    """What to do; a function of the situation alone."""
    if not situation.others_alive:
        return Decision.START if situation.has_data else Decision.FOUND
    if situation.has_data:
        # Data of a member that the living cluster has removed can only be refused there: begin anew.
        return Decision.START if situation.listed else Decision.DISCARD_AND_JOIN
    if situation.founding:
        return Decision.FOUND
    return Decision.REJOIN if situation.listed and not situation.added else Decision.JOIN


def has_data() -> bool:
    """Whether this machine holds a member's log."""
    return bool(glob.glob(LOG))


def is_established(own: dict[str, str], members: list[dict[str, str]]) -> bool:
    """Whether any other member, with quorum or without, knows a cluster whose members have started before.

    Peers tell each other on their peer port, which needs no quorum; during the founding nobody has published a
    client address yet (etcd, server/etcdserver/api/etcdhttp/peer.go).
    """
    others = [member for member in members if member["name"] != own["name"]]
    with ThreadPoolExecutor(max_workers=9) as pool:
        return any(pool.map(_knows_started_members, [member["peer"] for member in others]))


def _knows_started_members(peer: str) -> bool:
    try:
        context = ssl.create_default_context(cafile="/etc/etcd/pki/ca.crt")
        context.load_cert_chain("/etc/etcd/pki/peer.crt", "/etc/etcd/pki/peer.key")
        with urllib.request.urlopen(f"{peer}/members", timeout=3, context=context) as answer:
            return any(member.get("clientURLs") for member in json.load(answer))
    except (OSError, ValueError):
        return False


def may_lose(healthy_others: int, members: int) -> bool:
    """Whether quorum holds while this member is away. A cluster of one has nobody to hold it: always true."""
    return members == 1 or healthy_others >= members // 2 + 1


def healthy_members(members: list[dict[str, str]]) -> list[str]:
    """Names of the members that answer a linearizable read by themselves within two seconds.

    Not `endpoint health`, which calls a member sick that has an alarm: one whose quota is used up has its vote still.
    """

    def check(member: dict[str, str]) -> bool:
        ask = (*CTL, "--command-timeout=2s", f"--endpoints={member['client']}")
        return succeeds(*ask, "get", "health", "--keys-only", timeout=5)

    with ThreadPoolExecutor(max_workers=9) as pool:
        return [
            member["name"]
            for member, healthy in zip(members, pool.map(check, members), strict=True)
            if healthy
        ]


def look(own: dict[str, str], others: list[str]) -> tuple[Situation, list[dict[str, Any]]]:
    """The situation of this member, and the living cluster's members as etcdctl tells them.

    Args:
        own: this member (name, peer, client).
        others: client addresses of other members that are healthy.
    """
    listed: list[dict[str, Any]] = []
    if others:
        listed = json.loads(
            run(
                *CTL,
                "--command-timeout=5s",
                f"--endpoints={','.join(others)}",
                "member",
                "list",
                "--write-out=json",
            )
        ).get("members", [])
    mine = next((member for member in listed if own["peer"] in member.get("peerURLs", [])), None)
    # A member publishes its client address when it first starts; it has a name before only from the founding
    # list.
    never_started = mine is not None and not mine.get("clientURLs")
    named = mine is not None and bool(mine.get("name"))
    situation = Situation(
        has_data=has_data(),
        others_alive=bool(others),
        listed=mine is not None,
        founding=never_started and named,
        added=never_started and not named,
    )
    return situation, listed


def join(own: dict[str, str], members: list[dict[str, str]], healthy: list[str]) -> Decision:
    """Bring the membership and the member's first environment in order; gives what was decided.

    Args:
        own: this member.
        members: all planned members.
        healthy: names of the members that are healthy now.
    """
    others = [
        member["client"] for member in members if member["name"] in healthy and member["name"] != own["name"]
    ]
    situation, listed = look(own, others)
    decision = decide(situation)
    endpoints = f"--endpoints={','.join(others)}"
    if decision is Decision.DISCARD_AND_JOIN:
        aside = f"/var/lib/etcd/removed-{int(time.time())}"
        say(f"the living cluster does not list {own['name']}: its old data goes to {aside}")
        os.rename(DATA, aside)
    if decision is Decision.REJOIN:
        for member in listed:
            if own["peer"] in member["peerURLs"]:
                say(f"{own['name']} lost its data: removing its old membership")
                run(*CTL, endpoints, "member", "remove", f"{member['ID']:x}")
    if decision in (Decision.REJOIN, Decision.DISCARD_AND_JOIN) or (
        decision is Decision.JOIN and not situation.listed
    ):
        _add(own, endpoints)
    if decision is not Decision.START:
        _write_environment(members, "new" if decision is Decision.FOUND else "existing", own, listed)
    elif not os.path.exists(ENVIRONMENT):
        _write_environment(members, "existing", own, listed)
    return decision


def hand_over(own: dict[str, str], members: list[dict[str, str]], healthy: list[str]) -> None:
    """Give leadership to another healthy member before this one stops, so that nobody has to wait for an election.

    A cluster without another healthy member, or one that would not have it, is left as it is.
    """
    others = [member for member in members if member["name"] in healthy and member["name"] != own["name"]]
    if not others or own["name"] not in healthy:
        return
    ask = (*CTL, "--command-timeout=5s", f"--endpoints={own['client']}")
    try:
        status = json.loads(run(*ask, "endpoint", "status", "--write-out=json"))[0]["Status"]
        listed = json.loads(run(*ask, "member", "list", "--write-out=json"))["members"]
    except Failure:
        return
    identities = {member.get("name"): f"{member['ID']:x}" for member in listed}
    heir = others[0]["name"]
    if status["leader"] != status["header"]["member_id"] or heir not in identities:
        return
    if succeeds(*ask, "move-leader", identities[heir], timeout=20):
        say(f"etcd leadership handed over to {heir}")


def _add(own: dict[str, str], endpoints: str) -> None:
    """Add the member, again when etcd says that the cluster is not yet ready for it."""
    for attempt in range(1, 11):
        try:
            run(*CTL, endpoints, "member", "add", own["name"], f"--peer-urls={own['peer']}")
            return
        except Failure as failure:
            if attempt == 10 or "unhealthy cluster" not in str(failure):
                raise
            time.sleep(1)


def _write_environment(
    planned: list[dict[str, str]], state: str, own: dict[str, str], listed: list[dict[str, Any]]
) -> None:
    """What etcd needs for its very first start: a joining member must name exactly the members there are."""
    cluster = {member["name"]: member["peer"] for member in planned}
    if state == "existing" and listed:
        names = {member["peer"]: member["name"] for member in planned}
        # A member that was added and has not started has no name yet; the plan knows it by its address.
        cluster = {m.get("name") or names[m["peerURLs"][0]]: m["peerURLs"][0] for m in listed}
        cluster[own["name"]] = own["peer"]
    text = ",".join(f"{name}={peer}" for name, peer in sorted(cluster.items()))
    write_file(ENVIRONMENT, f"ETCD_INITIAL_CLUSTER_STATE={state}\nETCD_INITIAL_CLUSTER={text}\n", 0o600)
