"""Scheduling: where pods are is what the manifests say."""

from demo.show import Show
from demo.site import UNPINNED, address_of, name_of, node_of


def web_and_database_on_separate_nodes(show: Show) -> None:
    """Pin the site to one worker and compare names and addresses on the way to the database on another."""
    site, client = show.site, show.client
    [database] = site.ready("database")
    other = next(worker for worker in client.workers if worker != node_of(database))
    pin = {"spec": {"template": {"spec": {"nodeSelector": {"kubernetes.io/hostname": other}}}}}
    try:
        show.patch("deployment/web", pin)
        show.wait_for_rollout()
        show.kubectl("get", "pods", "--output=wide")
        page = site.node_port(other).get()
        [web] = [pod for pod in site.ready() if name_of(pod) == page["pod"]]
        [database] = site.ready("database")
        show.expect("the page comes from the pinned worker", page["node"] == node_of(web) == other, page)
        show.expect(
            "the database answers from its pod's address",
            page["database"]["address"] == address_of(database),
            page,
        )
        show.expect("the database is on another node", node_of(database) != other, node_of(database))
        route = show.ssh(other, f"ip route get {address_of(database)}").split("\n")[0].strip()
        show.say(f"      {route}")
        show.expect(
            "packets go by way of the database's node", client.address(node_of(database)) in route, route
        )
        show.result(
            f"{page['pod']} ({address_of(web)}) on {other} reads from {page['database']['hostname']} "
            f"({address_of(database)}) on {node_of(database)}"
        )
    finally:
        show.patch("deployment/web", UNPINNED)
        show.wait_for_rollout()
