"""Resource allocation: limits hold, and hold only the one that they are for."""

from typing import Any

from demo.show import Show
from demo.site import name_of, node_of, restarts_of

HOG = "memory-hog"
LIMIT = "64Mi"
# Takes ten megabytes at a time, and touches them, until it is stopped.
PROGRAM = "hoard = []\nwhile True:\n    hoard.append(bytearray(b'x' * 10_000_000))\n"


def memory_hog(show: Show) -> None:
    """Start a pod that takes ever more memory beside a replica of the site, and see which of the two ends."""
    neighbour = show.site.ready()[0]
    pod = small_pod(show, HOG, PROGRAM, memory=LIMIT)
    pod["spec"]["nodeSelector"] = {"kubernetes.io/hostname": node_of(neighbour)}
    show.apply(pod)
    try:
        show.site.wait("the hog ends", lambda: _end(show))
        show.kubectl("get", "pod", HOG, "--output=wide")
        end = _end(show)
    finally:
        show.site.kubectl("delete", "pod", HOG, "--ignore-not-found", "--grace-period=1")
    show.expect("the kernel killed it for its memory", end["reason"] == "OOMKilled", end)
    [after] = [one for one in show.site.ready() if name_of(one) == name_of(neighbour)]
    show.expect("its neighbour ran on", restarts_of(after) == restarts_of(neighbour), restarts_of(after))
    show.result(
        f"{HOG} was killed at its {LIMIT} ({end['reason']}, exit code {end['exitCode']}); {name_of(neighbour)} on the "
        "same node ran on"
    )


def _end(show: Show) -> dict[str, Any]:
    found = show.site.get("pod", HOG)["status"].get("containerStatuses", [])
    return dict(found[0]["state"].get("terminated", {})) if found else {}


def small_pod(show: Show, name: str, program: str, *, memory: str = "64Mi") -> dict[str, Any]:
    """A pod that runs a Python program once, with the site's image and under the namespace's restrictions."""
    image = show.site.get("deployment", "web")["spec"]["template"]["spec"]["containers"][0]["image"]
    container = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-c", program],
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": memory}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": show.site.namespace,
            "labels": {"app.kubernetes.io/name": name},
        },
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 10001,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
        },
    }
