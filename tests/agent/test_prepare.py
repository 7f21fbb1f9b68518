"""Preparation: packages that are missing, drop-ins of this machine, and no other machine's architecture."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest

from components.agent import downloads, machine_facts, prepare
from components.agent.evidence import Failure

FACTS = machine_facts.Facts(
    cgroup_v2=True,
    may_lower_oom_score=True,
    swap=False,
    nft_queue=True,
    container=True,
    resolver="/etc/resolv.conf",
)


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What would have been run."""
    run: list[str] = []
    monkeypatch.setattr(prepare, "command", lambda *words, timeout=60: run.append(" ".join(words)))
    return run


def dpkg(monkeypatch: pytest.MonkeyPatch, listed: str) -> None:
    asked: Callable[..., SimpleNamespace] = lambda *_, **__: SimpleNamespace(stdout=listed)  # noqa: E731
    monkeypatch.setattr(subprocess, "run", asked)


def test_packages_that_are_installed_cost_nothing(
    monkeypatch: pytest.MonkeyPatch, commands: list[str]
) -> None:
    dpkg(monkeypatch, "haproxy installed\nsocat installed\n")
    prepare._install_packages(["haproxy", "socat"])
    assert commands == []


def test_only_what_is_missing_or_was_removed_is_installed(
    monkeypatch: pytest.MonkeyPatch, commands: list[str]
) -> None:
    dpkg(monkeypatch, "conntrack installed\nsocat config-files\n")
    prepare._install_packages(["conntrack", "socat", "ethtool"])
    apt = "env DEBIAN_FRONTEND=noninteractive apt-get --quiet --yes -o DPkg::Lock::Timeout=300"
    assert commands == [f"{apt} update", f"{apt} install --no-install-recommends socat ethtool"]


@pytest.mark.parametrize("enabled", [True, False])
def test_haproxys_own_service_is_switched_off_whenever_it_is_enabled_whoever_installed_it(
    monkeypatch: pytest.MonkeyPatch, commands: list[str], enabled: bool
) -> None:
    asked: list[str] = []

    def succeeds(*words: str) -> bool:
        asked.append(" ".join(words))
        return enabled

    monkeypatch.setattr(prepare, "succeeds", succeeds)
    prepare._silence_haproxy()
    assert asked == ["systemctl is-enabled --quiet haproxy.service"]
    assert commands == (["systemctl disable --now haproxy.service"] if enabled else [])


def test_haproxy_is_silenced_although_its_package_was_there_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a host of the operator's no package is missing, so nothing is installed."""
    order: list[str] = []
    monkeypatch.setattr(machine_facts, "check_distribution", lambda _text: "debian 12")
    monkeypatch.setattr(machine_facts, "architecture", lambda: "amd64")
    monkeypatch.setattr(os, "makedirs", lambda *_, **__: None)
    monkeypatch.setattr(prepare, "machine_lock", nullcontext)
    monkeypatch.setattr(prepare, "_install_packages", lambda _wanted: None)
    monkeypatch.setattr(prepare, "_silence_haproxy", lambda: order.append("silenced"))
    monkeypatch.setattr(machine_facts, "find", lambda: FACTS)
    monkeypatch.setattr(
        prepare, "_apply_kernel_files", lambda _files, *, container: order.append(f"container {container}")
    )
    monkeypatch.setattr(downloads, "stage", lambda _artifacts: 0)
    machine = {"architecture": "amd64", "node": False}
    told = prepare.run(
        {
            "machine": machine,
            "packages": [],
            "users": {},
            "kernel_files": {},
            "artifacts": [],
            "identity": "i",
        }
    )
    assert order == ["silenced", "container True"]
    assert told == {"system": "debian 12", "identity": "i", "facts": asdict(FACTS)}


def test_a_machine_of_another_architecture_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_facts, "architecture", lambda: "arm64")
    prepare._check_architecture("arm64")
    with pytest.raises(
        Failure, match=r"^this machine is arm64 and the settings say amd64; correct its architecture"
    ):
        prepare._check_architecture("amd64")


def test_a_drop_in_that_the_machine_needs_no_more_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [str(tmp_path / name) for name in ("kubelet.conf", "policies.conf")]
    monkeypatch.setattr(machine_facts, "DROP_INS", tuple(paths))
    prepare._plant_drop_ins(dict.fromkeys(paths, "1"))
    prepare._plant_drop_ins({paths[0]: "2"})
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("kubelet.conf", "2")]
    assert (tmp_path / "kubelet.conf").stat().st_mode & 0o777 == 0o600


def test_kernel_files_are_planted_before_modules_are_loaded_and_settings_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    monkeypatch.setattr(prepare, "write_file", lambda path, _text: order.append(f"write {path}"))
    monkeypatch.setattr(machine_facts, "load_modules", lambda text: order.append(f"load {text}"))
    monkeypatch.setattr(
        machine_facts,
        "check_kernel_settings",
        lambda text, *, container: order.append(f"set {text} {container}"),
    )
    files = {"/etc/sysctl.d/90-a.conf": "s", "/etc/modules-load.d/a.conf": "m"}
    prepare._apply_kernel_files(files, container=True)
    assert order == [
        "write /etc/sysctl.d/90-a.conf",
        "write /etc/modules-load.d/a.conf",
        "load m",
        "set s True",
    ]
