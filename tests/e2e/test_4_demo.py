"""What `make demo` shows holds: every scenario is played on the tests' own cluster, its expectations included."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from demo.scenarios import ALL, losing
from demo.show import Promise, Scenario, Show, Told
from demo.site import Site
from lab.client import wait_for
from tests.e2e.cluster import Cluster

LEASE, GRACE = {"leaseSeconds": 8}, {"graceSeconds": 8}


@pytest.fixture(scope="module")
def site(cluster: Cluster) -> Iterator[Site]:
    """The example, deployed."""
    made = Site(cluster)
    begin = time.monotonic()
    made.deploy()
    cluster.figures["the example deployed, images brought"] = f"{time.monotonic() - begin:.1f} s"
    yield made
    made.remove()


def test_every_promise_has_a_scenario() -> None:
    assert {scenario.promise for scenario in ALL} == set(Promise)


@pytest.mark.parametrize(
    "scenario", [one for one in ALL if not one.long], ids=lambda scenario: str(scenario.key)
)
def test_the_demo_holds(site: Site, cluster: Cluster, scenario: Scenario) -> None:
    told = scenario.on(site)
    cluster.figures.update(told.figures)
    assert told.result


def test_replicas_come_back_with_the_faster_node_settings_too(site: Site, own_settings: Cluster) -> None:
    """As docs/operations.md, "Faster loss of a node", has them; the figure is reported, not asserted."""
    # First the leases, then the patience: the other way round Nodes would count as lost between two renewals.
    for loss in (LEASE, LEASE | GRACE):
        own_settings.write_settings(nodeLoss=loss)
        own_settings.up()
    site.wait_until_well()
    _wait_for_a_leader(own_settings)
    told = Told("node-dies")
    losing.lose(Show(site, told, print), within=90, by="the faster node settings")
    own_settings.figures.update(told.figures)
    for loss in (LEASE, {}):
        own_settings.write_settings(nodeLoss=loss)
        own_settings.up()
    site.wait_until_well()


def _wait_for_a_leader(cluster: Cluster) -> None:
    """A controller manager that was restarted while it led is followed only when its lease of 15 s is over."""

    def renewed() -> str:
        lease = cluster.get("lease", "kube-controller-manager", "--namespace=kube-system")
        return str(lease["spec"]["renewTime"])

    before = renewed()
    wait_for("a controller manager that leads", lambda: renewed() != before, 60)
