"""Activation: what is written, started, restarted and waited for, in which order, and when it is refused."""

from __future__ import annotations

import functools
import urllib.error
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from components.agent import activate, clock, etcd, files, kubelet_api, make_way, running, skew, units
from components.agent.evidence import Failure
from components.agent.units import Unit

NAMES = ("cp-0", "cp-1", "cp-2")
API_SERVERS = ("https://cp-0:6443", "https://cp-1:6443", "https://cp-2:6443")
MEMBERS = [{"name": name, "peer": f"https://{name}:2380", "client": f"https://{name}:2379"} for name in NAMES]


@dataclass
class Machine:
    """A made-up machine: real files in a folder, a systemd that only takes notes.

    Attributes:
        root: where its files lie.
        events: what happened, in order.
        healthy: etcd's healthy members.
        decision: what joining etcd comes to.
        has_data: whether this member's own data is there.
        established: whether other members know a cluster that has started.
        api_answers: addresses of the API servers that answer.
        asked: URLs that were asked.
        running: what each unit runs with, as recorded.
        inactive: units that do not run.
        broken: units that do not become healthy.
        withdrawn: units that run and whose files prepare has taken away.
        replaced: units whose process runs another file than the one that lies there.
        started_at: when units were started, in seconds since 1970.
    """

    root: Path
    events: list[str] = field(default_factory=list)
    healthy: list[str] = field(default_factory=list)
    decision: etcd.Decision = etcd.Decision.START
    has_data: bool = True
    established: bool = False
    api_answers: set[str] = field(default_factory=lambda: set(API_SERVERS))
    asked: list[str] = field(default_factory=list)
    running: dict[str, str] = field(default_factory=dict)
    inactive: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    withdrawn: set[str] = field(default_factory=set)
    replaced: set[str] = field(default_factory=set)
    started_at: dict[str, float] = field(default_factory=dict)

    def bundle(self, *, role: str = "control-plane", config: str = "1", **units_: str) -> dict[str, Any]:
        """A bundle with one file for each unit; `units_` maps unit to its extra words."""
        names = [f"{name.replace('_', '-')}.service" for name in units_]
        entries = [self.file(f"etc/{name}.conf", f"{name} {config}") for name in names]
        for name, words in zip(names, units_.values(), strict=True):
            text = f"[X-Hardway]\nRestartOn={self.root}/etc/{name}.conf\n{words}"
            entries.append(self.file(f"units/{name}", text))
        bundle: dict[str, Any] = {
            "machine": {"name": "cp-0", "address": "cp-0", "node": role != "load-balancer"},
            "api": "https://127.0.0.1:7443",
            "api_servers": list(API_SERVERS),
            "identity": "nonce",
            "digest": "d",
            "versions": {"kubelet": "1.37.2"} if role != "load-balancer" else {},
            "drain": {"seconds": 300, "force": False},
            "folders": [],
            "links": {},
            "files": entries,
            "units": names,
        }
        return {**bundle, "etcd": {"members": MEMBERS}} if role == "control-plane" else bundle

    def file(self, path: str, text: str) -> dict[str, Any]:
        """An entry of the bundle."""
        return {"path": str(self.root / path), "text": text, "mode": 0o600, "owner": "root"}

    def note(self, event: str) -> Callable[..., None]:
        """Something that is only noted."""
        return lambda *_args, **_named: self.events.append(event)

    def join(self, *_: object) -> etcd.Decision:
        """The member does what the test says."""
        self.events.append("join")
        return self.decision

    def answers(self, url: str) -> bool:
        """Whether an API server is ready."""
        self.asked.append(url)
        return url.removesuffix("/readyz") in self.api_answers

    def due(self, all_units: list[Unit], was: dict[str, str]) -> list[Unit]:
        """As the real one, systemd apart."""
        return [
            unit
            for unit in all_units
            if units.inputs_digest(unit) != was.get(unit.name) or unit.name in self.inactive
        ]

    def stop_withdrawn(self, names: Iterable[str]) -> None:
        """Those that run without a file are stopped."""
        self.events.extend(f"stop {name}" for name in names if name in self.withdrawn)

    def start(self, started: list[Unit]) -> None:
        """Units start; what they run with is recorded."""
        for unit in started:
            self.events.append(f"start {unit.name}")
            self.running[unit.name] = units.inputs_digest(unit)

    def restart(self, unit: Unit) -> None:
        """One unit restarts; recorded only when it is healthy."""
        self.events.append(f"restart {unit.name}")
        if unit.name in self.broken:
            raise Failure(f"{unit.name} was restarted and is not healthy")
        self.running[unit.name] = units.inputs_digest(unit)


def no_api(url: str) -> dict[str, Any]:
    """Nobody answers."""
    raise ConnectionRefusedError(url)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    manifest = str(tmp_path / "manifest.json")
    folder = str(tmp_path / "units")
    read, parse = units.read, units.parse
    etcdctl = tmp_path / "etcdctl"
    etcdctl.touch()
    monkeypatch.setattr(files, "apply", functools.partial(files.apply, manifest=manifest))
    monkeypatch.setattr(files, "owned", lambda path=manifest, owned=files.owned: owned(path))
    monkeypatch.setattr(activate, "machine_lock", nullcontext)
    monkeypatch.setattr(activate, "QUORUM_SECONDS", 0.0)
    monkeypatch.setattr(etcd, "CTL", (str(etcdctl),))
    monkeypatch.setattr(etcd, "has_data", lambda: made.has_data)
    monkeypatch.setattr(etcd, "is_established", lambda _own, _members: made.established)
    monkeypatch.setattr(clock, "check", made.note("clock"))
    monkeypatch.setattr(activate, "_wait_for_node", made.note("node is ready"))
    monkeypatch.setattr(activate, "_get", no_api)
    monkeypatch.setattr(running, "runs_another_file", lambda unit: unit.name in made.replaced)
    monkeypatch.setattr(running, "_started_at", lambda name: made.started_at.get(name, 0.0))
    monkeypatch.setattr(kubelet_api, "get", no_api)
    monkeypatch.setattr(make_way, "TURN_SECONDS", 0.0)
    monkeypatch.setattr(etcd, "healthy_members", lambda _members: list(made.healthy))
    monkeypatch.setattr(etcd, "join", made.join)
    monkeypatch.setattr(etcd, "hand_over", made.note("hand over"))
    monkeypatch.setattr(units, "UNIT_FOLDER", folder)
    monkeypatch.setattr(units, "read", lambda name: read(name, folder))
    monkeypatch.setattr(units, "parse", lambda name, text, folder=folder: parse(name, text, folder))
    monkeypatch.setattr(units, "recorded", lambda: dict(made.running))
    monkeypatch.setattr(units, "enable", made.note("enable"))
    monkeypatch.setattr(units, "remove", lambda names: made.events.extend(f"remove {name}" for name in names))
    monkeypatch.setattr(units, "stop_withdrawn", made.stop_withdrawn)
    monkeypatch.setattr(units, "due", made.due)
    monkeypatch.setattr(units, "start_without_waiting", made.start)
    monkeypatch.setattr(units, "restart_and_wait", made.restart)
    monkeypatch.setattr(units, "answers", made.answers)
    return made


def control_plane(machine: Machine, config: str = "1") -> dict[str, Any]:
    return machine.bundle(config=config, etcd="Critical=yes", kube_apiserver="Critical=yes", kubelet="")


def worker(machine: Machine, config: str = "1") -> dict[str, Any]:
    return machine.bundle(role="worker", config=config, containerd="", kubelet="", kube_proxy="")


ALL_STARTED = ["start etcd.service", "start kube-apiserver.service", "start kubelet.service"]


def test_on_the_first_creation_everything_starts_and_nothing_is_waited_for(machine: Machine) -> None:
    done = activate.run(control_plane(machine))
    assert machine.events == ["clock", "join", "enable", *ALL_STARTED]
    assert done == {
        "digest": "d",
        "identity": "nonce",
        "versions": {"kubelet": "1.37.2"},
        "restarted": ["etcd.service", "kube-apiserver.service", "kubelet.service"],
    }


def test_a_second_time_nothing_restarts(machine: Machine) -> None:
    activate.run(control_plane(machine))
    machine.events.clear()
    machine.healthy = list(NAMES)
    assert activate.run(control_plane(machine))["restarted"] == []
    assert machine.events == ["clock", "join", "enable"]


@pytest.mark.parametrize(("status", "restarted"), [(404, ["kubelet.service"]), (403, []), (503, [])])
def test_a_kubelet_whose_node_was_deleted_registers_again(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, status: int, restarted: list[str]
) -> None:
    activate.run(control_plane(machine))
    machine.healthy = list(NAMES)
    asked = []

    def refuse(url: str) -> dict[str, Any]:
        asked.append(url)
        raise urllib.error.HTTPError(url, status, "no", Message(), None)

    monkeypatch.setattr(activate, "_get", refuse)
    bundle = control_plane(machine)
    assert activate.run(bundle)["restarted"] == restarted
    assert asked == [
        "https://cp-1:6443/version",
        "https://cp-2:6443/version",
        f"{bundle['api']}/api/v1/nodes/{bundle['machine']['name']}",
    ]


def test_in_a_living_cluster_changes_roll_one_unit_after_the_other(machine: Machine) -> None:
    activate.run(control_plane(machine))
    machine.events.clear()
    machine.healthy = list(NAMES)
    activate.run(control_plane(machine, config="2"))
    assert machine.events == [
        "clock",
        "join",
        "enable",
        "hand over",
        "restart etcd.service",
        "restart kube-apiserver.service",
        "restart kubelet.service",
        "node is ready",
    ]


def test_only_the_units_whose_files_changed_restart(machine: Machine) -> None:
    activate.run(worker(machine))
    machine.events.clear()
    changed = worker(machine)
    changed["files"][2]["text"] = "kube-proxy 2"
    assert activate.run(changed)["restarted"] == ["kube-proxy.service"]
    assert machine.events == ["clock", "enable", "restart kube-proxy.service"]


def test_a_change_that_breaks_a_unit_stops_there_and_stops_there_again(machine: Machine) -> None:
    activate.run(control_plane(machine))
    machine.healthy = list(NAMES)
    machine.broken = {"kube-apiserver.service"}
    for _ in range(2):
        machine.events.clear()
        with pytest.raises(Failure, match=r"kube-apiserver\.service was restarted and is not healthy"):
            activate.run(control_plane(machine, config="2"))
        assert machine.events[-1] == "restart kube-apiserver.service"


def test_without_quorum_everything_is_only_started_since_peers_come_later(machine: Machine) -> None:
    activate.run(control_plane(machine))
    machine.events.clear()
    machine.healthy = []
    machine.inactive = {"etcd.service"}
    activate.run(control_plane(machine, config="2"))
    assert machine.events == ["clock", "join", "enable", *ALL_STARTED]


def test_a_worker_without_an_api_is_only_started(machine: Machine) -> None:
    activate.run(worker(machine))
    machine.events.clear()
    machine.api_answers = set()
    activate.run(worker(machine, config="2"))
    assert machine.asked[-3:] == [f"{server}/readyz" for server in API_SERVERS]
    assert machine.events == [
        "clock",
        "enable",
        "start containerd.service",
        "start kubelet.service",
        "start kube-proxy.service",
    ]


def test_a_worker_waits_while_any_api_server_answers_whatever_its_own_balancer_does(machine: Machine) -> None:
    activate.run(worker(machine))
    machine.events.clear()
    machine.api_answers = {"https://cp-1:6443"}
    activate.run(worker(machine, config="2"))
    assert machine.asked[-2:] == ["https://cp-0:6443/readyz", "https://cp-1:6443/readyz"]
    assert machine.events == [
        "clock",
        "enable",
        "restart containerd.service",
        "restart kubelet.service",
        "node is ready",
        "restart kube-proxy.service",
    ]


def test_without_a_node_there_is_no_api_to_ask_for(machine: Machine) -> None:
    activate.run(machine.bundle(role="load-balancer", haproxy=""))
    machine.api_answers = set()
    machine.events.clear()
    activate.run(machine.bundle(role="load-balancer", config="2", haproxy=""))
    assert machine.asked == []
    assert machine.events == ["clock", "enable", "restart haproxy.service"]


@pytest.mark.parametrize(
    "decision", [etcd.Decision.REJOIN, etcd.Decision.JOIN, etcd.Decision.DISCARD_AND_JOIN]
)
def test_a_member_that_joins_a_living_cluster_is_waited_for_before_the_next_machines_turn(
    machine: Machine, decision: etcd.Decision
) -> None:
    """Its kubelet never ran here, so that one is only started."""
    machine.decision, machine.healthy, machine.has_data = decision, ["cp-1", "cp-2"], False
    activate.run(control_plane(machine))
    assert machine.events == [
        "clock",
        "join",
        "enable",
        "start kubelet.service",
        "hand over",
        "restart etcd.service",
        "restart kube-apiserver.service",
    ]


def test_a_late_founder_is_not_waited_for(machine: Machine) -> None:
    machine.decision, machine.healthy, machine.has_data = etcd.Decision.FOUND, ["cp-1", "cp-2"], False
    activate.run(control_plane(machine))
    assert machine.events == ["clock", "join", "enable", *ALL_STARTED]


def test_no_second_cluster_is_founded_beside_an_established_one_that_lost_its_quorum(
    machine: Machine, slept: list[float]
) -> None:
    machine.has_data, machine.established = False, True
    with pytest.raises(Failure) as caught:
        activate.run(control_plane(machine))
    assert str(caught.value).startswith(
        "cp-0 has no etcd data and the other members, which do, have no quorum without it."
    )
    assert "then run again" in str(caught.value)
    assert machine.events == ["clock"]


def test_an_established_cluster_is_given_time_to_find_its_quorum_and_then_joined(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, slept: list[float]
) -> None:
    monkeypatch.setattr(activate, "QUORUM_SECONDS", 60.0)
    machine.has_data, machine.established, machine.decision = False, True, etcd.Decision.REJOIN
    answers: list[list[str]] = [[], [], [], []]
    monkeypatch.setattr(
        etcd, "healthy_members", lambda _members: answers.pop(0) if answers else ["cp-1", "cp-2"]
    )
    joined: list[list[str]] = []

    def join(_own: object, _members: object, healthy: list[str]) -> etcd.Decision:
        joined.append(healthy)
        return machine.decision

    monkeypatch.setattr(etcd, "join", join)
    activate.run(control_plane(machine))
    assert joined == [["cp-1", "cp-2"]]
    assert slept


def test_a_member_with_data_starts_without_asking_what_its_peers_know(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power cut nobody has quorum, and every member has to be started for one to come."""
    asked: list[str] = []
    monkeypatch.setattr(etcd, "is_established", lambda own, _members: asked.append(own["name"]))
    activate.run(control_plane(machine))
    assert asked == []
    assert machine.events == ["clock", "join", "enable", *ALL_STARTED]


@pytest.mark.parametrize("unit", ["etcd.service", "kube-apiserver.service"])
def test_a_restart_that_an_interrupted_run_left_due_counts_as_a_change(machine: Machine, unit: str) -> None:
    """Its files are there already; what it runs with is older."""
    activate.run(control_plane(machine))
    machine.healthy = ["cp-0", "cp-1"]
    assert activate.run(control_plane(machine))["restarted"] == []
    machine.running[unit] = "what an older tree gave"
    machine.events.clear()
    with pytest.raises(Failure, match="would cost etcd its quorum: cp-2 is not healthy"):
        activate.run(control_plane(machine))
    assert machine.events == ["clock"]


def test_a_restart_of_the_kubelet_that_is_still_due_takes_no_vote_away(machine: Machine) -> None:
    activate.run(control_plane(machine))
    machine.healthy = ["cp-0", "cp-1"]
    machine.running["kubelet.service"] = "what an older tree gave"
    assert activate.run(control_plane(machine))["restarted"] == ["kubelet.service"]


def test_a_machine_without_etcdctl_asks_nobody_for_quorum_before_its_files_lie_there(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(etcd, "CTL", (str(machine.root / "absent"),))
    asked: list[bool] = []

    def healthy(_members: object) -> list[str]:
        asked.append((machine.root / "etc/etcd.service.conf").exists())
        return []

    monkeypatch.setattr(etcd, "healthy_members", healthy)
    activate.run(control_plane(machine))
    assert asked == [True]


@pytest.mark.parametrize(
    ("healthy", "refused"),
    [
        (["cp-0", "cp-1", "cp-2"], False),
        (["cp-0", "cp-1"], True),
        (["cp-1", "cp-2"], False),
        (["cp-0"], False),
        ([], False),
    ],
    ids=["all", "one-other-is-sick", "sick-itself", "quorum-is-gone", "all-down"],
)
def test_a_change_that_would_cost_quorum_is_refused_before_anything_is_written(
    machine: Machine, healthy: list[str], refused: bool
) -> None:
    activate.run(control_plane(machine))
    machine.healthy = healthy
    machine.events.clear()
    if not refused:
        activate.run(control_plane(machine, config="2"))
        return
    with pytest.raises(
        Failure, match=r"would cost etcd its quorum: cp-2 is not healthy\. Nothing was changed here"
    ):
        activate.run(control_plane(machine, config="2"))
    assert (machine.root / "etc/etcd.service.conf").read_text() == "etcd.service 1"
    assert machine.events == ["clock"]


def test_what_does_not_touch_a_vote_is_not_refused_while_a_member_is_sick(machine: Machine) -> None:
    activate.run(control_plane(machine))
    machine.healthy = ["cp-0", "cp-1"]
    changed = control_plane(machine)
    changed["files"][2]["text"] = "kubelet 2"
    assert activate.run(changed)["restarted"] == ["kubelet.service"]


def test_a_unit_that_left_the_tree_is_stopped_before_its_file_goes(machine: Machine) -> None:
    activate.run(worker(machine))
    machine.events.clear()
    activate.run(machine.bundle(role="worker", containerd="", kubelet=""))
    assert machine.events == ["clock", "remove kube-proxy.service", "enable"]
    assert not (machine.root / "units/kube-proxy.service").exists()


def test_what_a_new_kernel_needs_no_more_is_stopped_before_the_policies_try_for_their_own_table(
    machine: Machine,
) -> None:
    """Else their table would be refused for as long as its old owner runs."""
    owner = "kube-network-policies-table.service"
    activate.run(machine.bundle(role="worker", kube_network_policies=""))
    machine.events.clear()
    machine.withdrawn = {owner, "somebody-elses.service"}
    activate.run(machine.bundle(role="worker", config="2", kube_network_policies=""))
    assert machine.events == ["clock", f"stop {owner}", "enable", "restart kube-network-policies.service"]


def test_nothing_is_touched_while_an_artifact_is_not_staged(machine: Machine) -> None:
    bundle = worker(machine)
    bundle["links"] = {str(machine.root / "bin/kubelet"): str(machine.root / "opt/kubelet/1/kubelet")}
    with pytest.raises(Failure, match=r"/opt/kubelet/1/kubelet is not staged.*run again"):
        activate.run(bundle)
    assert machine.events == []
    assert not (machine.root / "units").exists()


def test_a_new_version_is_a_switched_link_that_its_unit_restarts_on(machine: Machine) -> None:
    for version in ("1", "2"):
        (machine.root / f"opt/{version}").mkdir(parents=True)
        (machine.root / f"opt/{version}/kubelet").write_text("binary")
    link = str(machine.root / "bin/kubelet")

    def bundle(version: str) -> dict[str, Any]:
        made = machine.bundle(role="worker", kubelet="", kube_proxy="")
        made["files"][2]["text"] = f"[X-Hardway]\nRestartOn={link}\n"
        return {**made, "links": {link: str(machine.root / f"opt/{version}/kubelet")}}

    activate.run(bundle("1"))
    machine.events.clear()
    assert activate.run(bundle("2"))["restarted"] == ["kubelet.service"]
    assert machine.events == ["clock", "enable", "restart kubelet.service", "node is ready"]


def test_a_unit_whose_binary_was_put_right_restarts_although_no_input_of_its_changed(
    machine: Machine,
) -> None:
    machine.healthy = list(NAMES)
    activate.run(control_plane(machine))
    machine.events.clear()
    machine.replaced = {"kube-apiserver.service"}
    assert activate.run(control_plane(machine))["restarted"] == ["kube-apiserver.service"]


def test_a_binary_that_was_put_right_takes_no_vote_away(machine: Machine) -> None:
    machine.healthy = list(NAMES)
    activate.run(control_plane(machine))
    machine.replaced, machine.healthy = {"etcd.service"}, ["cp-0", "cp-1"]
    with pytest.raises(Failure, match="cp-2 is not healthy"):
        activate.run(control_plane(machine))


@pytest.mark.parametrize(
    ("started", "restarted"), [(60, ["kubelet.service"]), (-60, [])], ids=["since", "before"]
)
def test_what_somebody_changed_restarts_the_unit_only_if_it_was_started_since(
    machine: Machine, started: int, restarted: list[str]
) -> None:
    machine.healthy = list(NAMES)
    activate.run(control_plane(machine))
    changed = machine.root / "etc/kubelet.service.conf"
    changed.write_text("by hand")
    machine.started_at = {"kubelet.service": changed.stat().st_ctime + started}
    assert activate.run(control_plane(machine))["restarted"] == restarted
    assert changed.read_text() == "kubelet.service 1"


def test_nothing_is_started_while_a_restore_of_etcd_has_not_ended(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "etcd-restore.json"
    mark.write_text("{}")
    monkeypatch.setattr(etcd, "RESTORE_MARK", str(mark))
    with pytest.raises(
        Failure, match=r"a restore of etcd was begun here and has not ended\. Nothing was changed"
    ):
        activate.run(control_plane(machine))
    assert machine.events == []
    assert activate.run(worker(machine))["restarted"]


# Versions and drains


def test_a_version_that_must_not_follow_is_refused_before_anything_is_written(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_bundle: object, _version_of: object) -> None:
        raise Failure("kubelet 1.37.2 runs here")

    monkeypatch.setattr(skew, "check", refuse)
    with pytest.raises(Failure, match="runs here"):
        activate.run(worker(machine))
    assert machine.events == ["clock"]
    assert not (machine.root / "units").exists()


def test_pods_make_way_before_the_first_file_changes_and_the_node_is_given_back_at_the_end(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    activate.run(worker(machine))
    machine.events.clear()
    monkeypatch.setattr(make_way, "make_way", lambda _bundle: machine.events.append("drained") or True)
    monkeypatch.setattr(make_way, "give_back", machine.note("given back"))
    changed = worker(machine)
    changed["files"][1]["text"] = "kubelet 2"
    activate.run(changed)
    assert machine.events == [
        "clock",
        "drained",
        "enable",
        "restart kubelet.service",
        "node is ready",
        "given back",
    ]


def test_a_failure_after_the_drain_says_that_the_node_stays_cordoned(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    activate.run(worker(machine))
    machine.broken = {"kubelet.service"}
    monkeypatch.setattr(make_way, "make_way", lambda _bundle: True)
    with pytest.raises(
        Failure, match=r"^Node cp-0 is drained and stays cordoned until a run ends well here\. kubelet"
    ):
        activate.run(worker(machine, config="2"))


def test_a_node_is_ready_only_once_it_tells_the_new_kubelets_version(monkeypatch: pytest.MonkeyPatch) -> None:
    since = datetime(2026, 11, 23, tzinfo=UTC)
    told = {
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "nodeInfo": {"kubeletVersion": "v1.37.2"},
        },
        "spec": {"renewTime": "2026-11-23T00:00:01.000000Z"},
    }
    monkeypatch.setattr(activate, "_get", lambda _url: told)
    bundle = {"machine": {"name": "cp-0"}, "api": "https://127.0.0.1:7443"}
    ready = {
        version: activate._node_is_ready({**bundle, "versions": {"kubelet": version}}, since)
        for version in ("1.37.2", "1.37.3")
    }
    assert ready == {"1.37.2": True, "1.37.3": False}
