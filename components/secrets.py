"""Files that come from the PKI: which machine gets which, with the content that only the engine knows."""

from __future__ import annotations

import base64

import pulumi

from components.bundle import derive_key
from components.certificate_authority import CertificateAuthority
from components.render import dump_yaml
from components.tree import ENCRYPTION_CONFIG, SERVICE_ACCOUNT_KEY, SERVICE_ACCOUNT_PUBLIC_KEY, secret_paths
from config.certificates import AUTHORITY_PATHS, CertificateSpec
from config.plan import ClusterPlan, MachinePlan, Role


def secret_files(
    plan: ClusterPlan, machine: MachinePlan, specs: tuple[CertificateSpec, ...], pki: CertificateAuthority
) -> dict[str, tuple[str, pulumi.Output[str]]]:
    """Path to owner and content of everything on a machine that comes from the PKI."""
    contents: dict[str, pulumi.Output[str]] = {}
    for authority, places in AUTHORITY_PATHS.items():
        contents |= dict.fromkeys(places.get(machine.role, ()), pki.authorities[authority])
    for spec in specs:
        if machine.name in spec.machines:
            pair = pki.leaves[spec.name]
            contents |= {f"{spec.path}.crt": pair.certificate, f"{spec.path}.key": pair.private_key}
    if machine.role is Role.CONTROL_PLANE:
        contents |= {
            SERVICE_ACCOUNT_KEY: pki.service_account_key,
            SERVICE_ACCOUNT_PUBLIC_KEY: pki.service_account_public_key,
            ENCRYPTION_CONFIG: pki.secret_seed.apply(encryption_config),
        }
    return {path: (owner, contents[path]) for path, owner in secret_paths(plan, machine, specs).items()}


def encryption_config(seed: str) -> str:
    """EncryptionConfiguration: Secrets by secretbox, its key from the seed; plain ones stay readable."""
    key = base64.b64encode(derive_key(seed, "encryption at rest 1")).decode()
    return dump_yaml(
        {
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "EncryptionConfiguration",
            "resources": [
                {
                    "resources": ["secrets"],
                    "providers": [
                        {"secretbox": {"keys": [{"name": "key1", "secret": key}]}},
                        {"identity": {}},
                    ],
                }
            ],
        }
    )
