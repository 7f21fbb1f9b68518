"""What tests of the agent share: files without root, and no real waiting."""

from __future__ import annotations

import os
import time

import pytest

from components.agent import disks, evidence, files


@pytest.fixture(autouse=True)
def owners(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Path to the owner that it would have been given; modes are really set."""
    given: dict[str, str] = {}

    def set_owner(path: str, owner: str, mode: int) -> None:
        given[path.removesuffix(".hardway-new")] = owner
        os.chmod(path, mode)

    monkeypatch.setattr(evidence, "set_owner", set_owner)
    monkeypatch.setattr(files, "set_owner", set_owner)
    monkeypatch.setattr(disks, "set_owner", set_owner)
    return given


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that would have been slept; nobody sleeps."""
    seconds: list[float] = []
    monkeypatch.setattr(time, "sleep", seconds.append)
    return seconds
