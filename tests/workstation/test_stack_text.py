"""Stack files as text: single values are found, and only the images' lines are ever changed."""

from pathlib import Path

import pytest
import yaml

from lab import paths
from lab.errors import LabError
from workstation import stack_text

ROOT = Path(paths.__file__).resolve().parent.parent
BLOCK = """\
# head
config:
  aws:region: eu-central-1  # Frankfurt
  hardway:cluster:
    name: dev
    workerPools:
      - name: general
        kind: lab
    platform:
      # what kind
      kind: "aws"
      images:
        # by make ami
        amd64: ami-1   # Intel
        arm64: 'ami-2'
      zones: [a, b]
    kubernetes:
      version: 1.36.4
"""
NEW = {"amd64": "ami-8", "arm64": "ami-9"}


def test_values_are_found_in_blocks_beside_comments_quotes_and_lists() -> None:
    assert stack_text.platform_kind(BLOCK) == "aws"
    assert stack_text.region(BLOCK) == "eu-central-1"
    assert stack_text.kubernetes_version(BLOCK) == "1.36.4"
    assert stack_text.value(BLOCK, *stack_text.PLATFORM, "images", "arm64") == "ami-2"


@pytest.mark.parametrize(
    ("platform", "kind"),
    [
        ("{kind: lab}", "lab"),
        ("{images: {amd64: ami-1}, kind: 'aws'}", "aws"),
        ("{}", ""),
        ("", ""),
        ("aws", ""),
    ],
)
def test_values_are_found_in_flow_mappings_on_one_line(platform: str, kind: str) -> None:
    assert stack_text.platform_kind(f"config:\n  hardway:cluster:\n    platform: {platform}\n") == kind


def test_a_value_that_is_commented_out_is_not_there() -> None:
    assert stack_text.platform_kind(BLOCK.replace('kind: "aws"', '# kind: "aws"')) == ""
    assert stack_text.region("config: {}\n") == ""
    assert stack_text.kubernetes_version("") == ""


@pytest.mark.parametrize("file", sorted(ROOT.glob("Pulumi.*.yaml")), ids=lambda file: str(file.name))
def test_every_committed_stack_file_is_understood_as_yaml_understands_it(file: Path) -> None:
    text = file.read_text()
    meant = yaml.safe_load(text)["config"]
    cluster = meant["hardway:cluster"]
    assert stack_text.platform_kind(text) == cluster["platform"]["kind"]
    assert stack_text.region(text) == meant.get("aws:region", "")
    assert stack_text.kubernetes_version(text) == cluster.get("kubernetes", {}).get("version", "")
    if cluster["platform"]["kind"] == "aws":
        changed = yaml.safe_load(stack_text.with_images(text, file.name, NEW))
        cluster["platform"]["images"] = NEW
        assert changed == {**yaml.safe_load(text), "config": meant}


def test_two_ids_are_changed_and_everything_else_stays_byte_for_byte() -> None:
    changed = stack_text.with_images(BLOCK, "Pulumi.dev.yaml", NEW)
    assert changed == BLOCK.replace("ami-1 ", "ami-8 ").replace("'ami-2'", "ami-9")


def test_the_same_ids_change_nothing() -> None:
    changed = stack_text.with_images(BLOCK, "Pulumi.dev.yaml", NEW)
    assert stack_text.with_images(changed, "Pulumi.dev.yaml", NEW) == changed


PLATFORM = "config:\n  hardway:cluster:\n    platform:\n      kind: aws\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "      zones: [a]\n",
            "      images:\n        amd64: ami-8\n        arm64: ami-9\n      zones: [a]\n",
        ),
        (
            "      images:\n      zones: [a]\n",
            "      images:\n        amd64: ami-8\n        arm64: ami-9\n      zones: [a]\n",
        ),
        (
            "      images:\n          arm64: ami-2\n    name: x\n",
            "      images:\n          arm64: ami-9\n          amd64: ami-8\n    name: x\n",
        ),
        (
            "      images: {amd64: ami-1, arm64: ami-2} # two\n",
            "      images: {amd64: ami-8, arm64: ami-9} # two\n",
        ),
        ("      images: {arm64: ami-2}\n", "      images: {arm64: ami-9, amd64: ami-8}\n"),
        ("      images: {}\n", "      images: {amd64: ami-8, arm64: ami-9}\n"),
        (
            "      images:\n        amd64:  # later\n",
            "      images:\n        amd64:  ami-8  # later\n        arm64: ami-9\n",
        ),
        (
            "      images:\n        amd64: ami-1",
            "      images:\n        amd64: ami-8\n        arm64: ami-9\n",
        ),
    ],
    ids=["absent", "empty", "one", "flow", "flow-one", "flow-empty", "only-a-comment", "no-last-newline"],
)
def test_images_are_written_however_they_stood_there(before: str, after: str) -> None:
    changed = stack_text.with_images(PLATFORM + before, "Pulumi.dev.yaml", NEW)
    assert changed == PLATFORM + after
    assert yaml.safe_load(changed)["config"]["hardway:cluster"]["platform"]["images"] == NEW


@pytest.mark.parametrize(
    "text",
    [
        "config:\n  hardway:cluster:\n    platform: {kind: aws}\n",
        PLATFORM + "      images: null\n",
        PLATFORM + "      images: {amd64: ami-1,\n        arm64: ami-2}\n",
        "config: {}\n",
    ],
    ids=["flow-platform", "null", "flow-of-two-lines", "no-platform"],
)
def test_what_cannot_be_changed_safely_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(LabError, match=r"^Pulumi\.dev\.yaml: .* images: \{amd64: ami-8, arm64: ami-9\}$"):
        stack_text.with_images(text, "Pulumi.dev.yaml", NEW)
