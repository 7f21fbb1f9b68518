"""What a scenario is, and how it is told: a sentence, the command, the live result, a figure.

A scenario that does not hold ends the demo with what was seen. The tests in the lab play the same scenarios.
"""

from __future__ import annotations

import datetime
import json
import os
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from demo.site import OVERLAY, Site
from demo.traffic import Visitors
from lab import paths
from lab.client import Client
from lab.errors import LabError

SHOWN_LINES = 12
"""How much of a command's output the screen gets."""

ROLLOUT_SECONDS = 180.0


class Promise(StrEnum):
    """What people expect of an orchestrator."""

    SCHEDULING = "Scheduling and configuration"
    AVAILABILITY = "Availability"
    SCALING = "Scaling"
    RESOURCES = "Resource allocation"
    ROUTING = "Load balancing, routing, discovery"
    HEALTH = "Health monitoring"
    SECURITY = "Securing interactions"


@dataclass
class Told:
    """What came of a scenario.

    Attributes:
        key: of the scenario.
        commands: what was run, as a reader can run it.
        result: one sentence of what was seen.
        figures: measured values by name.
        seconds: how long it took.
        date: on which it was seen, as in ISO 8601.
    """

    key: str
    commands: list[str] = field(default_factory=list)
    result: str = ""
    figures: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    date: str = field(default_factory=lambda: datetime.date.today().isoformat())


class Show:
    """The stage of one scenario: commands go through it, so that they are seen and kept."""

    def __init__(self, site: Site, told: Told, say: Callable[[str], None]) -> None:
        """Set the stage.

        Args:
            site: the example on its cluster.
            told: takes what comes of it.
            say: prints a line.
        """
        self.site = site
        self.told = told
        self.say = say

    @property
    def client(self) -> Client:
        """The cluster from outside."""
        return self.site.client

    def kubectl(self, *arguments: str, seconds: float = 60) -> str:
        """Run kubectl in the example's namespace, visibly; gives what it said.

        Raises:
            LabError: it failed.
        """
        self._announce(f"kubectl -n {self.site.namespace} {shlex.join(arguments)}")
        text = self.site.kubectl(*arguments, seconds=seconds)
        lines = text.rstrip().splitlines()
        for line in lines[:SHOWN_LINES]:
            self.say(f"      {line}")
        if len(lines) > SHOWN_LINES:
            self.say(f"      ... {len(lines) - SHOWN_LINES} more lines")
        return text

    def wait_for_rollout(self) -> None:
        """Wait until all replicas are of the wanted version, visibly."""
        status = ("rollout", "status", "deployment/web", f"--timeout={ROLLOUT_SECONDS:.0f}s")
        self._announce(f"kubectl -n {self.site.namespace} {shlex.join(status)}")
        self.say(f"      {self.site.kubectl(*status, seconds=ROLLOUT_SECONDS + 10).splitlines()[-1]}")

    def patch(self, thing: str, change: dict[str, Any]) -> None:
        """Change an object in the example's namespace, visibly."""
        self.kubectl("patch", thing, f"--patch={json.dumps(change)}")

    def apply(self, document: dict[str, Any]) -> None:
        """Create an object, visibly."""
        self._announce(f"kubectl apply -f - <<'END'\n{json.dumps(document, indent=2)}\nEND")
        self.client.apply(document)

    def ssh(self, machine: str, command: str) -> str:
        """Run a command on a machine, visibly; gives what it said.

        Raises:
            LabError: it failed.
        """
        self._announce(f"make ssh NODE={machine} CMD={shlex.quote(command)}")
        return self.client.ssh(machine, command)

    @contextmanager
    def without_power(self, machine: str) -> Iterator[None]:
        """Cut a machine's power, visibly, and give it back after the block, whatever came of that."""
        self._announce(f"python3 -m lab machine kill {machine}")
        self.client.machine("kill", machine)
        try:
            yield
        finally:
            self._announce(f"python3 -m lab machine start {machine}")
            self.client.machine("start", machine)

    @contextmanager
    def overlay(self, name: str) -> Iterator[None]:
        """Apply another overlay of the example, visibly, and the lab's own again after the block."""
        self.apply_overlay(name)
        try:
            yield
        finally:
            self.apply_overlay(OVERLAY)

    def apply_overlay(self, name: str) -> None:
        """Make the cluster hold what an overlay says, visibly, and wait until its pods run."""
        copy = os.path.relpath(self.site.folder / "overlays" / name, paths.PROJECT)
        self._announce(f"kubectl apply -k {copy}")
        self.site.apply(name)
        self.wait_for_rollout()

    def expect_served(self, visitors: Visitors) -> None:
        """End the scenario unless visitors came and each of them was served.

        Raises:
            LabError: none came, or a request failed.
        """
        count = visitors.count
        self.expect(
            "visitors came and no request failed",
            count.asked > 0 and not count.failed,
            f"{count}, {dict(count.failures)}",
        )

    def _announce(self, command: str) -> None:
        self.told.commands.append(command)
        first, *more = command.splitlines()
        self.say(f"    $ {first}{' ...' if more else ''}")

    def figure(self, name: str, value: str) -> None:
        """Note a measured value."""
        self.told.figures[name] = value
        self.say(f"    {name}: {value}")

    def expect(self, fact: str, holds: bool, seen: object = "") -> None:
        """End the scenario unless a fact holds.

        Raises:
            LabError: it does not, with what was seen.
        """
        if not holds:
            raise LabError(f"scenario {self.told.key}: it does not hold that {fact}; seen: {seen}")

    def result(self, sentence: str) -> None:
        """Say what was seen, in one sentence."""
        self.told.result = sentence
        self.say(f"    -> {sentence}")


@dataclass(frozen=True)
class Scenario:
    """One thing that is shown.

    Attributes:
        key: by which it is chosen.
        promise: what it is an instance of.
        sentence: what will be seen.
        play: shows it; leaves the site as it was.
        long: whether it takes minutes, and is played only when asked for.
    """

    key: str
    promise: Promise
    sentence: str
    play: Callable[[Show], None]
    long: bool = False

    def on(self, site: Site, say: Callable[[str], None] = print) -> Told:
        """Play it on a site that is well, and leave that well.

        Raises:
            LabError: something does not hold.
        """
        told = Told(self.key)
        site.wait_until_well()
        begin = time.monotonic()
        try:
            self.play(Show(site, told, say))
        except OSError as error:
            raise LabError(f"scenario {self.key}: the site did not answer ({error})") from None
        told.seconds = time.monotonic() - begin
        return told
