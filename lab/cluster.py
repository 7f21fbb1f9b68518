"""The cluster as a client sees it: our own kubectl, waiting for Nodes, and the one-screen summary after `make up`."""

import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from config.plan import ClusterPlan
from lab import paths, stack, timeline
from lab.errors import LabError

READY_SECONDS = 240.0


def kubectl(chosen: stack.Stack, plan: ClusterPlan, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run our own kubectl as the cluster's administrator, for at most two minutes."""
    line = [str(client(plan)), "--kubeconfig", str(chosen.kubeconfig), *arguments]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=120)


def client(plan: ClusterPlan) -> Path:
    """The kubectl of the cluster's version, from the mirror; any `kubectl` of PATH where there is none."""
    path = paths.MIRROR / "kubectl" / plan.kubernetes_version / paths.architecture() / "kubectl"
    if not path.exists():
        return Path("kubectl")
    path.chmod(0o755)
    return path


def wait_for_nodes(chosen: stack.Stack, plan: ClusterPlan) -> None:
    """Wait until every planned Node is Ready: after a reboot the engine has nothing to do, but machines do.

    Raises:
        LabError: not all in time, with what the API says.
    """
    deadline = time.monotonic() + READY_SECONDS
    names = {node.name for node in plan.nodes}
    query = "jsonpath={range .items[*]}{.metadata.name}={.status.conditions[?(@.type=='Ready')].status} {end}"
    while True:
        seen = kubectl(chosen, plan, "get", "nodes", "--output", query, "--request-timeout=5s")
        missing = names - {word.partition("=")[0] for word in seen.stdout.split() if word.endswith("=True")}
        if not missing:
            return
        if time.monotonic() > deadline:
            raise LabError(
                f"not Ready after {READY_SECONDS:.0f} s: {', '.join(sorted(missing))}. {seen.stderr.strip()}\n"
                f"'make ssh NODE={min(missing)}' lets you look: 'systemctl --failed', 'journalctl -u kubelet'"
            )
        time.sleep(1)


def summary(
    chosen: stack.Stack, plan: ClusterPlan, outputs: Mapping[str, Any], seconds: Mapping[str, float]
) -> str:
    """What stands now, how long each phase took, and what to try next; one screen."""
    versions = outputs["applied"][plan.control_plane[0].name]["versions"]
    shown = ", ".join(f"{name} {versions[name]}" for name in ("kubelet", "etcd", "containerd"))
    phases = [
        f"    {phase.name:24}{phase.begin:4.0f} to {phase.end:.0f} s"
        for phase in timeline.phases(timeline.read(chosen.events))
    ]
    took = [f"  {name:26}{value:7.1f} s" for name, value in seconds.items()]
    took.insert(2, "\n".join(phases) or "    nothing to do")
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
  kubectl get pods --all-namespaces         ({client(plan)})
  make ssh NODE={plan.control_plane[0].name}{suffix}
  make preview{suffix}      after a change in {chosen.source.name}
  make down{suffix}"""
