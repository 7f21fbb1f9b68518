"""`make ami`: the newest image of each architecture is pinned in the stack file, and nothing else happens."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.workstation.fakes import NO_CREDENTIALS, Programs, answering
from workstation import ami, aws_cli

NAME = "ubuntu/images/hvm-ssd-gp3/ubuntu-resolute-26.04-{}-server-{}"


def images(architecture: str, **ids: str) -> dict[str, Any]:
    """What `describe-images` answers, images by the day of November on which they were made."""
    found = [
        {
            "ImageId": image,
            "Name": NAME.format(architecture, day),
            "CreationDate": f"2026-11-{day[1:]}T08:00:00.000Z",
        }
        for day, image in ids.items()
    ]
    return {"Images": found}


@pytest.fixture
def aws(programs: Programs) -> Programs:
    """An AWS with three images of each architecture, the newest neither first nor last."""
    programs.add(
        "aws",
        answering(
            describe_images_arm64=images("arm64", d01="ami-0a1", d15="ami-0a2", d08="ami-0a3"),
            describe_images_amd64=images("amd64", d02="ami-0b1", d16="ami-0b2", d09="ami-0b3"),
        ),
    )
    return programs


def test_the_newest_image_of_each_architecture_is_written_and_told(
    aws: Programs, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = project / "Pulumi.dev.yaml"
    before = file.read_text()
    assert ami.main(["--stack", "dev"]) == 0
    assert file.read_text() == before.replace("ami-0123456789abcdef0", "ami-0b2").replace(
        "ami-0123456789abcdef1", "ami-0a2"
    )
    assert capsys.readouterr().out.splitlines() == [
        "Pulumi.dev.yaml: Ubuntu 26.04 LTS",
        f"  amd64  ami-0123456789abcdef0 -> ami-0b2  {NAME.format('amd64', 'd16')}  2026-11-16",
        f"  arm64  ami-0123456789abcdef1 -> ami-0a2  {NAME.format('arm64', 'd15')}  2026-11-15",
        "New machines get these images; machines that stand keep theirs until they are named in `replace`.",
    ]


def test_a_second_run_writes_nothing(
    aws: Programs, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ami.main(["--stack", "dev"])
    file = project / "Pulumi.dev.yaml"
    file.chmod(0o444)
    before = file.stat()
    capsys.readouterr()
    assert ami.main(["--stack", "dev"]) == 0
    assert (file.stat().st_mtime_ns, file.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
    assert [line.split("  ")[2] for line in capsys.readouterr().out.splitlines()[1:]] == [
        "ami-0b2 is the newest",
        "ami-0a2 is the newest",
    ]


def test_only_canonicals_available_server_images_of_the_stacks_region_are_asked_for(aws: Programs) -> None:
    ami.main(["--stack", "dev"])
    assert len(aws.calls()) == 2
    asked = aws.calls()[1]
    for words in (
        "ec2 describe-images --owners 099720109477 ",
        "Name=name,Values=ubuntu/images/hvm-ssd-gp3/ubuntu-resolute-26.04-arm64-server-* ",
        "Name=architecture,Values=arm64 ",
        "Name=virtualization-type,Values=hvm ",
        "Name=root-device-type,Values=ebs ",
        "Name=state,Values=available ",
        "--region eu-central-1 ",
    ):
        assert words in asked
    assert "Name=architecture,Values=x86_64 " in aws.calls()[0]


def test_an_older_lts_can_be_asked_for(aws: Programs) -> None:
    ami.main(["--stack", "dev", "--release", "24.04"])
    assert "ubuntu-noble-24.04-amd64-server-*" in aws.calls()[0]


def test_every_release_on_offer_is_an_lts_that_the_agent_supports() -> None:
    from components.agent.machine_facts import SUPPORTED

    assert list(ami.RELEASES) == sorted(ami.RELEASES, reverse=True)
    for release in ami.RELEASES:
        year, month = release.split(".")
        assert int(year) % 2 == 0
        assert month == "04"
        assert float(release) >= SUPPORTED["ubuntu"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("", r"the AWS CLI is not installed; get version 2"),
        (answering(describe_images=Exception(NO_CREDENTIALS)), r"no credentials; run `aws configure`"),
        (answering(describe_images=Exception("ExpiredToken: old")), r"not good for eu-central-1 \(any more\)"),
        (answering(describe_images=Exception("UnauthorizedOperation")), r"may not do that; docs/iam"),
        (answering(describe_images={"Images": []}), r"^error: region eu-central-1: Canonical has no image ubuntu/"),
        (answering(describe_images="no json"), r"answered no JSON"),
        ("exec sleep 5", r"no answer within 0 s; does this computer reach AWS in eu-central-1\?"),
    ],
    ids=["no-cli", "no-credentials", "expired", "forbidden", "no-image", "another-aws", "hangs"],
)  # fmt: skip
def test_a_failed_look_up_says_why_and_leaves_the_file(
    programs: Programs,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    body: str,
    told: str,
) -> None:
    if body.startswith("exec sleep"):
        monkeypatch.setattr(aws_cli, "SECONDS", 0.3)
        monkeypatch.setenv("PATH", f"{programs.folder}:/bin:/usr/bin")
    if body:
        programs.add("aws", body)
    before = (project / "Pulumi.dev.yaml").read_text()
    assert ami.main(["--stack", "dev"]) == 1
    assert (project / "Pulumi.dev.yaml").read_text() == before
    assert re.search(told, capsys.readouterr().err)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("kind: aws", "kind: lab", "platform.kind is lab; only platform aws has images"),
        ("  aws:region: eu-central-1\n", "", "config.aws:region is missing"),
    ],
)
def test_a_stack_that_has_no_images_to_pin_is_refused_before_aws_is_asked(
    aws: Programs, project: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, told: str
) -> None:
    file = project / "Pulumi.dev.yaml"
    file.write_text(file.read_text().replace(old, new))
    assert ami.main(["--stack", "dev"]) == 1
    assert told in capsys.readouterr().err
    assert aws.calls() == []


def test_a_stack_without_a_file_is_one_clear_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert ami.main(["--stack", "nothing"]) == 1
    assert capsys.readouterr().err == "error: Pulumi.nothing.yaml: no such file; name another STACK=\n"
