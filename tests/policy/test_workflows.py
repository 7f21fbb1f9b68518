"""Workflows: what they may do, what a fork's code gets, and the comment that a preview leaves."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
FOLDER = PROJECT / ".github" / "workflows"
GITLAB = PROJECT / "docs" / "gitlab-ci.example.yaml"
FILES = sorted(FOLDER.glob("*.y*ml"))
WITH_CREDENTIALS = {"preview.yaml": "HARDWAY_PREVIEW_ROLE_ARN", "drift.yaml": "HARDWAY_PREVIEW_ROLE_ARN",
                    "deploy.yaml": "HARDWAY_DEPLOY_ROLE_ARN"}  # fmt: skip

every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)


def workflow(name: str) -> dict[str, Any]:
    """A workflow; YAML 1.1 reads the key `on` as true."""
    content: dict[Any, Any] = yaml.safe_load((FOLDER / name).read_text())
    return {str(key if key is not True else "on"): value for key, value in content.items()}


def jobs(name: str) -> dict[str, dict[str, Any]]:
    return dict(workflow(name)["jobs"])


def steps(name: str) -> Iterator[dict[str, Any]]:
    for job in jobs(name).values():
        yield from job["steps"]


def run_of(name: str, step: str) -> str:
    return str(next(one["run"] for one in steps(name) if one.get("name") == step))


def scripts() -> Iterator[tuple[str, str]]:
    for path in FILES:
        for step in steps(path.name):
            if "run" in step:
                yield f"{path.name}: {step['name']}", step["run"]
    for name, job in yaml.safe_load(GITLAB.read_text()).items():
        if isinstance(job, dict) and {"before_script", "script"} & set(job):
            yield f"GitLab: {name}", "\n".join([*job.get("before_script", []), *job.get("script", [])])


def test_these_are_all_workflows_and_three_of_them_have_credentials() -> None:
    assert [path.name for path in FILES] == ["check.yaml", "deploy.yaml", "drift.yaml", "preview.yaml"]


@every_file
def test_every_action_is_pinned_to_a_commit_and_says_its_version(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if "uses:" in line]
    assert lines
    assert [
        line for line in lines if not re.search(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line)
    ] == []


def test_one_action_has_one_pin_in_all_workflows() -> None:
    pins: dict[str, set[str]] = {}
    for path in FILES:
        for action, pin in re.findall(r"uses: (\S+)@(\S+ # \S+)", path.read_text()):
            pins.setdefault(action, set()).add(pin)
    assert {action: len(pin) for action, pin in pins.items()} == dict.fromkeys(
        ("actions/checkout", "actions/cache", "aws-actions/configure-aws-credentials"), 1
    )


def test_jobs_may_do_no_more_than_they_need() -> None:
    reading = {"contents": "read"}
    assert workflow("check.yaml")["permissions"] == reading
    assert [job.get("permissions") for job in jobs("check.yaml").values()] == [None, None]
    assert [workflow(name)["permissions"] for name in WITH_CREDENTIALS] == [{}, {}, {}]
    assert jobs("drift.yaml")["drift"]["permissions"] == {**reading, "id-token": "write"}
    assert jobs("deploy.yaml")["up"]["permissions"] == {**reading, "id-token": "write"}
    assert jobs("preview.yaml")["preview"]["permissions"] == {
        **reading,
        "id-token": "write",
        "pull-requests": "write",
    }


@every_file
def test_no_workflow_runs_a_forks_code_with_this_repositorys_rights(path: Path) -> None:
    assert not {"pull_request_target", "workflow_run", "issue_comment"} & set(workflow(path.name)["on"])


def test_checks_run_for_everybody_and_know_no_secret() -> None:
    assert set(workflow("check.yaml")["on"]) == {"push", "pull_request"}
    text = (FOLDER / "check.yaml").read_text()
    assert not re.search(r"secrets\.|vars\.|id-token|environment:", text)
    assert [job.get("if") for job in jobs("check.yaml").values()] == [None, None]


def test_only_branches_of_this_repository_are_previewed() -> None:
    assert set(workflow("preview.yaml")["on"]) == {"pull_request"}
    condition = jobs("preview.yaml")["preview"]["if"]
    assert "github.event.pull_request.head.repo.full_name == github.repository &&" in " ".join(
        condition.split()
    )
    assert "||" not in condition


def test_what_changes_the_cluster_runs_on_main_alone_and_after_an_approval() -> None:
    assert workflow("deploy.yaml")["on"] == {"push": {"branches": ["main"]}, "workflow_dispatch": None}
    job = jobs("deploy.yaml")["up"]
    assert job["environment"] == "dev"
    assert "github.ref == 'refs/heads/main'" in job["if"]
    assert workflow("deploy.yaml")["concurrency"]["cancel-in-progress"] is False
    assert workflow("drift.yaml")["concurrency"]["group"] != workflow("deploy.yaml")["concurrency"]["group"]


@pytest.mark.parametrize("name", sorted(WITH_CREDENTIALS))
def test_credentials_are_short_lived_and_come_by_identity_alone(name: str) -> None:
    text = (FOLDER / name).read_text()
    (credentials,) = [
        one["with"] for one in steps(name) if "configure-aws-credentials" in one.get("uses", "")
    ]
    assert credentials["role-to-assume"] == f"${{{{ vars.{WITH_CREDENTIALS[name]} }}}}"
    assert not re.search(r"AWS_ACCESS_KEY_ID|AWS_SECRET_ACCESS_KEY|aws-access-key", text)
    assert set(re.findall(r"secrets\.(\w+)", text)) == {"HARDWAY_PASSPHRASE"}
    assert [
        one["with"]["persist-credentials"] for one in steps(name) if "checkout" in one.get("uses", "")
    ] == [False]


@pytest.mark.parametrize("name", ["check.yaml", *sorted(WITH_CREDENTIALS)])
def test_every_job_is_bounded_in_time(name: str) -> None:
    assert all(job["timeout-minutes"] <= 120 for job in jobs(name).values())


def test_no_workflow_puts_a_value_into_a_shell_script() -> None:
    assert [where for where, script in scripts() if "${{" in script] == []


def test_no_outputs_are_shown_and_the_policy_pack_judges_previews_and_updates() -> None:
    commands = {
        name: " ".join(re.sub(r"\\\n", " ", run_of(name, step)).split())
        for name, step in {"preview.yaml": "Preview", "drift.yaml": "Compare", "deploy.yaml": "Up"}.items()
    }
    assert all("--suppress-outputs" in text and "--show-secrets" not in text for text in commands.values())
    assert 'pulumi preview --stack "$STACK" --diff ' in commands["preview.yaml"]
    assert "--policy-pack policy" in commands["preview.yaml"]
    assert "--policy-pack policy" in commands["deploy.yaml"]
    assert "pulumi refresh" in commands["drift.yaml"]
    assert "--preview-only --expect-no-changes" in commands["drift.yaml"]
    # Rules over the whole stack stop nothing in an update, only in its preview.
    assert "--skip-preview" not in commands["deploy.yaml"]


@pytest.mark.parametrize(
    ("where", "script"), list(scripts()), ids=lambda text: text if ":" in text[:20] else ""
)
def test_scripts_stand_up_to_shellcheck(where: str, script: str) -> None:
    program = shutil.which("shellcheck")
    if program is None:
        pytest.skip("shellcheck is not installed")
    done = subprocess.run(
        [program, "--shell=bash", "-"], input=script, capture_output=True, text=True, check=False
    )
    assert done.stdout == "", where


FAKE_GH = """#!/usr/bin/env python3
import json, os, sys
from pathlib import Path
arguments = sys.argv[1:]
with open(os.environ["CALLS"], "a") as calls:
    calls.write(json.dumps(arguments) + chr(10))
if "--paginate" in arguments:
    sys.stdout.write(os.environ["EXISTING"])
"""


def comment(folder: Path, preview: bytes | None, existing: str = "") -> tuple[list[list[str]], str]:
    """Run the comment's script with a stand-in for GitHub's client; gives its calls and the comment."""
    program = folder / "bin" / "gh"
    program.parent.mkdir()
    program.write_text(FAKE_GH)
    program.chmod(0o755)
    if preview is not None:
        (folder / "preview.txt").write_bytes(preview)
    environment = {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "RUNNER_TEMP": str(folder),
        "GITHUB_REPOSITORY": "octo/cluster",
        "STACK": "dev",
        "NUMBER": "7",
        "COMMIT": "0123abc",
        "OUTCOME": "success",
        "RUN": "https://github.example/octo/cluster/actions/runs/1",
        "CALLS": str(folder / "calls"),
        "EXISTING": existing,
    }
    subprocess.run(["bash", "-c", run_of("preview.yaml", "Comment")], env=environment, check=True)
    calls = [json.loads(line) for line in (folder / "calls").read_text().splitlines()]
    return calls, (folder / "comment.md").read_text()


def test_a_first_preview_makes_a_comment_and_later_ones_change_it(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    calls, _ = comment(first, b"Resources:\n    1 to update\n")
    assert calls[-1][:4] == ["api", "--silent", "--method", "POST"]
    assert calls[-1][4:] == ["repos/octo/cluster/issues/7/comments", "--field", "body=@comment.md"]
    calls, _ = comment(second, b"Resources:\n    2 to update\n", existing="41\n42\n")
    assert calls[-1][3:5] == ["PATCH", "repos/octo/cluster/issues/comments/41"]


def test_a_comment_says_what_it_is_of_and_holds_the_preview(tmp_path: Path) -> None:
    _, text = comment(tmp_path, b"~ maxPods: 110 => 120\nResources:\n    ~ 1 to update\n")
    lines = text.splitlines()
    assert lines[0] == "<!-- hardway preview of dev -->"
    assert lines[1].startswith("**Preview of stack dev at 0123abc: success** ([log](https://github.example/")
    assert text.count("~ maxPods: 110 => 120") == 2
    assert "Cut after" not in text


def test_a_comment_begins_with_the_previews_warnings(tmp_path: Path) -> None:
    warning = "warning: cluster.certificates: 31 of 31 leaves end within 30 days"
    _, text = comment(tmp_path, f"    {warning}\n{'~ a line' * 3}\n".encode() + b"a line\n" * 50)
    assert text.splitlines()[3:5] == ["````", f"    {warning}"]


FAKE_PULUMI = """#!/bin/sh
cat "$PREVIEW"
exit "$STATUS"
"""


@pytest.mark.parametrize(
    ("said", "status", "red"),
    [
        ("Resources:\n    226 unchanged\n", 0, False),
        ("warning: cluster.certificates: 1 of 31 leaves ends within 30 days\n", 0, True),
        ("error: no such bucket\n", 255, True),
    ],
)
def test_the_nightly_check_is_red_when_a_certificate_ends_soon(
    tmp_path: Path, said: str, status: int, red: bool
) -> None:
    for name, text in {"pulumi": FAKE_PULUMI, "make": "#!/bin/sh\n"}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "said").write_text(said)
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "RUNNER_TEMP": str(tmp_path),
        "PREVIEW": str(tmp_path / "said"),
        "STATUS": str(status),
        "STACK": "dev",
    }
    done = subprocess.run(
        ["bash", "-c", run_of("drift.yaml", "Certificates")],
        env=environment,
        capture_output=True,
        check=False,
    )
    assert (done.returncode != 0, done.stdout.decode()) == (red, said if red else "")


def test_a_comment_stays_below_githubs_limit_and_says_that_it_was_cut(tmp_path: Path) -> None:
    _, text = comment(tmp_path, b"x" + "é".encode() * 60_000 + b"````\n")
    assert len(text) < 65_536
    assert "Cut after 50,000 bytes; the log has all of it." in text
    assert text.count("````") == 4
    assert "\ufffd" not in text


def test_a_preview_that_never_began_is_commented_too(tmp_path: Path) -> None:
    _, text = comment(tmp_path, None)
    assert text.splitlines()[0] == "<!-- hardway preview of dev -->"


def test_the_gitlab_file_does_the_same_with_the_same_limits() -> None:
    content = yaml.safe_load(GITLAB.read_text())
    assert {"check", "preview", "drift", "deploy"} <= set(content)
    assert "id_tokens" not in content["check"]
    assert content["deploy"]["variables"]["AWS_ROLE_ARN"] == "$HARDWAY_DEPLOY_ROLE_ARN"
    assert content["deploy"]["rules"][0]["when"] == "manual"
    assert content["deploy"]["environment"] == "dev"
    text = GITLAB.read_text()
    assert text.count("--suppress-outputs") == 4
    assert "--preview-only --expect-no-changes" in text
    assert "CI_MERGE_REQUEST_SOURCE_PROJECT_ID == $CI_PROJECT_ID" in text
    assert not re.search(r"AWS_ACCESS_KEY_ID|AWS_SECRET_ACCESS_KEY", text)
