"""Arguments as the providers' SDKs know them, and a program that nobody has to warn of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.config.clusters import dev, prod
from tests.program.recording import run_program
from tests.program.runs import dev_run, lab_run, lab_with, prod_run, run_of
from tests.program.schema import mistakes

RUNS = {"lab": lab_run, "dev": dev_run, "prod": prod_run}
INSTANCE = "aws:ec2/instance:Instance"


@pytest.mark.parametrize("preview", [False, True], ids=["up", "preview"])
@pytest.mark.parametrize("stack", RUNS)
def test_every_argument_is_known_fits_its_type_and_is_not_deprecated(stack: str, preview: bool) -> None:
    resources = [one for one in RUNS[stack](preview=preview).resources if one.custom]
    assert len(resources) > 100
    assert [problem for resource in resources for problem in mistakes(resource)] == []


MUTATIONS: dict[str, tuple[dict[str, Any], str]] = {
    "a misspelt name": ({"privatIp": "10.0.0.1"}, "privatIp is not known"),
    "a snake in the camels": ({"private_ip": "10.0.0.1"}, "private_ip is not known"),
    "text for a switch": ({"sourceDestCheck": "yes"}, "sourceDestCheck is 'yes', which is no bool"),
    "a number for text": ({"ami": 7}, "ami is 7, which is no str"),
    "a type that nobody has": (
        {"instanceType": "t4g.medum"},
        "instanceType is 't4g.medum', which is none of the known choices",
    ),
    "a wrong part": (
        {"rootBlockDevice": {"volumeSize": "20"}},
        "rootBlockDevice.volumeSize is '20', which is no int",
    ),
    "an unknown part": ({"metadataOptions": {"hopLimit": 1}}, "metadataOptions.hopLimit is not known"),
    "one for many": ({"vpcSecurityGroupIds": "sg-1"}, "vpcSecurityGroupIds is no list"),
    "a wrong one of many": (
        {"vpcSecurityGroupIds": ["sg-1", 2]},
        "vpcSecurityGroupIds[1] is 2, which is no str",
    ),
    "something deprecated": ({"securityGroups": ["sg-1"]}, "securityGroups is deprecated"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_checker_sees(name: str) -> None:
    change, problem = MUTATIONS[name]
    good = dev_run().of_type(INSTANCE)["machine-cp-0"]
    bad = replace(good, inputs={**good.inputs, **change})
    assert mistakes(good) == []
    assert mistakes(bad) == [f"{INSTANCE} machine-cp-0: {problem}"]


def test_the_checker_sees_that_a_needed_argument_is_missing() -> None:
    good = dev_run().of_type("aws:ec2/subnetCidrReservation:SubnetCidrReservation")["public-a-machines-0"]
    bad = replace(good, inputs={key: one for key, one in good.inputs.items() if key != "reservationType"})
    assert mistakes(bad) == [f"{good.type} {good.name}: reservationType is missing"]


@pytest.mark.parametrize("stack", RUNS)
def test_nobody_warns_of_anything(stack: str) -> None:
    assert RUNS[stack]().told == ()  # by now the SDK is loaded, which warns of parts of its own
    run = run_program({"lab": lab_with, "dev": dev, "prod": prod}[stack]())
    assert (run.told, run.warnings) == ((), ())


def test_the_plans_own_warnings_are_told() -> None:
    platform = {**dev()["platform"], "api": {"visibility": "internet-facing", "cidrs": ["0.0.0.0/0"]}}
    (told,) = run_of(dev(platform=platform)).told
    assert "0.0.0.0/0" in told
