"""A person's certificate: who may have one, what is in it, and who signs."""

from __future__ import annotations

import base64
import datetime
import json
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from config.certificates import certificates_for
from lab.errors import LabError
from operations import user
from tests.components.trees import lab_plan

OWN = {spec.common_name for spec in certificates_for(lab_plan())}


def authority(days: int = 400) -> user.Authority:
    """An authority as pulumi-tls makes it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lab kubernetes CA")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    return user.Authority(certificate.public_bytes(serialization.Encoding.PEM).decode(), private.decode())


def recorded(leaf: str, made: user.Authority) -> dict[str, Any]:
    """What the state has of a leaf: the key that signed it is a secret, as the engine shows one."""
    secret = {"4dabf18193072939515e22adb298388d": "x", "plaintext": json.dumps(made.private_key)}
    return {
        "urn": f"urn:pulumi:lab::hardway::hardway:index:CertificateAuthority${user._SIGNED}::{leaf}",
        "type": user._SIGNED,
        "inputs": {"caCertPem": made.certificate, "caPrivateKeyPem": secret},
    }


def test_a_certificate_names_the_user_and_its_groups_and_can_only_log_in() -> None:
    made = authority()
    text, key = user.sign(made, "jane", ["developers", "team:web"], 90)
    certificate = x509.load_pem_x509_certificate(text.encode())
    issuer = x509.load_pem_x509_certificate(made.certificate.encode())
    certificate.verify_directly_issued_by(issuer)
    assert [a.value for a in certificate.subject] == ["developers", "team:web", "jane"]
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "jane"
    extensions = certificate.extensions
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.CLIENT_AUTH
    ]
    assert extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign is False
    length = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert length == datetime.timedelta(days=90, minutes=5)
    private = serialization.load_pem_private_key(key.encode(), password=None)
    assert private.public_key() == certificate.public_key()


def test_no_certificate_outlives_its_authority() -> None:
    with pytest.raises(
        LabError, match=r"DAYS=90: the authority itself ends on \d{4}-\d\d-\d\d; choose fewer days"
    ):
        user.sign(authority(days=30), "jane", ["developers"], 90)


def test_who_signed_the_administrators_certificate_signs() -> None:
    old, new = authority(), authority()
    resources = [
        recorded("etcd-server-cp-0", authority()),
        recorded("scheduler", old),
        recorded("admin", new),
    ]
    assert user.signing_authority(resources, old.certificate + new.certificate) == new


def test_an_authority_that_the_kubeconfig_does_not_trust_does_not_sign() -> None:
    with pytest.raises(
        LabError, match=r"no authority that the kubeconfig .* Run 'make up' until it ends well"
    ):
        user.signing_authority([recorded("admin", authority())], authority().certificate)


@pytest.mark.parametrize(
    ("name", "groups", "word"),
    [
        ("system:admin", ["developers"], "NAME=system:admin: has to be"),
        ("", ["developers"], "NAME=: has to be"),
        ("kube-apiserver", ["developers"], "name of a service of this cluster"),
        ("cp-0", ["developers"], "name of a service of this cluster"),
        ("jane", [], "GROUP= is missing"),
        ("jane", ["system:masters"], "Kubernetes' own"),
        ("jane", ["hardway:cluster-admins"], "add ADMIN=1"),
        ("jane", ["hardway:other"], "this cluster's own"),
        ("jane", ["two words"], "has to be 1 to 64"),
    ],
)
def test_a_name_that_has_rights_already_is_refused(name: str, groups: list[str], word: str) -> None:
    [mistake] = user.refusals(name, groups, 90, OWN, admin=False)
    assert word in mistake


def test_an_administrator_is_made_only_when_that_is_said() -> None:
    assert user.refusals("jane", ["hardway:cluster-admins"], 90, OWN, admin=True) == []
    assert len(user.refusals("jane", ["system:masters"], 90, OWN, admin=True)) == 1


@pytest.mark.parametrize("days", [0, -1, 826])
def test_a_validity_out_of_bounds_is_refused(days: int) -> None:
    assert len(user.refusals("jane", ["developers"], days, OWN, admin=False)) == 1


def test_a_kubeconfig_holds_the_users_credential_and_none_of_the_administrators() -> None:
    cluster = {"name": "lab", "cluster": {"server": "https://a", "certificate-authority-data": "Q0E="}}
    admin = {"clusters": [cluster], "users": [{"name": "admin", "user": {"client-key-data": "c2VjcmV0"}}]}
    text = user.kubeconfig(admin, "jane", "CERT", "KEY")
    document = yaml.safe_load(text)
    assert document["clusters"] == [cluster]
    assert document["users"][0]["user"] == {
        "client-certificate-data": base64.b64encode(b"CERT").decode(),
        "client-key-data": base64.b64encode(b"KEY").decode(),
    }
    assert document["current-context"] == "jane@lab"
    assert "c2VjcmV0" not in text
