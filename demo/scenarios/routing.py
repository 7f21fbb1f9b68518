"""Load balancing, routing, discovery."""

import re
import statistics
import subprocess

from demo.show import Show
from demo.site import PORT, address_of, name_of, node_of
from lab import network, packages
from lab.errors import LabError

LOAD_TOOL = ("wrk",)
SPREAD_REQUESTS = 200
LOAD_SECONDS = 3
LOAD_RUNS = 5


def found_by_name(show: Show) -> None:
    """Resolve the database's name in a pod of the site."""
    [database] = show.site.ready("database")
    lookup = "import socket; print(socket.gethostbyname('database'))"
    found = show.kubectl("exec", "deployment/web", "--container=web", "--", "python3", "-c", lookup).split()[
        -1
    ]
    show.expect("the name leads to the pod", found == address_of(database), found)
    show.result(f"'database' is {found}, the pod {name_of(database)} on {node_of(database)}")


def spread_over_replicas(show: Show) -> None:
    """Count which replica answers through the balancer."""
    pods = {name_of(pod) for pod in show.site.ready()}
    answers: dict[str, int] = dict.fromkeys(pods, 0)
    show.told.commands.append(
        f"curl http://{show.site.balancer.host}:{show.site.balancer.port}/about.json   # {SPREAD_REQUESTS} times"
    )
    show.say(
        f"    {SPREAD_REQUESTS} requests to http://{show.site.balancer.host}:{show.site.balancer.port}/about.json"
    )
    for _ in range(SPREAD_REQUESTS):
        answers[show.site.balancer.get()["pod"]] += 1
    fewest = min(answers.values())
    show.expect("every replica answers", fewest > 0, answers)
    show.figure("answers by replica", ", ".join(str(count) for count in sorted(answers.values())))
    show.result(
        f"{len(pods)} replicas answered, the least busy one {fewest / SPREAD_REQUESTS:.0%} of the time"
    )


def node_port_against_pod(show: Show) -> None:
    """Requests a second through a worker's port, and to the pod behind it, by turns, from a control-plane machine."""
    packages.have(LOAD_TOOL)
    replica = show.site.ready()[0]
    direct = f"http://{address_of(replica)}:{PORT}/healthz"
    through = f"http://{show.site.node_port(node_of(replica)).host}:{show.site.node_port(node_of(replica)).port}/healthz"
    asker = show.client.control_plane[0]
    _requests_per_second(asker, direct)  # for warmth
    rates: list[tuple[float, float]] = []
    for number in range(LOAD_RUNS):
        # Each of them first every other time: nothing else on this computer stands still meanwhile.
        first = _requests_per_second(asker, through if number % 2 else direct)
        second = _requests_per_second(asker, direct if number % 2 else through)
        rates.append((second, first) if number % 2 else (first, second))
    for url in (direct, through):
        show.told.commands.append(
            f"wrk --threads 1 --connections 8 --duration {LOAD_SECONDS}s {url}   # in the network of {asker}"
        )
    ratio = statistics.median(port / pod for pod, port in rates)
    show.figure("requests a second, pod itself", f"{statistics.median(pod for pod, _ in rates):.0f}")
    show.figure("requests a second, node port", f"{statistics.median(port for _, port in rates):.0f}")
    show.figure("node port against pod, median of pairs", f"{ratio:.2f}")
    show.expect("the port serves", ratio > 0, rates)
    show.result(f"the node port served {ratio:.2f} of the requests that the pod itself did")


def _requests_per_second(machine: str, url: str) -> float:
    """Load on a URL from a machine's own network, by wrk of this computer."""
    load = ["wrk", "--threads", "1", "--connections", "8", "--duration", f"{LOAD_SECONDS}s", url]
    line = ["ip", "netns", "exec", network.namespace(machine), *load]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    found = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    if not found or "Non-2xx" in done.stdout:
        raise LabError(f"{' '.join(load)} on {machine}: {done.stdout}{done.stderr}")
    return float(found[1])
