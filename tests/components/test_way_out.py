"""What containerd, the kubelet, prepare and the API server are told of mirrors, proxies and issuers."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from components import authentication
from components.render import ROOTFS
from components.tree import machine_files
from components.way_out import hosts_toml, proxy_of_prepare
from config.access_models import Oidc
from config.plan import ClusterPlan
from tests.components.trees import lab_plan, lab_settings, tree
from tests.config.clusters import plan_of, prod

PROXY = {"http": "http://proxy.example.com:3128", "https": "http://proxy.example.com:3128"}
DROP_IN = "/etc/systemd/system/containerd.service.d/proxy.conf"
OIDC = {"issuerUrl": "https://login.example.com", "clientId": "kubernetes"}


def changed(section: str, **keys: Any) -> ClusterPlan:
    """The lab's plan with keys added to a section."""
    settings = lab_settings()
    return plan_of({**settings, section: {**settings.get(section, {}), **keys}})


def difference(plan: ClusterPlan, machine: str) -> dict[str, str | None]:
    """Files of a machine that differ from the lab's, with their text; None where one is gone."""
    before, after = tree(lab_plan(), machine), tree(plan, machine)
    paths = sorted(before.keys() | after.keys())
    return {
        path: after[path].text if path in after else None
        for path in paths
        if before.get(path) != after.get(path)
    }


def test_a_mirror_is_one_file_on_every_machine_that_runs_pods_and_nothing_else() -> None:
    plan = changed(
        "artifacts", registryMirrors={"docker.io": ["https://a.example.com", "http://10.0.0.1:5000"]}
    )
    expected = """\
[host."https://a.example.com"]
  capabilities = ["pull", "resolve"]

[host."http://10.0.0.1:5000"]
  capabilities = ["pull", "resolve"]
"""
    for name in ("cp-0", "worker-general-0"):
        assert difference(plan, name) == {"/etc/containerd/certs.d/docker.io/hosts.toml": expected}
    assert difference(plan, "lb-0") == {}


def test_mirrors_are_asked_in_their_order_and_the_registry_itself_last() -> None:
    document = tomllib.loads(hosts_toml(("https://a.example.com", "https://b.example.com/v2/hub")))
    assert list(document["host"]) == ["https://a.example.com", "https://b.example.com/v2/hub"]
    assert "server" not in document


def test_a_mirrors_path_that_names_the_protocol_is_taken_as_it_stands() -> None:
    document = tomllib.loads(hosts_toml(("https://b.example.com/v2/hub", "https://c.example.com/hub")))
    assert document["host"]["https://b.example.com/v2/hub"]["override_path"] is True
    assert "override_path" not in document["host"]["https://c.example.com/hub"]


def test_a_proxy_is_containerds_environment() -> None:
    plan = changed("network", proxy=PROXY)
    assert difference(plan, "worker-general-0") == {
        DROP_IN: """\
[Service]
Environment="HTTP_PROXY=http://proxy.example.com:3128"
Environment="HTTPS_PROXY=http://proxy.example.com:3128"
Environment="NO_PROXY=localhost,127.0.0.1,172.31.0.0/16,172.20.0.0/16,10.32.0.0/16,api.lab.internal,.svc,.cluster.local"
"""
    }
    assert difference(plan, "lb-0") == {}


def test_a_kubelet_gets_the_proxy_where_its_helper_asks_for_passwords() -> None:
    base = prod()
    plan = plan_of({**base, "network": {**base.get("network", {}), "proxy": PROXY}})
    assert plan.aws is not None
    files = machine_files(plan, plan.control_plane[0])
    drop_ins = [path for path in files if path.endswith("/proxy.conf")]
    kubelet = ["/etc/systemd/system/kubelet.service.d/proxy.conf"] if plan.aws.ecr_credentials else []
    assert drop_ins == [DROP_IN, *kubelet]


def test_prepare_is_told_of_a_proxy_and_otherwise_gets_what_it_always_got() -> None:
    assert proxy_of_prepare(lab_plan()) == {}
    told = proxy_of_prepare(changed("network", proxy={"https": PROXY["https"]}))["proxy"]
    assert (told["http"], told["https"], told["none"][0]) == (None, PROXY["https"], "localhost")


def test_an_issuer_changes_one_file_of_the_control_plane_and_keeps_the_rule_for_strangers() -> None:
    plan = changed("controlPlane", oidc=OIDC)
    [(path, text)] = difference(plan, "cp-0").items()
    assert path == "/etc/kubernetes/authentication.yaml"
    document = yaml.safe_load(text or "")
    committed = yaml.safe_load((ROOTFS / "control-plane/etc/kubernetes/authentication.yaml").read_text())
    assert document == {
        **committed,
        "jwt": [
            {
                "issuer": {"url": "https://login.example.com", "audiences": ["kubernetes"]},
                "claimMappings": {
                    "username": {"claim": "sub", "prefix": "oidc:"},
                    "groups": {"claim": "groups", "prefix": "oidc:"},
                },
            }
        ],
    }
    assert difference(plan, "worker-general-0") == {}


def test_an_issuer_may_have_an_authority_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authentication, "PROJECT", tmp_path)
    pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    (tmp_path / "issuer.pem").write_text(pem)
    oidc = Oidc.model_validate({**OIDC, "groupsClaim": None, "certificateAuthorityFile": "issuer.pem"})
    [issuer] = yaml.safe_load(authentication.authentication_config(oidc))["jwt"]
    assert issuer["issuer"]["certificateAuthority"] == pem
    assert "groups" not in issuer["claimMappings"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "can't be read"),
        ("nothing", "holds no certificate in PEM"),
        ("-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----", "holds a private key"),
    ],
    ids=["missing", "empty", "with-a-key"],
)
def test_a_file_that_is_no_authority_is_refused(
    text: str | None, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication, "PROJECT", tmp_path)
    if text is not None:
        (tmp_path / "issuer.pem").write_text(text)
    with pytest.raises(pulumi.RunError, match=reason) as caught:
        authentication.read_authority("issuer.pem")
    assert "Nothing was touched" in str(caught.value)
