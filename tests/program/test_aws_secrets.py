"""Where private keys go on AWS: the sentinels again, searched for in everything that the program sends."""

from __future__ import annotations

import base64
from functools import cache

import pytest
import yaml

from components import bundle
from components.secrets import encryption_config
from config.certificates import certificates_for
from tests.config.clusters import plan_of, prod
from tests.program.made_up import (
    CERT_REQUEST,
    KEY_KINDS,
    LOCALLY_SIGNED,
    PRIVATE_KEY,
    REMOTE,
    SELF_SIGNED,
    sentinel,
)
from tests.program.runs import dev_run, prod_run
from tests.program.wire import open_up, strings

RUNS = {"dev": dev_run, "prod": prod_run}
EachStack = pytest.mark.parametrize("stack", RUNS)
INSTANCE = "aws:ec2/instance:Instance"


@cache
def needles() -> dict[str, str]:
    """What must not be seen, to the name of its key."""
    found: dict[str, str] = {}
    for name in prod_run().of_type(PRIVATE_KEY):
        for kind in KEY_KINDS:
            text = sentinel(name, kind)
            found[text.splitlines()[1]] = name
            found[base64.b64encode(text.encode()).decode()] = name
    config = yaml.safe_load(encryption_config(sentinel("secret-seed", "privateKeyPemPkcs8")))
    found[config["resources"][0]["providers"][0]["secretbox"]["keys"][0]["secret"]] = "encryption at rest"
    return found


@cache
def keys_in(text: str) -> frozenset[str]:
    """Names of the keys that a text holds, a bundle's inside included."""
    layers = [text]
    if len(text) > 1000 and " " not in text:
        layers += [inner for _, inner, _ in strings(bundle.decode(text))]
    whole = "\n".join(layers)
    return frozenset(name for needle, name in needles().items() if needle in whole)


@EachStack
def test_keys_are_seen_only_where_they_are_needed_and_encrypted_there(stack: str) -> None:
    seen = {
        (resource.type, path, secret)
        for resource in RUNS[stack]().resources
        for path, text, secret in strings(resource.inputs)
        if keys_in(text)
    }
    through_bastion = {(REMOTE, "connection.proxy.privateKey", True)} if stack == "prod" else set()
    assert seen == through_bastion | {
        (SELF_SIGNED, "privateKeyPem", True),
        (CERT_REQUEST, "privateKeyPem", True),
        (LOCALLY_SIGNED, "caPrivateKeyPem", True),
        (INSTANCE, "userData", True),
        (REMOTE, "connection.privateKey", True),
        (REMOTE, "stdin", True),
    }


@EachStack
def test_first_boot_data_hold_the_machines_own_first_host_key_and_no_other_key(stack: str) -> None:
    for name, instance in RUNS[stack]().of_type(INSTANCE).items():
        own = f"ssh-host-{name.removeprefix('machine-')}"
        assert keys_in(open_up(instance.inputs["userData"])) == {own}


@EachStack
def test_what_goes_out_is_two_secrets_and_no_key_besides(stack: str) -> None:
    exports = RUNS[stack]().exports
    seen = {
        (name, secret)
        for name, value in exports.items()
        for _, text, secret in strings(value)
        if keys_in(text)
    }
    assert seen == {("kubeconfig", True), ("sshPrivateKey", True)}


def test_a_machine_receives_the_keys_of_its_own_table_rows_and_no_other() -> None:
    plan = plan_of(prod())
    for machine in plan.machines:
        expected = {spec.name for spec in certificates_for(plan) if machine.name in spec.machines}
        if machine.name.startswith("cp-"):
            expected |= {"service-account", "encryption at rest"}
        stdin = {
            step: keys_in(open_up(prod_run().command(f"{step}-{machine.name}").inputs["stdin"]))
            for step in ("prepare", "activate", "host-key")
        }
        assert stdin == {
            "prepare": frozenset(),
            "activate": expected,
            "host-key": {f"ssh-host-{machine.name}-rotated"},
        }


def test_a_drain_carries_no_secret() -> None:
    drains = [one for name, one in prod_run().of_type(REMOTE).items() if name.startswith("drain-")]
    assert {keys_in(open_up(one.inputs["stdin"])) for one in drains} == {frozenset()}
    assert len(drains) == 9
