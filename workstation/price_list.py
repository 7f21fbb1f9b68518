"""The dated list prices of workstation/prices.yaml. It holds what was looked up; nothing is derived or guessed."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field

from config.model import Model
from lab.errors import LabError

FILE = Path(__file__).with_name("prices.yaml")
HOURS = 730
"""Hours in a month, as AWS's own calculator counts: 365 days of 24 hours, by twelve."""

Usd = Annotated[Decimal, Field(gt=0)]


class RegionPrices(Model):
    """One region's prices in USD, without tax."""

    gp3_gib_month: Usd
    """A GiB of gp3 volume for a month; 3,000 IOPS and 125 MiB/s are in it."""
    nat_gateway_hour: Usd
    """A NAT gateway for an hour."""
    nat_gib: Usd
    """A GiB through a NAT gateway."""
    nlb_hour: Usd
    """A network load balancer for an hour."""
    nlcu_hour: Usd
    """A load balancer capacity unit for an hour: about a GiB, or 800 new connections a second."""
    public_ipv4_hour: Usd
    """A public IPv4 address for an hour, in use or not."""
    internet_out_gib: Usd
    """A GiB to the internet, beyond what is free."""
    instances: dict[str, Usd]
    """An instance for an hour, by type: on demand, Linux."""

    def instance(self, instance_type: str, region: str) -> Decimal:
        """Price of an instance for an hour.

        Raises:
            LabError: the list has none.
        """
        if instance_type not in self.instances:
            raise LabError(
                f"workstation/prices.yaml: no price of {instance_type} in {region}; add it below "
                f"regions.{region}.instances (USD an hour, on demand, Linux) and set the date"
            )
        return self.instances[instance_type]


class PriceList(Model):
    """All prices, with the day on which they were looked up."""

    date: date
    sources: tuple[str, ...]
    regions: dict[str, RegionPrices]

    def region(self, name: str) -> RegionPrices:
        """Prices of a region.

        Raises:
            LabError: the list has none.
        """
        if name not in self.regions:
            raise LabError(
                f"workstation/prices.yaml: no prices for region {name}; there are {', '.join(self.regions)}; add the "
                "region as the others are written, and set the date"
            )
        return self.regions[name]


def load() -> PriceList:
    """Read the list; pydantic's own error when somebody broke the file."""
    return PriceList.model_validate(yaml.safe_load(FILE.read_text()))
