"""`aws:region`: the one setting that stands beside Hardway's own."""

from __future__ import annotations

import pytest

from config.region import check_region, foreign_problems
from config.settings import SettingsError
from config.stack_file import region_of_stack_file
from tests.config.clusters import AWS_FILE, LAB_FILE, PROD_FILE, REGION


@pytest.mark.parametrize(
    "region",
    [
        "eu-central-1",
        "us-east-1",
        "ap-southeast-7",
        "us-gov-west-1",
        "cn-northwest-1",
        "us-iso-east-1",
        "eusc-de-east-1",
    ],
)
def test_a_region_is_taken_as_it_is(region: str) -> None:
    assert check_region(region, "Pulumi.test.yaml") == region


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (None, "is missing; write `aws:region: eu-central-1` beside hardway:cluster"),
        ("", "is missing; write"),
        (7, "has to be text: an AWS region, such as eu-central-1"),
        ("frankfurt", "is no region; write an AWS region, such as eu-central-1"),
        ("eu-central-12", "is no region"),
        ("eu-central-1 ", "is no region"),
        ("eu-central-1b", "is a zone, and machines are spread over a region's zones; write eu-central-1"),
        ("us-west-2-lax-1a", "is a zone, and machines are spread over a region's zones; write us-west-2"),
        (
            "us-east-1-wl1-bos-wlz-1",
            "is a zone, and machines are spread over a region's zones; write us-east-1",
        ),
    ],
)
def test_what_is_no_region_is_told_with_the_way_out(wrong: object, told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        check_region(wrong, "Pulumi.test.yaml")
    [problem] = caught.value.problems
    assert problem.startswith(f"Pulumi.test.yaml: config.aws:region: {told}")


def test_a_stack_file_tells_its_region_where_the_platform_needs_one() -> None:
    assert region_of_stack_file(AWS_FILE.read_text(), AWS_FILE.name) == REGION
    assert region_of_stack_file(PROD_FILE.read_text(), PROD_FILE.name) == REGION
    assert region_of_stack_file(LAB_FILE.read_text(), LAB_FILE.name) == ""


def test_a_stack_file_on_aws_without_a_region_is_refused() -> None:
    text = AWS_FILE.read_text().replace("  aws:region: eu-central-1\n", "")
    with pytest.raises(SettingsError, match=r"config\.aws:region: is missing"):
        region_of_stack_file(text, AWS_FILE.name)


def test_keys_of_pulumis_provider_that_nobody_reads_are_told_with_the_way_out() -> None:
    [(place, reason)] = foreign_problems(["profile"])
    assert place == "config.aws:profile"
    assert "export AWS_PROFILE" in reason
    assert foreign_problems([]) == []
