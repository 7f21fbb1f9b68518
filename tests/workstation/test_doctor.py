"""`make doctor`: what a platform needs is looked for, what is missing is told with the way out, nothing is changed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab import engine, packages, paths, plugins, publishers
from tests.workstation.fakes import NO_CREDENTIALS, Programs, answering
from workstation import computer_checks, doctor
from workstation import programs as asked
from workstation.findings import Finding, Verdict

CALLER = {"Account": "123456789012", "Arn": "arn:aws:iam::123456789012:user/operator"}


@pytest.fixture(autouse=True)
def unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package index answers, unless a test says otherwise."""
    monkeypatch.setattr(computer_checks, "index_answers", lambda: True)


def install_everything(programs: Programs, **aws: object) -> None:
    """A computer that has all that platform aws needs."""
    answers = {
        "get_caller_identity": CALLER,
        "describe_vpcs": {"Vpcs": []},
        "configure_get_region": "eu-central-1",
    }
    programs.add("aws", answering(**{"__version": "aws-cli/2.31.5 Python/3.13.7", **answers, **aws}))
    programs.add("kubectl", 'echo "Client Version: v1.37.2"')
    programs.add("ssh", 'echo "OpenSSH_9.2p1 Debian-2, OpenSSL 3" >&2')
    engine.BIN.mkdir(parents=True)
    for name in engine.PROGRAMS:
        (engine.BIN / name).write_text(f"#!/bin/sh\necho v{engine.VERSION}\n")
        (engine.BIN / name).chmod(0o755)
    engine._STAMP.write_text(f"{engine.VERSION} publisher\n")
    for name in plugins.VERSIONS:
        plugins._folder(name).mkdir(parents=True)
        plugins._program(name).write_text("official")
    (paths.VENV / "bin").mkdir(parents=True)
    (paths.VENV / "bin" / "python").touch()


def found(stack: str = "dev") -> dict[str, Finding]:
    """Findings by check."""
    return {one.check: one for one in doctor.examine(stack)[1]}


def test_a_computer_with_everything_is_well(programs: Programs, capsys: pytest.CaptureFixture[str]) -> None:
    install_everything(programs)
    assert doctor.main(["--stack", "dev"]) == 0
    told = capsys.readouterr().out
    assert told.splitlines()[0] == "stack dev, platform aws"
    assert told.splitlines()[-1] == "all that is needed is here, or `make` gets it"
    assert {one.verdict for one in found().values()} == {Verdict.GOOD}
    assert list(found()) == [
        "Python", "system", "Python environment", "Pulumi", "Pulumi for Python", "plugin aws", "plugin command",
        "plugin tls", "AWS CLI", "AWS credentials", "AWS region", "AWS permissions", "kubectl", "ssh",
    ]  # fmt: skip


def test_an_empty_computer_is_told_everything_at_once_and_fails(
    programs: Programs, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor.main(["--stack", "dev"]) == 1
    told = capsys.readouterr().out
    assert told.splitlines()[-1] == (
        "missing: plugin aws, plugin command, plugin tls, AWS CLI, AWS credentials, ssh"
    )
    assert "AWS CLI version 2 from AWS, or `apt-get install awscli`" in told
    assert "apt-get install openssh-client" in told
    assert (
        f"PULUMI_HOME={paths.PULUMI_HOME} {paths.PULUMI_HOME}/bin/pulumi plugin install "
        "resource aws 7.29.0 --reinstall --file "
        "pulumi-resource-aws-v7.29.0-linux-" in told
    )


def test_looking_changes_nothing(programs: Programs, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    doctor.main(["--stack", "dev"])
    assert sorted(tmp_path.rglob("*")) == before


def test_what_a_run_would_install_by_itself_is_no_reason_to_fail(
    programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishers, "_answers", {"get.pulumi.com": True})
    for check in ("Pulumi", "Pulumi for Python", "plugin aws", "plugin tls", "Python environment"):
        assert found()[check].verdict is Verdict.FETCHED


def test_a_stand_in_is_told_on_the_lab_and_not_good_enough_for_aws(programs: Programs) -> None:
    install_everything(programs)
    plugins._marker("tls").write_text("digest\n")
    assert found()["plugin tls"].verdict is Verdict.MISSING
    assert found()["plugin tls"].found == "5.3.1, stand-in"
    (paths.PROJECT / "Pulumi.lab.yaml").write_text("config:\n  hardway:cluster:\n    platform: {kind: lab}\n")
    assert found("lab")["plugin tls"].verdict is Verdict.DOUBTFUL
    assert "plugin aws" not in found("lab")


def test_an_engine_older_than_the_pinned_one_is_replaced(programs: Programs) -> None:
    install_everything(programs)
    (engine.BIN / "pulumi").write_text("#!/bin/sh\necho v3.229.9\n")
    assert found()["Pulumi"].found == "3.229.9"
    assert found()["Pulumi"].verdict is Verdict.FETCHED


@pytest.mark.parametrize(
    ("client", "cluster", "verdict"),
    [
        ("Client Version: v1.37.2", None, Verdict.GOOD),
        ("Client Version: v1.36.0", None, Verdict.GOOD),
        ("Client Version: v1.38.1", None, Verdict.GOOD),
        ("Client Version: v1.35.9", None, Verdict.MISSING),
        ("Client Version: v1.35.9", "1.36.4", Verdict.GOOD),
        ("Client Version: v2.37.2", None, Verdict.MISSING),
        ("no version", None, Verdict.MISSING),
    ],
)
def test_kubectl_may_be_one_minor_version_away_from_the_cluster(
    programs: Programs, project: Path, client: str, cluster: str | None, verdict: Verdict
) -> None:
    programs.add("kubectl", f'echo "{client}"')
    if cluster:
        file = project / "Pulumi.dev.yaml"
        file.write_text(f"{file.read_text()}    kubernetes:\n      version: {cluster}\n")
    assert found()["kubectl"].verdict is verdict


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (NO_CREDENTIALS, "no credentials; run `aws configure` or `aws sso login`, or set AWS_PROFILE"),
        ("An error occurred (ExpiredToken)", "not good for eu-central-1 (any more)"),
        ("Could not connect to the endpoint URL", "does not answer; look at the network"),
    ],
)
def test_credentials_that_do_not_work_are_told_with_the_way_out(
    programs: Programs, said: str, told: str
) -> None:
    install_everything(programs, get_caller_identity=Exception(said))
    assert found()["AWS credentials"].verdict is Verdict.MISSING
    assert told in found()["AWS credentials"].remedy
    assert "AWS permissions" not in found()


def test_credentials_are_asked_of_the_stacks_own_region(programs: Programs) -> None:
    install_everything(programs)
    found()
    assert "aws sts get-caller-identity --region eu-central-1 --output json" in programs.calls()


def test_a_command_line_that_points_elsewhere_is_worth_a_look(
    programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_everything(programs, configure_get_region="us-east-1")
    assert found()["AWS region"].found == "the stack eu-central-1, plain `aws` us-east-1"
    assert found()["AWS region"].verdict is Verdict.DOUBTFUL
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    assert found()["AWS region"].verdict is Verdict.GOOD


def test_credentials_without_the_right_to_look_are_told(programs: Programs) -> None:
    install_everything(programs, describe_vpcs=Exception("UnauthorizedOperation"))
    assert found()["AWS permissions"].verdict is Verdict.MISSING
    assert "docs/iam has the policies" in found()["AWS permissions"].remedy


def test_a_stack_on_aws_without_a_region_is_told(programs: Programs, project: Path) -> None:
    install_everything(programs)
    file = project / "Pulumi.dev.yaml"
    file.write_text(file.read_text().replace("  aws:region: eu-central-1\n", ""))
    assert found()["AWS region"].verdict is Verdict.MISSING


def test_a_program_that_hangs_is_given_up(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked, "SECONDS", 0.3)
    monkeypatch.setenv("PATH", f"{programs.folder}:/bin:/usr/bin")
    programs.add("kubectl", "exec sleep 30")
    assert found()["kubectl"].found == f"{programs.folder / 'kubectl'} tells no version"


# What only the lab needs


@pytest.fixture
def lab(project: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """A lab's stack on a computer that has all that the lab needs."""
    (project / "Pulumi.lab.yaml").write_text("config:\n  hardway:cluster:\n    platform:\n      kind: lab\n")
    install_everything(programs)
    programs.add("apt-get", "")
    programs.add("go", 'echo "go version go1.26.8 linux/amd64"')
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(packages, "missing", lambda _: [])
    return programs


def test_the_lab_is_asked_for_root_packages_a_compiler_memory_and_disk_and_not_for_aws(lab: Programs) -> None:
    told = found("lab")
    assert {one.verdict for name, one in told.items() if not name.startswith(("disk", "memory"))} == {
        Verdict.GOOD
    }
    for check in (
        "rights",
        "Debian packages",
        "Go",
        "Python's packages",
        "memory",
        "disk, cache",
        "disk, machines",
    ):
        assert check in told
    assert not any(check.startswith("AWS") for check in told)
    assert not any(call.startswith("aws") for call in lab.calls())


def test_a_user_who_is_not_root_cannot_run_the_lab(lab: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert found("lab")["rights"] == Finding("rights", "user 1000", Verdict.MISSING, "root: `sudo make ...`")


def test_packages_that_are_missing_are_named_and_installed_by_make(
    lab: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "missing", lambda _: ["debootstrap", "nftables"])
    told = found("lab")["Debian packages"]
    assert (told.verdict, told.remedy) == (Verdict.FETCHED, "apt-get install debootstrap nftables")


@pytest.mark.parametrize(("answers", "verdict"), [(True, Verdict.FETCHED), (False, Verdict.MISSING)])
def test_an_old_go_is_enough_only_where_a_new_one_can_be_fetched(
    lab: Programs, monkeypatch: pytest.MonkeyPatch, answers: bool, verdict: Verdict
) -> None:
    lab.add("go", 'echo "go version go1.19.8 linux/amd64"')
    monkeypatch.setattr(computer_checks, "index_answers", lambda: answers)
    assert found("lab")["Go"].found == "1.19.8"
    assert found("lab")["Go"].verdict is verdict


def test_a_full_disk_is_told_with_the_variable_that_moves_things(
    lab: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(computer_checks, "CACHE_GIB", 1 << 20)
    told = found("lab")["disk, cache"]
    assert told.verdict is Verdict.MISSING
    assert "set HARDWAY_CACHE to a folder on a larger disk" in told.remedy


# How it is called


def test_a_stack_without_a_file_is_told_with_those_that_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main(["--stack", "prod"]) == 1
    assert capsys.readouterr().err == "error: Pulumi.prod.yaml: no such file; STACK= may be dev\n"


def test_it_runs_without_a_single_installed_package(tmp_path: Path) -> None:
    """-S: Python without site-packages, as on a computer where nothing was ever installed."""
    root = Path(doctor.__file__).resolve().parent.parent
    environ = {
        "PATH": "/usr/bin:/bin", "HARDWAY_CACHE": str(tmp_path / "cache"), "HARDWAY_STATE": str(tmp_path / "state"),
        "PIP_INDEX_URL": "http://127.0.0.1:9/", "https_proxy": "http://127.0.0.1:9",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-S", "-m", "workstation.doctor", "--stack", "lab"],
        cwd=root, env=environ, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.startswith("stack lab, platform lab\n\ncheck "), done.stderr
    assert done.stderr == ""
    assert not (tmp_path / "cache").exists()
