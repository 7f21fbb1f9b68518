"""Health monitoring: what dies is started again, what is not well gets no requests."""

import time

from demo.show import Show
from demo.site import Pod, address_of, name_of, node_of, restarts_of
from demo.traffic import Visitors

CRICTL = "/opt/hardway/bin/crictl"


def container_dies(show: Show) -> None:
    """Kill a replica's process on its machine."""
    pod = show.site.ready()[0]
    name, before = name_of(pod), restarts_of(pod)
    container = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
    template = "{{.info.pid}}"
    pid = show.ssh(
        node_of(pod), f"{CRICTL} inspect --output go-template --template '{template}' {container} 2>/dev/null"
    ).strip()
    with Visitors([show.site.balancer]) as visitors:
        show.ssh(node_of(pod), f"kill -KILL {pid}")
        begin = time.monotonic()
        show.site.wait(
            "the container runs again",
            lambda: any(name_of(one) == name and restarts_of(one) == before + 1 for one in show.site.ready()),
        )
        seconds = time.monotonic() - begin
    show.figure("container killed to Ready again", f"{seconds:.1f} s")
    show.figure("failed requests meanwhile", f"{visitors.count.failed} of {visitors.count.asked}")
    show.result(f"{name} was Ready again after {seconds:.1f} s on the same node, as the same pod")


def unhealthy_leaves(show: Show) -> None:
    """Have one replica say that it is not ready, and watch the Service's addresses."""
    pod = show.site.ready()[0]
    address = address_of(pod)
    mark = ("exec", name_of(pod), "--container=web", "--")
    show.kubectl(*mark, "touch", "/tmp/out-of-service")
    try:
        begin = time.monotonic()
        show.site.wait("it leaves the Service", lambda: address not in show.site.ready_addresses())
        seconds = time.monotonic() - begin
        # HAProxy looks at the ports once a second; what it sent before that was still answered.
        time.sleep(3)
        with Visitors([show.site.balancer]) as visitors:
            time.sleep(5)
    finally:
        show.kubectl(*mark, "rm", "/tmp/out-of-service")
    count = visitors.count
    show.expect("it got no request", name_of(pod) not in count.pods, dict(count.pods))
    show.expect_served(visitors)
    show.site.wait("it comes back", lambda: address in show.site.ready_addresses())
    show.expect("it was not restarted", _restarts(show, pod) == restarts_of(pod), _restarts(show, pod))
    show.figure("unhealthy to out of the Service", f"{seconds:.1f} s")
    show.result(
        f"the other replica gave all {sum(count.pods.values())} answers; {name_of(pod)} came back by itself"
    )


def _restarts(show: Show, pod: Pod) -> int:
    return next(restarts_of(one) for one in show.site.pods() if name_of(one) == name_of(pod))
