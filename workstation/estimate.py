"""What a planned cluster costs a month at list prices: a pure function of plan and prices.

It counts what stands there every hour. What depends on use (data, capacity units, volumes and balancers that
workloads ask for, CPU credits) is not guessed; `remarks` tells the rates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from config.aws_plan import BASTION_ROOT_GIB, AwsPlan, InstancePlan
from config.plan import ClusterPlan
from workstation.price_list import HOURS, RegionPrices

_BURSTABLE = ("t2.", "t3.", "t3a.", "t4g.")


@dataclass(frozen=True)
class Line:
    """One line of the estimate.

    Attributes:
        part: of the cluster: `control plane`, `pool <name>`, `bastion`, `network`.
        item: what is paid for.
        count: how many.
        each: USD a month for one.
    """

    part: str
    item: str
    count: int
    each: Decimal

    @property
    def month(self) -> Decimal:
        """USD a month for all."""
        return self.count * self.each


def estimate(plan: ClusterPlan, aws: AwsPlan, prices: RegionPrices) -> list[Line]:
    """Every line of the estimate.

    Raises:
        LabError: an instance type has no price.
    """
    control_plane = [aws.instances[machine.name] for machine in plan.control_plane]
    lines = list(_machines("control plane", control_plane, aws, prices))
    for pool in plan.pools:
        instances = [aws.instances[machine.name] for machine in pool.machines]
        lines += _machines(f"pool {pool.name}", instances, aws, prices)
    if aws.bastion:
        hour = prices.instance(aws.bastion.instance_type, aws.region)
        lines.append(Line("bastion", aws.bastion.instance_type, 1, hour * HOURS))
        lines.append(_volume("bastion", "root", BASTION_ROOT_GIB, 1, prices))
    network = [
        Line("network", "network load balancer", 1, prices.nlb_hour * HOURS),
        Line("network", "NAT gateway", len(aws.gateways), prices.nat_gateway_hour * HOURS),
        Line("network", "public IPv4 address", aws.public_addresses, prices.public_ipv4_hour * HOURS),
    ]
    return lines + [line for line in network if line.count]


def _machines(
    part: str, instances: Iterable[InstancePlan], aws: AwsPlan, prices: RegionPrices
) -> Iterator[Line]:
    """Instances and volumes of machines, alike ones in one line."""
    machines = list(instances)
    for (type_, spot), count in Counter((one.instance_type, one.spot) for one in machines).items():
        item = f"{type_} (spot: at most)" if spot else type_
        yield Line(part, item, count, prices.instance(type_, aws.region) * HOURS)
    for gib, count in Counter(one.root_gib for one in machines).items():
        yield _volume(part, "root", gib, count, prices)
    for etcd_gib, count in Counter(one.etcd_gib for one in machines).items():
        if etcd_gib is not None:
            yield _volume(part, "etcd", etcd_gib, count, prices)


def _volume(part: str, name: str, gib: int, count: int, prices: RegionPrices) -> Line:
    return Line(part, f"{name} volume, gp3, {gib} GiB", count, gib * prices.gp3_gib_month)


def remarks(aws: AwsPlan, prices: RegionPrices) -> list[str]:
    """What the estimate does not count, with the rates."""
    told = [
        f"data through NAT: {prices.nat_gib} USD a GiB" if aws.gateways else "",
        f"data to the internet: {prices.internet_out_gib} USD a GiB, the first 100 GiB a month free; between "
        "zones 0.01 USD a GiB in each direction",
        f"the balancer's capacity units: {prices.nlcu_hour} USD an hour for each, about a GiB of traffic; an API "
        "alone uses a fraction of one",
        "volumes and load balancers that workloads ask for",
    ]
    types = [one.instance_type for one in aws.instances.values()]
    if any(type_.startswith(_BURSTABLE) for type_ in types):
        told.append("CPU credits of t-instances that are busy above their baseline for longer than a day")
    if any(one.spot for one in aws.instances.values()):
        told.append(
            "spot prices change by the hour: such machines are counted at the on-demand price, the most"
        )
    return [remark for remark in told if remark]
