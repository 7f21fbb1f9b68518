"""A site with two replicas behind the lab's balancer, and requests to it at a steady beat, as from outside."""

from __future__ import annotations

import http.client
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

from lab.client import wait_for
from tests.e2e.cluster import Cluster
from tests.e2e.pods import HTTP, describe, placed, pod

NODE_PORT = 30080
"""The one that the lab's stack file has `lb-0` forward."""
BEAT = 0.1
TIMEOUT = 3.0


def deploy_site(cluster: Cluster, namespace: str) -> None:
    """Two replicas on two workers, behind the balancer; returns when it answers from outside."""
    template = pod("site")
    ready = {"httpGet": {"path": "/healthz", "port": HTTP}, "periodSeconds": 1}
    template["spec"]["containers"][0]["readinessProbe"] = ready
    template["spec"]["topologySpreadConstraints"] = [
        {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": "site"}},
        }
    ]
    deployment: dict[str, Any] = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "site"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "site"}},
            "template": {"metadata": template["metadata"], "spec": template["spec"]},
        },
    }
    del deployment["spec"]["template"]["metadata"]["name"]
    port = {"port": 80, "targetPort": HTTP, "nodePort": NODE_PORT}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "site"},
        "spec": {"type": "NodePort", "selector": {"app": "site"}, "ports": [port]},
    }
    cluster.apply(*placed(namespace, deployment, service))
    line = ("rollout", "status", "deployment/site", "--timeout=120s")
    done = cluster.try_kubectl("--namespace", namespace, *line, seconds=130)
    assert done.status == 0, describe(cluster, namespace)
    visitors = Visitors(cluster)
    wait_for("the site to answer through the balancer", lambda: visitors.ask() == "", 30)


class Visitors:
    """Asks for a page ten times a second, each over a connection of its own, while its block runs.

    Attributes:
        asked: how many requests were sent.
        failures: what became of each that was not answered with 200, with the second at which it was sent.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._host = str(cluster.plan.load_balancers[0].address)
        self.asked = 0
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="visitors")
        self._pool = ThreadPoolExecutor(max_workers=64)

    def __enter__(self) -> Visitors:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._pool.shutdown(wait=True)

    def ask(self) -> str:
        """One request; gives what went wrong, "" for nothing."""
        connection = http.client.HTTPConnection(self._host, NODE_PORT, timeout=TIMEOUT)
        try:
            connection.request("GET", "/hostname", headers={"Connection": "close"})
            answer = connection.getresponse()
            answer.read()
            return "" if answer.status == 200 else f"status {answer.status}"
        except (OSError, http.client.HTTPException) as error:
            return repr(error)
        finally:
            connection.close()

    def _beat(self) -> None:
        begin = due = time.monotonic()
        while not self._stop.is_set():
            self.asked += 1
            self._pool.submit(self._visit, time.monotonic() - begin)
            due += BEAT
            self._stop.wait(max(0.0, due - time.monotonic()))

    def _visit(self, second: float) -> None:
        wrong = self.ask()
        if wrong:
            self.failures.append(f"after {second:.1f} s: {wrong}")
