"""`make up` and `make down`: what the computer needs, then a plain `pulumi up`, then a look at the cluster."""

import json
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from config.plan import ClusterPlan, machine_artifacts
from config.skew import skew_refusals
from config.versions import IMAGES
from lab import (
    artifacts,
    backend,
    base,
    cluster,
    event_log,
    fileserver,
    images,
    live,
    machines,
    mirror,
    network,
    paths,
    plugins,
    previewed,
    progress,
    stack,
    stack_plan,
    sweep,
    timeline_page,
)
from lab.errors import LabError

MACHINE_BYTES = 1 << 30
"""What a machine's disk takes at first: 0.6 GiB of artifacts, and what etcd and containerd write."""
OWNER = paths.STATE / "lab-owner"
"""Name of the stack whose machines this clone's lab holds."""


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
    plan = stack_plan.plan_of(chosen)
    _require_plugins(chosen)
    started: list[str] = []
    if chosen.is_lab:
        started = phases.measure("artifacts and base tree", lambda: _prepare_lab(chosen, plan))
    stack.ensure(chosen)
    replaced = (_lost_machines(chosen) if chosen.is_lab else []) + _unconfirmed(chosen)
    chosen.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    chosen.unfinished.touch()
    for old in (chosen.events, event_log.times_file(chosen.events), chosen.timeline):
        old.unlink(missing_ok=True)
    line = stack.command(
        chosen,
        "up",
        "--yes",
        "--skip-preview",
        "--parallel",
        str(stack.PARALLEL),
        "--suppress-outputs",
        "--event-log",
        str(chosen.events),
        *(argument for urn in replaced for argument in ("--replace", urn)),
        *arguments,
    )
    progress.note(f"$ {' '.join(line)}")
    status: int = phases.measure("pulumi up", lambda: live.run(chosen, plan, line, plain=bool(arguments)))
    if status:
        _draw_timeline(chosen)
        progress.note(_after_failure(chosen, [] if status == stack.INTERRUPTED else stack.pending(chosen)))
        return status
    chosen.unfinished.unlink()
    outputs = stack.save_outputs(chosen)
    phases.measure("all Nodes Ready", lambda: cluster.wait_for_nodes(chosen, plan, set(started)))
    print(cluster.summary(chosen, plan, outputs, phases.seconds))
    if _draw_timeline(chosen):
        suffix = "" if chosen.name == "lab" else f" STACK={chosen.name}"
        print(f"  make timeline{suffix}     to see where the time went")
    return 0


def _draw_timeline(chosen: stack.Stack) -> bool:
    """Leave the page that shows the run, however it ended; an engine that never began leaves none.

    Whatever goes wrong is one line on the screen: a picture of the run is no part of it. Gives whether there is a page.
    """
    try:
        if not event_log.read(chosen.events):
            return False
        timeline_page.write(chosen)
    except KeyboardInterrupt:
        reason = "interrupted"
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
    else:
        return True
    progress.note(
        f"no timeline of this run was drawn ({reason}); 'make timeline STACK={chosen.name}' tries again"
    )
    return False


def _require_plugins(chosen: stack.Stack) -> None:
    """On `aws`: official plugins, or a refusal before anything is touched.

    `lab.tools` has asked already, by a first look at the file; this goes by the file as YAML says it is.

    Raises:
        LabError: with how to get them.
    """
    if chosen.kind == "aws":
        plugins.require_official()


def _prepare_lab(chosen: stack.Stack, plan: ClusterPlan) -> list[str]:
    """Artifacts, images and base tree, then the bridge, the file server and machines that a reboot has stopped.

    Gives the names of the machines that were started again.
    """
    _check_owner(chosen)
    _check_versions(chosen, plan)
    _check_range(plan)
    _require_space(plan)
    with ThreadPoolExecutor(max_workers=1) as beside:
        base_tree = beside.submit(base.ensure)
        entries = _entries(plan)
        base_tree.result()
    chosen.write_config(entries, str(plan.network.gateway))
    spec = {"address": str(plan.network.gateway), "cidr": str(plan.network.machines)}
    network.create(network.parse_spec(json.dumps(spec)))
    fileserver.start(str(plan.network.gateway), stack.FILE_SERVER_PORT)
    OWNER.write_text(chosen.name)
    started = machines.start_all()
    if started:
        progress.note(f"started again: {', '.join(started)}")
    return started


def _check_owner(chosen: stack.Stack) -> None:
    """Refuse when another stack's machines stand in this clone's lab: names, bridge and disks are the clone's.

    Raises:
        LabError: with the stack that has them.
    """
    owner = OWNER.read_text() if OWNER.exists() else chosen.name
    if owner != chosen.name and machines.list_machines():
        raise LabError(
            f"stack {chosen.name}: this clone's lab holds the machines of stack {owner}; 'make down STACK={owner}' "
            "first, or use a second clone with another range in network.machines"
        )


def _check_versions(chosen: stack.Stack, plan: ClusterPlan) -> None:
    """Refuse versions that must not follow those of the last good run before any is fetched or built.

    The program judges again, by the engine's own record.

    Raises:
        LabError: with the reasons and the way out.
    """
    confirmed = chosen.outputs()["applied"] if chosen.outputs_file.exists() else {}
    refused = skew_refusals(plan, confirmed)
    if refused:
        lines = "\n".join(f"  {chosen.source.name}: {reason}" for reason in refused)
        raise LabError(f"this run would endanger the cluster; nothing was touched.\n{lines}")


def _check_range(plan: ClusterPlan) -> None:
    """Refuse a range that is taken, and another one than that of the machines that exist.

    Raises:
        LabError: with who has it, or how to change it.
    """
    saved = network.saved_spec()
    if saved is None:
        network.check(plan.network.machines)
    elif saved.cidr != plan.network.machines and machines.list_machines():
        raise LabError(
            f"network.machines: is {plan.network.machines}, and machines exist in {saved.cidr}; an address is for a "
            "machine's life: 'make down', then 'make up'"
        )


def _require_space(plan: ClusterPlan) -> None:
    present = {machine.name for machine in machines.list_machines()}
    missing = [machine for machine in plan.machines if machine.name not in present]
    paths.STATE.mkdir(mode=0o700, exist_ok=True)
    free = shutil.disk_usage(paths.STATE).free
    if free < len(missing) * MACHINE_BYTES:
        raise LabError(
            f"{paths.STATE}: {free / 2**30:.1f} GiB free, {len(missing)} machines need "
            f"{len(missing) * MACHINE_BYTES / 2**30:.0f} GiB; free some, or set HARDWAY_STATE to a "
            "folder on a larger disk"
        )


def _entries(plan: ClusterPlan) -> dict[str, mirror.LockEntry]:
    names = {artifact.name for machine in plan.machines for artifact in machine_artifacts(plan, machine)}
    entries = artifacts.ensure(
        [name for name in artifacts.names() if name in names],
        kubernetes=plan.kubernetes_version,
        pins=plan.artifacts.versions,
    )
    return entries | images.ensure(list(IMAGES), pins=plan.artifacts.versions)


def _lost_machines(chosen: stack.Stack) -> list[str]:
    """Resources of machines whose disk was thrown away behind the engine's back, which has to make them anew.

    A machine counts as lost when this computer has none of its name, or one with another identity than the state's.
    """
    present = {machine.name: machine.identity for machine in machines.list_machines()}
    confirmed = chosen.outputs()["applied"] if chosen.outputs_file.exists() else {}
    if confirmed and all(present.get(name) == machine["identity"] for name, machine in confirmed.items()):
        return []
    lost = {
        name: urn
        for name, (urn, identity) in stack.recorded_machines(chosen).items()
        if present.get(name) != identity
    }
    for name in lost:
        progress.note(f"machine {name} has lost its disk: it is made anew and filled again")
    return list(lost.values())


def _unconfirmed(chosen: stack.Stack) -> list[str]:
    """Steps on machines to repeat, since the last run did not end well.

    After a failed step the engine keeps the inputs of the last good one: who then takes a bad setting back would be
    told that nothing changes, while a machine still has it.
    """
    if not chosen.unfinished.exists():
        return []
    progress.note("the last run did not end well: every machine is asked to confirm what it runs")
    return stack.confirmable(chosen)


def _after_failure(chosen: stack.Stack, pending: list[str]) -> str:
    """What is still to do, as the engine itself tells, and how to go on."""
    told = f"\nNot yet confirmed: {', '.join(pending)}." if pending else ""
    return (
        f"\nThe run stopped; what was done is kept.{told}\nCorrect the cause named above and run "
        f"'make up STACK={chosen.name}' again: it goes on from there."
    )


def down(chosen: stack.Stack, arguments: list[str]) -> int:
    """Destroy the cluster; on the lab nothing is left on this computer, whatever state a run was left in."""
    _require_plugins(chosen)
    if chosen.is_lab:
        _check_owner(chosen)
    status = 0
    if backend.is_locked_out() and chosen.is_lab:
        progress.note(
            f"{backend.PASSPHRASE} is gone: the machines are swept away and the stack's state with them"
        )
        backend.forget(chosen.name)
    else:
        status = _destroy(chosen, arguments)
    if chosen.is_lab:
        _sweep()
        if status:
            # The machines are gone, whatever the state says of them.
            backend.forget(chosen.name)
            status = 0
    if not status:
        chosen.remove_files()
        progress.note(
            f"stack {chosen.name} is gone; {paths.STATE} keeps the passphrase and an empty state ('make clean')"
        )
    return status


def _destroy(chosen: stack.Stack, arguments: list[str]) -> int:
    backend.prepare()
    backend.release_dead_locks(chosen.name)
    if not stack.exists(chosen):
        return 0
    line = stack.command(
        chosen,
        "destroy",
        "--yes",
        *(["--skip-preview"] if chosen.is_lab else []),
        "--parallel",
        str(stack.PARALLEL),
        *arguments,
    )
    progress.note(f"$ {' '.join(line)}")
    return stack.run(line)


def _sweep() -> None:
    """Take away everything that carries this lab's name.

    Raises:
        LabError: something would not go.
    """
    fileserver.stop()
    for removed in sweep.sweep():
        progress.note(f"removed {removed}")
    left = sweep.leftovers()
    if left:
        raise LabError("left on this computer: " + "; ".join(left) + "; run 'make down' again")
    OWNER.unlink(missing_ok=True)


def refresh(chosen: stack.Stack) -> None:
    """Make ready for plain `pulumi`: a lab's generated configuration follows the committed one, once there is one.

    Raises:
        LabError: on `aws`, when a plugin that plain `pulumi` would find is no official one.
    """
    _require_plugins(chosen)
    if chosen.is_lab and chosen.config.exists():
        plan = stack_plan.plan_of(chosen)
        chosen.write_config(_entries(plan), str(plan.network.gateway))


def preview(chosen: stack.Stack, arguments: list[str], *, whole: bool) -> int:
    """Show what `up` would change; asks no machine and changes nothing.

    Args:
        chosen: the stack.
        arguments: further ones for pulumi.
        whole: print all that the engine prints, not only the lines that change.
    """
    plan = stack_plan.plan_of(chosen)
    _require_plugins(chosen)
    if chosen.is_lab:
        _check_versions(chosen, plan)
        chosen.write_config(_entries(plan), str(plan.network.gateway))
    stack.ensure(chosen)
    return previewed.show(chosen, plan, arguments, whole=whole)
