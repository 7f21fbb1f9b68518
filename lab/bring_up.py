"""`make up` and `make down`: what the computer needs, then a plain `pulumi up`, then a look at the cluster."""

import ipaddress
import json
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from config.plan import ClusterPlan, machine_artifacts, machine_images, plan_cluster
from config.settings import SettingsError, load_settings
from config.versions import IMAGES
from lab import artifacts, backend, base, fileserver, images, machines, mirror, network, paths, progress, review, stack, sweep, timeline
from lab.errors import LabError

READY_SECONDS = 240.0


@dataclass
class Phases:
    """Seconds by phase, in order."""

    seconds: dict[str, float] = field(default_factory=dict)

    def measure(self, name: str, work: Callable[[], Any]) -> Any:
        """Do a piece of work and note how long it took."""
        begin = time.monotonic()
        try:
            return work()
        finally:
            self.seconds[name] = time.monotonic() - begin


def up(chosen: stack.Stack, arguments: list[str]) -> int:
    """Build or change the cluster; gives the exit status."""
    phases = Phases()
    plan = _plan(chosen)
    if chosen.is_lab:
        phases.measure("artifacts and base tree", lambda: _prepare_lab(chosen, plan))
    stack.ensure(chosen)
    replaced = _lost_machines(chosen) if chosen.is_lab else []
    chosen.events.unlink(missing_ok=True)
    line = stack.command(
        chosen, "up", "--yes", "--skip-preview", "--parallel", str(stack.PARALLEL), "--event-log", str(chosen.events),
        *(argument for urn in replaced for argument in ("--replace", urn)), *arguments,
    )
    progress.note(f"$ {' '.join(line)}")
    status: int = phases.measure("pulumi up", lambda: stack.run(line))
    if status:
        progress.note(_after_failure(chosen))
        return status
    outputs = stack.save_outputs(chosen)
    phases.measure("all Nodes Ready", lambda: wait_for_nodes(chosen, [node.name for node in plan.nodes]))
    print(_summary(chosen, plan, outputs, phases))
    return 0


def _plan(chosen: stack.Stack) -> ClusterPlan:
    """The plan of the committed settings, so that mistakes are told before anything is made."""
    try:
        settings = load_settings(chosen.settings(), chosen.source.name)
    except SettingsError as error:
        raise LabError(str(error)) from None
    return plan_cluster(settings)


def _prepare_lab(chosen: stack.Stack, plan: ClusterPlan) -> None:
    """Artifacts, images and base tree, then the bridge, the file server and machines that a reboot has stopped."""
    saved = network.saved_spec()
    if saved is None:
        network.check(ipaddress.ip_network(str(plan.network.machines)))  # type: ignore[arg-type]
    failures: list[BaseException] = []

    def make_base() -> None:
        try:
            base.ensure()
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            failures.append(error)

    beside = threading.Thread(target=make_base, name="base tree")
    beside.start()
    try:
        entries = _entries(plan)
    finally:
        beside.join()
    if failures:
        raise failures[0]
    chosen.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    chosen.write_config(entries, str(plan.network.gateway))
    spec = {"address": str(plan.network.gateway), "cidr": str(plan.network.machines)}
    network.create(network.parse_spec(json.dumps(spec)))
    fileserver.start(str(plan.network.gateway), stack.FILE_SERVER_PORT)
    started = machines.start_all()
    if started:
        progress.note(f"started again: {', '.join(started)}")


def _entries(plan: ClusterPlan) -> dict[str, mirror.LockEntry]:
    names = {artifact.name for machine in plan.machines for artifact in machine_artifacts(plan, machine)}
    entries = artifacts.ensure([name for name in artifacts.names() if name in names], kubernetes=plan.kubernetes_version)
    return entries | images.ensure(list(IMAGES))


def _lost_machines(chosen: stack.Stack) -> list[str]:
    """Resources of machines that the state has and this computer has not: disks thrown away behind the engine's back."""
    if not stack.exists(chosen):
        return []
    confirmed = chosen.outputs().get("applied", {}) if chosen.outputs_file.exists() else {}
    present = {
        machine.name
        for machine in machines.list_machines()
        if confirmed.get(machine.name, {}).get("identity", machine.identity) == machine.identity
    }
    exported = json.loads(stack.capture(["pulumi", "stack", "export", "--stack", chosen.name]))
    resources = (exported.get("deployment") or {}).get("resources") or []
    lost = []
    for resource in resources:
        name = str(resource["urn"]).rsplit("::", 1)[1]
        if resource["type"] == "command:local:Command" and name.startswith("machine-") and name[8:] not in present:
            progress.note(f"machine {name[8:]} has lost its disk: it is made anew and filled again")
            lost.append(str(resource["urn"]))
    return lost


def _after_failure(chosen: stack.Stack) -> str:
    return (
        f"\nThe run stopped; what was done is kept. Correct the cause named above and run 'make up STACK={chosen.name}' "
        "again: it goes on from there."
    )


def kubectl(chosen: stack.Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run our own kubectl as the cluster's administrator."""
    line = [str(kubectl_path(_plan(chosen).kubernetes_version)), "--kubeconfig", str(chosen.kubeconfig), *arguments]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=120)


def kubectl_path(version: str) -> Any:
    """The client of the cluster's version, from the mirror; any `kubectl` of PATH where there is none."""
    path = paths.MIRROR / "kubectl" / version / paths.architecture() / "kubectl"
    if not path.exists():
        return "kubectl"
    path.chmod(0o755)
    return path


def wait_for_nodes(chosen: stack.Stack, names: list[str]) -> None:
    """Wait until every planned Node is Ready: after a reboot the engine has nothing to do, but machines do.

    Raises:
        LabError: not all in time, with what the API says of them.
    """
    deadline = time.monotonic() + READY_SECONDS
    query = "jsonpath={range .items[*]}{.metadata.name}={.status.conditions[?(@.type=='Ready')].status} {end}"
    while True:
        seen = kubectl(chosen, "get", "nodes", "--output", query, "--request-timeout=5s")
        ready = {word.partition("=")[0] for word in seen.stdout.split() if word.endswith("=True")}
        if set(names) <= ready:
            return
        if time.monotonic() > deadline:
            missing = ", ".join(sorted(set(names) - ready))
            raise LabError(
                f"not Ready after {READY_SECONDS:.0f} s: {missing}. {seen.stderr.strip()}\n"
                f"'make ssh NODE={sorted(set(names) - ready)[0]}' lets you look ('systemctl --failed', 'journalctl -u kubelet')"
            )
        time.sleep(1)


def _summary(chosen: stack.Stack, plan: ClusterPlan, outputs: dict[str, Any], phases: Phases) -> str:
    nodes = kubectl(chosen, "get", "nodes", "--output", "wide").stdout.rstrip()
    took = "\n".join(f"  {name:26}{seconds:7.1f} s" for name, seconds in phases.seconds.items())
    inside = "\n".join(
        f"    {phase.name:24}{phase.begin:4.0f} to {phase.end:.0f} s" for phase in timeline.phases(timeline.read(chosen.events))
    )
    versions = next(iter(outputs["applied"].values()), {}).get("versions", {})
    shown = ", ".join(f"{name} {versions[name]}" for name in ("kubelet", "etcd", "containerd") if name in versions)
    suffix = "" if chosen.name == "lab" else f" STACK={chosen.name}"
    return f"""
{nodes}

Cluster {plan.name}: Kubernetes {plan.kubernetes_version}{f' ({shown})' if shown else ''}
Endpoint  {outputs['endpoint']}

Time
{took}
  {'together':26}{sum(phases.seconds.values()):7.1f} s{f"""
  within pulumi up
{inside}""" if inside else ''}

Try next
  export KUBECONFIG=$(make --no-print-directory kubeconfig{suffix})
  kubectl get pods --all-namespaces         ({kubectl_path(plan.kubernetes_version)})
  make ssh NODE={plan.control_plane[0].name}{suffix}
  make preview{suffix}      after a change in {chosen.source.name}
  make down{suffix}"""


def down(chosen: stack.Stack, arguments: list[str]) -> int:
    """Destroy the cluster; on the lab nothing is left on this computer, whatever state a run was left in."""
    status = 0
    backend.prepare()
    backend.release_dead_locks(chosen.name)
    if stack.exists(chosen):
        line = stack.command(chosen, "destroy", "--yes", "--skip-preview", "--parallel", str(stack.PARALLEL), *arguments)
        progress.note(f"$ {' '.join(line)}")
        status = stack.run(line)
    if chosen.is_lab:
        fileserver.stop()
        for removed in sweep.sweep():
            progress.note(f"removed {removed}")
        left = sweep.leftovers()
        if left:
            raise LabError("left on this computer: " + "; ".join(left) + "; run 'make down' again")
        if status:
            # The machines are gone, whatever the state says of them.
            stack.capture(["pulumi", "stack", "rm", chosen.name, "--force", "--yes", "--preserve-config"])
            status = 0
    for path in (chosen.outputs_file, chosen.kubeconfig, chosen.folder / "ssh_key", chosen.folder / "known_hosts"):
        path.unlink(missing_ok=True)
    return status


def preview(chosen: stack.Stack, arguments: list[str], *, whole: bool) -> int:
    """Show what `up` would change; asks no machine and changes nothing.

    Args:
        chosen: the stack.
        arguments: further ones for pulumi.
        whole: print all that the engine prints, not only the lines that change.
    """
    plan = _plan(chosen)
    if chosen.is_lab:
        chosen.write_config(_entries(plan), str(plan.network.gateway))
    stack.ensure(chosen)
    line = stack.command(chosen, "preview", "--diff", *arguments)
    return stack.run(line) if whole else stack.run_filtered(line, review.changed_only)
