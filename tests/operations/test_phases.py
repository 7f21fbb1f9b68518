"""A phase on a machine: what comes back, and that none hangs; ssh is stood in for by programs of the test's own."""

from __future__ import annotations

import time
from typing import Any

import pytest

from components import bundle
from lab import stack
from lab.errors import LabError
from operations import phases


@pytest.fixture
def ssh(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """`ssh` runs the shell script under "script" instead, and keeps the remote command."""
    made = {"script": ""}

    def line(_stack: Any, _machine: str, remote: str) -> list[str]:
        made["remote"] = remote
        return ["bash", "-c", made["script"]]

    monkeypatch.setattr(stack, "ssh_command", line)
    monkeypatch.setattr(bundle, "encode", lambda *_, **__: "bundle " * 100_000)
    return made


def play(said: list[str], *, seconds: int = 60) -> dict[str, Any]:
    """Run a phase."""
    return phases.run_phase(stack.Stack("lab"), "cp-0", "reboot", {}, seconds=seconds, say=said.append)


def test_the_last_line_is_the_result_and_progress_is_told(ssh: dict[str, str]) -> None:
    said: list[str] = []
    ssh["script"] = 'cat >/dev/null; echo drained >&2; echo noise; echo \'{"boot": "b"}\''
    assert play(said) == {"boot": "b"}
    assert said == ["drained"]
    assert "timeout --kill-after=10 60 " in ssh["remote"]


def test_a_machine_that_never_answers_is_given_up_in_words(
    ssh: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phases, "CONNECT_SECONDS", -0.5)
    ssh["script"] = "cat >/dev/null; echo begun >&2; exec sleep 300"
    begin = time.monotonic()
    with pytest.raises(LabError) as raised:
        play([], seconds=1)
    assert str(raised.value) == "cp-0: reboot did not end within its 1 s and was ended.\nbegun"
    assert time.monotonic() - begin < 200


def test_one_that_does_not_even_take_the_bundle_is_given_up_too(
    ssh: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phases, "CONNECT_SECONDS", -0.5)
    ssh["script"] = "exec sleep 300"
    with pytest.raises(
        LabError, match=r"did not end within its 1 s and was ended\.\nssh ended with status -9"
    ):
        play([], seconds=1)


def test_work_that_the_machine_itself_ended_is_told_as_that(ssh: dict[str, str]) -> None:
    ssh["script"] = "cat >/dev/null; exit 124"
    with pytest.raises(LabError, match="cp-0: reboot did not end within its 60 s and was ended"):
        play([])


def test_an_ssh_that_ends_at_once_is_told_with_its_own_words(ssh: dict[str, str]) -> None:
    ssh["script"] = "echo 'connection refused' >&2; exit 255"
    with pytest.raises(LabError) as raised:
        play([])
    assert str(raised.value) == "cp-0: reboot failed.\nconnection refused"


def test_a_phase_that_ends_in_time_is_left_alone_by_its_bound(ssh: dict[str, str]) -> None:
    ssh["script"] = "cat >/dev/null; echo '{}'"
    assert play([], seconds=30) == {}
