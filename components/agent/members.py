"""etcd's members as the living cluster itself tells them, and which of them do their work.

For operators' steps, which come without a plan: the stack file may say by now what is not yet so.
"""

import json
import os
from typing import Any

from components.agent.etcd import CTL, healthy_members
from components.agent.evidence import Failure, run

OWN = "https://127.0.0.1:2379"


def is_member() -> bool:
    """Whether this machine runs etcd."""
    return os.path.exists(CTL[0])


def read() -> list[dict[str, str]]:
    """Every member with name, peer and client address, in the order of their names.

    Raises:
        Failure: this machine's etcd does not answer, or a member was added and has never started.
    """
    text = run(*CTL, "--command-timeout=5s", f"--endpoints={OWN}", "member", "list", "--write-out=json")
    found: list[dict[str, Any]] = json.loads(text)["members"]
    young = [member["peerURLs"][0] for member in found if not member.get("clientURLs")]
    if young:
        raise Failure(
            f"etcd's member at {young[0]} was added and has not started yet. Nothing was changed. Run 'make up' until "
            "it ends well, then run again"
        )
    members = [
        {"name": m["name"], "peer": m["peerURLs"][0], "client": m["clientURLs"][0], "id": f"{m['ID']:x}"}
        for m in found
    ]
    return sorted(members, key=lambda member: member["name"])


def refuse_unless_all_answer(members: list[dict[str, str]], what: str) -> list[str]:
    """The members' names, all of which answer.

    Args:
        members: as `read` gives them.
        what: what would be done to one of them, for the message.

    Raises:
        Failure: one does not answer; it is named.
    """
    healthy = healthy_members(members)
    sick = [member["name"] for member in members if member["name"] not in healthy]
    if sick:
        raise Failure(
            f"etcd on {', '.join(sick)} does not answer, and {what} takes one more member away for a while. Nothing "
            f"was changed here. Look at 'systemctl status etcd' on {sick[0]}, mend or replace it, then run again"
        )
    return healthy
