"""The administrator's kubeconfig: what a client reads is what went in."""

from __future__ import annotations

import base64

import yaml
from hypothesis import given
from hypothesis import strategies as st

from components.kubeconfig import build_kubeconfig

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def test_a_kubeconfig_is_exactly_this_document() -> None:
    text = build_kubeconfig(
        cluster="lab",
        server="https://172.31.0.5:6443",
        tls_server_name="api.lab.internal",
        ca="CA",
        certificate="CERTIFICATE",
        key="KEY",
    )
    assert yaml.safe_load(text) == {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "clusters": [
            {
                "name": "lab",
                "cluster": {
                    "server": "https://172.31.0.5:6443",
                    "tls-server-name": "api.lab.internal",
                    "certificate-authority-data": "Q0E=",
                },
            }
        ],
        "users": [
            {
                "name": "lab-admin",
                "user": {"client-certificate-data": "Q0VSVElGSUNBVEU=", "client-key-data": "S0VZ"},
            }
        ],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab-admin"}}],
    }


@given(st.text(min_size=1, max_size=80), st.text(min_size=1, max_size=80), st.text(min_size=1, max_size=80))
def test_pem_texts_come_out_as_they_went_in(ca: str, certificate: str, key: str) -> None:
    text = build_kubeconfig(
        cluster="c", server="https://s:6443", tls_server_name="n", ca=ca, certificate=certificate, key=key
    )
    parsed = yaml.safe_load(text)
    user = parsed["users"][0]["user"]
    encoded = [
        parsed["clusters"][0]["cluster"]["certificate-authority-data"],
        user["client-certificate-data"],
        user["client-key-data"],
    ]
    assert [base64.b64decode(one, validate=True).decode() for one in encoded] == [ca, certificate, key]


def test_the_certificate_is_never_left_unchecked() -> None:
    text = build_kubeconfig(
        cluster="c", server="https://s", tls_server_name="n", ca=PEM, certificate=PEM, key=PEM
    )
    assert "insecure" not in text
