"""Packages: only what is missing, and another run of the package manager is waited for."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace

import pytest

from components.agent import packages
from components.agent.evidence import Failure

APT = "env LC_ALL=C DEBIAN_FRONTEND=noninteractive apt-get --quiet --yes -o DPkg::Lock::Timeout=300"
# The words of apt 2.6.1, at once and with DPkg::Lock::Timeout set.
LOCKED = "status 100: E: Could not get lock /var/lib/apt/lists/lock. It is held by process 378 (apt-get)"


class Apt:
    """apt-get that takes notes and fails as often as it is told to."""

    def __init__(self, *failures: str) -> None:
        self.failures = list(failures)
        self.calls: list[str] = []

    def run(self, *words: str, timeout: float = 60) -> str:
        """One call."""
        self.calls.append(" ".join(words))
        if self.failures:
            raise Failure(self.failures.pop(0))
        return ""


def use(apt: Apt, monkeypatch: pytest.MonkeyPatch, listed: str = "") -> None:
    monkeypatch.setattr(packages, "command", apt.run)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=listed))


def test_packages_that_are_installed_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    use(apt := Apt(), monkeypatch, "haproxy installed\nsocat installed\n")
    packages.install(["haproxy", "socat"])
    assert apt.calls == []


def test_only_what_is_missing_or_was_removed_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    use(apt := Apt(), monkeypatch, "conntrack installed\nsocat config-files\n")
    packages.install(["conntrack", "socat", "ethtool"])
    assert apt.calls == [f"{APT} update", f"{APT} install --no-install-recommends socat ethtool"]


def test_the_lock_of_the_lists_is_waited_for_although_apt_does_not(
    monkeypatch: pytest.MonkeyPatch, slept: list[float]
) -> None:
    use(apt := Apt(LOCKED, LOCKED), monkeypatch)
    packages.install(["socat"])
    assert apt.calls == [f"{APT} update"] * 3 + [f"{APT} install --no-install-recommends socat"]
    assert slept == [5, 5]


def test_a_lock_that_is_never_released_is_told_with_its_holder(
    monkeypatch: pytest.MonkeyPatch, slept: list[float]
) -> None:
    use(apt := Apt(*[LOCKED] * 9), monkeypatch)
    monkeypatch.setattr(packages, "LOCK_SECONDS", -1)
    with pytest.raises(Failure, match=r"has held its lock for .* then run again: .*held by process 378"):
        packages.install(["socat"])
    assert (len(apt.calls), slept) == (1, [])


def test_any_other_failure_of_the_package_manager_is_told_at_once(
    monkeypatch: pytest.MonkeyPatch, slept: list[float]
) -> None:
    use(apt := Apt("status 100: E: Unable to locate package socat"), monkeypatch)
    with pytest.raises(Failure, match=r"^status 100: E: Unable to locate package socat$"):
        packages.install(["socat"])
    assert (len(apt.calls), slept) == (1, [])


@pytest.mark.parametrize("enabled", [True, False])
def test_haproxys_own_service_is_switched_off_whenever_it_is_enabled_whoever_installed_it(
    monkeypatch: pytest.MonkeyPatch, enabled: bool
) -> None:
    asked: list[str] = []

    def succeeds(*words: str) -> bool:
        asked.append(" ".join(words))
        return enabled

    use(apt := Apt(), monkeypatch)
    monkeypatch.setattr(packages, "succeeds", succeeds)
    packages.silence_haproxy()
    assert asked == ["systemctl is-enabled --quiet haproxy.service"]
    assert apt.calls == (["systemctl disable --now haproxy.service"] if enabled else [])
