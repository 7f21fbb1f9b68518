"""The cluster as a client sees it: our own kubectl, waiting for Nodes, and the one-screen summary after `make up`."""

import subprocess
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from config.plan import ClusterPlan
from config.settings import Cni
from lab import paths, stack, timeline
from lab.errors import LabError

READY_SECONDS = 240.0


def kubectl(chosen: stack.Stack, plan: ClusterPlan, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run our own kubectl as the cluster's administrator, for at most two minutes."""
    line = [str(client(plan)), "--kubeconfig", str(chosen.kubeconfig), *arguments]
    try:
        return subprocess.run(line, capture_output=True, text=True, check=False, timeout=120)
    except FileNotFoundError:
        raise LabError(
            f"the cluster stands ({chosen.kubeconfig}), and no kubectl is on this computer to look at it; install one"
        ) from None
    except subprocess.TimeoutExpired:
        raise LabError("kubectl did not end within 120 s; does this computer reach the endpoint?") from None


def client(plan: ClusterPlan) -> Path:
    """The kubectl of the cluster's version, from the mirror; any `kubectl` of PATH where there is none."""
    path = paths.MIRROR / "kubectl" / plan.kubernetes_version / paths.architecture() / "kubectl"
    if not path.exists():
        return Path("kubectl")
    path.chmod(0o755)
    return path


def wait_for_nodes(chosen: stack.Stack, plan: ClusterPlan, started: set[str]) -> None:
    """Wait until every planned Node is Ready: after a reboot the engine has nothing to do, but machines do.

    With a CNI of the operator's own that is the CNI's business, and nothing is waited for.

    Args:
        chosen: the stack.
        plan: the cluster.
        started: machines that were started in this run: their Nodes' old word does not count.

    Raises:
        LabError: not all in time, with what the API says.
    """
    deadline = time.monotonic() + READY_SECONDS
    begin = datetime.now(UTC)
    names = {node.name for node in plan.nodes} if plan.network.cni is Cni.FLANNEL else set()
    while names:
        missing = names - _ready(chosen, plan, dict.fromkeys(started, begin))
        if not missing:
            return
        if time.monotonic() > deadline:
            raise LabError(
                f"not Ready after {READY_SECONDS:.0f} s: {', '.join(sorted(missing))}.\n"
                f"'make ssh NODE={min(missing)}' lets you look: 'systemctl --failed', 'journalctl -u kubelet'"
            )
        time.sleep(1)


def _ready(chosen: stack.Stack, plan: ClusterPlan, since: Mapping[str, datetime]) -> set[str]:
    """Names of the Nodes that are Ready, and whose kubelet was heard of since a time where one is given."""
    ready = "{.metadata.name}={.status.conditions[?(@.type=='Ready')].status} "
    heard = "{.metadata.name}={.spec.renewTime} "
    nodes = _pairs(
        kubectl(chosen, plan, "get", "nodes", "--output", f"jsonpath={{range .items[*]}}{ready}{{end}}")
    )
    leases = (
        "get",
        "leases",
        "--namespace=kube-node-lease",
        "--output",
        f"jsonpath={{range .items[*]}}{heard}{{end}}",
    )
    renewed = _pairs(kubectl(chosen, plan, *leases)) if since else {}
    return {
        name
        for name, status in nodes.items()
        if status == "True"
        and (name not in since or (name in renewed and datetime.fromisoformat(renewed[name]) > since[name]))
    }


def _pairs(told: subprocess.CompletedProcess[str]) -> dict[str, str]:
    return dict(word.split("=", 1) for word in told.stdout.split() if "=" in word)


def summary(
    chosen: stack.Stack, plan: ClusterPlan, outputs: Mapping[str, Any], seconds: Mapping[str, float]
) -> str:
    """What stands now, how long each phase took, and what to try next; one screen."""
    versions = outputs["applied"][plan.control_plane[0].name]["versions"]
    shown = ", ".join(f"{name} {versions[name]}" for name in ("kubelet", "etcd", "containerd"))
    took = [f"  {name:26}{value:7.1f} s" for name, value in seconds.items()]
    took.insert(2, _phases(chosen.events))
    suffix = "" if chosen.name == "lab" else f" STACK={chosen.name}"
    return f"""
{kubectl(chosen, plan, "get", "nodes", "--output", "wide").stdout.rstrip()}

Cluster {plan.name}: {shown}
Endpoint  {outputs["endpoint"]}

Time
{chr(10).join(took)}
  {"together":26}{sum(seconds.values()):7.1f} s

Try next
  export KUBECONFIG=$(make --no-print-directory kubeconfig{suffix})
  kubectl get pods --all-namespaces
  {client(plan)} is of the cluster's version
  make ssh NODE={plan.control_plane[0].name}{suffix}
  make preview{suffix}      after a change in {chosen.source.name}
  make down{suffix}"""


def _phases(log: Path) -> str:
    """Begin and end of each phase, a line each; an unexpected log costs these lines and not the summary."""
    try:
        phases = timeline.phases(timeline.read(log))
    except Exception as error:
        return f"    (the engine's log tells no phases: {type(error).__name__}: {error})"
    lines = [f"    {phase.name:24}{phase.begin:4.0f} to {phase.end:.0f} s" for phase in phases]
    return "\n".join(lines) or "    nothing to do"
