"""`make cost`: what stands there every hour is counted at a dated list price, and nothing is guessed."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from lab import paths
from lab.errors import LabError
from lab.stack import Stack
from workstation import cost, price_list
from workstation.price_list import PriceList

ROUND = {
    "gp3GibMonth": 0.1, "natGatewayHour": 0.05, "natGib": 0.052, "nlbHour": 0.03, "nlcuHour": 0.006,
    "publicIpv4Hour": 0.005, "internetOutGib": 0.09,
    "instances": {"t4g.nano": 0.005, "t4g.medium": 0.04, "m6i.large": 0.1},
}  # fmt: skip


@pytest.fixture
def prices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prices that a head can multiply."""
    made = {"date": date(2026, 11, 22), "sources": ["a test"], "regions": {"eu-central-1": ROUND}}
    monkeypatch.setattr(price_list, "load", lambda: PriceList.model_validate(made))


def report(**changes: str) -> str:
    """The report of stack `dev` with parts of its file replaced."""
    file = paths.PROJECT / "Pulumi.dev.yaml"
    text = file.read_text()
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)
    return cost.report(Stack("dev"))


def sums(text: str) -> dict[str, str]:
    """The sum of each part, and the total."""
    rows = [line for line in text.splitlines() if line and not line.startswith(" ") and line[-1].isdigit()]
    return {" ".join(line.split()[:-1]): line.split()[-1] for line in rows}


def items(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines() if " x " in line]


@pytest.mark.usefixtures("prices")
def test_every_machine_volume_gateway_balancer_and_address_is_counted_once() -> None:
    told = report()
    assert items(told) == [
        "3 x t4g.medium 29.20 87.60",
        "3 x root volume, gp3, 20 GiB 2.00 6.00",
        "3 x etcd volume, gp3, 10 GiB 1.00 3.00",
        "2 x t4g.medium 29.20 58.40",
        "2 x root volume, gp3, 30 GiB 3.00 6.00",
        "1 x t4g.nano 3.65 3.65",
        "1 x root volume, gp3, 10 GiB 1.00 1.00",
        "1 x network load balancer 21.90 21.90",
        "1 x NAT gateway 36.50 36.50",
        "2 x public IPv4 address 3.65 7.30",
    ]
    assert sums(told) == {
        "control plane": "96.60",
        "pool general": "64.40",
        "bastion": "4.65",
        "network": "65.70",
        "total": "231.35",
    }
    assert told.splitlines()[0] == (
        "Pulumi.dev.yaml: cluster dev in eu-central-1, USD a month of 730 hours, at list prices of 2026-11-22 "
        "without tax"
    )


@pytest.mark.usefixtures("prices")
def test_machines_in_public_subnets_pay_for_addresses_and_for_no_nat() -> None:
    told = report(**{"kind: aws\n": "kind: aws\n      machineSubnets: public\n      ssh: {via: direct}\n"})
    assert "NAT" not in told
    assert "bastion" not in told
    assert "5 x public IPv4 address 3.65 18.25" in items(told)


@pytest.mark.usefixtures("prices")
def test_spot_machines_are_counted_at_the_on_demand_price_and_it_is_said() -> None:
    told = report(**{"count: 2\n": "count: 2\n        aws: {instanceType: m6i.large, spot: true}\n"})
    assert "2 x m6i.large (spot: at most) 73.00 146.00" in items(told)
    assert "spot prices change by the hour" in told


@pytest.mark.usefixtures("prices")
def test_a_type_without_a_price_is_an_error_that_says_where_to_write_it() -> None:
    with pytest.raises(
        LabError,
        match=r"^workstation/prices\.yaml: no price of m6i\.xlarge in eu-central-1; add it below "
        r"regions\.eu-central-1\.instances \(USD an hour, on demand, Linux\) and set the date$",
    ):
        report(**{"count: 2\n": "count: 2\n        aws: {instanceType: m6i.xlarge}\n"})


@pytest.mark.usefixtures("prices")
def test_a_region_without_prices_is_an_error_that_says_which_there_are() -> None:
    with pytest.raises(LabError, match=r"no prices for region eu-north-1; there are eu-central-1; add"):
        report(**{"eu-central-1": "eu-north-1"})


@pytest.mark.parametrize(
    ("stack", "told"),
    [
        ("lab", "Pulumi.lab.yaml: its machines are made on this computer and cost nothing"),
        ("hosts.example", "Pulumi.hosts.example.yaml: its machines are your own; Hardway knows no price of theirs"),
    ],
)  # fmt: skip
def test_platforms_that_aws_does_not_bill_have_no_estimate(
    monkeypatch: pytest.MonkeyPatch, stack: str, told: str
) -> None:
    monkeypatch.setattr(paths, "PROJECT", Path(cost.__file__).resolve().parent.parent)
    assert cost.report(Stack(stack)) == told


@pytest.mark.usefixtures("prices")
def test_what_it_costs_can_be_asked_before_digests_and_images_are_known() -> None:
    images = "      images:\n        amd64: ami-0123456789abcdef0\n        arm64: ami-0123456789abcdef1\n"
    assert sums(report(**{images: ""}))["total"] == "231.35"


def test_mistakes_in_the_settings_are_told_as_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    file = paths.PROJECT / "Pulumi.dev.yaml"
    file.write_text(file.read_text().replace("count: 3", "count: 4"))
    assert cost.main(["--stack", "dev"]) == 1
    assert "controlPlane.count: 4 control-plane machines; etcd wants an odd number" in capsys.readouterr().err


def test_the_committed_prices_are_dated_sourced_and_cover_what_settings_default_to() -> None:
    prices = price_list.load()
    assert prices.date >= date(2026, 11, 22)
    assert prices.sources
    assert set(prices.regions) == {"eu-central-1", "eu-west-1", "us-east-1", "us-west-2"}
    for name, region in prices.regions.items():
        assert region.instance("t4g.nano", name) < region.instance("t4g.medium", name)


ROOT = Path(cost.__file__).resolve().parent.parent
ON_AWS = [file for file in sorted(ROOT.glob("Pulumi.*.yaml")) if "kind: aws" in file.read_text()]


@pytest.mark.parametrize("file", ON_AWS, ids=lambda file: str(file.name))
def test_every_committed_stack_on_aws_has_a_price(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "PROJECT", ROOT)
    told = sums(cost.report(Stack(file.stem.removeprefix("Pulumi."))))
    assert float(told["total"].replace(",", "")) > 50


def test_within_a_burstable_family_a_size_costs_twice_the_one_below() -> None:
    """AWS prices these families so; a slip of the pen would break it."""
    sizes = ["nano", "micro", "small", "medium", "large", "xlarge", "2xlarge"]
    for region in price_list.load().regions.values():
        for type_, price in region.instances.items():
            family, size = type_.split(".")
            if family in ("t3", "t4g"):
                assert price == region.instances[f"{family}.medium"] * Decimal(2) ** (sizes.index(size) - 3)


def test_prices_are_read_as_exact_decimals() -> None:
    region = price_list.load().regions["eu-central-1"]
    assert region.gp3_gib_month == Decimal("0.0952")
    assert yaml.safe_load(price_list.FILE.read_text())["regions"]["eu-central-1"]["gp3GibMonth"] == 0.0952
