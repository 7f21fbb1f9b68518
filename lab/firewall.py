"""Passage for the lab's packets where this computer's iptables would drop them, as it does with Docker.

With bridge-nf-call-iptables even packets that only cross a bridge go through the FORWARD chain. Chains that
accept everything are left alone. A firewall of the computer in nftables tables of its own is not looked at.
"""

from pathlib import Path

from lab.commands import attempt, run
from lab.errors import LabError

BRIDGE_CALLS_IPTABLES = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")


def admit(bridge: str, instance: str) -> None:
    """Let packets between machines, and from machines to this computer, pass.

    Raises:
        LabError: if iptables filters, and refuses the rule.
    """
    for chain, rule in _rules(bridge, instance):
        if chain == "FORWARD" and not _bridge_is_filtered():
            continue
        if _filters(chain) and attempt(["iptables", "-w", "-C", chain, *rule]).status != 0:
            run(["iptables", "-w", "-I", chain, *rule])


def withdraw(bridge: str, instance: str) -> list[str]:
    """Remove the rules of one lab, and return them."""
    removed = []
    for chain, rule in _rules(bridge, instance):
        while _filters(chain) and attempt(["iptables", "-w", "-D", chain, *rule]).status == 0:
            removed.append(f"iptables rule {chain} {' '.join(rule)}")
    return removed


def _rules(bridge: str, instance: str) -> list[tuple[str, list[str]]]:
    accept = ["-m", "comment", "--comment", f"hardway-{instance}", "-j", "ACCEPT"]
    return [("FORWARD", ["-i", bridge, "-o", bridge, *accept]), ("INPUT", ["-i", bridge, *accept])]


def _bridge_is_filtered() -> bool:
    return BRIDGE_CALLS_IPTABLES.exists() and BRIDGE_CALLS_IPTABLES.read_text().strip() == "1"


def _filters(chain: str) -> bool:
    """Return whether a chain does anything but accept; without iptables installed nothing filters by it."""
    try:
        listed = attempt(["iptables", "-w", "-S", chain])
    except LabError:
        return False
    return listed.status == 0 and listed.output.strip() != f"-P {chain} ACCEPT"
