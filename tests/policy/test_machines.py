"""Instances, launch templates, volumes, and how many control planes there are."""

from __future__ import annotations

from typing import Any

import pytest

from policy.machines import INSTANCE, SPOT, TEMPLATE, VOLUME
from policy.model import UNKNOWN, Resource
from tests.policy.resources import GOOD, found, resource, violated

METADATA = GOOD[INSTANCE]["metadataOptions"]
UNENCRYPTED = "no-unencrypted-volumes"


def machines(count: int, **tags: Any) -> list[Resource]:
    return [
        resource(INSTANCE, f"cp-{number}", tags={"Name": "x", "hardway.dev/role": "control-plane", **tags})
        for number in range(count)
    ]


@pytest.mark.parametrize("type_", sorted(GOOD))
def test_what_the_program_is_meant_to_make_violates_nothing(type_: str) -> None:
    assert found(resource(type_)) == []


@pytest.mark.parametrize("type_", [INSTANCE, SPOT, TEMPLATE])
@pytest.mark.parametrize(
    "changes",
    [
        {"httpTokens": "optional"},
        {"httpTokens": None},
        {"httpPutResponseHopLimit": 2},
        {"httpPutResponseHopLimit": None},
    ],
    ids=str,
)
def test_metadata_needs_a_session_token_and_goes_no_hop_further(type_: str, changes: dict[str, Any]) -> None:
    options = {key: one for key, one in {**METADATA, **changes}.items() if one is not None}
    good = {**GOOD[INSTANCE], **GOOD.get(type_, {})}
    assert violated(resource(type_, **{**good, "metadataOptions": options})) == {"no-imdsv1"}


def test_an_instance_that_says_nothing_of_its_metadata_violates_both_halves() -> None:
    reasons = [reason for _, reason, _ in found(resource(INSTANCE, metadataOptions=None))]
    assert reasons == [
        "metadataOptions.httpTokens is not set, so pods could take its role",
        "metadataOptions.httpPutResponseHopLimit is not set, so pods could take its role",
    ]


def test_metadata_that_is_switched_off_needs_no_token() -> None:
    assert found(resource(INSTANCE, metadataOptions={"httpEndpoint": "disabled"})) == []


@pytest.mark.parametrize(
    "one",
    [
        resource(VOLUME, encrypted=False),
        resource(VOLUME, encrypted=None),
        resource(INSTANCE, rootBlockDevice=None),
        resource(INSTANCE, rootBlockDevice={"volumeType": "gp3"}),
        resource(INSTANCE, rootBlockDevice={"encrypted": False}),
        resource(
            INSTANCE, ebsBlockDevices=[{"deviceName": "/dev/xvdb", "encrypted": True}, {"volumeSize": 8}]
        ),
        resource(TEMPLATE, blockDeviceMappings=None),
        resource(TEMPLATE, blockDeviceMappings=[{"ebs": {"volumeSize": 8}}]),
        resource(TEMPLATE, blockDeviceMappings=[{"ebs": {"encrypted": "false"}}]),
    ],
    ids=lambda one: f"{one.type.rsplit(':')[-1]}-{sorted(one.properties)}",
)
def test_no_volume_is_unencrypted_by_word_or_by_omission(one: Resource) -> None:
    assert violated(one) == {UNENCRYPTED}
    assert len(found(one)) == 1


def test_a_mapping_to_an_instance_store_is_no_volume() -> None:
    mappings = [{"virtualName": "ephemeral0"}, {"ebs": {"encrypted": "true"}}]
    assert found(resource(TEMPLATE, blockDeviceMappings=mappings)) == []


@pytest.mark.parametrize(
    ("count", "even"), [(0, False), (1, False), (2, True), (3, False), (4, True), (5, False)]
)
def test_the_number_of_control_planes_is_odd(count: int, even: bool) -> None:
    workers = [resource(INSTANCE, f"w-{n}", tags={"Name": "x", "hardway.dev/role": "worker"}) for n in (0, 1)]
    assert violated(*machines(count), *workers) == ({"no-even-control-plane"} if even else set())


def test_control_planes_are_counted_by_cluster() -> None:
    both = [*machines(3), *machines(1, **{"hardway.dev/cluster": "other"})]
    assert violated(*both) == set()
    assert violated(*both, *machines(1, **{"hardway.dev/cluster": "other"})) == {"no-even-control-plane"}


def test_an_even_number_is_told_with_the_numbers_that_would_do() -> None:
    (told,) = found(*machines(4))
    assert told == (
        "no-even-control-plane",
        "is one of 4 control-plane machines of cluster dev, an even number of etcd members",
        True,
    )


@pytest.mark.parametrize(
    ("one", "value"),
    [
        (resource(INSTANCE, metadataOptions=UNKNOWN), "metadataOptions"),
        (
            resource(INSTANCE, metadataOptions={**METADATA, "httpTokens": UNKNOWN}),
            "metadataOptions.httpTokens",
        ),
        (resource(INSTANCE, rootBlockDevice=UNKNOWN), "rootBlockDevice.encrypted"),
        (resource(INSTANCE, ebsBlockDevices=UNKNOWN), "ebsBlockDevices"),
        (resource(INSTANCE, ebsBlockDevices=[UNKNOWN]), "ebsBlockDevices[0].encrypted"),
        (resource(VOLUME, encrypted=UNKNOWN), "encrypted"),
        (resource(TEMPLATE, blockDeviceMappings=UNKNOWN), "blockDeviceMappings"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_what_is_not_known_yet_is_told_and_is_no_violation(one: Resource, value: str) -> None:
    assert [(reason, known) for _, reason, known in found(one)] == [
        (f"{value} is not known in a preview", False)
    ]


def test_a_role_that_is_not_known_yet_is_not_counted_but_told() -> None:
    (told,) = found(*machines(1), *machines(1, **{"hardway.dev/role": UNKNOWN}))
    assert told == (
        "no-even-control-plane",
        "its tag hardway.dev/role or hardway.dev/cluster is not known in a preview",
        False,
    )
