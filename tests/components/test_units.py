"""The shipped bytes themselves: units, scripts, documents, and what a unit says it restarts on."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
from fnmatch import fnmatch
from glob import has_magic
from pathlib import Path

import pytest
import yaml

from components.add_ons import absent_manifests, wanted_manifests
from components.agent import units
from components.render import ROOTFS, File
from components.tree import CREDENTIAL_PROVIDERS, UNITS, machine_files, machine_units, secret_paths
from config.certificates import certificates_for
from config.plan import ClusterPlan, MachinePlan
from tests.components.trees import (
    UNIT_FOLDER,
    directive,
    every_machine,
    lab_plan,
    single_plan,
    started,
    unit_files,
)

SHIPPED_UNITS = {
    path.name: path
    for path in sorted(ROOTFS.glob("*/etc/systemd/system/*.*"))
    if path.suffix in (".service", ".timer")
}
BY_TIMER = {name.replace(".timer", ".service") for name in SHIPPED_UNITS if name.endswith(".timer")}
"""Services that a timer starts: each time they read what lies there then, so no restart is ever due."""
SCRIPTS = sorted(path for path in ROOTFS.rglob("*") if path.is_file() and path.read_text().startswith("#!"))
WRITTEN_NOT_READ = ("/run/", "/var/log/", "/var/lib/etcd", "/usr/sbin/")
"""What an ExecStart names and does not read as an input: outputs, data, the distribution's own programs."""
FIRST_START_ONLY = "/var/lib/hardway/etcd-initial.env"
"""etcd reads its initial cluster only when it has no data: a restart for its sake would be for nothing."""

Machines = pytest.mark.parametrize(
    ("plan", "machine"), every_machine(), ids=[machine.name for _, machine in every_machine()]
)
Units = pytest.mark.parametrize("name", sorted(set(SHIPPED_UNITS) - BY_TIMER))


def machine_with(unit: str) -> tuple[ClusterPlan, MachinePlan]:
    """A machine of the lab that runs a unit."""
    plan = lab_plan()
    return plan, next(m for m in plan.machines if UNIT_FOLDER + unit in machine_files(plan, m))


def test_every_shipped_unit_has_its_place_in_the_order_of_restarts() -> None:
    assert sorted(UNITS) == sorted(set(SHIPPED_UNITS) - BY_TIMER)


@Machines
def test_a_machine_starts_each_of_its_units_once_and_in_order(
    plan: ClusterPlan, machine: MachinePlan
) -> None:
    files = machine_files(plan, machine)
    order = machine_units(files)
    assert sorted(order) == sorted(set(unit_files(files)) & set(SHIPPED_UNITS) - BY_TIMER)
    assert order == sorted(order, key=UNITS.index)


@Units
def test_long_running_units_are_tried_for_ever(name: str) -> None:
    text = SHIPPED_UNITS[name].read_text()
    if directive(text, "Type") == ["oneshot"] or name.endswith(".timer"):
        return
    assert directive(text, "StartLimitIntervalSec") == ["0"]
    assert directive(text, "Restart") == ["always"]
    assert directive(text, "RestartSec") == ["1"]


@Units
def test_every_unit_starts_at_boot(name: str) -> None:
    assert directive(SHIPPED_UNITS[name].read_text(), "WantedBy") == ["multi-user.target"]


def inputs_of(files: dict[str, File], name: str) -> set[str]:
    """Paths that a unit's command lines and environment files name and read."""
    text = files[UNIT_FOLDER + name].text
    lines = [
        line for kind in ("ExecStart", "ExecStartPre", "ExecStartPost") for line in directive(text, kind)
    ]
    words = [word for line in lines for word in re.split(r"[\s=]", line) if word.startswith("/")]
    words += directive(text, "EnvironmentFile")
    return {word for word in words if not word.startswith(WRITTEN_NOT_READ) and word != FIRST_START_ONLY}


@Units
def test_a_unit_restarts_on_every_file_that_its_command_line_names(name: str) -> None:
    plan, machine = machine_with(name)
    files = machine_files(plan, machine)
    unit = units.parse(name, files[UNIT_FOLDER + name].text)
    patterns = (*unit.restart_on, *unit.reload_on)
    for path in inputs_of(files, name):
        inside = f"{path}/50-machine.conf"  # a folder is covered by what matches the files in it
        assert any(fnmatch(path, one) or fnmatch(inside, one) for one in patterns), path


def test_a_scaled_pool_reloads_the_balancer_of_node_ports_and_another_port_restarts_it() -> None:
    """A reload keeps connections; it can't take up a port that somebody else has, and would not tell."""
    files = machine_files(lab_plan(), lab_plan().machine("lb-0"))
    unit = units.parse("x", files[f"{UNIT_FOLDER}node-port-balancer.service"].text)
    assert unit.reload_on == ("/etc/haproxy/node-port-workers.cfg",)
    assert "bind 0.0.0.0:30080" in files["/etc/haproxy/node-ports.cfg"].text
    assert "bind" not in files["/etc/haproxy/node-port-workers.cfg"].text
    check, signal = directive(files[f"{UNIT_FOLDER}node-port-balancer.service"].text, "ExecReload")
    assert check.startswith("/usr/sbin/haproxy -c ")
    assert signal == "/bin/kill -USR2 $MAINPID"


@Units
def test_a_unit_restarts_on_every_file_that_its_configuration_names(name: str) -> None:
    """One step further: a kubeconfig names keys, an admission file names another file."""
    plan, machine = machine_with(name)
    files = machine_files(plan, machine)
    patterns = units.parse(name, files[UNIT_FOLDER + name].text).restart_on
    for path in inputs_of(files, name) & set(files):
        named = set(re.findall(r"/etc/kubernetes/[\w./-]+\.(?:crt|key|conf|yaml|pub)", files[path].text))
        for further in named:
            assert any(fnmatch(further, one) for one in patterns), f"{path} names {further}"


@Machines
def test_every_exact_path_that_a_unit_restarts_on_exists_on_its_machine(
    plan: ClusterPlan, machine: MachinePlan
) -> None:
    files = machine_files(plan, machine)
    known = {*files, *secret_paths(plan, machine, certificates_for(plan))}
    for name in machine_units(files):
        for pattern in units.parse(name, files[UNIT_FOLDER + name].text).restart_on:
            if has_magic(pattern) or pattern.startswith("/opt/hardway/bin/"):
                continue
            assert pattern in known | {CREDENTIAL_PROVIDERS}, f"{name}: {pattern}"


@Machines
def test_every_file_that_a_command_line_names_is_on_the_machine(
    plan: ClusterPlan, machine: MachinePlan
) -> None:
    files = machine_files(plan, machine)
    known = {*files, *secret_paths(plan, machine, certificates_for(plan))}
    for name in machine_units(files):
        for path in inputs_of(files, name):
            if not path.startswith(("/opt/hardway/bin/", "/etc/kubernetes/kubelet.conf.d")):
                assert path in known, f"{name}: {path}"


@Machines
def test_every_value_that_a_command_line_takes_from_its_environment_is_there(
    plan: ClusterPlan, machine: MachinePlan
) -> None:
    files = machine_files(plan, machine)
    services = [name for name in unit_files(files) if name.endswith(".service")]
    for name in services:
        assert started(files, name).program.startswith("/"), name


def test_a_service_that_a_timer_starts_does_not_start_at_boot_and_ends_by_itself() -> None:
    assert {"hardway-etcd-backup.service"} == BY_TIMER
    for name in BY_TIMER:
        text = SHIPPED_UNITS[name].read_text()
        assert directive(text, "WantedBy") == []
        assert directive(text, "Type") == ["oneshot"]
        assert int(directive(text, "TimeoutStartSec")[0]) > 0


def test_only_the_units_whose_loss_costs_a_vote_or_an_api_server_are_critical() -> None:
    critical = {name for name, path in SHIPPED_UNITS.items() if units.parse(name, path.read_text()).critical}
    assert critical == {"etcd.service", "kube-apiserver.service"}


HEALTH = {
    "etcd.service": "http://127.0.0.1:2381/health",
    "kube-apiserver.service": "https://127.0.0.1:${SECURE_PORT}/readyz",
    "kube-controller-manager.service": "https://127.0.0.1:10257/healthz",
    "kube-scheduler.service": "https://127.0.0.1:10259/healthz",
    "kubelet.service": "http://127.0.0.1:10248/healthz",
    "kube-proxy.service": "http://127.0.0.1:10256/healthz",
}


@Units
def test_what_has_a_health_endpoint_is_asked_there(name: str) -> None:
    assert units.parse(name, SHIPPED_UNITS[name].read_text()).healthy == HEALTH.get(name)


@pytest.mark.parametrize("name", ["containerd.service", "kubelet.service"])
def test_a_restart_of_a_node_agent_leaves_containers_alone(name: str) -> None:
    assert directive(SHIPPED_UNITS[name].read_text(), "KillMode") == ["process"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_finds_no_fault_in_any_unit(tmp_path: Path) -> None:
    """Executables and users that only a machine has are stood in for; everything else is as shipped."""
    units_folder = tmp_path / "etc/systemd/system"
    units_folder.mkdir(parents=True)
    for name, path in SHIPPED_UNITS.items():
        text = re.sub(
            r"^(ExecStart\w*|ExecReload)=(/\S+)", r"\1=/bin/true", path.read_text(), flags=re.MULTILINE
        )
        (units_folder / name).write_text(text.replace("User=etcd", "User=root"))
    paths = [str(units_folder / name) for name in SHIPPED_UNITS]
    # Only what it says of our own units counts: those of this computer are not ours to judge.
    said = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *paths],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    ours = [line for line in said.stderr.splitlines() if any(name in line for name in SHIPPED_UNITS)]
    assert ours == []


def test_the_scripts_are_found() -> None:
    assert [path.name for path in SCRIPTS] == ["etcd-backup", "write-cni-config", "import-images"]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_every_shipped_script_is_sound(path: Path) -> None:
    first = path.read_text().splitlines()[0]
    if "python3" in first:
        assert first == "#!/usr/bin/python3 -I"
        ast.parse(path.read_text(), feature_version=(3, 11))
        return
    assert first == "#!/bin/sh"
    program = shutil.which("shellcheck")
    if program is None:
        pytest.skip("shellcheck is not installed")
    found = subprocess.run([program, str(path)], capture_output=True, text=True, timeout=60, check=False)
    assert found.stdout == ""


@Machines
def test_every_yaml_and_json_file_parses(plan: ClusterPlan, machine: MachinePlan) -> None:
    for path, file in machine_files(plan, machine).items():
        if path.endswith((".yaml", ".conf")) and "/etc/kubernetes" in path:
            assert yaml.safe_load(file.text)["kind"], path
        if path.endswith(".json"):
            assert json.loads(file.text), path


@pytest.mark.parametrize("plan", [lab_plan(), single_plan()], ids=["lab", "single-host"])
def test_every_object_of_a_manifest_is_complete_and_named_once(plan: ClusterPlan) -> None:
    texts = {**wanted_manifests(plan), **absent_manifests(plan)}
    objects = [one for text in texts.values() for one in yaml.safe_load_all(text)]
    names = [(one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]) for one in objects]
    assert len(names) == len(set(names))
    assert all(one["apiVersion"] for one in objects)


def test_pods_of_add_ons_drop_every_capability_and_cannot_gain_privileges() -> None:
    for text in wanted_manifests(lab_plan()).values():
        for one in yaml.safe_load_all(text):
            if one["kind"] == "Deployment":
                pod = one["spec"]["template"]["spec"]
                assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
                for container in pod["containers"]:
                    assert container["securityContext"]["allowPrivilegeEscalation"] is False
                    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_scripts_read_no_template_syntax() -> None:
    for path in [*SCRIPTS, *SHIPPED_UNITS.values()]:
        assert "@@" not in path.read_text(), path
