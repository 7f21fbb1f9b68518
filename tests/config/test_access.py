"""A proxy's exceptions, and what the plan has of issuers and mirrors."""

from __future__ import annotations

import pytest

from tests.config.clusters import dev, hosts, lab, plan_of

PROXY = {"http": "http://proxy.example.com:3128", "https": "http://proxy.example.com:3128"}


def test_the_clusters_own_addresses_and_names_never_go_through_a_proxy() -> None:
    settings = lab()
    plan = plan_of(
        lab(network={**settings.get("network", {}), "proxy": {**PROXY, "none": ["git.example.com"]}})
    )
    assert plan.proxy is not None
    assert plan.proxy.none == (
        "localhost",
        "127.0.0.1",
        str(plan.network.machines),
        str(plan.network.pods),
        str(plan.network.services),
        "api.lab.internal",
        ".svc",
        ".cluster.local",
        "git.example.com",
    )


def test_a_machine_in_the_cloud_asks_who_it_is_directly() -> None:
    base = dev()
    plan = plan_of({**base, "network": {**base.get("network", {}), "proxy": PROXY}})
    assert plan.proxy is not None
    assert "169.254.169.254" in plan.proxy.none


def test_a_proxy_for_one_scheme_leaves_the_other_as_it_is() -> None:
    base = hosts()
    plan = plan_of({**base, "network": {**base["network"], "proxy": {"https": PROXY["https"]}}})
    assert plan.proxy is not None
    assert sorted(plan.proxy.environment()) == ["HTTPS_PROXY", "NO_PROXY"]


@pytest.mark.parametrize("value", [lab(), hosts(), dev()], ids=["lab", "hosts", "aws"])
def test_without_settings_there_is_no_proxy_no_issuer_and_no_mirror(value: dict[str, object]) -> None:
    plan = plan_of(value)
    assert (plan.proxy, plan.oidc, plan.artifacts.registry_mirrors) == (None, None, {})
