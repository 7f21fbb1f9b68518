"""The stack's own past: read with patience, and never guessed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pulumi
import pytest

from components import history


def answering(monkeypatch: pytest.MonkeyPatch, *answers: Any) -> list[str]:
    """Have the engine answer so, once each; gives the stacks that were asked for."""
    asked: list[str] = []
    left = list(answers)

    def invoke(token: str, arguments: dict[str, str]) -> Any:
        assert token == "pulumi:pulumi:readStackOutputs"
        asked.append(arguments["name"])
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return SimpleNamespace(value=answer)

    monkeypatch.setattr(pulumi.runtime, "invoke", invoke)
    monkeypatch.setattr(history, "PAUSE_SECONDS", 0)
    for name, value in (("organization", "acme"), ("project", "hardway"), ("stack", "dev")):
        monkeypatch.setattr(pulumi, f"get_{name}", lambda value=value: value)
    return asked


@pytest.mark.parametrize(
    "answer", [None, {}, {"outputs": {}}, {"outputs": {"machines": None, "nodeLoss": None}}]
)
def test_a_stack_without_a_past_has_nothing_to_compare_with(
    monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    assert answering(monkeypatch, answer) == []
    assert history.last_run() == history.LastRun({}, None)


def test_what_the_stacks_own_last_run_gave_out_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    loss = {"leaseSeconds": 40.0, "graceSeconds": 50.0}
    asked = answering(monkeypatch, {"outputs": {"machines": {"cp-0": {"zone": "a"}}, "nodeLoss": loss}})
    assert history.last_run() == history.LastRun({"cp-0": {"zone": "a"}}, loss)
    assert asked == ["acme/hardway/dev"]


def test_the_ends_of_certificates_and_their_generation_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = {"admin": "2027-01-02T03:04:05Z"}
    answering(monkeypatch, {"outputs": {"certificates": ends, "certificateGeneration": 2.0}})
    last = history.last_run()
    assert (last.certificates, last.certificate_generation) == (ends, 2)


def test_a_record_that_is_just_being_written_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answering(monkeypatch, Exception("EOF"), Exception("EOF"), {"outputs": {}})
    assert history.last_run() == history.LastRun({}, None)
    assert len(asked) == 3


def test_a_record_that_cannot_be_read_ends_the_run_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, *[Exception("no such bucket")] * history.ATTEMPTS)
    with pytest.raises(pulumi.RunError, match=r"\(no such bucket\)\. Nothing was touched\."):
        history.last_run()
