"""Settings: every invalid fixture with its exact message, and what valid ones mean."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from config.settings import SettingsError, load_settings, machine_counts, storage_add_on
from config.stack_file import settings_of_stack_file
from tests.config.clusters import AWS_FILE, HOSTS_FILE, LAB_FILE, PROD_FILE, dev, hosts, lab, prod

INVALID = sorted((Path(__file__).parent / "invalid").glob("*.yaml"))
UPDATE = os.environ.get("HARDWAY_UPDATE_GOLDEN") == "1"


def message_of(text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        settings_of_stack_file(text, "Pulumi.test.yaml")
    return f"{caught.value}\n"


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_an_invalid_file_gets_exactly_its_message(path: Path) -> None:
    message = message_of(path.read_text())
    expected = path.with_suffix(".txt")
    if UPDATE and (not expected.exists() or expected.read_text() != message):
        expected.write_text(message)
        pytest.fail(f"rewrote {expected.name}; read it, then run again without HARDWAY_UPDATE_GOLDEN")
    assert message == expected.read_text()


def test_every_message_belongs_to_an_invalid_file() -> None:
    folder = Path(__file__).parent / "invalid"
    assert {path.stem for path in folder.glob("*.txt")} == {path.stem for path in INVALID}
    assert len(INVALID) >= 140
    assert len([path for path in INVALID if path.stem.startswith("aws-")]) >= 40


def test_no_message_speaks_the_words_of_pydantic() -> None:
    words = re.compile(
        r"Input should|valid (string|integer|dictionary|tuple)|pattern|Value error|Extra inputs"
    )
    assert [path.stem for path in INVALID if words.search(path.with_suffix(".txt").read_text())] == []


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_a_message_counts_its_mistakes_and_names_the_place_of_each(path: Path) -> None:
    head, *rest = path.with_suffix(".txt").read_text().splitlines()
    line = re.compile(r"  Pulumi\.test\.yaml: ((cluster|config)\S*|line \d+, column \d+): \S.+")
    assert re.fullmatch(rf"{len(rest)} mistakes? in the settings; nothing was touched\.", head)
    assert [text for text in rest if not line.fullmatch(text)] == []


@pytest.mark.parametrize("path", [LAB_FILE, HOSTS_FILE], ids=lambda path: path.name)
def test_the_stack_files_of_the_repository_are_valid(path: Path) -> None:
    settings_of_stack_file(path.read_text(), path.name)


@pytest.mark.parametrize("path", [AWS_FILE, PROD_FILE], ids=lambda path: path.name)
def test_the_files_for_aws_lack_nothing_but_digests(path: Path) -> None:
    """Until `make lock` has filled the committed lock; afterwards they lack nothing."""
    try:
        settings_of_stack_file(path.read_text(), path.name)
    except SettingsError as error:
        [problem] = error.problems
        assert problem.startswith(f"{path.name}: cluster.artifacts.digests: no sha256 is known for ")
        assert "`make lock`" in problem


@pytest.mark.parametrize("value", [dev(), prod()], ids=["dev", "prod"])
def test_the_settings_for_aws_are_valid_once_digests_are_known(value: dict[str, Any]) -> None:
    assert load_settings(value, "Pulumi.test.yaml").platform.kind == "aws"


def test_mistakes_beside_the_settings_are_told_with_those_in_them() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(lab(name="Lab"), "Pulumi.test.yaml", [("config.aws:region", "is missing")])
    places = [problem.split(": ")[1] for problem in caught.value.problems]
    assert places == ["config.aws:region", "cluster.name"]


def test_a_secret_in_a_wrong_place_is_not_repeated() -> None:
    secret = "s3cr3t with spaces"
    value = lab(artifacts={"mirror": secret}, name=secret, token=secret)
    with pytest.raises(SettingsError) as caught:
        load_settings(value, "Pulumi.test.yaml")
    assert secret not in str(caught.value)
    assert len(caught.value.problems) == 3


def test_settings_cannot_be_changed_after_they_were_checked() -> None:
    settings = load_settings(lab(), "Pulumi.test.yaml")
    with pytest.raises(ValidationError, match="frozen"):
        settings.name = "other"  # type: ignore[misc]


def test_the_lab_asks_for_three_control_plane_machines_and_two_workers() -> None:
    assert machine_counts(load_settings(lab(), "Pulumi.test.yaml")) == (3, 2)


def test_hosts_are_counted_by_their_roles() -> None:
    assert machine_counts(load_settings(hosts(), "Pulumi.test.yaml")) == (3, 2)


def test_excluded_numbers_are_not_counted() -> None:
    value = lab(workerPools=[{"name": "general", "count": 5, "exclude": [1, 3]}])
    assert machine_counts(load_settings(value, "Pulumi.test.yaml")) == (3, 3)


@pytest.mark.parametrize(
    ("add_ons", "storage"),
    [({}, "local-path"), ({"storage": "local-path"}, "local-path"), ({"storage": "none"}, "none")],
)
def test_storage_is_local_path_unless_switched_off(add_ons: dict[str, str], storage: str) -> None:
    assert storage_add_on(load_settings(lab(addOns=add_ons), "Pulumi.test.yaml")) == storage


def test_a_cluster_without_workers_is_valid_once_the_add_ons_are_off() -> None:
    value = lab(workerPools=[], addOns={"coredns": False, "storage": "none"})
    assert machine_counts(load_settings(value, "Pulumi.test.yaml")) == (3, 0)


def test_flags_that_hardway_leaves_alone_are_accepted() -> None:
    flags = {"event-ttl": "3h", "v": "4", "enable-admission-plugins": "NodeRestriction,PodNodeSelector"}
    value = lab(controlPlane={"apiServer": {"extraArgs": flags}})
    assert load_settings(value, "Pulumi.test.yaml").control_plane.api_server.extra_args == flags


def test_digests_of_another_version_may_stay_for_the_next_upgrade() -> None:
    digests = {"kubelet/1.36.4/arm64": "0" * 64, "image-coredns/1.14.6/amd64": "1" * 64}
    value = lab(artifacts={"digests": digests})
    assert load_settings(value, "Pulumi.test.yaml").artifacts.digests == digests


def test_what_follows_from_a_bad_value_only_is_not_told() -> None:
    """A pool that cannot be read would leave no worker: one mistake, not two."""
    value = lab(workerPools=[{"name": "general", "count": "two"}])
    with pytest.raises(SettingsError) as caught:
        load_settings(value, "Pulumi.test.yaml")
    place = "Pulumi.test.yaml: cluster.workerPools[0].count"
    assert caught.value.problems == [f"{place}: has to be a whole number, without quotes"]
