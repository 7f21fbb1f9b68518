"""What a run would do to machines that exist, judged before anything is touched.

Pure: the plan and the output `machines` of the last run in, replacements and refusals out. Nobody is asked. That
output is made of what machines and providers confirmed, so a run that failed half-way is not taken for done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from config.plan import ClusterPlan, MachinePlan


@dataclass(frozen=True)
class Replacement:
    """What has become and becomes of one machine.

    Attributes:
        count: how often it was replaced by its name in `replace`, this run included.
        now: whether this run replaces it.
        listed: whether its name stands in `replace`; the next run has to know what was seen there.
    """

    count: int
    now: bool
    listed: bool


def replacements(plan: ClusterPlan, last: Mapping[str, Any]) -> dict[str, Replacement]:
    """For each planned machine whether it is made anew: its name has entered `replace`, or it moves.

    Args:
        plan: of this run.
        last: output `machines` of the last run.
    """
    return {machine.name: _replacement(plan, machine, last.get(machine.name)) for machine in plan.machines}


def _replacement(plan: ClusterPlan, machine: MachinePlan, before: Mapping[str, Any] | None) -> Replacement:
    listed = machine.name in plan.replace
    if before is None:
        return Replacement(0, False, listed)
    count = int(before.get("replacements", 0))
    entered = _entered(plan, machine, before)
    moved = bool(_moves(plan, machine, before))
    retyped = machine.pool is not None and bool(_retyped(plan, machine, before))
    return Replacement(count + 1 if entered else count, entered or moved or retyped, listed)


def _entered(plan: ClusterPlan, machine: MachinePlan, before: Mapping[str, Any]) -> bool:
    """Whether a machine's name has entered `replace` since the last run."""
    return machine.name in plan.replace and not before.get("listed", False)


def refusals(plan: ClusterPlan, last: Mapping[str, Any]) -> list[str]:
    """Why this run must not begin, one line each with the way out; nothing on a first run.

    etcd survives the loss of one member of three, and a control plane that is replaced faster than members are
    synchronised loses its data (tarmak#453, rke2-aws-tf#40). A pool is disturbed by `maxUnavailable` at most.
    """
    found = [_too_many(plan, last, "controlPlane", plan.control_plane, 1)]
    found += [
        _too_many(plan, last, f"workerPools.{pool.name}", pool.machines, pool.max_unavailable)
        for pool in plan.pools
    ]
    rotated = [name for name, before in last.items() if before.get("hostKeyRotated")]
    if plan.aws is not None and rotated and not plan.aws.rotate_host_keys:
        found.append(
            f"cluster.platform.ssh.rotateHostKeys: can't be switched off; {', '.join(rotated)} would no longer be"
            " recognised, since their first host keys are gone. Write `rotateHostKeys: true` again."
        )
    found += [_other_login(plan, last), _other_key(plan, last), *_smaller_volumes(plan, last)]
    return [problem for problem in found if problem]


def _other_login(plan: ClusterPlan, last: Mapping[str, Any]) -> str | None:
    """A login name is planted at first boot; under another one nobody gets in any more."""
    if plan.aws is None:
        return None
    old = {before["sshUser"] for name, before in last.items() if "sshUser" in before}
    if not old - {plan.aws.login_user}:
        return None
    name = min(old - {plan.aws.login_user})
    return (
        f"cluster.platform.ssh.user: the machines were made with {name}, and nobody could log in on them as"
        f" {plan.aws.login_user}. Write `user: {name}` again."
    )


def _smaller_volumes(plan: ClusterPlan, last: Mapping[str, Any]) -> list[str]:
    """AWS lets a volume grow only, and would say so in the middle of a run."""
    found = []
    for name, instance in (plan.aws.instances if plan.aws else {}).items():
        sizes = {"rootVolumeGib": instance.root_gib, "etcdVolumeGib": instance.etcd_gib}
        for key, size in sizes.items():
            old = last.get(name, {}).get(key)
            if old is not None and size is not None and size < int(old):
                found.append(
                    f"{key} of {name}: {size} GiB is less than its volume's {int(old)}, and a volume never shrinks."
                    f" Write {int(old)} or more."
                )
    return found


def _other_key(plan: ClusterPlan, last: Mapping[str, Any]) -> str | None:
    known = {str(before["loginKey"]) for before in last.values() if before.get("loginKey")}
    if plan.aws is None or not known - {plan.aws.login_key}:
        return None
    return (
        "cluster.platform.ssh: the machines were made with another login key, and nobody could log in on them with"
        " this one. Write privateKeyFile and publicKey as they were (or neither, if the key was generated)."
    )


def _too_many(
    plan: ClusterPlan, last: Mapping[str, Any], place: str, machines: Sequence[MachinePlan], most: int
) -> str | None:
    disturbed = {
        machine.name: why
        for machine in machines
        if machine.name in last and (why := _disturbance(plan, machine, last[machine.name]))
    }
    if len(disturbed) <= most:
        return None
    what = "; ".join(f"{name} {why}" for name, why in disturbed.items())
    one = "one machine" if most == 1 else f"{most} machines"
    return (
        f"cluster.{place}: {what}. At most {one} of these may be replaced or stopped in a run. Way out: change them"
        f" in turn, a `pulumi up` for each: {_way_out(plan, disturbed, last)}"
    )


def _disturbance(plan: ClusterPlan, machine: MachinePlan, before: Mapping[str, Any]) -> str:
    """What would happen to a machine, in words; empty where nothing does."""
    return (
        _moves(plan, machine, before)
        or _retyped(plan, machine, before)
        or ("would be made anew, as `replace` says" if _entered(plan, machine, before) else "")
    )


def _moves(plan: ClusterPlan, machine: MachinePlan, before: Mapping[str, Any]) -> str:
    """A machine whose zone or address changes is made anew where Hardway makes machines; hosts move themselves."""
    if plan.aws is None:
        return ""
    zone = before.get("zone", machine.zone)
    if zone != machine.zone:
        return f"would move from {zone} to {machine.zone}"
    address = before.get("address", str(machine.address))
    return f"would move from {address} to {machine.address}" if address != str(machine.address) else ""


def _retyped(plan: ClusterPlan, machine: MachinePlan, before: Mapping[str, Any]) -> str:
    if plan.aws is None:
        return ""
    instance = plan.aws.instances[machine.name]
    old, new = before.get("instanceType"), instance.instance_type
    if old not in (None, new):
        return f"would go from {old} to {new}"
    market = {True: "spot", False: "on-demand"}
    was, now = bool(before.get("spot", instance.spot)), instance.spot
    return f"would go from {market[was]} to {market[now]}" if was != now else ""


def _way_out(plan: ClusterPlan, disturbed: Mapping[str, str], last: Mapping[str, Any]) -> str:
    first = next(iter(disturbed))
    before = last[first]
    machine = plan.machine(first)
    if _moves(plan, machine, before):
        return (
            "leave network.machines and the zones as they were; a pool with `aws.zones` of its own stays where it is"
            " when platform.zones grows. Who wants another spread adds a pool and removes the old one."
        )
    if plan.aws is not None and _retyped(plan, machine, before):
        new = plan.aws.instances[first].instance_type
        if before.get("instanceType") == new:
            return "add a pool with the other `aws.spot`, and remove this one when its pods have moved."
        return (
            f"keep instanceType as it was, write `instanceTypes: {{{first}: {new}}}` below `aws`, add one after the"
            " other there, and at last change instanceType and remove instanceTypes."
        )
    return f"leave {first} alone in `replace`, then put the next one there."
