"""Where private keys go: a sentinel in every one, searched for in everything that the program sends."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import yaml

from components import bundle
from components.secrets import encryption_config
from config.certificates import certificates_for
from tests.components.trees import lab_plan
from tests.program.made_up import (
    CERT_REQUEST,
    KEY_KINDS,
    LOCAL,
    LOCALLY_SIGNED,
    PRIVATE_KEY,
    REMOTE,
    SELF_SIGNED,
    sentinel,
)
from tests.program.runs import lab_run, lab_with, run_of
from tests.program.wire import UNKNOWN, Secret, open_up, strings

NODES = ("cp-0", "cp-1", "cp-2", "worker-general-0", "worker-general-1")
MACHINES = (*NODES, "lb-0")
SEED = sentinel("secret-seed", "privateKeyPemPkcs8")


@cache
def needles() -> dict[str, str]:
    """What must not be seen, to the name of its key: keys as they are, in base64, and what is derived."""
    found: dict[str, str] = {}
    for name in lab_run().of_type(PRIVATE_KEY):
        for kind in KEY_KINDS:
            text = sentinel(name, kind)
            found[text.splitlines()[1]] = name
            found[base64.b64encode(text.encode()).decode()] = name
    config = yaml.safe_load(encryption_config(SEED))
    found[config["resources"][0]["providers"][0]["secretbox"]["keys"][0]["secret"]] = "encryption at rest"
    found[bundle.derive_key(SEED, "digests").hex()] = "digests"
    return found


@cache
def keys_in(text: str) -> frozenset[str]:
    """Names of the keys that a text holds, a bundle's inside included."""
    whole = "\n".join(_layers(text))
    return frozenset(name for needle, name in needles().items() if needle in whole)


def _layers(text: str) -> Iterator[str]:
    yield text
    if len(text) > 1000 and " " not in text:
        yield from (inner for _, inner, _ in strings(bundle.decode(text)))


def sightings(value: Any) -> set[tuple[str, bool]]:
    """Where in a value any key is seen, and whether the engine encrypts it there."""
    return {(path, secret) for path, text, secret in strings(value) if keys_in(text)}


def test_keys_are_seen_only_where_they_are_needed_and_encrypted_there() -> None:
    seen = {
        (resource.type, path, secret)
        for resource in lab_run().resources
        for path, secret in sightings(resource.inputs)
    }
    assert seen == {
        (SELF_SIGNED, "privateKeyPem", True),
        (CERT_REQUEST, "privateKeyPem", True),
        (LOCALLY_SIGNED, "caPrivateKeyPem", True),
        (LOCAL, "stdin", True),
        (REMOTE, "connection.privateKey", True),
        (REMOTE, "stdin", True),
    }


def test_no_key_reaches_a_command_line() -> None:
    for kind in (REMOTE, LOCAL):
        for resource in lab_run().of_type(kind).values():
            lines = [text for name, text in resource.inputs.items() if name in ("create", "update", "delete")]
            assert lines
            assert not any(keys_in(line) for line in lines)


def test_no_component_shows_a_key() -> None:
    for resource in lab_run().resources:
        if not resource.custom:
            assert sightings(resource.inputs) == set(), resource.urn


def test_what_components_give_out_is_a_secret_where_it_holds_a_key() -> None:
    run = lab_run()
    seen = {(urn.split("$")[-1], where) for urn, given in run.outputs.items() for where in sightings(given)}
    assert {secret for _, (_, secret) in seen} == {True}
    assert {path for _, (path, _) in seen} == {"text"}


def test_the_stack_exports_two_secrets_and_no_key_besides() -> None:
    exports = lab_run().exports
    assert {name for name, value in exports.items() if sightings({name: value})} == {
        "kubeconfig",
        "sshPrivateKey",
    }
    assert isinstance(exports["kubeconfig"], Secret)
    assert isinstance(exports["sshPrivateKey"], Secret)
    assert keys_in(open_up(exports["sshPrivateKey"])) == {"ssh-login"}


def test_the_exported_kubeconfig_holds_the_administrators_key_and_the_plans_names() -> None:
    text = open_up(lab_run().exports["kubeconfig"])
    config = yaml.safe_load(text)
    assert keys_in(text) == {"admin"}
    assert config["clusters"][0]["cluster"]["server"] == "https://172.31.0.5:6443"
    assert config["clusters"][0]["cluster"]["tls-server-name"] == "api.lab.internal"


@pytest.mark.parametrize("machine", MACHINES)
def test_a_machine_receives_the_keys_of_its_own_table_rows_and_no_other(machine: str) -> None:
    expected = {spec.name for spec in certificates_for(lab_plan()) if machine in spec.machines}
    if machine.startswith("cp-"):
        expected |= {"service-account", "encryption at rest"}
    assert keys_in(lab_run().command(f"activate-{machine}").inputs["stdin"].value) == expected


@pytest.mark.parametrize("machine", MACHINES)
def test_prepare_carries_no_secret_at_all(machine: str) -> None:
    assert keys_in(lab_run().command(f"prepare-{machine}").inputs["stdin"].value) == set()


def test_one_step_carries_the_bootstrap_credential_and_the_add_ons_key_and_the_gate_none() -> None:
    assert keys_in(lab_run().command("add-ons").inputs["stdin"].value) == {"bootstrap", "metrics-server"}
    assert keys_in(lab_run().command("ready").inputs["stdin"].value) == set()


def test_a_secret_manifest_is_shown_as_a_keyed_digest() -> None:
    shown = lab_run().of_type("hardway:index:NodeTask")["add-ons"].inputs["secretManifests"]
    (text,) = lab_run().document("add-ons")["secret_manifests"].values()
    assert shown == {"metrics-server-serving": bundle.keyed_digest(SEED, text)}
    assert keys_in(text) == {"metrics-server"}


def test_without_metrics_server_the_step_carries_and_shows_no_further_secret() -> None:
    run = run_of(lab_with(addOns={}))
    assert keys_in(run.command("add-ons").inputs["stdin"].value) == {"bootstrap"}
    assert set(run.of_type("hardway:index:NodeTask")["add-ons"].inputs) == {"manifests"}


@pytest.mark.parametrize("machine", MACHINES)
def test_making_a_machine_takes_its_own_host_key_and_no_login_key(machine: str) -> None:
    assert keys_in(lab_run().of_type(LOCAL)[f"machine-{machine}"].inputs["stdin"].value) == {
        f"ssh-host-{machine}"
    }


def test_authorities_sign_and_their_keys_go_nowhere_else() -> None:
    authorities = {"kubernetes-ca", "etcd-ca", "front-proxy-ca"}
    seen = {
        (resource.type, path)
        for resource in lab_run().resources
        for path, text, _ in strings(resource.inputs)
        if keys_in(text) & authorities
    }
    assert seen == {(SELF_SIGNED, "privateKeyPem"), (LOCALLY_SIGNED, "caPrivateKeyPem")}


def test_every_leaf_is_signed_by_the_authority_of_its_row() -> None:
    run = lab_run()
    for spec in certificates_for(lab_plan()):
        inputs = run.of_type(LOCALLY_SIGNED)[spec.name].inputs
        assert keys_in(open_up(inputs["caPrivateKeyPem"])) == {f"{spec.authority}-ca"}
        assert open_up(inputs["caCertPem"]) == f"certificate of {spec.authority}-ca"
        assert open_up(inputs["certRequestPem"]) == f"request of {spec.name}"
        assert inputs["allowedUses"] == ["digital_signature", *spec.usages]
        assert "isCaCertificate" not in inputs


def test_requests_carry_subject_and_names_of_the_table() -> None:
    run = lab_run()
    for spec in certificates_for(lab_plan()):
        inputs = run.of_type(CERT_REQUEST)[spec.name].inputs
        assert inputs["subject"]["commonName"] == spec.common_name
        assert inputs["subject"].get("organization") == spec.organization
        assert tuple(inputs.get("dnsNames", ())) == spec.dns_names
        assert tuple(inputs.get("ipAddresses", ())) == spec.ip_addresses


def test_keys_are_elliptic_and_those_of_ssh_are_ed25519() -> None:
    for name, resource in lab_run().of_type(PRIVATE_KEY).items():
        wanted = (
            {"algorithm": "ED25519"}
            if name.startswith("ssh-")
            else {"algorithm": "ECDSA", "ecdsaCurve": "P256"}
        )
        assert resource.inputs == wanted, name


def test_a_preview_leaves_unknown_what_only_providers_know_and_still_hides_it() -> None:
    for name, resource in lab_run(preview=True).of_type(REMOTE).items():
        if name.startswith("drain-"):
            assert isinstance(resource.inputs["stdin"], Secret)  # all planned, so known
        else:
            assert resource.inputs["stdin"] == UNKNOWN, name


def test_a_machine_whose_key_was_made_anew_gets_other_digests() -> None:
    """A digest depends on the content and on the seed, so a preview shows which secret file changes."""
    run = lab_run()
    one, two = (
        run.of_type("hardway:index:NodeConfig")[f"activate-{name}"].inputs["secretFiles"]
        for name in NODES[:2]
    )
    own = "/etc/kubernetes/pki/kubelet.key"
    shared = "/etc/kubernetes/pki/sa.key"
    assert one[own] != two[own]
    assert (
        one[shared]
        == two[shared]
        == bundle.keyed_digest(SEED, sentinel("service-account", "privateKeyPemPkcs8"))
    )
