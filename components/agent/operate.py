"""One-time steps on the operations machine: RBAC and add-ons, Nodes' labels and taints, the gate.

Every step is idempotent. Nobody is "the first master": the plan marks a machine, a setting switches it.
"""

import glob
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from components.agent import nodes
from components.agent.evidence import Failure, say, unit_evidence, wait_until, write_file
from components.agent.evidence import run as command
from components.agent.lock import machine_lock
from components.agent.nodes import ADMIN, KUBECTL
from components.agent.units import answers

FIELD_MANAGER = "hardway"
RECORD = "/var/lib/hardway/add-ons.json"
"""Names of the add-ons that this machine applied: what Hardway did not bring, it does not take away."""


def run(bundle: dict[str, Any]) -> dict[str, Any]:
    """Run the bundle's step: `add-ons` or `gate`."""
    step = {"add-ons": _add_ons, "gate": _gate}[bundle["step"]]
    with machine_lock():
        return step(bundle)


def _wait_for_api(bundle: dict[str, Any]) -> None:
    seconds = float(bundle["seconds"])
    if wait_until("the API", lambda: answers(f"{bundle['api']}/readyz"), seconds):
        return
    evidence = "\n".join(unit_evidence(unit) for unit in ("etcd.service", "kube-apiserver.service"))
    raise Failure(
        f"the API is not ready after {seconds:.0f} s; it needs a majority of etcd's members.\n{evidence}"
    )


def _add_ons(bundle: dict[str, Any]) -> dict[str, Any]:
    """Apply what is wanted and delete what is not wanted any more, with a credential that lives in memory."""
    _wait_for_api(bundle)
    before = _applied_before()
    manifests = {**bundle["manifests"], **bundle["secret_manifests"]}
    # Noted before the first object appears: a run that is killed in between leaves none that nobody would remove.
    write_file(RECORD, json.dumps(sorted(before | set(manifests))), 0o600)
    with _credential(bundle) as kubectl, tempfile.TemporaryDirectory(dir="/run") as folder:
        for name, text in manifests.items():
            write_file(f"{folder}/{name}.yaml", text, 0o600)
        _apply_patiently(kubectl, folder)
        for name in before & set(bundle["absent"]):
            text = bundle["absent"][name]
            command(*kubectl, "delete", "--ignore-not-found", "--wait=false", "--filename=-", text=text)
        write_file(RECORD, json.dumps(sorted(manifests)), 0o600)
    say(f"applied {', '.join(manifests)}")
    return {"applied": sorted(manifests), "digest": bundle["digest"]}


def _apply_patiently(kubectl: list[str], folder: str) -> None:
    """Server-side apply; a new API server answers before its own RBAC and namespaces are there."""
    for attempt in range(1, 16):
        try:
            command(
                *kubectl,
                "apply",
                "--server-side",
                "--force-conflicts",
                f"--field-manager={FIELD_MANAGER}",
                f"--filename={folder}",
                timeout=60,
            )
            return
        except Failure:
            if attempt == 15:
                raise
            time.sleep(1)


def _applied_before() -> set[str]:
    try:
        with open(RECORD) as file:
            return set(json.load(file))
    except FileNotFoundError:
        return set()


@contextmanager
def _credential(bundle: dict[str, Any]) -> Iterator[list[str]]:
    """Call kubectl with the bootstrap credential in a folder of tmpfs, gone afterwards."""
    for abandoned in glob.glob("/run/hardway-credential-*"):
        shutil.rmtree(abandoned)
    folder = tempfile.mkdtemp(dir="/run", prefix="hardway-credential-")
    try:
        for name, text in bundle["credential"].items():
            with open(
                f"{folder}/{name}", "w", opener=lambda path, flags: os.open(path, flags, 0o600)
            ) as file:
                file.write(text)
        yield [
            KUBECTL,
            f"--server={bundle['api']}",
            f"--certificate-authority={folder}/ca.crt",
            "--request-timeout=20s",
            f"--client-certificate={folder}/client.crt",
            f"--client-key={folder}/client.key",
        ]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _gate(bundle: dict[str, Any]) -> dict[str, Any]:
    """Wait until every Node is Ready and every add-on available; set labels and taints on the way."""
    begin = time.monotonic()
    _wait_for_api(bundle)
    kubectl = [KUBECTL, f"--kubeconfig={ADMIN}", "--request-timeout=10s"]
    wanted = {node["name"]: node for node in bundle["nodes"]}
    deadline = begin + float(bundle["seconds"])
    done: set[str] = set()

    def all_ready() -> bool:
        found = nodes.read(kubectl)
        done.update(
            name
            for name in set(wanted) & set(found) - done
            if nodes.label_and_taint(kubectl, found[name], wanted[name])
        )
        ready = [
            name for name in wanted if name in found and (bundle["registered"] or nodes.is_ready(found[name]))
        ]
        return done >= set(wanted) and len(ready) == len(wanted)

    if not wait_until("all Nodes to be Ready", all_ready, deadline - time.monotonic(), interval=0.5):
        raise Failure(nodes.describe_missing(nodes.read(kubectl), list(wanted), time.monotonic() - begin))
    nodes_seconds = time.monotonic() - begin
    for namespace, deployment in bundle["deployments"]:
        _wait_for_deployment(kubectl, namespace, deployment, max(deadline - time.monotonic(), 10))
    say(
        f"all {len(wanted)} Nodes Ready after {nodes_seconds:.1f} s, "
        f"add-ons after {time.monotonic() - begin:.1f} s"
    )
    return {"digest": bundle["digest"], "nodes": sorted(wanted)}


def _last_warnings(kubectl: list[str], namespace: str, count: int = 5) -> list[str]:
    columns = "custom-columns=OBJECT:.involvedObject.name,REASON:.reason,MESSAGE:.message"
    lines = command(
        *kubectl,
        "--namespace",
        namespace,
        "get",
        "events",
        "--field-selector=type=Warning",
        "--sort-by=.lastTimestamp",
        "--no-headers",
        f"--output={columns}",
    ).splitlines()
    return [line[:400] for line in lines[-count:]]


def _wait_for_deployment(kubectl: list[str], namespace: str, name: str, seconds: float) -> None:
    try:
        command(
            *kubectl,
            "--namespace",
            namespace,
            "rollout",
            "status",
            f"deployment/{name}",
            f"--timeout={seconds:.0f}s",
            "--request-timeout=0",
            timeout=seconds + 20,
        )
    except Failure as failure:
        pods = command(*kubectl, "--namespace", namespace, "get", "pods", "--output=wide")
        pods += "\n".join(_last_warnings(kubectl, namespace))
        raise Failure(
            f"deployment {namespace}/{name} is not available after {seconds:.0f} s: {failure}\n{pods}"
        ) from None
