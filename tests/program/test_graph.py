"""The whole program as the engine sees it: which resources, below what, after what."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pulumi
import pytest
from pulumi.runtime.proto import resource_pb2

from components import bundle
from components.leaving import LEAVE_SECONDS
from components.node import ACTIVATE_SECONDS, PREPARE_SECONDS
from config.certificates import certificates_for
from tests.components.test_golden import GOLDEN, compare
from tests.components.trees import single_host
from tests.config.clusters import hosts, plan_of
from tests.program import made_up
from tests.program.made_up import (
    CERT_REQUEST,
    LOCAL,
    LOCALLY_SIGNED,
    PRIVATE_KEY,
    REMOTE,
    SELF_SIGNED,
    facts_of,
)
from tests.program.recording import Monitor, Run, run_program
from tests.program.runs import added, changed, lab_run, lab_with, run_of, with_artifacts
from tests.program.wire import Secret, open_up, plain_struct

CONTROL_PLANE = ("cp-0", "cp-1", "cp-2")
WORKERS = ("worker-general-0", "worker-general-1")
NODES = (*CONTROL_PLANE, *WORKERS)
MACHINES = (*NODES, "lb-0")

TWO_POOLS = [
    {"name": "general", "count": 2},
    {"name": "batch", "count": 3, "block": 1, "maxUnavailable": 2},
]
OTHER_CONTROL_PLANE = {
    "count": 3,
    "operationsMachine": "cp-2",
    "apiServer": {"extraArgs": {"event-ttl": "2h"}},
}
FEWER_PODS = [{"name": "general", "count": 2, "kubelet": {"maxPods": 90}}]


def small_with(**changes: object) -> dict[str, object]:
    """The lab with one control plane: what these tests ask does not depend on how many there are."""
    return lab_with(**{"controlPlane": {"count": 1}, **changes})


UpAndPreview = pytest.mark.parametrize("preview", [False, True], ids=["up", "preview"])


@UpAndPreview
def test_the_lab_is_exactly_these_many_resources(preview: bool) -> None:
    assert Counter(resource.type for resource in lab_run(preview=preview).resources) == {
        PRIVATE_KEY: 43,  # 3 authorities, 31 leaves, service accounts, the seed, a login, 6 machines
        SELF_SIGNED: 3,
        CERT_REQUEST: 31,
        LOCALLY_SIGNED: 31,
        REMOTE: 19,  # prepare and activate of 6 machines, drains of 5, add-ons, the gate
        LOCAL: 7,  # the bridge and 6 machines
        "hardway:index:LabNetwork": 1,
        "hardway:index:LabFleet": 1,
        "hardway:index:CertificateAuthority": 1,
        "hardway:index:ControlPlane": 1,
        "hardway:index:WorkerPool": 1,
        "hardway:index:Kubeconfig": 1,
        "hardway:index:NodePrepare": 6,
        "hardway:index:NodeConfig": 6,
        "hardway:index:NodeDrain": 5,
        "hardway:index:NodeTask": 2,
    }


@UpAndPreview
def test_names_and_parents_are_exactly_the_golden_ones(preview: bool) -> None:
    """A logical name is identity: another one replaces the resource, and with it a key or a machine."""
    lines = sorted(
        resource.urn.removeprefix("urn:pulumi:test::hardway::")
        for resource in lab_run(preview=preview).resources
    )
    compare(GOLDEN / "lab-program", {"resources.txt": "\n".join(lines) + "\n"})


@UpAndPreview
def test_every_real_resource_lies_below_a_component_of_ours(preview: bool) -> None:
    for resource in lab_run(preview=preview).resources:
        if resource.custom:
            assert resource.parent_type.startswith("hardway:index:"), resource.urn


def test_the_recording_refuses_a_urn_twice_as_the_engine_does() -> None:
    monitor = Monitor(preview=False)
    request = resource_pb2.RegisterResourceRequest(type="hardway:index:Network", name="twice")
    monitor.RegisterResource(request)
    with pytest.raises(ValueError, match=r"two resources have the URN .*Network::twice"):
        monitor.RegisterResource(request)


PREPARED_CONTROL_PLANE = {f"prepare-{name}" for name in CONTROL_PLANE}
PREPARED_WORKERS = {f"prepare-{name}" for name in WORKERS}
ACTIVATED_CONTROL_PLANE = {f"activate-{name}" for name in CONTROL_PLANE}
ORDER: dict[str, set[str]] = {
    **{f"prepare-{name}": set() for name in MACHINES},
    **{f"drain-{name}": set() for name in NODES},
    # A version lies on every machine before the first one runs it.
    "activate-cp-0": PREPARED_CONTROL_PLANE | PREPARED_WORKERS,
    "activate-cp-1": PREPARED_CONTROL_PLANE | {"activate-cp-0"},
    "activate-cp-2": PREPARED_CONTROL_PLANE | {"activate-cp-1"},
    "activate-lb-0": {"prepare-lb-0"},
    "activate-worker-general-0": {"prepare-worker-general-0"} | ACTIVATED_CONTROL_PLANE,
    # The rest it waits for by the one before it.
    "activate-worker-general-1": {"prepare-worker-general-1", "activate-worker-general-0"},
    "add-ons": ACTIVATED_CONTROL_PLANE,
    "ready": {f"activate-{name}" for name in MACHINES} | {"add-ons"},
}


def test_the_order_of_work_is_spelled_out_for_every_command() -> None:
    assert set(ORDER) == set(lab_run().of_type(REMOTE))


@UpAndPreview
@pytest.mark.parametrize("name", ORDER)
def test_a_command_waits_for_exactly_these(name: str, preview: bool) -> None:
    assert lab_run(preview=preview).waits_for(name) == ORDER[name]


def test_two_at_once_means_that_two_workers_wait_for_nobody_in_their_pool() -> None:
    run = run_of(small_with(workerPools=TWO_POOLS))
    waits = {n: run.waits_for(f"activate-worker-batch-{n}") for n in range(3)}
    lanes = {n: {name for name in names if name.startswith("activate-worker")} for n, names in waits.items()}
    assert lanes == {0: set(), 1: set(), 2: {"activate-worker-batch-0"}}


def test_no_command_takes_an_input_from_another_machine_but_the_gate() -> None:
    """Along properties a replacement of one machine would cascade over all that come after it."""
    run = lab_run()
    commands = {resource.urn: resource.name for resource in run.of_type(REMOTE).values()}
    taken = {
        name: {commands[urn] for urns in resource.input_dependencies.values() for urn in urns & set(commands)}
        for name, resource in run.of_type(REMOTE).items()
    }
    assert taken.pop("ready")
    assert taken == {
        "add-ons": set(),
        **{f"drain-{name}": set() for name in NODES},
        **{f"prepare-{name}": set() for name in MACHINES},
        **{f"activate-{name}": {f"prepare-{name}"} for name in MACHINES},
    }


def test_a_machine_is_worked_on_only_after_it_was_made() -> None:
    run = lab_run()
    for name in MACHINES:
        made = run.of_type(LOCAL)[f"machine-{name}"].urn
        for step in ("prepare", "activate"):
            assert made in run.command(f"{step}-{name}").dependencies
    bridge = run.of_type(LOCAL)["bridge"].urn
    assert all(bridge in run.of_type(LOCAL)[f"machine-{name}"].dependencies for name in MACHINES)


def test_one_time_steps_run_on_the_operations_machine_of_the_settings() -> None:
    for run, host in (
        (lab_run(), "172.31.0.10"),
        (run_of(lab_with(controlPlane=OTHER_CONTROL_PLANE)), "172.31.0.12"),
    ):
        for step in ("add-ons", "ready"):
            assert open_up(run.command(step).inputs["connection"])["host"] == host


DRAINS = {f"drain-{name}" for name in NODES}


def test_every_command_line_is_the_constant_of_its_phase() -> None:
    for name, resource in lab_run().of_type(REMOTE).items():
        drains = name.removeprefix("activate-") in NODES
        activated = ACTIVATE_SECONDS + (300 if drains else 0)
        seconds = PREPARE_SECONDS if name.startswith("prepare-") else activated
        create = "true" if name in DRAINS else bundle.remote_command(seconds)
        assert resource.inputs["create"] == create, name


def test_a_drain_works_when_it_is_deleted_from_the_operations_machine_and_not_with_the_whole() -> None:
    run = lab_run()
    seed = run.of_type(PRIVATE_KEY)["secret-seed"].urn
    # Workers on the operations machine; a control-plane machine, which can't ask itself, on the next one.
    asked = {"cp-0": "172.31.0.11", "cp-1": "172.31.0.12", "cp-2": "172.31.0.10"}
    for node in NODES:
        drain = run.command(f"drain-{node}")
        assert drain.inputs["delete"] == bundle.remote_command(LEAVE_SECONDS + 300)
        assert open_up(drain.inputs["connection"])["host"] == asked.get(node, "172.31.0.10")
        document = run.document(f"drain-{node}")
        assert (document["node"], document["seconds"], document["force"]) == (node, 300, False)
        assert drain.deleted_with == seed


def test_the_only_control_plane_machine_has_nobody_to_be_drained_from() -> None:
    names = set(run_of(small_with()).of_type("hardway:index:NodeDrain"))
    assert names == {f"drain-{name}" for name in WORKERS}


def test_a_drain_is_deleted_before_the_machine_that_it_is_about() -> None:
    """The engine deletes what depends on a resource before that, and in a replacement what takes its output."""
    run = lab_run()
    for worker in WORKERS:
        drain, made = run.command(f"drain-{worker}"), run.of_type(LOCAL)[f"machine-{worker}"].urn
        assert made in drain.dependencies
        assert made in drain.input_dependencies["triggers"]
        assert drain.inputs["triggers"] == [f"nonce of machine-{worker}"]
        assert drain.delete_before_replace


def test_commands_on_machines_have_no_way_in_but_standard_input() -> None:
    """Triggers replace, environment needs sshd's consent, and a delete would hang on a dead machine.

    A drain alone has the two: it is replaced with its worker, and the operations machine does its work.
    """
    for name, resource in lab_run().of_type(REMOTE).items():
        own = {"delete", "triggers"} if name in DRAINS else set()
        assert set(resource.inputs) == own | {
            "addPreviousOutputInEnv",
            "connection",
            "create",
            "logging",
            "stdin",
        }, name
        assert resource.inputs["addPreviousOutputInEnv"] is False
        assert isinstance(resource.inputs["stdin"], Secret)


def test_commands_on_this_computer_call_the_lab_and_nothing_else() -> None:
    lines = {
        name: (resource.inputs["create"], resource.inputs["delete"])
        for name, resource in lab_run().of_type(LOCAL).items()
    }
    machine = "python3 -m lab machine"
    assert lines == {
        "bridge": ("python3 -m lab network create", "python3 -m lab network delete"),
        **{f"machine-{name}": (f"{machine} create", f"{machine} delete {name}") for name in MACHINES},
    }


def test_a_machine_of_the_lab_goes_before_its_successor_comes() -> None:
    """Both would have the same address."""
    assert all(resource.delete_before_replace for resource in lab_run().of_type(LOCAL).values())


def test_every_connection_is_pinned_to_the_key_of_its_own_machine() -> None:
    run = lab_run()
    addresses = {f"172.31.0.{10 + n}": f"cp-{n}" for n in range(3)}
    addresses |= {f"172.31.0.{20 + n}": f"worker-general-{n}" for n in range(2)} | {"172.31.0.5": "lb-0"}
    for resource in run.of_type(REMOTE).values():
        connection = open_up(resource.inputs["connection"])
        machine = addresses[connection["host"]]
        assert connection["hostKey"] == f"ssh-ed25519 ssh-host-{machine}"
        assert connection["dialErrorLimit"] == 20


def test_the_identity_of_its_machine_is_in_what_every_phase_gets() -> None:
    """A replaced machine keeps name, address and host key: nothing else tells that it is empty."""
    run = lab_run()
    for name in MACHINES:
        for step in ("prepare", "activate"):
            assert run.document(f"{step}-{name}")["identity"] == f"nonce of machine-{name}"
    applied = run.document("ready")["applied"]
    assert {name: one["identity"] for name, one in applied.items()} == {
        name: f"nonce of machine-{name}" for name in MACHINES
    }


def test_a_new_worker_touches_nobody_but_the_gate_and_the_balancer_of_node_ports() -> None:
    before, after = lab_run(), run_of(lab_with(workerPools=[{"name": "general", "count": 3}]))
    assert files_that_differ(before, after) == {"activate-lb-0": {"/etc/haproxy/node-port-workers.cfg"}}
    assert changed(before, after) == {
        "hardway:index:NodeConfig activate-lb-0": {"files"},
        "command:remote:Command activate-lb-0": {"stdin"},
        "hardway:index:WorkerPool pool-general": {"machines"},
        "hardway:index:NodeTask ready": {"nodes"},
        "command:remote:Command ready": {"stdin"},
    }
    new = "worker-general-2"
    leaves = {
        f"{kind} {leaf}-{new}"
        for kind in (PRIVATE_KEY, CERT_REQUEST, LOCALLY_SIGNED)
        for leaf in ("kubelet", "kubelet-client")
    }
    assert added(before, after) == leaves | {
        f"{PRIVATE_KEY} ssh-host-{new}",
        f"{LOCAL} machine-{new}",
        f"hardway:index:NodePrepare prepare-{new}",
        f"{REMOTE} prepare-{new}",
        f"hardway:index:NodeConfig activate-{new}",
        f"{REMOTE} activate-{new}",
        f"hardway:index:NodeDrain drain-{new}",
        f"{REMOTE} drain-{new}",
    }


def test_a_new_pool_touches_nobody_but_the_gate() -> None:
    before, after = (run_of(small_with(network={}, **more)) for more in ({}, {"workerPools": TWO_POOLS}))
    assert set(changed(before, after)) == {
        "hardway:index:NodeTask ready",
        "command:remote:Command ready",
    }


def files_that_differ(before: Run, after: Run) -> dict[str, set[str]]:
    """By NodeConfig that both runs have, the paths whose shown text differs between them."""
    result: dict[str, set[str]] = {}
    earlier = before.of_type("hardway:index:NodeConfig")
    for name, resource in after.of_type("hardway:index:NodeConfig").items():
        if name not in earlier:
            continue
        old, new = earlier[name].inputs["files"], resource.inputs["files"]
        paths = {path for path in {*old, *new} if old.get(path) != new.get(path)}
        if paths:
            result[name] = paths
    return result


@UpAndPreview
def test_another_number_of_pods_shows_one_line_of_one_file_on_each_worker(preview: bool) -> None:
    before, after = (
        run_of(one, preview=preview) for one in (small_with(), small_with(workerPools=FEWER_PODS))
    )
    config = "/var/lib/kubelet/config.yaml"
    assert files_that_differ(before, after) == {f"activate-{name}": {config} for name in WORKERS}
    for name in WORKERS:
        shown = [
            run.of_type("hardway:index:NodeConfig")[f"activate-{name}"].inputs["files"][config]
            for run in (before, after)
        ]
        old, new = (text.splitlines() for text in shown)
        assert [(a, b) for a, b in zip(old, new, strict=True) if a != b] == [("maxPods: 110", "maxPods: 90")]


def test_another_number_of_pods_changes_what_those_workers_and_the_gate_get() -> None:
    assert changed(run_of(small_with()), run_of(small_with(workerPools=FEWER_PODS))) == {
        **{f"hardway:index:NodeConfig activate-{name}": {"files"} for name in WORKERS},
        **{f"command:remote:Command activate-{name}": {"stdin"} for name in WORKERS},
        "command:remote:Command ready": {"stdin"},
    }


def test_another_build_of_an_image_changes_both_steps_of_the_machines_that_stage_it() -> None:
    """Of an image no file and no link tells: without its digest a retag would be staged and never imported."""
    value = small_with()
    artifacts = json.loads(json.dumps(value["artifacts"]))
    (key,) = (one for one in artifacts["digests"] if one.startswith("image-coredns/"))
    artifacts["digests"][key] = "c" * 64
    before, after = run_of(value), run_of({**value, "artifacts": artifacts})
    assert changed(before, after) == {
        **{f"{REMOTE} prepare-{name}": {"stdin"} for name in WORKERS},
        **{f"{REMOTE} activate-{name}": {"stdin"} for name in WORKERS},
        f"{REMOTE} ready": {"stdin"},
    }


def test_another_build_of_a_program_changes_only_the_machines_that_run_it() -> None:
    value = small_with()
    artifacts = json.loads(json.dumps(value["artifacts"]))
    (key,) = (one for one in artifacts["digests"] if one.startswith("kube-scheduler/"))
    artifacts["digests"][key] = "5" * 64
    before, after = run_of(value), run_of({**value, "artifacts": artifacts})
    assert {name for name in changed(before, after) if name.startswith(REMOTE)} == {
        f"{REMOTE} prepare-cp-0",
        f"{REMOTE} activate-cp-0",
        f"{REMOTE} ready",
    }
    link = "/opt/hardway/bin/kube-scheduler"
    assert after.document("activate-cp-0")["links"][link] == (
        "/opt/hardway/kube-scheduler/1.37.2-55555555/kube-scheduler"
    )


def test_what_prepare_finds_on_a_machine_is_in_what_its_activation_gets() -> None:
    run = lab_run()
    for name in MACHINES:
        assert run.document(f"activate-{name}")["facts"] == facts_of(name)


def test_another_fact_about_a_machine_runs_its_activation_anew_and_no_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Drop-ins follow from facts, and units restart on drop-ins."""
    before = run_of(small_with())
    monkeypatch.setattr(made_up, "facts_of", lambda name: {**facts_of(name), "swap": name == WORKERS[1]})
    after = run_program(small_with())
    assert changed(before, after) == {
        f"{REMOTE} activate-{WORKERS[1]}": {"stdin"},
        f"{REMOTE} ready": {"stdin"},
    }


def test_another_flag_of_the_api_server_changes_one_file_of_the_control_plane() -> None:
    after = run_of(lab_with(controlPlane=OTHER_CONTROL_PLANE))
    path = "/etc/kubernetes/kube-apiserver.env"
    assert files_that_differ(lab_run(), after) == {f"activate-{name}": {path} for name in CONTROL_PLANE}


def test_a_new_generation_replaces_every_leafs_key_and_no_authoritys() -> None:
    before, after = run_of(small_with()), run_of(small_with(certificates={"generation": 2}))
    triggers = {
        name: (before.of_type(PRIVATE_KEY)[name].replacement_trigger, key.replacement_trigger)
        for name, key in after.of_type(PRIVATE_KEY).items()
    }
    renewed = {name for name, values in triggers.items() if values == (1, 2)}
    assert renewed == set(after.of_type(LOCALLY_SIGNED))
    assert len(renewed) == 21
    assert {values for name, values in triggers.items() if name not in renewed} == {(None, None)}


@UpAndPreview
def test_a_machines_tree_is_shown_whole_even_before_anything_exists(preview: bool) -> None:
    inputs = lab_run(preview=preview).of_type("hardway:index:NodeConfig")["activate-cp-0"].inputs
    assert set(inputs) == {"files", "secretFiles", "versions"}
    golden = {
        "/" + str(path.relative_to(GOLDEN / "lab/cp-0"))
        for path in (GOLDEN / "lab/cp-0").rglob("*")
        if path.is_file()
    }
    staged = {"/etc/sysctl.d/90-kubernetes.conf", "/etc/modules-load.d/kubernetes.conf"}
    assert set(inputs["files"]) == golden - staged


def test_secret_files_are_shown_as_keyed_digests() -> None:
    inputs = lab_run().of_type("hardway:index:NodeConfig")["activate-worker-general-0"].inputs
    digests = inputs["secretFiles"]
    assert "/etc/kubernetes/pki/kubelet.key" in digests
    assert all(len(text) == 32 and int(text, 16) >= 0 for text in digests.values())


def test_what_was_applied_is_told_by_the_machines_themselves() -> None:
    exported = lab_run().exports["applied"]
    assert set(exported) == set(MACHINES)
    for name, one in exported.items():
        assert one["identity"] == f"nonce of machine-{name}"
        assert one["digest"] == lab_run().document(f"activate-{name}")["digest"]
    assert exported["worker-general-0"]["versions"]["kubelet"] == "1.37.2"


def test_the_exports_are_exactly_these() -> None:
    exports = lab_run().exports
    names = "applied certificates certificateGeneration endpoint kubeconfig machines nodeLoss ready"
    assert set(exports) == {*names.split(), "sshHostKeys", "sshPrivateKey"}
    assert exports["endpoint"] == "https://172.31.0.5:6443"
    assert exports["machines"]["worker-general-1"] == {
        "role": "worker",
        "address": "172.31.0.21",
        "zone": "lab",
        "sshHost": "172.31.0.21",
        "sshPort": 22,
        "sshUser": "root",
        "replacements": 0,
        "listed": False,
    }
    assert exports["certificateGeneration"] == 1
    leaves = {spec.name for spec in certificates_for(plan_of(lab_with()))}
    assert exports["certificates"] == dict.fromkeys(
        leaves | {"kubernetes-ca", "etcd-ca", "front-proxy-ca"}, "2027-01-02T03:04:05Z"
    )


def hosts_settings(key: Path, **changes: object) -> dict[str, object]:
    """The hosts example with the operator's key in a file."""
    value = hosts(**changes)
    value["platform"]["ssh"]["privateKeyFile"] = str(key)
    return with_artifacts(value)


@pytest.fixture(scope="module")
def login_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("operator") / "login"
    path.write_text("the operator's own key\n")
    return path


@UpAndPreview
def test_hosts_stand_on_the_same_graph_without_making_a_machine(login_key: Path, preview: bool) -> None:
    run = run_of(hosts_settings(login_key), preview=preview)
    assert run.of_type(LOCAL) == {}
    names = ("cp-a", "cp-b", "cp-c", "worker-a", "worker-b", "balancer")
    assert set(run.of_type("hardway:index:NodeConfig")) == {f"activate-{name}" for name in names}
    assert set(run.of_type("hardway:index:NodeDrain")) == {f"drain-{name}" for name in names[:-1]}


def test_a_host_is_reached_as_its_settings_say(login_key: Path) -> None:
    run = run_of(hosts_settings(login_key))
    connection = open_up(run.command("activate-worker-b").inputs["connection"])
    assert {name: connection[name] for name in ("host", "port", "user", "privateKey")} == {
        "host": "worker-b.example.com",
        "port": 2222,
        "user": "admin",
        "privateKey": "the operator's own key\n",
    }
    assert connection["hostKey"].endswith("ExamplE")
    assert run.document("activate-worker-b")["identity"] == connection["hostKey"]


def test_another_host_key_drains_no_host(login_key: Path) -> None:
    """The key may be mistyped; and a host that was reinstalled has nothing left to be drained."""
    run = run_of(hosts_settings(login_key))
    drains = [run.command(name) for name in run.of_type("hardway:index:NodeDrain")]
    assert [one.inputs.get("triggers") for one in drains] == [[] for _ in drains]
    assert drains


def test_without_a_cni_of_ours_the_gate_waits_until_nodes_have_registered(login_key: Path) -> None:
    value = single_host()
    value["platform"]["ssh"]["privateKeyFile"] = str(login_key)
    gate = run_of(with_artifacts(value)).document("ready")
    assert [node["name"] for node in gate["nodes"]] == ["solo", "batch-a"]
    assert (gate["registered"], gate["deployments"]) == (True, [])


def test_with_our_cni_the_gate_waits_until_nodes_are_ready() -> None:
    gate = lab_run().document("ready")
    assert [node["name"] for node in gate["nodes"]] == [*CONTROL_PLANE, *WORKERS]
    assert gate["registered"] is False
    names = ["coredns", "local-path-provisioner", "metrics-server"]
    assert gate["deployments"] == [["kube-system", name] for name in names]


def test_a_missing_login_key_is_told_before_anything_is_touched(tmp_path: Path) -> None:
    value = hosts_settings(tmp_path / "absent")
    with pytest.raises(pulumi.RunError, match=r"privateKeyFile: .*/absent cannot be read \(No such file"):
        run_program(value)


def test_mistakes_in_the_settings_are_told_all_at_once_under_the_stack_files_name() -> None:
    value = {**lab_with(), "controlPlane": {"count": 2}, "nonsense": 1}
    with pytest.raises(pulumi.RunError) as caught:
        run_program(value, stack="dev")
    text = str(caught.value)
    assert "Pulumi.dev.yaml" in text
    assert "cluster.controlPlane.count" in text
    assert "cluster.nonsense" in text


def test_an_artifact_without_a_digest_stops_the_program() -> None:
    value = {**lab_with(), "artifacts": {"mirror": "http://mirror.example:1"}}
    with pytest.raises(pulumi.RunError, match=r"no sha256 is known for kubelet/1\.37\.2/amd64"):
        run_program(value)


def test_what_the_wire_calls_a_secret_is_one_here() -> None:
    run = lab_run()
    key = run.of_type(CERT_REQUEST)["admin"].inputs["privateKeyPem"]
    assert isinstance(key, Secret)
    assert plain_struct(resource_pb2.RegisterResourceRequest().object) == {}
