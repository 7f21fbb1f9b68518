"""Versions that must not follow are refused before any is fetched or built."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from config.plan import plan_cluster
from config.settings import load_settings
from lab import bring_up, lock, paths
from lab.errors import LabError
from lab.stack import Stack
from tests.config.clusters import lab


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """A stack in a clone of the test's own, whose last good run ended with Kubernetes 1.37.2."""
    monkeypatch.setattr(paths, "PROJECT", tmp_path)
    monkeypatch.setattr(paths, "STATE", tmp_path / ".hardway")
    (tmp_path / "Pulumi.lab.yaml").write_text("config: {'hardway:cluster': {platform: {kind: lab}}}\n")
    made = Stack("lab")
    made.folder.mkdir(parents=True)
    versions = {"kube-apiserver": "1.37.2", "kubelet": "1.37.2", "etcd": "3.6.14"}
    made.outputs_file.write_text(json.dumps({"applied": {"cp-0": {"versions": versions}}}))
    return made


def test_a_minor_back_is_refused_without_building_it(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_cluster(load_settings(lab(kubernetes={"version": "1.36.4"}), "Pulumi.lab.yaml"))
    monkeypatch.setattr(bring_up.stack_plan, "plan_of", lambda _: plan)
    monkeypatch.setattr(bring_up, "_require_plugins", lambda _: None)
    monkeypatch.setattr(bring_up, "_entries", lambda _: pytest.fail("built"))
    monkeypatch.setattr(bring_up, "_check_owner", lambda _: None)
    for begin in (lambda: bring_up.preview(stack, [], whole=False), lambda: bring_up.up(stack, [])):
        with pytest.raises(LabError) as caught:
            begin()
        first, reason = str(caught.value).splitlines()
        assert first == "this run would endanger the cluster; nothing was touched."
        assert reason.startswith("  Pulumi.lab.yaml: cluster.kubernetes.version: 1.36.4 would take")


def test_a_stack_that_never_ran_may_begin_with_any_version(stack: Stack) -> None:
    stack.outputs_file.unlink()
    plan = plan_cluster(load_settings(lab(kubernetes={"version": "1.36.4"}), "Pulumi.lab.yaml"))
    bring_up._check_versions(stack, plan)


def test_the_lock_asks_for_what_stack_files_ask_for_too(stack: Stack) -> None:
    (paths.PROJECT / "Pulumi.dev.yaml").write_text(
        "config: {'hardway:cluster': {kubernetes: {version: 1.36.9}, artifacts: {versions: {etcd: 3.6.5}}}}\n"
    )
    (paths.PROJECT / "Pulumi.empty.yaml").write_text("")
    keys = {one.key("amd64") for one in lock._all()}
    assert {"kubelet/1.36.9/amd64", "etcd/3.6.5/amd64", "etcd/3.6.14/amd64", "kubelet/1.37.2/amd64"} <= keys
    assert len(keys) == len(lock._all())
