"""Leaves as they lie on machines: their serials and ends, and expired ones in their place.

An expired leaf differs from the real one in its dates and its serial alone: same subject, names, usages and key, signed
by the cluster's own authority, whose key is taken from the stack's state.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from config.certificates import certificates_for
from lab import stack as lab_stack
from tests.e2e.cluster import Cluster

SIGNED = "tls:index/locallySignedCert:LocallySignedCert"
KEY = "tls:index/privateKey:PrivateKey"


def paths_of(cluster: Cluster) -> dict[str, dict[str, str]]:
    """Path of each leaf's certificate with the leaf's name, by machine."""
    paths: dict[str, dict[str, str]] = {}
    for spec in certificates_for(cluster.plan):
        for machine in spec.machines:
            paths.setdefault(machine, {})[f"{spec.path}.crt"] = spec.name
    return paths


def serials(cluster: Cluster) -> dict[str, str]:
    """Serial of every leaf file as openssl reads it there, by `machine:path`."""
    found = {}
    for machine, paths in paths_of(cluster).items():
        command = f"for file in {' '.join(paths)}; do openssl x509 -noout -serial -in $file; done"
        lines = cluster.ssh(machine, command).split()
        pairs = zip(paths, lines, strict=True)
        found.update({f"{machine}:{path}": line.removeprefix("serial=") for path, line in pairs})
    return found


def expired(cluster: Cluster) -> list[str]:
    """Every leaf file that has ended by its machine's clock, as `machine:path`."""
    found = []
    for machine, paths in paths_of(cluster).items():
        command = (
            f"for file in {' '.join(paths)}; do "
            "openssl x509 -noout -checkend 0 -in $file >/dev/null || echo $file; done"
        )
        found += [f"{machine}:{path}" for path in cluster.ssh(machine, command).split()]
    return found


def plant_expired(cluster: Cluster, ended: timedelta = timedelta(days=1)) -> None:
    """Put a leaf that has ended in the place of every leaf on every machine, owner and mode kept; restart nothing."""
    resources = lab_stack.exported(cluster.stack, "--show-secrets")
    outputs = {(one["type"], str(one["urn"]).rsplit("::", 1)[1]): one.get("outputs", {}) for one in resources}
    authority_of = {spec.name: f"{spec.authority}-ca" for spec in certificates_for(cluster.plan)}
    end = datetime.now(UTC) - ended
    for machine, paths in paths_of(cluster).items():
        lines = ["set -e"]
        for path, name in paths.items():
            leaf = _text(outputs[SIGNED, name], "certPem")
            key = _text(outputs[KEY, authority_of[name]], "privateKeyPem")
            lines.append(f"printf %s {shlex.quote(reissued(leaf, key, end))} > {path}")
        cluster.ssh(machine, "bash -s", stdin="\n".join(lines) + "\n")


def reissued(leaf: str, authority_key: str, end: datetime, begin: datetime | None = None) -> str:
    """The same leaf with other dates, PEM.

    Args:
        leaf: the real one, PEM.
        authority_key: of who signed it, PEM.
        end: when it is to end.
        begin: when it is to begin; 30 days before its end when left out.
    """
    real = x509.load_pem_x509_certificate(leaf.encode())
    key: Any = serialization.load_pem_private_key(authority_key.encode(), password=None)
    builder = (
        x509.CertificateBuilder()
        .subject_name(real.subject)
        .issuer_name(real.issuer)
        .public_key(real.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin or end - timedelta(days=30))
        .not_valid_after(end)
    )
    for extension in real.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def _text(outputs: Mapping[str, Any], name: str) -> str:
    """An output's text, whether the engine calls it a secret or not."""
    value = outputs[name]
    return str(json.loads(value["plaintext"]) if isinstance(value, dict) else value)
