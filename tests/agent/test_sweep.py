"""A sweep: what cloud controllers made goes while they still run, or the message says what holds it."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.agent import nodes, sweep
from components.agent.evidence import Failure

DRIVER = "ebs.csi.aws.com"
BUNDLE = {"api": "https://127.0.0.1:6443", "cluster": "toy", "driver": DRIVER, "seconds": 600, "digest": "d"}
SHORT = {**BUNDLE, "seconds": -1}
"""Time for one turn."""
QUOTA = "apply --server-side --filename=-"
END = "--ignore-not-found --wait=false"


class Cluster:
    """A cluster behind a made-up kubectl, with controllers that work between two looks at it.

    Attributes:
        objects: of all kinds.
        changes: calls that are no reading, in order.
        inputs: what those calls got on standard input, where they got any.
        works: whether the controllers do.
        refused: verbs that fail.
    """

    def __init__(self, *objects: dict[str, Any]) -> None:
        self.objects = list(objects)
        self.changes: list[str] = []
        self.inputs: list[dict[str, Any]] = []
        self.works = True
        self.healthy = True
        self.refused: set[str] = set()
        self.timeouts: list[float] = []

    def run(self, *command: str, timeout: float = 60, text: str | None = None) -> str:
        """One call, of which the first four words are kubectl, its credential, its server and its patience."""
        assert command[:4] == (
            nodes.KUBECTL,
            f"--kubeconfig={nodes.ADMIN}",
            "--server=https://127.0.0.1:6443",
            "--request-timeout=35s",
        )
        words = command[4:]
        self.timeouts.append(timeout)
        if words[0] in self.refused:
            raise Failure(f"'kubectl {words[0]}' failed with status 1: refused")
        if words[0] == "get":
            assert words[1:] == (sweep.KINDS, "--all-namespaces", "--output=json")
            found = json.dumps({"items": self.objects})
            if self.works:
                self._reconcile()
            return found
        self.changes.append(" ".join(words))
        if text is not None:
            self.inputs.append(json.loads(text))
        if words[0] == "delete":
            self._mark(words[1], words[2].removeprefix("--namespace="), set(words[3:]))
        return ""

    def succeeds(self, *command: str, timeout: float = 60) -> bool:
        """Readiness."""
        assert command[4:] == ("get", "--raw=/readyz")
        return self.healthy

    def _mark(self, kind: str, namespace: str, names: set[str]) -> None:
        for one in self.objects:
            metadata = one["metadata"]
            if (one["kind"].lower(), metadata.get("namespace")) == (kind, namespace):
                metadata |= {"deletionTimestamp": "now"} if metadata["name"] in names else {}

    def _reconcile(self) -> None:
        """Services and pods end, then claims that nobody mounts, then their volumes."""
        mounted = {name for one in self.objects if one["kind"] == "Pod" for name in sweep.mounted(one)}
        claims = {one["metadata"]["uid"] for one in self.objects if one["kind"] == "PersistentVolumeClaim"}
        self.objects = [one for one in self.objects if not self._ends(one, mounted, claims)]

    def _ends(self, one: dict[str, Any], mounted: set[str], claims: set[str]) -> bool:
        if one["kind"] == "PersistentVolume":
            spec = one["spec"]
            claim = spec.get("claimRef", {}).get("uid")
            return bool(claim and claim not in claims and spec["persistentVolumeReclaimPolicy"] == "Delete")
        return "deletionTimestamp" in one["metadata"] and sweep.name_of(one) not in mounted


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slept: list[float]) -> None:
    """A control-plane machine on which nobody really waits."""
    for name in ("KUBECTL", "ADMIN"):
        (tmp_path / name).touch()
        monkeypatch.setattr(nodes, name, str(tmp_path / name))


def use(monkeypatch: pytest.MonkeyPatch, *objects: dict[str, Any]) -> Cluster:
    cluster = Cluster(*objects)
    monkeypatch.setattr(sweep, "command", cluster.run)
    monkeypatch.setattr(sweep, "succeeds", cluster.succeeds)
    return cluster


def thing(kind: str, name: str, spec: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name, "namespace": "shop", **metadata}, "spec": spec}


def service(name: str, kind: str = "LoadBalancer", **metadata: Any) -> dict[str, Any]:
    return thing("Service", name, {"type": kind}, **metadata)


def volume(
    name: str, claim: str | None = None, policy: str = "Delete", driver: str = DRIVER, **metadata: Any
) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "persistentVolumeReclaimPolicy": policy,
        "csi": {"driver": driver, "volumeHandle": f"vol-{name}"},
    }
    if claim:
        spec["claimRef"] = {"namespace": "shop", "name": claim, "uid": f"uid-{claim}"}
    made = thing("PersistentVolume", name, spec, **metadata)
    del made["metadata"]["namespace"]
    return {**made, "status": {"phase": "Bound" if claim else "Available"}}


def claim(name: str, bound_to: str | None = None, driver: str = DRIVER) -> dict[str, Any]:
    annotations = {"volume.kubernetes.io/storage-provisioner": driver}
    spec = {"volumeName": bound_to} if bound_to else {}
    return thing("PersistentVolumeClaim", name, spec, uid=f"uid-{name}", annotations=annotations)


def pod(name: str, *claims: str, grace: int = 30, **metadata: Any) -> dict[str, Any]:
    volumes = [{"name": one, "persistentVolumeClaim": {"claimName": one}} for one in claims]
    spec = {"volumes": volumes, "terminationGracePeriodSeconds": grace, "nodeName": "worker-1"}
    return thing("Pod", name, spec, **metadata)


def test_balancers_and_volumes_are_gone_when_a_sweep_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = use(
        monkeypatch,
        service("web"),
        service("plain", "ClusterIP"),
        volume("pv-0", "data"),
        claim("data", "pv-0"),
        pod("db-0", "data"),
        pod("other"),
    )
    assert sweep.run(BUNDLE) == {"digest": "d", "services": ["shop/web"], "volumes": ["pv-0"], "kept": []}
    assert cluster.changes == [
        QUOTA,
        f"delete service --namespace=shop web {END}",
        f"delete persistentvolumeclaim --namespace=shop data {END}",
        f"delete pod --namespace=shop db-0 --grace-period=30 {END}",
    ]
    assert [sweep.name_of(one) for one in cluster.objects] == ["shop/plain", "shop/other"]


def test_nothing_is_changed_where_nothing_is_to_be_swept(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = use(
        monkeypatch, service("plain", "ClusterIP"), pod("other", "local"), claim("local", None, "x")
    )
    for _ in range(2):
        assert sweep.run(BUNDLE) == {"digest": "d", "services": [], "volumes": [], "kept": []}
    assert cluster.changes == []


def test_a_namespace_is_closed_before_its_claims_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or else a StatefulSet claims the next volume as soon as one is gone, for ever."""
    cluster = use(monkeypatch, volume("pv-0", "data"), claim("data", "pv-0"))
    sweep.run(BUNDLE)
    assert cluster.changes[0] == QUOTA
    assert cluster.inputs == [
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "hardway-sweep", "namespace": "shop"},
            "spec": {"hard": {"persistentvolumeclaims": "0", "services.loadbalancers": "0"}},
        }
    ]


def test_a_namespace_that_can_not_be_closed_is_swept_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is itself being deleted takes no new objects, a quota neither."""
    cluster = use(monkeypatch, service("web"))
    cluster.refused = {"apply"}
    assert sweep.run(BUNDLE)["services"] == ["shop/web"]
    assert cluster.objects == []


def test_a_service_that_somebody_makes_again_is_deleted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = use(monkeypatch, service("web"))
    run = cluster.run
    looks = itertools.count()

    def stubborn(*command: str, **words: Any) -> str:
        if command[4] == "get" and next(looks) == 1:
            cluster.objects = [service("web")]
        return run(*command, **words)

    monkeypatch.setattr(sweep, "command", stubborn)
    sweep.run(BUNDLE)
    assert cluster.changes == [QUOTA, *[f"delete service --namespace=shop web {END}"] * 2]


def test_volumes_that_stay_are_told_with_their_name_in_the_account(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    objects = (
        volume("precious", "data", policy="Retain"),
        claim("data", "precious"),
        pod("db-0", "data"),
        volume("spare"),
    )
    cluster = use(monkeypatch, *objects)
    assert sweep.run(BUNDLE) == {
        "digest": "d",
        "services": [],
        "volumes": [],
        "kept": ["precious", "spare"],
    }
    assert cluster.changes == []
    assert capsys.readouterr().err.splitlines() == [
        "kept: PersistentVolume precious (vol-precious), since its reclaim policy is Retain",
        "kept: PersistentVolume spare (vol-spare), since nobody ever claimed it",
        "swept: 0 Services with load balancers, 0 volumes",
    ]


def test_a_volume_that_is_spared_meanwhile_is_not_told_as_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = use(monkeypatch, volume("pv-0", "data"), claim("data", "pv-0"))
    run = cluster.run

    def sparing(*command: str, **words: Any) -> str:
        if command[4:6] == ("delete", "persistentvolumeclaim"):
            cluster.objects[0]["spec"]["persistentVolumeReclaimPolicy"] = "Retain"
        return run(*command, **words)

    monkeypatch.setattr(sweep, "command", sparing)
    assert sweep.run(BUNDLE) == {"digest": "d", "services": [], "volumes": [], "kept": ["pv-0"]}


def test_a_volume_that_is_only_promised_to_a_claim_is_not_waited_for() -> None:
    """Nobody deletes it, so nobody could wait for that to end."""
    promised = volume("spare")
    promised["spec"]["claimRef"] = {"namespace": "shop", "name": "data"}
    found = sweep.sort_out([promised], DRIVER)
    assert (names(found.volumes), names(found.kept)) == ([], ["spare"])


def names(things: list[dict[str, Any]]) -> list[str]:
    return [sweep.name_of(one) for one in things]


def test_only_the_drivers_volumes_go_and_those_that_were_migrated_to_it() -> None:
    migrated = {"pv.kubernetes.io/migrated-to": DRIVER}
    found = sweep.sort_out(
        [
            volume("own", "a"),
            volume("local", "b", driver="rancher.io/local-path"),
            volume("old", "c", driver="", annotations=migrated),
        ],
        DRIVER,
    )
    assert (names(found.volumes), names(found.kept)) == (["own", "old"], [])


def test_a_claim_whose_volume_is_still_to_be_made_goes_too() -> None:
    found = sweep.sort_out([claim("pending"), claim("local", driver="rancher.io/local-path")], DRIVER)
    assert names(found.claims) == ["shop/pending"]
    assert found.left()


def test_a_service_whose_balancer_is_still_cleaned_up_is_waited_for() -> None:
    found = sweep.sort_out(
        [service("was", "ClusterIP", finalizers=[sweep.CLEANUP]), service("plain", "ClusterIP")], DRIVER
    )
    assert names(found.services) == ["shop/was"]


def test_a_pod_is_found_by_the_volume_that_was_made_for_it_alone() -> None:
    own = pod("job")
    own["spec"]["volumes"] = [{"name": "scratch", "ephemeral": {}}, {"name": "tmp", "emptyDir": {}}]
    assert names(sweep.sort_out([claim("job-scratch"), own], DRIVER).pods) == ["shop/job"]


def test_a_pod_of_the_same_claim_name_in_another_namespace_is_left_alone() -> None:
    objects = [claim("data"), pod("db-0", "data", namespace="bank")]
    assert sweep.sort_out(objects, DRIVER).pods == []


def test_no_pod_gets_more_than_a_minute_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = use(
        monkeypatch,
        claim("data"),
        pod("quick", "data", grace=5),
        pod("slow", "data", grace=3600),
        pod("ending", "data", deletionTimestamp="now", deletionGracePeriodSeconds=30),
        pod("ending-late", "data", grace=3600, deletionTimestamp="now", deletionGracePeriodSeconds=3600),
    )
    sweep.run(BUNDLE)
    assert cluster.changes[2:] == [
        f"delete pod --namespace=shop quick --grace-period=5 {END}",
        f"delete pod --namespace=shop slow ending-late --grace-period=60 {END}",
    ]


def test_what_is_left_is_named_with_what_holds_it_and_the_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = volume("pv-0", "data", finalizers=["external-provisioner.volume.kubernetes.io/finalizer"])
    failed["status"] = {"phase": "Failed", "message": "UnauthorizedOperation"}
    cluster = use(
        monkeypatch,
        service("web", finalizers=[sweep.CLEANUP], deletionTimestamp="now"),
        failed,
        claim("data", "pv-0"),
        pod("db-0", "data", deletionTimestamp="now", deletionGracePeriodSeconds=30),
    )
    cluster.works = False
    with pytest.raises(Failure) as caught:
        sweep.run(SHORT)
    first, *left = str(caught.value).splitlines()
    assert first == (
        "not everything that controllers made in the cloud is gone after -1 s. No machine was destroyed. Look at the "
        "events of what is left ('kubectl describe') and at the logs of the cloud controller manager and of the "
        "volume driver's controller, then run again; delete a pod of a dead machine with '--force'; give a volume "
        "that shall stay the reclaim policy Retain. Or, if no controller can help, look in the account for load "
        "balancers, security groups and volumes with the tag kubernetes.io/cluster/toy and without the tag "
        "hardway.dev/cluster, delete them by hand, then take the resource that this error names out of the state "
        "('pulumi state delete URN') and run again. Who keeps the cluster deletes ResourceQuota hardway-sweep, which "
        "forbids new claims and load balancers, in these namespaces: shop."
    )
    assert left == [
        "  Service shop/web: being deleted, held by service.kubernetes.io/load-balancer-cleanup",
        "  PersistentVolume pv-0 (vol-pv-0): Failed (UnauthorizedOperation), not being deleted, held by "
        "external-provisioner.volume.kubernetes.io/finalizer",
        "  PersistentVolumeClaim shop/data: not being deleted",
        "  Pod shop/db-0: mounts shop/data; ending on Node worker-1",
    ]


def test_a_long_list_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, *(service(f"web-{number:02}") for number in range(23))).works = False
    with pytest.raises(Failure) as caught:
        sweep.run(SHORT)
    lines = str(caught.value).splitlines()
    assert lines[20:] == ["  Service shop/web-19: not being deleted", "  and 3 more"]


def test_a_deletion_that_is_refused_stops_no_other_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = use(monkeypatch, service("web"), claim("data"))
    cluster.works = False
    cluster.refused = {"delete"}
    with pytest.raises(Failure) as caught:
        sweep.run(SHORT)
    assert str(caught.value).splitlines()[-2:] == ["  'kubectl delete' failed with status 1: refused"] * 2


def test_an_api_server_that_restarts_meanwhile_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = use(monkeypatch, service("web"))
    run = cluster.run
    looks = itertools.count()

    def restarting(*command: str, **words: Any) -> str:
        if command[4] == "get" and next(looks) < 2:
            raise Failure("connection refused")
        return run(*command, **words)

    monkeypatch.setattr(sweep, "command", restarting)
    assert sweep.run(BUNDLE)["services"] == ["shop/web"]


def test_a_cluster_that_was_never_read_is_told_as_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch).refused = {"get"}
    with pytest.raises(Failure) as caught:
        sweep.run(SHORT)
    assert str(caught.value).splitlines()[1:] == [
        "  unknown: the cluster could not be read",
        "  'kubectl get' failed with status 1: refused",
    ]


def test_no_call_outlasts_the_sweep_by_more_than_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = use(monkeypatch, service("web"))
    monkeypatch.setattr(sweep, "time", SimpleNamespace(monotonic=itertools.count(0, 25).__next__))
    sweep.run({**BUNDLE, "seconds": 100})
    assert cluster.timeouts == [50.0, 25.0, 1.0, 1.0, 1.0]


@pytest.mark.parametrize("missing", ["KUBECTL", "ADMIN"])
def test_a_machine_that_belongs_to_no_cluster_has_nothing_to_sweep(
    monkeypatch: pytest.MonkeyPatch, missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(getattr(nodes, missing)).unlink()
    assert sweep.run(BUNDLE) == {"digest": "d", "services": [], "volumes": [], "kept": []}
    assert capsys.readouterr().err.startswith("nothing to sweep: this machine has no ")


def test_an_api_that_does_not_answer_is_told_with_what_may_be_left(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch).healthy = False
    monkeypatch.setattr(sweep, "API_SECONDS", -1.0)
    monkeypatch.setattr(sweep, "unit_evidence", lambda unit: f"--- {unit}")
    with pytest.raises(Failure) as caught:
        sweep.run(BUNDLE)
    assert str(caught.value).splitlines() == [
        "the API at https://127.0.0.1:6443 is not ready after -1 s, so nothing was swept: load balancers, their "
        "security groups and volumes may be left in the account. Bring the control plane back (it needs a majority "
        "of etcd's members) and run again; or look in the account for load balancers, security groups and volumes "
        "with the tag kubernetes.io/cluster/toy and without the tag hardway.dev/cluster, delete them by hand, then "
        "take the resource that this error names out of the state ('pulumi state delete URN') and run again.",
        "--- etcd.service",
        "--- kube-apiserver.service",
    ]
