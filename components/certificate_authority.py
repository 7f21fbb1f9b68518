"""The cluster's PKI: three authorities, the service-account key pair and every leaf of the table.

The only user of pulumi_tls for certificates. It does not decide names, usages or places:
`config/certificates.py` does. Authorities' keys stay in the stack's state, encrypted; no machine ever gets
one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pulumi
import pulumi_tls as tls

from config.certificates import Authority, CertificateSpec
from config.plan import CertificatePlan


def _private_key(name: str, opts: pulumi.ResourceOptions) -> tls.PrivateKey:
    return tls.PrivateKey(name, algorithm="ECDSA", ecdsa_curve="P256", opts=opts)


@dataclass(frozen=True)
class KeyPair:
    """A certificate and its private key, both PEM; the key is a secret, in PKCS #8."""

    certificate: pulumi.Output[str]
    private_key: pulumi.Output[str]
    expires: pulumi.Output[str]


class CertificateAuthority(pulumi.ComponentResource):
    """Signs what the table asks for.

    Attributes:
        authorities: each authority's certificate, PEM.
        expires: when each leaf and each authority ends, by its name, as RFC 3339; authorities are called
            `<authority>-ca`.
        leaves: key pairs by the name of their specification.
        service_account_key: private key, PEM, a secret.
        service_account_public_key: PEM.
        secret_seed: private key, PEM, from which the encryption key and digests' key are derived; a secret.
        anchor: lives as long as the cluster; what hangs on it is not deleted one by one with the whole.
    """

    authorities: dict[Authority, pulumi.Output[str]]
    expires: dict[str, pulumi.Output[str]]
    leaves: dict[str, KeyPair]
    service_account_key: pulumi.Output[str]
    service_account_public_key: pulumi.Output[str]
    secret_seed: pulumi.Output[str]
    anchor: pulumi.Resource

    def __init__(
        self,
        name: str,
        *,
        cluster: str,
        specs: Iterable[CertificateSpec],
        plan: CertificatePlan,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Make the authorities and sign the leaves.

        Args:
            name: logical name.
            cluster: the cluster's name, in the authorities' subjects.
            specs: the leaves.
            plan: validity and generation.
            opts: the component's options.
        """
        super().__init__("hardway:index:CertificateAuthority", name, None, opts)
        self._plan = plan
        self._keys: dict[Authority, tls.PrivateKey] = {}
        self._child = pulumi.ResourceOptions(parent=self)
        self.expires = {}
        self.authorities = {authority: self._authority(authority, cluster) for authority in Authority}
        self.leaves = {spec.name: self._leaf(spec) for spec in specs}
        self.expires |= {name: pair.expires for name, pair in self.leaves.items()}
        service_account = _private_key("service-account", self._child)
        self.service_account_key = service_account.private_key_pem_pkcs8
        self.service_account_public_key = service_account.public_key_pem
        seed = _private_key("secret-seed", self._child)
        self.secret_seed = seed.private_key_pem_pkcs8
        self.anchor = seed
        self.register_outputs({"authorities": {str(key): pem for key, pem in self.authorities.items()}})

    def _authority(self, authority: Authority, cluster: str) -> pulumi.Output[str]:
        key = _private_key(f"{authority}-ca", self._child)
        self._keys[authority] = key
        certificate = tls.SelfSignedCert(
            f"{authority}-ca",
            private_key_pem=key.private_key_pem,
            subject=tls.SelfSignedCertSubjectArgs(
                common_name=f"{cluster} {authority} CA", organization="Hardway"
            ),
            is_ca_certificate=True,
            set_subject_key_id=True,
            allowed_uses=["cert_signing", "crl_signing"],
            validity_period_hours=self._plan.authority_hours,
            opts=self._child,
        )
        self.expires[f"{authority}-ca"] = certificate.validity_end_time
        return certificate.cert_pem

    def _leaf(self, spec: CertificateSpec) -> KeyPair:
        # pulumi-tls does not renew by itself (pulumi-tls#39): a new generation replaces key, request and
        # certificate.
        renew = pulumi.ResourceOptions(parent=self, replacement_trigger=self._plan.generation)
        key = _private_key(spec.name, renew)
        request = tls.CertRequest(
            spec.name,
            private_key_pem=key.private_key_pem,
            subject=tls.CertRequestSubjectArgs(common_name=spec.common_name, organization=spec.organization),
            dns_names=list(spec.dns_names) or None,
            ip_addresses=list(spec.ip_addresses) or None,
            opts=self._child,
        )
        certificate = tls.LocallySignedCert(
            spec.name,
            cert_request_pem=request.cert_request_pem,
            ca_private_key_pem=self._keys[spec.authority].private_key_pem,
            ca_cert_pem=self.authorities[spec.authority],
            allowed_uses=["digital_signature", *spec.usages],
            validity_period_hours=self._plan.leaf_hours,
            set_subject_key_id=True,
            opts=self._child,
        )
        return KeyPair(certificate.cert_pem, key.private_key_pem_pkcs8, certificate.validity_end_time)
