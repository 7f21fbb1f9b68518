"""What a run may do to machines that exist: judged in the plan, and seen in what the engine would get."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
import pytest

from components.ec2_fleet import REPLACEMENTS_TAG
from config.changes import Replacement, refusals, replacements
from tests.config.clusters import dev, lab, plan_of, prod
from tests.program.made_up import LOCAL, REMOTE
from tests.program.recording import Run, run_program
from tests.program.runs import lab_with, prod_run, run_of

INSTANCE = "aws:ec2/instance:Instance"
ATTACHMENT = "aws:ec2/volumeAttachment:VolumeAttachment"
QUIET = Replacement(0, now=False, listed=False)


def last_of(value: Mapping[str, Any], **changes: Mapping[str, Any]) -> dict[str, Any]:
    """What a run of these settings gave out of its machines, some of it changed."""
    plan = plan_of(dict(value))
    assert plan.aws is not None
    return {
        machine.name: {
            "zone": machine.zone,
            "address": str(machine.address),
            "instanceType": plan.aws.instances[machine.name].instance_type,
            "replacements": 0,
            "listed": False,
            "hostKeyRotated": plan.aws.rotate_host_keys,
            **changes.get(machine.name.replace("-", "_"), {}),
        }
        for machine in plan.machines
    }


def control_plane(**aws: Any) -> dict[str, Any]:
    """Section `controlPlane` of the small cluster with other machines."""
    return {"count": 3, "aws": {"instanceType": "t4g.medium", **aws}}


def pool(count: int = 4, **aws: Any) -> list[dict[str, Any]]:
    """Section `workerPools` of the small cluster: one pool, two machines of which may be gone at once."""
    return [
        {"name": "general", "count": count, "maxUnavailable": 2, "aws": {"instanceType": "t4g.medium", **aws}}
    ]


PINNED = ("ami", "userData", "associatePublicIpAddress", f'tags["{REPLACEMENTS_TAG}"]')
"""What a machine that is not made anew keeps, whatever the settings say."""


def times_replaced(run: Run, machine: str) -> str:
    """What the machine's own tag says."""
    return str(run.of_type(INSTANCE)[f"machine-{machine}"].inputs["tags"][REPLACEMENTS_TAG])


def test_a_first_run_refuses_nothing_and_makes_nothing_anew() -> None:
    plan = plan_of(dev(replace=["cp-0"]))
    assert refusals(plan, {}) == []
    made = replacements(plan, {})
    assert made.pop("cp-0") == Replacement(0, now=False, listed=True)
    assert set(made.values()) == {QUIET}


def test_a_run_with_nothing_to_do_refuses_nothing_and_makes_nothing_anew() -> None:
    plan = plan_of(prod())
    assert refusals(plan, last_of(prod())) == []
    assert set(replacements(plan, last_of(prod())).values()) == {QUIET}


NAMES_IN_REPLACE: list[tuple[str, bool, int, bool, tuple[int, bool]]] = [
    # case, whether listed last time, how often replaced until then, whether listed now, count and now
    ("never there", False, 0, False, (0, False)),
    ("enters", False, 0, True, (1, True)),
    ("stays", True, 1, True, (1, False)),
    ("leaves", True, 1, False, (1, False)),
    ("enters again", False, 1, True, (2, True)),
]


@pytest.mark.parametrize("case", NAMES_IN_REPLACE, ids=lambda case: case[0])
def test_a_name_is_acted_upon_once_when_it_enters_the_list(
    case: tuple[str, bool, int, bool, tuple[int, bool]],
) -> None:
    _, was_listed, before, listed, (count, now) = case
    plan = plan_of(dev(replace=["cp-1"] if listed else []))
    last = last_of(dev(), cp_1={"listed": was_listed, "replacements": before})
    assert replacements(plan, last)["cp-1"] == Replacement(count, now, listed)


def test_a_run_that_failed_is_repeated_to_the_same_end() -> None:
    """It recorded nothing, so the next one compares with the run before it and asks for the same count again."""
    plan, last = plan_of(dev(replace=["cp-1"])), last_of(dev())
    assert replacements(plan, last) == replacements(plan, last)
    assert replacements(plan, last)["cp-1"].count == 1


def test_another_type_makes_a_worker_anew_and_only_stops_a_control_plane_machine() -> None:
    plan = plan_of(
        dev(
            controlPlane=control_plane(instanceTypes={"cp-2": "t4g.large"}),
            workerPools=pool(instanceTypes={"worker-general-1": "t4g.large"}),
        )
    )
    last = last_of(dev(workerPools=pool()))
    assert refusals(plan, last) == []
    made = replacements(plan, last)
    assert made["worker-general-1"] == Replacement(0, now=True, listed=False)
    assert made["cp-2"] == QUIET


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "two types of the control plane": (
        dev(controlPlane=control_plane(instanceType="t4g.large")),
        last_of(dev()),
        "cluster.controlPlane: cp-0 would go from t4g.medium to t4g.large; cp-1 would go from t4g.medium to t4g.large;"
        " cp-2 would go from t4g.medium to t4g.large. At most one machine of these may be replaced or stopped in a"
        " run. Way out: change them in turn, a `pulumi up` for each: keep instanceType as it was, write"
        " `instanceTypes: {cp-0: t4g.large}` below `aws`, add one after the other there, and at last change"
        " instanceType and remove instanceTypes.",
    ),
    "one type and one name in replace": (
        dev(controlPlane=control_plane(instanceTypes={"cp-2": "t4g.large"}), replace=["cp-0"]),
        last_of(dev()),
        "cluster.controlPlane: cp-0 would be made anew, as `replace` says; cp-2 would go from t4g.medium to t4g.large."
        " At most one machine of these may be replaced or stopped in a run. Way out: change them in turn, a"
        " `pulumi up` for each: leave cp-0 alone in `replace`, then put the next one there.",
    ),
    "three types of a pool": (
        dev(workerPools=pool(3, instanceType="t4g.large")),
        last_of(dev(workerPools=pool(3))),
        "cluster.workerPools.general: worker-general-0 would go from t4g.medium to t4g.large; worker-general-1 would go"
        " from t4g.medium to t4g.large; worker-general-2 would go from t4g.medium to t4g.large. At most 2 machines of"
        " these may be replaced or stopped in a run. Way out: change them in turn, a `pulumi up` for each: keep"
        " instanceType as it was, write `instanceTypes: {worker-general-0: t4g.large}` below `aws`, add one after"
        " the other there, and at last change instanceType and remove instanceTypes.",
    ),
    "second host keys switched off": (
        dev(),
        last_of(dev(), cp_1={"hostKeyRotated": True}),
        "cluster.platform.ssh.rotateHostKeys: can't be switched off; cp-1 would no longer be recognised, since their"
        " first host keys are gone. Write `rotateHostKeys: true` again.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_run_that_would_endanger_the_cluster_is_refused_with_the_way_out(case: str) -> None:
    value, last, message = REFUSED[case]
    assert refusals(plan_of(value), last) == [message]


def test_what_may_be_gone_of_a_pool_may_be_changed_at_once() -> None:
    two = {"worker-general-0": "t4g.large", "worker-general-3": "t4g.large"}
    plan = plan_of(dev(workerPools=pool(instanceTypes=two)))
    assert refusals(plan, last_of(dev(workerPools=pool()))) == []


def test_another_list_of_zones_moves_machines_and_is_refused() -> None:
    platform = {**dev()["platform"], "zones": ["a", "c", "b"]}
    (problem,) = refusals(plan_of(dev(platform=platform)), last_of(dev()))[:1]
    assert problem.startswith(
        "cluster.controlPlane: cp-1 would move from eu-central-1b to eu-central-1c; cp-2 would move from eu-central-1c"
        " to eu-central-1b. At most one machine of these may be replaced"
    )
    assert "leave network.machines and the zones as they were" in problem


def test_a_zone_more_at_the_end_moves_no_control_plane_machine_of_three() -> None:
    platform = {**dev()["platform"], "zones": ["a", "b", "c", "d"]}
    assert refusals(plan_of(dev(platform=platform)), last_of(dev())) == []


def test_another_range_of_addresses_moves_machines_and_is_refused() -> None:
    plan = plan_of(dev(network={"machines": "10.30.0.0/16"}))
    problems = refusals(plan, last_of(dev()))
    assert [problem.partition(":")[0] for problem in problems] == [
        "cluster.controlPlane",
        "cluster.workerPools.general",
    ]
    assert "cp-0 would move from 172.31.128.10 to 10.30.128.10" in problems[0]


def test_machines_that_join_or_leave_are_no_disturbance() -> None:
    plan = plan_of(dev(controlPlane={**control_plane(), "count": 5}, workerPools=pool(2)))
    assert refusals(plan, last_of(dev(workerPools=pool()))) == []


def test_hosts_and_the_lab_are_never_refused() -> None:
    """Their operator moves hosts himself; a machine of the lab has neither type nor zone."""
    elsewhere = {"address": "10.0.0.1", "zone": "elsewhere", "instanceType": "other", "hostKeyRotated": True}
    plan = plan_of(lab())
    assert refusals(plan, {machine.name: elsewhere for machine in plan.machines}) == []


def trigger(run: Run, machine: str) -> Any:
    """What replaces an instance when it changes."""
    return run.of_type(INSTANCE)[f"machine-{machine}"].replacement_trigger


def test_the_program_ends_before_anything_is_registered_when_it_is_refused() -> None:
    value, last, message = REFUSED["two types of the control plane"]
    with pytest.raises(pulumi.RunError) as caught:
        run_program(value, stack="dev", last={"machines": last})
    assert str(caught.value) == (
        f"this run would endanger the cluster; nothing was touched.\n  Pulumi.dev.yaml: {message}"
    )


def test_a_machine_in_replace_gets_another_trigger_and_the_settings_image() -> None:
    run = run_of(dev(replace=["cp-1"]), last=last_of(dev()))
    for name, instance in run.of_type(INSTANCE).items():
        anew = name == "machine-cp-1"
        assert instance.ignore_changes == (() if anew else PINNED), name
    assert (times_replaced(run, "cp-1"), times_replaced(run, "cp-0")) == ("1", "0")
    told = run.exports["machines"]["cp-1"]
    assert (told["replacements"], told["listed"]) == (1, True)


def test_the_next_run_keeps_the_machine_that_was_made_anew() -> None:
    first = run_of(dev(replace=["cp-1"]), last=last_of(dev()))
    second = run_of(dev(replace=["cp-1"]), last=first.exports["machines"])
    third = run_of(dev(), last=second.exports["machines"])
    for run in (second, third):
        assert times_replaced(run, "cp-1") == "1"
        assert run.of_type(INSTANCE)["machine-cp-1"].ignore_changes == PINNED
    again = run_of(dev(replace=["cp-1"]), last=third.exports["machines"])
    assert times_replaced(again, "cp-1") == "2"


def test_the_type_is_in_the_trigger_of_workers_and_not_of_the_control_plane() -> None:
    assert trigger(prod_run(), "worker-batch-0") == "c7i.xlarge"
    assert trigger(prod_run(), "cp-0") is None


def test_a_machine_that_is_made_anew_is_sought_under_its_first_host_key() -> None:
    run = run_of(prod(replace=["cp-1"]), last=last_of(prod()))
    ignored = {name: run.command(f"host-key-{name}").ignore_changes for name in ("cp-0", "cp-1")}
    assert ignored == {"cp-0": ("connection", "create", "stdin"), "cp-1": ()}


def test_a_machine_that_is_made_anew_takes_its_drain_and_its_volumes_attachment_along() -> None:
    """The engine replaces with a machine, before it, what would change with it and can only be replaced."""
    run = prod_run()
    worker = run.of_type(INSTANCE)["machine-worker-batch-1"].urn
    drain = run.of_type(REMOTE)["drain-worker-batch-1"]
    assert worker in drain.input_dependencies["triggers"]
    cp = run.of_type(INSTANCE)["machine-cp-1"].urn
    attachment = run.of_type(ATTACHMENT)["etcd-cp-1"]
    assert cp in attachment.input_dependencies["instanceId"]
    assert drain.delete_before_replace
    assert attachment.delete_before_replace


def test_a_machine_of_the_lab_is_made_anew_by_its_name_too() -> None:
    first = run_of(lab_with())
    value = lab_with(replace=["worker-general-1"])
    second = run_of(value, last=first.exports["machines"])
    machines = {name: one for name, one in second.of_type(LOCAL).items() if name != "bridge"}
    triggers = {name: one.inputs["triggers"] for name, one in machines.items()}
    assert triggers.pop("machine-worker-general-1") == [1]
    assert set(map(tuple, triggers.values())) == {(0,)}
    kept = {name for name, one in machines.items() if one.ignore_changes == ("triggers",)}
    assert kept == set(machines) - {"machine-worker-general-1"}


def test_workers_that_would_become_spot_instances_are_made_anew_within_their_bound() -> None:
    before = dev(workerPools=pool(2, spot=False))
    plan = plan_of(dev(workerPools=pool(2, spot=True)))
    last = last_of(before, **{f"worker_general_{number}": {"spot": False} for number in range(2)})
    assert refusals(plan, last) == []
    made = replacements(plan, last)
    assert {name for name, one in made.items() if one.now} == {"worker-general-0", "worker-general-1"}


def test_a_whole_pool_does_not_become_spot_instances_in_one_run() -> None:
    before = dev(workerPools=pool(3, spot=False))
    plan = plan_of(dev(workerPools=pool(3, spot=True)))
    last = last_of(before, **{f"worker_general_{number}": {"spot": False} for number in range(3)})
    [refused] = refusals(plan, last)
    assert refused.startswith(
        "cluster.workerPools.general: worker-general-0 would go from on-demand to spot; "
    )
    assert refused.endswith(
        "add a pool with the other `aws.spot`, and remove this one when its pods have moved."
    )


def test_another_login_name_is_refused_since_machines_know_only_their_first_one() -> None:
    plan = plan_of(dev())
    last = last_of(dev(), cp_0={"sshUser": "ubuntu"})
    assert refusals(plan, last) == [
        "cluster.platform.ssh.user: the machines were made with ubuntu, and nobody could log in on them as hardway."
        " Write `user: ubuntu` again."
    ]


def test_of_two_login_names_the_other_one_is_named() -> None:
    last = last_of(dev(), cp_0={"sshUser": "admin"}, cp_1={"sshUser": "hardway"})
    [refused] = refusals(plan_of(dev()), last)
    assert refused.endswith("Write `user: admin` again.")


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleExampleExampleExampleExampleExamplA"


def with_key(comment: str) -> dict[str, Any]:
    """The small cluster with a login key of the operator's own."""
    ssh = {"via": "direct", "privateKeyFile": "id.key", "publicKey": f"{KEY} {comment}"}
    return dev(platform={**dev()["platform"], "ssh": ssh})


def test_another_login_key_is_refused_and_another_comment_is_none() -> None:
    generated = last_of(dev(), cp_0={"loginKey": "generated"})
    assert len(refusals(plan_of(with_key("me")), generated)) == 1
    assert refusals(plan_of(dev()), generated) == []
    own = last_of(dev(), cp_0={"loginKey": KEY})
    assert refusals(plan_of(with_key("you")), own) == []
    [refused] = refusals(plan_of(dev()), own)
    assert refused.startswith("cluster.platform.ssh: the machines were made with another login key")


def test_a_volume_that_would_shrink_is_refused_and_one_that_grows_is_not() -> None:
    sizes = {"rootVolumeGib": 30, "etcdVolumeGib": 5}
    assert refusals(plan_of(dev()), last_of(dev(), cp_0=sizes)) == [
        "rootVolumeGib of cp-0: 20 GiB is less than its volume's 30, and a volume never shrinks. Write 30 or more."
    ]


def test_a_lease_and_a_grace_that_are_lowered_in_one_run_are_refused_and_in_two_are_not() -> None:
    slow = run_program(dev(), stack="dev").exports
    assert slow["nodeLoss"] == {"leaseSeconds": 40, "graceSeconds": 50}
    fast = dev(nodeLoss={"leaseSeconds": 8, "graceSeconds": 8})
    with pytest.raises(pulumi.RunError) as caught:
        run_program(fast, stack="dev", last=lasting(slow))
    assert str(caught.value).startswith(
        "this run would endanger the cluster; nothing was touched.\n  Pulumi.dev.yaml: cluster.nodeLoss: machines are"
        " changed one after the other, so the control plane would wait 8 s for Nodes that still renew a lease of"
        " 40 s,"
    )
    between = run_program(dev(nodeLoss={"leaseSeconds": 8}), stack="dev", last=lasting(slow)).exports
    assert between["nodeLoss"] == {"leaseSeconds": 8, "graceSeconds": 50}
    last = run_program(fast, stack="dev", last=lasting(between)).exports
    assert last["nodeLoss"] == {"leaseSeconds": 8, "graceSeconds": 8}
    with pytest.raises(pulumi.RunError, match="that still wait 8 s would wait for Nodes"):
        run_program(dev(), stack="dev", last=lasting(last))


def lasting(exports: Mapping[str, Any]) -> dict[str, Any]:
    """What the next run reads of a run's outputs."""
    return {name: exports[name] for name in ("machines", "nodeLoss")}


def test_a_state_that_tells_nothing_of_leases_is_no_reason_to_refuse() -> None:
    fast = dev(nodeLoss={"leaseSeconds": 8, "graceSeconds": 8})
    exports = run_program(fast, stack="dev", last={"machines": last_of(dev())}).exports
    assert exports["nodeLoss"] == {"leaseSeconds": 8, "graceSeconds": 8}


def test_a_run_is_told_of_everything_that_endangers_the_cluster_at_once() -> None:
    value, machines, message = REFUSED["second host keys switched off"]
    last = {"machines": machines, "nodeLoss": {"leaseSeconds": 40, "graceSeconds": 50}}
    with pytest.raises(pulumi.RunError) as caught:
        run_program({**value, "nodeLoss": {"leaseSeconds": 8, "graceSeconds": 8}}, stack="dev", last=last)
    lines = str(caught.value).splitlines()
    assert lines[1] == f"  Pulumi.dev.yaml: {message}"
    assert lines[2].startswith("  Pulumi.dev.yaml: cluster.nodeLoss: ")
    assert len(lines) == 3
