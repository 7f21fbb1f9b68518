"""What the engine asked of the fake providers, in order, and which step is to fail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

DONE = ("create", "update", "delete")
"""Requests that change something outside of the engine."""


class PlannedError(Exception):
    """A step that a test wanted to fail."""


@dataclass(frozen=True)
class Call:
    """One request of the engine's.

    Attributes:
        method: `check`, `diff`, `create`, `update`, `delete`, `read`, `configure`.
        kind: last part of the resource's type, such as `Instance`.
        name: logical name.
        preview: whether it was asked what would be.
        inputs: of the resource, without marks of secrecy; of a deletion the old ones.
        ran: what a command would have done on a machine: its verb and the document on its standard input.
    """

    method: str
    kind: str
    name: str
    preview: bool = False
    inputs: Mapping[str, Any] = field(default_factory=dict)
    ran: tuple[str, Mapping[str, Any]] | None = None

    @property
    def action(self) -> str:
        """The call in words, such as `create Instance machine-cp-0`."""
        return f"{self.method} {self.kind} {self.name}"


class Journal:
    """Records calls of all fake providers; steps are made to fail by their words."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._failing: set[str] = set()
        self.calls: list[Call] = []

    def start(self, *, failing: str = "") -> None:
        """Forget what was, for the next run, in which one action fails."""
        with self._lock:
            self.calls = []
            self._failing = {failing} - {""}

    def record(self, call: Call) -> None:
        """Take down a call.

        Raises:
            PlannedError: it is the one to fail.
        """
        with self._lock:
            self.calls.append(call)
            if not call.preview and call.action in self._failing:
                self._failing.remove(call.action)
                raise PlannedError(f"the test lets this fail: {call.action}")
