"""The plan of a stack's file: the region, every mistake as one clear error, and the file as it is now."""

import os
from pathlib import Path

import pytest
import yaml

from config.plan import ClusterPlan
from config.stack_file import KEY
from lab import paths, stack_plan
from lab.client import Client
from lab.errors import LabError
from lab.stack import Stack
from tests.config import clusters


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    """A client of the lab's stack in a clone of the test's own."""
    monkeypatch.setattr(paths, "PROJECT", tmp_path)
    write("lab", clusters.lab())
    return Client("lab")


def write(name: str, value: object, **beside: str) -> None:
    document = {"config": {**beside, KEY: value}}
    Stack(name).source.write_text(yaml.safe_dump(document))


def test_the_plan_knows_the_region_of_the_stack_file(lab: Client) -> None:
    write("dev", clusters.dev(), **{"aws:region": "eu-west-1"})
    dev = stack_plan.plan_of(Stack("dev"))
    assert dev.aws is not None
    assert dev.aws.region == "eu-west-1"
    assert lab.plan.aws is None


def test_a_client_and_make_up_plan_the_same(lab: Client) -> None:
    write("dev", clusters.dev(), **{"aws:region": "eu-west-1"})
    assert Client("dev").plan == stack_plan.plan_of(Stack("dev"))
    assert lab.plan == stack_plan.plan_of(Stack("lab"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            yaml.safe_dump({"config": {KEY: {**clusters.lab(), "stray": 1}}}),
            r"^1 mistake in the settings; .*\n  Pulumi\.lab\.yaml: cluster\.stray: ",
        ),
        (
            yaml.safe_dump({"config": {KEY: clusters.dev()}}),
            r"^1 mistake in the settings; .*\n  Pulumi\.lab\.yaml: config\.aws:region: is missing",
        ),
        ("config: [", r"^1 mistake in the settings; .*\n  Pulumi\.lab\.yaml: line 1, column 10: is no YAML"),
        (b"\xff\xfe\x00", r"^Pulumi\.lab\.yaml: cannot be read as a stack file"),
        (None, r"^Pulumi\.lab\.yaml: no such file; copy Pulumi\.lab\.yaml, or name another STACK="),
    ],
    ids=["unknown-key", "no-region", "no-yaml", "no-text", "no-file"],
)
def test_a_file_that_gives_no_plan_is_an_error_of_the_lab(
    lab: Client, text: str | bytes | None, told: str
) -> None:
    source = lab.stack.source
    source.unlink()
    if text is not None:
        source.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(LabError, match=told):
        _ = lab.plan


def test_as_long_as_the_file_stays_nothing_is_planned_anew(lab: Client) -> None:
    plan: ClusterPlan = lab.plan
    assert lab.plan is plan
    assert Client("lab").plan is plan


def test_a_file_written_anew_is_noticed_even_within_a_tick_and_with_its_old_size(lab: Client) -> None:
    pool = clusters.lab()["workerPools"][0]
    before = lab.stack.source.stat()
    assert lab.workers == ["worker-general-0", "worker-general-1"]
    write("lab", clusters.lab(workerPools=[{**pool, "count": 3}]))
    os.utime(lab.stack.source, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert lab.stack.source.stat().st_size == before.st_size
    assert lab.workers == ["worker-general-0", "worker-general-1", "worker-general-2"]
    write("lab", clusters.lab())
    assert lab.workers == ["worker-general-0", "worker-general-1"]
