"""Availability: a node's power is cut, with a replica of the site on it, or with its database."""

import time
from contextlib import ExitStack
from dataclasses import dataclass

from demo.show import Show
from demo.site import OUT_OF_SERVICE, REPLICAS, Pod, name_of, node_of
from demo.traffic import Visitors, answers

AFTER_SECONDS = 5
STAYS_SECONDS = 15


@dataclass(frozen=True)
class Kind:
    """A kind of visitor: where it asks and how often it tries."""

    name: str
    through_balancer: bool
    tries: int


KINDS = (
    Kind("through the balancer", True, 1),
    Kind("through the balancer, three tries", True, 3),
    Kind("the workers directly", False, 1),
    Kind("the workers directly, three tries", False, 3),
)
PATIENT = KINDS[1]


def node_with_a_replica(show: Show) -> None:
    """Cut the power of a worker that has a replica and not the database."""
    lose(show, within=120, by="the manifests' 5 s of toleration")


def node_with_a_replica_by_default(show: Show) -> None:
    """The same with the tolerations that the API server gives to every pod that names none."""
    with show.overlay("default-tolerations"):
        lose(show, within=480, by="Kubernetes' own defaults")


def lose(show: Show, *, within: float, by: str) -> None:
    """Cut a worker's power under visitors of every kind, wait until its replica is Ready elsewhere, and give it back.

    Args:
        show: the stage.
        within: seconds after which waiting ends.
        by: what decides how long it takes, for the figures' names.
    """
    site = show.site
    lost = _worker_without_the_database(show)
    _spread(show)
    show.kubectl("get", "pods", "--output=wide")
    crowd = {kind: _visitors(show, kind) for kind in KINDS}
    with show.without_power(lost):
        begin = time.monotonic()
        with ExitStack() as stack:
            for visitors in crowd.values():
                stack.enter_context(visitors)
            site.wait("the node counts as lost", lambda: lost not in show.client.ready_nodes(), within)
            noticed = time.monotonic() - begin
            site.wait(
                "all replicas Ready elsewhere", lambda: len(site.ready(without=lost)) >= REPLICAS, within
            )
            seconds = time.monotonic() - begin
            show.kubectl("get", "pods", "--output=wide")
            time.sleep(AFTER_SECONDS)
    show.figure(f"node lost to NotReady, {by}", f"{noticed:.0f} s")
    show.figure(f"node lost to all replicas Ready elsewhere, {by}", f"{seconds:.0f} s")
    for kind, visitors in crowd.items():
        seen = f"{visitors.count.failed} of {visitors.count.asked}; slowest answer {visitors.count.slowest:.1f} s"
        show.figure(f"failed requests, {kind.name}, {by}", seen)
    _wait_until_back(show, lost)
    # One try may meet a connection that the power cut took along; a browser tries again.
    show.expect_served(crowd[PATIENT])
    show.result(
        f"{lost} lost its power; {seconds:.0f} s later both replicas were Ready elsewhere; through the balancer "
        f"{crowd[KINDS[0]].count}, and with three tries {crowd[PATIENT].count.failed}"
    )


def _visitors(show: Show, kind: Kind) -> Visitors:
    workers = [show.site.node_port(worker) for worker in show.client.workers]
    return Visitors(
        [show.site.balancer] if kind.through_balancer else workers, tries=kind.tries, per_second=5
    )


def _worker_without_the_database(show: Show) -> str:
    [database] = show.site.ready("database")
    return next(worker for worker in show.client.workers if worker != node_of(database))


def _spread(show: Show) -> None:
    """Pods stay where they are when a node comes back: a restart of the Deployment spreads them again."""
    if len({node_of(pod) for pod in show.site.ready()}) < min(REPLICAS, len(show.client.workers)):
        show.kubectl("rollout", "restart", "deployment/web")
        show.wait_for_rollout()
    nodes = [node_of(pod) for pod in show.site.ready()]
    show.expect("the replicas are on different nodes", len(set(nodes)) == len(nodes), nodes)


def _wait_until_back(show: Show, worker: str) -> None:
    show.site.wait("the node is back", lambda: worker in show.client.ready_nodes(), 180)
    _spread(show)


def node_with_the_database(show: Show) -> None:
    """Cut the power of the database's node, say that it is gone for good, and give it back."""
    site = show.site
    [before] = site.ready("database")
    lost, written = node_of(before), _write_a_row(show)
    begin = time.monotonic()
    try:
        with show.without_power(lost):
            _expect_it_stays(show, before)
            show.kubectl("taint", "node", lost, f"{OUT_OF_SERVICE}=nodeshutdown:NoExecute")
            _expect_it_waits_for_its_volume(show, before)
        site.wait("the node is back", lambda: lost in show.client.ready_nodes(), 180)
    finally:
        show.client.try_kubectl("taint", "node", lost, f"{OUT_OF_SERVICE}-")
    show.told.commands.append(f"kubectl taint node {lost} {OUT_OF_SERVICE}-")
    site.wait("the database Ready", lambda: site.ready("database"), 180)
    site.wait("the page has its database", lambda: _page_has_database(show), 60)
    seconds = time.monotonic() - begin
    show.expect("the row is there", _take_row(show, written), written)
    _wait_until_back(show, lost)
    show.figure("database's node lost and given back, to the page with its data", f"{seconds:.0f} s")
    show.result(
        f"{name_of(before)} stayed until the taint said that nothing runs on {lost} any more, and its successor waited "
        "for the volume there: a local one is on one node only; with the node the row came back"
    )


def _expect_it_stays(show: Show, before: Pod) -> None:
    """Without another word the pod stays where it was: nobody knows whether it still writes."""
    site, lost = show.site, node_of(before)
    site.wait("the node counts as lost", lambda: lost not in show.client.ready_nodes(), 120)
    time.sleep(STAYS_SECONDS)
    show.kubectl("get", "pods", "--selector=app.kubernetes.io/name=database", "--output=wide")
    pods = site.get("pods", "--selector=app.kubernetes.io/name=database")["items"]
    ids = [pod["metadata"]["uid"] for pod in pods]
    show.expect("the pod stays where it was", ids == [before["metadata"]["uid"]], ids)
    site.wait("a page says that its database is away", lambda: not _page_has_database(show), 30)


def _expect_it_waits_for_its_volume(show: Show, before: Pod) -> None:
    """Once its node is said to be gone another pod takes its name, and can't be placed without the volume."""
    site, old = show.site, before["metadata"]["uid"]
    site.wait("another pod", lambda: any(one["metadata"]["uid"] != old for one in site.pods("database")), 90)
    said = str(site.wait("the scheduler says why", lambda: _why_pending(show), 60))
    show.say(f"      {said}")
    show.expect("its volume holds it to the lost node", "PersistentVolume's node affinity" in said, said)


def _page_has_database(show: Show) -> bool:
    return answers(show.site.balancer, lambda page: bool(page["database"]))


def _mariadb(show: Show, statement: str) -> str:
    client = 'MYSQL_PWD="$(cat "$DATABASE_PASSWORD_FILE")" mariadb --user=tooling --batch --skip-column-names tooling'
    return show.kubectl("exec", "database-0", "--", "sh", "-c", f'{client} --execute="{statement}"').strip()


def _write_a_row(show: Show) -> str:
    title = f"Written at {time.strftime('%H:%M:%S')}"
    _mariadb(show, f"INSERT INTO links (title, url) VALUES ('{title}', 'https://example.com/')")
    return title


def _take_row(show: Show, title: str) -> bool:
    """Whether the row is there; afterwards it is not."""
    count = _mariadb(show, f"SELECT COUNT(*) FROM links WHERE title = '{title}'").splitlines()[-1]
    _mariadb(show, f"DELETE FROM links WHERE title = '{title}'")
    return count == "1"


def _why_pending(show: Show) -> str:
    """The scheduler's own words about the database's pod; "" before there are any."""
    pods = show.site.pods("database")
    conditions = pods[0]["status"].get("conditions", []) if pods else []
    return next((str(one.get("message", "")) for one in conditions if one["type"] == "PodScheduled"), "")
