"""The plan on AWS over random valid settings: nobody shares an address, and nobody moves when others come or go."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from config.aws_plan import Group
from config.plan import ClusterPlan, Role
from tests.config.aws_clusters import ZONES, Value, cluster, platforms, pools

FEW = settings(max_examples=25)
"""For plans of thousands of machines."""
SMALL = pools(most=3, counts=st.integers(0, 8))


def by_name(plan: ClusterPlan) -> dict[str, tuple[object, ...]]:
    """All that is planned of each machine, the instance's part included."""
    assert plan.aws is not None
    return {machine.name: (machine, plan.aws.instances[machine.name]) for machine in plan.machines}


def assert_only(before: ClusterPlan, after: ClusterPlan, *, gone: set[str], come: set[str]) -> None:
    """Exactly these machines left and came; every other one is the same in every respect."""
    old, new = by_name(before), by_name(after)
    assert (set(old) - set(new), set(new) - set(old)) == (gone, come)
    stayed = set(old) & set(new)
    assert {name: new[name] for name in stayed} == {name: old[name] for name in stayed}


def names_of(worker_pool: Value) -> set[str]:
    numbers = set(range(worker_pool["count"])) - set(worker_pool["exclude"])
    return {f"worker-{worker_pool['name']}-{number}" for number in numbers}


@FEW
@given(pools(), ZONES, platforms(), st.sampled_from([1, 3, 5, 7, 9]))
def test_no_two_things_share_an_address(
    chosen: list[Value], zones: list[str], platform: Value, count: int
) -> None:
    plan = cluster(chosen, zones, platform, count)
    assert plan.aws is not None
    addresses = [machine.address for machine in plan.machines]
    addresses += [gateway.address for gateway in plan.aws.gateways]
    addresses += [address for address in plan.aws.api.subnets.values() if address]
    addresses += [plan.aws.bastion.address] if plan.aws.bastion and plan.aws.bastion.address else []
    assert len(set(addresses)) == len(addresses)
    assert len({machine.name for machine in plan.machines}) == len(plan.machines)
    assert len(plan.workers) == sum(len(names_of(one)) for one in chosen)


@FEW
@given(pools(), ZONES, platforms(), st.sampled_from([1, 9]))
def test_every_machine_stands_in_its_zones_subnet_where_aws_gives_nothing_away(
    chosen: list[Value], zones: list[str], platform: Value, count: int
) -> None:
    plan = cluster(chosen, zones, platform, count)
    assert plan.aws is not None
    for machine in plan.machines:
        subnet = plan.aws.subnets[plan.aws.instances[machine.name].subnet]
        assert subnet.cidr is not None
        assert machine.zone == subnet.zone
        assert sum(machine.address in reserved for reserved in subnet.reserved) == 1
        # AWS keeps the first four addresses of a subnet for itself.
        assert int(machine.address) - int(subnet.cidr.network_address) >= 10
        assert all(reserved.subnet_of(subnet.cidr) for reserved in subnet.reserved)


@FEW
@given(pools(), ZONES, platforms())
def test_gateways_and_the_bastion_stand_in_public_subnets_where_aws_gives_nothing_away(
    chosen: list[Value], zones: list[str], platform: Value
) -> None:
    aws = cluster(chosen, zones, platform).aws
    assert aws is not None
    doors = [(gateway.subnet, gateway.address) for gateway in aws.gateways]
    if aws.bastion and aws.bastion.address:
        doors.append((aws.bastion.subnet, aws.bastion.address))
    for name, address in doors:
        assert aws.subnets[name].public
        assert any(address in reserved for reserved in aws.subnets[name].reserved)


@given(SMALL, ZONES, platforms())
def test_every_private_subnet_has_at_most_one_way_out_and_exactly_one_with_nat(
    chosen: list[Value], zones: list[str], platform: Value
) -> None:
    aws = cluster(chosen, zones, platform).aws
    assert aws is not None
    served = sorted(name for gateway in aws.gateways for name in gateway.serves)
    with_nat = platform["machineSubnets"] == "private" and platform["nat"] != "none"
    assert served == (
        sorted(name for name, subnet in aws.subnets.items() if not subnet.public) if with_nat else []
    )
    assert len(aws.gateways) <= (1 if platform.get("nat") == "shared" else 4)


@given(SMALL, ZONES, platforms())
def test_no_subnet_overlaps_another_and_all_are_inside_of_the_vpc(
    chosen: list[Value], zones: list[str], platform: Value
) -> None:
    aws = cluster(chosen, zones, platform).aws
    assert aws is not None
    ranges = sorted(subnet.cidr for subnet in aws.subnets.values() if subnet.cidr)
    assert len(ranges) == len(aws.subnets)
    assert [one for one, other in pairwise(ranges) if one.overlaps(other)] == []
    assert all(cidr.subnet_of(aws.cidr) for cidr in ranges)


@given(SMALL, ZONES, platforms(), st.data())
def test_a_later_zone_moves_no_subnet_and_no_machine_of_a_pool_with_zones_of_its_own(
    chosen: list[Value], zones: list[str], platform: Value, data: st.DataObject
) -> None:
    later = data.draw(st.sampled_from([letter for letter in "abcd" if letter not in zones]))
    before, after = cluster(chosen, zones, platform), cluster(chosen, [*zones, later], platform)
    assert before.aws is not None
    assert after.aws is not None
    assert {name: after.aws.subnets[name] for name in before.aws.subnets} == dict(before.aws.subnets)
    new = {name for name in after.aws.subnets if name not in before.aws.subnets}
    assert new <= {f"private-{later}", f"public-{later}"}
    settled = {name for one in chosen if "zones" in one["aws"] for name in names_of(one)}
    assert {name: by_name(after)[name] for name in settled} == {
        name: by_name(before)[name] for name in settled
    }
    for name, address in before.aws.api.subnets.items():
        assert after.aws.api.subnets[name] == address


@given(SMALL, ZONES, st.data())
def test_adding_or_removing_a_pool_anywhere_moves_nobody_else(
    chosen: list[Value], zones: list[str], data: st.DataObject
) -> None:
    if not chosen:
        return
    index = data.draw(st.integers(0, len(chosen) - 1))
    rest = [*chosen[:index], *chosen[index + 1 :]]
    with_it, without = cluster(chosen, zones), cluster(rest, zones)
    assert_only(with_it, without, gone=names_of(chosen[index]), come=set())
    assert_only(without, with_it, gone=set(), come=names_of(chosen[index]))
    assert with_it.aws is not None
    assert without.aws is not None
    assert with_it.aws.api == without.aws.api
    assert with_it.aws.rules == without.aws.rules


@given(SMALL, ZONES, st.data())
def test_excluding_a_number_removes_that_machine_and_moves_nobody_else(
    chosen: list[Value], zones: list[str], data: st.DataObject
) -> None:
    inhabited = [index for index, one in enumerate(chosen) if names_of(one)]
    if not inhabited:
        return
    index = data.draw(st.sampled_from(inhabited))
    old = chosen[index]
    number = data.draw(st.sampled_from(sorted(set(range(old["count"])) - set(old["exclude"]))))
    less = [*chosen[:index], {**old, "exclude": [*old["exclude"], number]}, *chosen[index + 1 :]]
    gone = {f"worker-{old['name']}-{number}"}
    assert_only(cluster(chosen, zones), cluster(less, zones), gone=gone, come=set())


@given(SMALL, ZONES, st.sampled_from([(1, 3), (3, 5), (5, 9)]))
def test_a_larger_control_plane_moves_nobody(
    chosen: list[Value], zones: list[str], counts: tuple[int, int]
) -> None:
    small, large = (cluster(chosen, zones, control_plane=count) for count in counts)
    assert_only(small, large, gone=set(), come={f"cp-{number}" for number in range(*counts)})
    assert large.etcd.members[: counts[0]] == small.etcd.members


@given(SMALL, ZONES)
def test_the_order_of_pools_moves_nobody(chosen: list[Value], zones: list[str]) -> None:
    assert_only(cluster(chosen, zones), cluster(chosen[::-1], zones), gone=set(), come=set())


@given(SMALL, ZONES)
def test_a_control_plane_of_three_in_three_zones_loses_one_member_with_a_zone(
    chosen: list[Value], zones: list[str]
) -> None:
    placed = [machine.zone for machine in cluster(chosen, zones).control_plane]
    assert max(placed.count(zone) for zone in placed) == -(-3 // len(zones))


@given(SMALL, ZONES, platforms())
def test_firewall_rules_have_names_of_their_own_and_peers_that_exist(
    chosen: list[Value], zones: list[str], platform: Value
) -> None:
    aws = cluster(chosen, zones, platform).aws
    assert aws is not None
    names = [rule.name for rule in aws.rules]
    assert len(set(names)) == len(names)
    groups = {Group.CONTROL_PLANE, Group.WORKER, Group.API} | ({Group.BASTION} if aws.bastion else set())
    assert {rule.group for rule in aws.rules} == groups
    assert {rule.peer for rule in aws.rules if isinstance(rule.peer, Group)} == groups


@given(SMALL, ZONES, platforms())
def test_nobody_but_administrators_and_the_bastion_gets_in_by_ssh(
    chosen: list[Value], zones: list[str], platform: Value
) -> None:
    aws = cluster(chosen, zones, platform).aws
    assert aws is not None
    doors = [rule for rule in aws.rules if rule.inward and rule.ports == (22, 22)]
    peers = {str(rule.peer) for rule in doors}
    by_bastion = platform["ssh"]["via"] == "bastion"
    assert peers == {*platform["adminCidrs"], *(["bastion"] if by_bastion else [])}
    outside = {str(rule.group) for rule in doors if not isinstance(rule.peer, Group)}
    assert outside == ({"bastion"} if by_bastion else {"control-plane", "worker"})


@given(SMALL, ZONES, platforms())
def test_every_machine_is_one_instance_with_the_image_of_its_architecture(
    chosen: list[Value], zones: list[str], platform: Value
) -> None:
    plan = cluster(chosen, zones, platform)
    assert plan.aws is not None
    assert list(plan.aws.instances) == [machine.name for machine in plan.machines]
    for machine in plan.machines:
        instance = plan.aws.instances[machine.name]
        assert instance.architecture == machine.architecture
        assert instance.image == platform["images"][machine.architecture]
        assert (instance.etcd_gib is None) == (machine.role is Role.WORKER)
