"""Makes a client certificate and a kubeconfig for a person, signed by the cluster's authority.

The authority's key lives in the stack's state and nowhere else; it is read into this process and written to no file.
What the user may do is not decided here: that is RBAC's business.
"""

from __future__ import annotations

import argparse
import base64
import datetime
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from config.certificates import ADMINS_GROUP, certificates_for
from lab import paths
from lab import stack as lab_stack
from lab.errors import LabError
from lab.stack import Stack
from lab.stack_plan import plan_of

DAYS = 90
MOST_DAYS = 825
"""Long enough for whoever insists; a certificate can't be taken back, so nobody gets one for good."""
NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._@-]{0,62}[A-Za-z0-9])?")
GROUP = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._:-]{0,62}[A-Za-z0-9])?")
_SIGNED = "tls:index/locallySignedCert:LocallySignedCert"
_CLOCKS = datetime.timedelta(minutes=5)
"""By how much an API server's clock may be behind this computer's."""


@dataclass(frozen=True)
class Authority:
    """Who signs: a certificate and its private key, both PEM."""

    certificate: str
    private_key: str


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--name", default="", help="the user's name")
    parser.add_argument("--group", default="", help="groups, with commas between")
    parser.add_argument("--days", type=int, default=DAYS)
    parser.add_argument(
        "--admin", action="store_true", help="allow the group of the cluster's administrators"
    )


def run(stack: Stack, chosen: argparse.Namespace) -> int:
    """Write the user's kubeconfig and say what to do with it; gives 0.

    Raises:
        LabError: a name or a group that nobody may have, or no authority that the cluster trusts.
    """
    groups = [group.strip() for group in chosen.group.split(",") if group.strip()]
    own = {spec.common_name for spec in certificates_for(plan_of(stack))}
    mistakes = refusals(chosen.name, groups, chosen.days, own, admin=chosen.admin)
    if mistakes:
        raise LabError("no certificate was made.\n" + "\n".join(f"  {mistake}" for mistake in mistakes))
    config = yaml.safe_load(stack.outputs()["kubeconfig"])
    authority = signing_authority(lab_stack.exported(stack, "--show-secrets"), trusted_by(config))
    certificate, key = sign(authority, chosen.name, groups, chosen.days)
    file = write(stack, chosen.name, kubeconfig(config, chosen.name, certificate, key))
    print(_told(stack, chosen.name, groups, certificate, file))
    return 0


def refusals(name: str, groups: Sequence[str], days: int, own: set[str], *, admin: bool) -> list[str]:
    """What is wrong with a user, a sentence each; every name that the cluster itself has is somebody else's.

    Args:
        name: of the user.
        groups: of the user.
        days: of validity.
        own: names in the cluster's own certificates.
        admin: whether the administrators' group was asked for in so many words.
    """
    found = []
    if not NAME.fullmatch(name):
        found.append(
            f"NAME={name}: has to be 1 to 64 letters, digits, '.', '_', '@' and '-', such as jane or jane@example.com"
        )
    elif name in own:
        found.append(f"NAME={name}: is the name of a service of this cluster; choose another")
    if not groups:
        found.append(
            "GROUP= is missing: rights are given to groups, so that a certificate lives longer than a right"
        )
    for group in groups:
        if group == ADMINS_GROUP and not admin:
            found.append(f"GROUP={group}: may do everything in this cluster; if that is meant, add ADMIN=1")
        elif group.startswith("system:"):
            found.append(
                f"GROUP={group}: is Kubernetes' own, and its rights can't all be withdrawn; choose another"
            )
        elif group.startswith("hardway:") and group != ADMINS_GROUP:
            found.append(f"GROUP={group}: names with 'hardway:' are this cluster's own; choose another")
        elif not GROUP.fullmatch(group):
            found.append(
                f"GROUP={group}: has to be 1 to 64 letters, digits, '.', '_', ':' and '-', such as developers"
            )
    if not 1 <= days <= MOST_DAYS:
        found.append(
            f"DAYS={days}: has to be 1 to {MOST_DAYS}; a certificate can't be taken back before its end"
        )
    return found


def trusted_by(config: Mapping[str, Any]) -> str:
    """The authorities that a kubeconfig trusts, PEM, one or more."""
    data = config["clusters"][0]["cluster"]["certificate-authority-data"]
    return base64.b64decode(data).decode()


def signing_authority(resources: Sequence[Mapping[str, Any]], trusted: str) -> Authority:
    """The authority that signed the administrator's own certificate: the one in force, made here or brought along.

    Read from that certificate's inputs in the state, so that no name and no phase of a rotation has to be known here.

    Args:
        resources: of the stack's state, secrets shown.
        trusted: certificates, PEM, that the administrator's kubeconfig trusts.

    Raises:
        LabError: the state has none, or none of those.
    """
    for resource in resources:
        if resource["type"] == _SIGNED and str(resource["urn"]).rsplit("::", 1)[1] == "admin":
            found = resource["inputs"]
            authority = Authority(_plain(found["caCertPem"]), _plain(found["caPrivateKeyPem"]))
            if authority.certificate.strip() in trusted:
                return authority
    raise LabError(
        "the stack's state holds no authority that the kubeconfig of the last good run trusts, so no certificate was"
        " made. Run 'make up' until it ends well, then run again"
    )


def _plain(value: Any) -> str:
    """An output as text; the engine wraps a shown secret."""
    return str(json.loads(value["plaintext"])) if isinstance(value, Mapping) else str(value)


def sign(authority: Authority, name: str, groups: Sequence[str], days: int) -> tuple[str, str]:
    """A client certificate and its new private key, both PEM.

    Raises:
        LabError: the certificate would outlive its authority.
    """
    issuer = x509.load_pem_x509_certificate(authority.certificate.encode())
    issuer_key = serialization.load_pem_private_key(authority.private_key.encode(), password=None)
    if not isinstance(issuer_key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise LabError("the authority's key is neither of an elliptic curve nor RSA; sign with its own tools")
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    end = now + datetime.timedelta(days=days)
    if end > issuer.not_valid_after_utc:
        raise LabError(
            f"DAYS={days}: the authority itself ends on {issuer.not_valid_after_utc:%Y-%m-%d}; choose fewer days"
        )
    key = ec.generate_private_key(ec.SECP256R1())
    subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    usages = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([*subject, x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usages, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
        )
        .sign(issuer_key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), private.decode()


def kubeconfig(admin: Mapping[str, Any], name: str, certificate: str, key: str) -> str:
    """A kubeconfig like the administrator's, with another user; complete in one file."""
    cluster = admin["clusters"][0]
    context = f"{name}@{cluster['name']}"
    data = {
        "client-certificate-data": base64.b64encode(certificate.encode()).decode(),
        "client-key-data": base64.b64encode(key.encode()).decode(),
    }
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [cluster],
        "users": [{"name": name, "user": data}],
        "contexts": [{"name": context, "context": {"cluster": cluster["name"], "user": name}}],
        "current-context": context,
    }
    return yaml.safe_dump(document, sort_keys=False)


def write(stack: Stack, name: str, text: str) -> Path:
    """Keep a user's kubeconfig for this computer's user only; gives its path."""
    stack.users.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = stack.users / f"{name}.kubeconfig"
    lab_stack.write_private(file, text)
    return file


def _told(stack: Stack, name: str, groups: Sequence[str], certificate: str, file: Path) -> str:
    end = x509.load_pem_x509_certificate(certificate.encode()).not_valid_after_utc
    bindings = [
        f"  kubectl create clusterrolebinding {group.replace(':', '-')}-view --clusterrole=view --group={group}"
        for group in groups
    ]
    groups_text = ", ".join(groups)
    return "\n".join(
        [
            f"{name} (groups: {groups_text}) until {end:%Y-%m-%d %H:%M} UTC: {os.path.relpath(file, paths.PROJECT)}",
            "It is the user's private key as well: hand it over where nobody else reads it, then delete it here.",
            "It may do nothing yet. Give its group a role, in the whole cluster or in one namespace:",
            *bindings,
            f"  kubectl --namespace team create rolebinding {groups[0].replace(':', '-')}-edit"
            f" --clusterrole=edit --group={groups[0]}",
            "A certificate can't be revoked. To withdraw access before its end, delete the bindings of its groups and",
            f"whatever binds {name} itself; for one person of a group, give the others another group.",
            "Only an authority made anew ends every certificate at once.",
        ]
    )
