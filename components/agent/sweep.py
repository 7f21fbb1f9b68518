"""Has cloud controllers take down what they made, before their cluster is destroyed.

Runs on the operations machine. It deletes Services and claims and waits: load balancers and volumes themselves are
the controllers' to delete. It does not know what others than Services and claims had made (Ingresses, snapshots).
"""

import json
import os
import time
from dataclasses import dataclass
from typing import Any

from components.agent import nodes
from components.agent.evidence import Failure, say, succeeds, unit_evidence, wait_until
from components.agent.evidence import run as command

API_SECONDS = 60.0
TURN_SECONDS = 3.0
GRACE_SECONDS = 60
"""What a pod gets at most to end: what it would still write goes with its volume."""
CLEANUP = "service.kubernetes.io/load-balancer-cleanup"
"""The finalizer that the cloud's service controller holds while a Service has a balancer (KEP 980)."""
QUOTA = "hardway-sweep"
"""ResourceQuota that closes a namespace, or else a StatefulSet would claim the next volume when one is gone."""
# Claims are read before volumes: a claim that is bound in between is seen as a claim at least.
KINDS = "services,persistentvolumeclaims,persistentvolumes,pods"
_SHOWN = 20
"""Objects that a message names at most."""

Object = dict[str, Any]


@dataclass(frozen=True)
class Found:
    """What a turn found.

    Attributes:
        services: with a load balancer, or with one that is still cleaned up.
        volumes: of the driver, which go with their claims.
        kept: volumes of the driver that stay in the account.
        claims: of the volumes that go, or with a volume to come.
        pods: that mount those claims.
    """

    services: list[Object]
    volumes: list[Object]
    kept: list[Object]
    claims: list[Object]
    pods: list[Object]

    def left(self) -> bool:
        """Whether controllers have something to take down yet."""
        return bool(self.services or self.volumes or self.claims)


def run(bundle: dict[str, Any]) -> dict[str, Any]:
    """Delete Services with load balancers and claims of the driver's volumes; wait until controllers are done.

    Args:
        bundle: `api` (URL of this machine's API server), `cluster` (its name, in the tags in the account), `driver`
            (of volumes), `seconds` (for everything) and `digest`.

    Returns:
        digest, and the names of the `services` and `volumes` that are gone and of the volumes that were `kept`.

    Raises:
        Failure: the API does not answer, or something is left when the time is over.
    """
    if not (os.path.exists(nodes.KUBECTL) and os.path.exists(nodes.ADMIN)):
        say(f"nothing to sweep: this machine has no {nodes.ADMIN}, so no cluster that it could ask")
        return {"digest": bundle["digest"], "services": [], "volumes": [], "kept": []}
    deadline = time.monotonic() + float(bundle["seconds"])
    sweep = Sweep(bundle["api"], bundle["driver"], deadline)
    _wait_for_api(sweep.kubectl, bundle)
    what = "controllers to take down load balancers and volumes"
    if not wait_until(what, sweep.turn, deadline - time.monotonic(), TURN_SECONDS):
        raise Failure(_explain(sweep, bundle))
    say(f"swept: {_counted(len(sweep.services), len(sweep.volumes))}")
    return {
        "digest": bundle["digest"],
        "services": sorted(sweep.services),
        # One that was given another reclaim policy meanwhile is no longer among them.
        "volumes": sorted(sweep.volumes - sweep.kept),
        "kept": sorted(sweep.kept),
    }


def _wait_for_api(kubectl: list[str], bundle: dict[str, Any]) -> None:
    if wait_until("the API", lambda: succeeds(*kubectl, "get", "--raw=/readyz"), API_SECONDS, interval=1):
        return
    evidence = "\n".join(unit_evidence(unit) for unit in ("etcd.service", "kube-apiserver.service"))
    raise Failure(
        f"the API at {bundle['api']} is not ready after {API_SECONDS:.0f} s, so nothing was swept: load balancers, "
        "their security groups and volumes may be left in the account. Bring the control plane back (it needs a "
        f"majority of etcd's members) and run again; or {_by_hand(bundle)}.\n{evidence}"
    )


def _by_hand(bundle: dict[str, Any]) -> str:
    """The way out where the cluster can't help any more."""
    return (
        f"look in the account for load balancers, security groups and volumes with the tag "
        f"kubernetes.io/cluster/{bundle['cluster']} and without the tag hardway.dev/cluster, delete them by hand, "
        "then take the resource that this error names out of the state ('pulumi state delete URN') and run again"
    )


class Sweep:
    """A sweep, turn by turn.

    Attributes:
        kubectl: the command that it calls.
        services: names of all that were found so far, as are volumes.
        kept: names of the volumes that stay.
        closed: namespaces with the quota.
        found: by the last turn that could read the cluster.
        trouble: errors of the last turn.
    """

    def __init__(self, api: str, driver: str, deadline: float) -> None:
        # A request may wait for admission webhooks, which have 30 s at most.
        self.kubectl = [
            nodes.KUBECTL,
            f"--kubeconfig={nodes.ADMIN}",
            f"--server={api}",
            "--request-timeout=35s",
        ]
        self.services: set[str] = set()
        self.volumes: set[str] = set()
        self.kept: set[str] = set()
        self.closed: set[str] = set()
        self.found: Found | None = None
        self.trouble: list[str] = []
        self._driver = driver
        self._deadline = deadline
        self._told = ""

    def turn(self) -> bool:
        """Look, delete what nobody has deleted yet, and give whether everything is gone.

        Each turn looks anew: a controller of the operator's may have made a Service again. Errors are kept, not
        raised, since an API server may just be restarting.
        """
        self.trouble = []
        text = self._try("get", KINDS, "--all-namespaces", "--output=json")
        if text is None:
            return False
        self.found = sort_out(json.loads(text)["items"], self._driver)
        self._note(self.found)
        self._delete(self.found)
        return not self.found.left()

    def _try(self, *words: str, text: str | None = None) -> str | None:
        left = min(60.0, max(1.0, self._deadline - time.monotonic()))
        try:
            return command(*self.kubectl, *words, timeout=left, text=text)
        except Failure as failure:
            self.trouble.append(str(failure)[-600:])
            return None

    def _note(self, found: Found) -> None:
        self.services |= {name_of(service) for service in found.services}
        self.volumes |= {name_of(volume) for volume in found.volumes}
        for volume in found.kept:
            if name_of(volume) not in self.kept:
                say(f"kept: PersistentVolume {_described(volume)}, {_why_kept(volume)}")
        self.kept = {name_of(volume) for volume in found.kept}
        left = _counted(len(found.services), len(found.volumes))
        if found.left() and left != self._told:
            self._told = left
            say(f"left to be taken down: {left}")

    def _delete(self, found: Found) -> None:
        for namespace in sorted({_namespace(thing) for thing in found.services + found.claims} - self.closed):
            if self._try("apply", "--server-side", "--filename=-", text=_quota(namespace)) is not None:
                self.closed.add(namespace)
        self._delete_all("service", [one for one in found.services if not _is_deleted(one)])
        # Claims before pods: what their controller makes anew can't mount a claim that is being deleted.
        self._delete_all("persistentvolumeclaim", [one for one in found.claims if not _is_deleted(one)])
        for grace in sorted({_grace(pod) for pod in found.pods}):
            pods = [pod for pod in found.pods if _grace(pod) == grace and not _ends_soon(pod)]
            self._delete_all("pod", pods, f"--grace-period={grace}")

    def _delete_all(self, kind: str, things: list[Object], *words: str) -> None:
        for namespace in sorted({_namespace(thing) for thing in things}):
            names = [one["metadata"]["name"] for one in things if _namespace(one) == namespace]
            where = f"--namespace={namespace}"
            self._try("delete", kind, where, *names, *words, "--ignore-not-found", "--wait=false")


def sort_out(items: list[Object], driver: str) -> Found:
    """Sort the objects of a cluster by what a sweep does with them.

    Args:
        items: Services, claims, volumes and pods, with their `kind`.
        driver: whose volumes are looked for.
    """
    of_kind = {kind: [one for one in items if one["kind"] == kind] for kind in {one["kind"] for one in items}}
    volumes = [one for one in of_kind.get("PersistentVolume", []) if _is_of(one, driver)]
    kept = [one for one in volumes if _why_kept(one)]
    going = [one for one in volumes if not _why_kept(one)]
    claims = [
        one
        for one in of_kind.get("PersistentVolumeClaim", [])
        if _wants(one, driver, {name_of(v) for v in going}, {name_of(v) for v in kept})
    ]
    claimed = {name_of(claim) for claim in claims}
    return Found(
        services=[one for one in of_kind.get("Service", []) if _has_balancer(one)],
        volumes=going,
        kept=kept,
        claims=claims,
        pods=[pod for pod in of_kind.get("Pod", []) if mounted(pod) & claimed],
    )


def _has_balancer(service: Object) -> bool:
    balanced = service["spec"].get("type") == "LoadBalancer"
    return balanced or CLEANUP in service["metadata"].get("finalizers", [])


def _is_of(volume: Object, driver: str) -> bool:
    """Whether a volume is the driver's: by name, or by migration from a plugin that Kubernetes had built in."""
    migrated = volume["metadata"].get("annotations", {}).get("pv.kubernetes.io/migrated-to")
    return driver in (volume["spec"].get("csi", {}).get("driver"), migrated)


def _why_kept(volume: Object) -> str:
    """Why nobody deletes a volume; empty when its controller does.

    A volume that an operator entered and nobody claimed is not deleted with its object. Binding gives claimRef a uid.
    """
    spec = volume["spec"]
    if spec["persistentVolumeReclaimPolicy"] != "Delete":
        return f"since its reclaim policy is {spec['persistentVolumeReclaimPolicy']}"
    return "" if spec.get("claimRef", {}).get("uid") else "since nobody ever claimed it"


def _wants(claim: Object, driver: str, going: set[str], kept: set[str]) -> bool:
    """Whether a claim has one of the volumes that go, or waits for the driver to make one."""
    annotations, volume = claim["metadata"].get("annotations", {}), claim["spec"].get("volumeName", "")
    waits = annotations.get("volume.kubernetes.io/storage-provisioner") == driver
    return volume in going or (waits and volume not in kept)


def mounted(pod: Object) -> set[str]:
    """Namespaces and names of the claims that a pod mounts, those made for it alone included.

    The claim of a generic ephemeral volume is called after pod and volume (Kubernetes, Ephemeral Volumes).
    """
    names = set()
    for volume in pod["spec"].get("volumes", []):
        if "persistentVolumeClaim" in volume:
            names.add(volume["persistentVolumeClaim"]["claimName"])
        elif "ephemeral" in volume:
            names.add(f"{pod['metadata']['name']}-{volume['name']}")
    return {f"{_namespace(pod)}/{name}" for name in names}


def name_of(thing: Object) -> str:
    """Namespace and name, as in default/web; of a volume the name alone."""
    return "/".join(filter(None, (_namespace(thing), thing["metadata"]["name"])))


def _namespace(thing: Object) -> str:
    return str(thing["metadata"].get("namespace", ""))


def _is_deleted(thing: Object) -> bool:
    return "deletionTimestamp" in thing["metadata"]


def _grace(pod: Object) -> int:
    return min(GRACE_SECONDS, int(pod["spec"].get("terminationGracePeriodSeconds", GRACE_SECONDS)))


def _ends_soon(pod: Object) -> bool:
    """Whether a pod was told to end, and not with more time than a sweep gives."""
    return _is_deleted(pod) and pod["metadata"].get("deletionGracePeriodSeconds", 0) <= GRACE_SECONDS


def _quota(namespace: str) -> str:
    nothing_new = {"persistentvolumeclaims": "0", "services.loadbalancers": "0"}
    metadata = {"name": QUOTA, "namespace": namespace}
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": nothing_new}}
    return json.dumps(quota)


def _counted(services: int, volumes: int) -> str:
    return f"{services} Services with load balancers, {volumes} volumes"


def _explain(sweep: Sweep, bundle: dict[str, Any]) -> str:
    """What is left and who holds it, and the ways out."""
    left = _lines(sweep.found) if sweep.found else ["unknown: the cluster could not be read"]
    closed = ", ".join(sorted(sweep.closed)) or "none"
    return (
        f"not everything that controllers made in the cloud is gone after {float(bundle['seconds']):.0f} s. No "
        "machine was destroyed. Look at the events of what is left ('kubectl describe') and at the logs of the cloud "
        "controller manager and of the volume driver's controller, then run again; delete a pod of a dead machine "
        "with '--force'; give a volume that shall stay the reclaim policy Retain. Or, if no controller can help, "
        f"{_by_hand(bundle)}. Who keeps the cluster deletes ResourceQuota {QUOTA}, which forbids new claims and load "
        f"balancers, in these namespaces: {closed}.\n"
        + "\n".join(f"  {line}" for line in [*_shortened(left), *sweep.trouble])
    )


def _lines(found: Found) -> list[str]:
    return [
        *(f"Service {name_of(one)}: {_held(one)}" for one in found.services),
        *(f"PersistentVolume {_described(one)}: {_state(one)}, {_held(one)}" for one in found.volumes),
        *(f"PersistentVolumeClaim {name_of(one)}: {_held(one)}" for one in found.claims),
        *(
            f"Pod {name_of(one)}: mounts {', '.join(sorted(mounted(one)))}; {_ending(one)}"
            for one in found.pods
        ),
    ]


def _shortened(lines: list[str]) -> list[str]:
    return [*lines[:_SHOWN], *([f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else [])]


def _described(volume: Object) -> str:
    """A volume's name with what it is called in the account."""
    handle = volume["spec"].get("csi", {}).get("volumeHandle")
    return f"{name_of(volume)} ({handle})" if handle else name_of(volume)


def _held(thing: Object) -> str:
    finalizers = ", ".join(thing["metadata"].get("finalizers", []))
    asked = "being deleted" if _is_deleted(thing) else "not being deleted"
    return f"{asked}, held by {finalizers}" if finalizers else asked


def _state(volume: Object) -> str:
    """A volume's phase, with what its controller says of it."""
    status = volume.get("status", {})
    message = status.get("message", "")
    return f"{status.get('phase', 'Unknown')}{f' ({message[:300]})' if message else ''}"


def _ending(pod: Object) -> str:
    node = pod["spec"].get("nodeName")
    where = f"on Node {node}" if node else "on no Node"
    return f"{'ending' if _is_deleted(pod) else 'not ending'} {where}"
