"""cloud-init is waited for where there is one; its failure is told in its own words."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.agent import cloud_init
from components.agent.evidence import Failure


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cloud-init of this test's own, first on the path; its exit status is in `status`, its calls in `calls`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "cloud-init"
    script.write_text(
        f'#!/bin/sh\necho "$*" >> {tmp_path}/calls\n'
        f'if [ "$2" = --long ]; then echo "status: error"; exit 1; fi\n. {tmp_path}/status\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setattr(cloud_init, "LOG", str(tmp_path / "output.log"))
    monkeypatch.setattr(cloud_init, "RESULT", str(tmp_path / "result.json"))
    return tmp_path


def test_a_machine_without_cloud_init_is_not_held_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    cloud_init.wait()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("finished", "said"), [(False, "waiting for cloud-init (at most 300 s)\n"), (True, "")]
)
def test_an_end_without_errors_is_waited_for(
    program: Path, capsys: pytest.CaptureFixture[str], finished: bool, said: str
) -> None:
    (program / "status").write_text("exit 0")
    if finished:
        (program / "result.json").touch()
    cloud_init.wait()
    assert (program / "calls").read_text() == "status --wait\n"
    assert capsys.readouterr().err == said


def test_errors_that_cloud_init_got_over_are_told_and_do_not_stop_the_machine(
    program: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (program / "status").write_text("exit 2")
    cloud_init.wait()
    assert capsys.readouterr().err.splitlines()[-1] == (
        "cloud-init ended with errors that it got over; 'cloud-init status --long' tells them"
    )


def test_a_failure_comes_with_cloud_inits_own_words_and_its_last_lines(program: Path) -> None:
    (program / "status").write_text("exit 1")
    (program / "output.log").write_text("".join(f"line {number}\n" for number in range(30)))
    with pytest.raises(Failure) as caught:
        cloud_init.wait()
    first, *evidence = str(caught.value).splitlines()
    assert first.startswith("cloud-init failed, so this machine may be set up by half. Correct what it names")
    assert evidence == [
        "--- cloud-init status --long",
        "status: error",
        f"--- {program}/output.log",
        *(f"line {number}" for number in range(10, 30)),
    ]


def test_a_cloud_init_that_never_ends_is_given_up_and_a_missing_log_is_no_error_of_its_own(
    program: Path,
) -> None:
    (program / "status").write_text("exec sleep 30")
    with pytest.raises(Failure, match=r"^cloud-init did not end within 0 s\. (.|\n)*No such file"):
        cloud_init.wait(seconds=0.2)
