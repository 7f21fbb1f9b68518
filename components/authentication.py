"""Who the API server takes a request to be from: the AuthenticationConfiguration with an issuer of tokens.

Without one, machines get the file of `rootfs` as it is. Its rule for anonymous requests is kept here to the letter.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pulumi
import yaml

from components.render import ROOTFS, dump_yaml
from config.access_models import Oidc

AUTHENTICATION_FILE = "/etc/kubernetes/authentication.yaml"
PROJECT = Path(__file__).parents[1]
_CERTIFICATE = "-----BEGIN CERTIFICATE-----"


@cache
def _without_issuer() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOTFS / f"control-plane{AUTHENTICATION_FILE}").read_text()))


def authentication_config(oidc: Oidc) -> str:
    """The file with one JWT authenticator (kubernetes.io, "Authenticating", structured configuration).

    Args:
        oidc: the issuer.

    Raises:
        pulumi.RunError: the file with the issuer's authority can't be read or holds no certificate.
    """
    issuer: dict[str, Any] = {"url": oidc.issuer_url, "audiences": [oidc.client_id]}
    if oidc.certificate_authority_file is not None:
        issuer["certificateAuthority"] = read_authority(oidc.certificate_authority_file)
    mappings = {"username": {"claim": oidc.username_claim, "prefix": oidc.username_prefix}}
    if oidc.groups_claim is not None:
        mappings["groups"] = {"claim": oidc.groups_claim, "prefix": oidc.groups_prefix}
    return dump_yaml({**_without_issuer(), "jwt": [{"issuer": issuer, "claimMappings": mappings}]})


def read_authority(name: str) -> str:
    """Certificates from a file that the settings name.

    A key in it is refused: it would go to every control-plane machine and into previews.

    Raises:
        pulumi.RunError: it can't be read, holds no certificate, or a private key.
    """
    place = "cluster.controlPlane.oidc.certificateAuthorityFile"
    try:
        text = (PROJECT / name).read_text()
    except (OSError, ValueError) as error:
        raise pulumi.RunError(
            f"{place}: {name} can't be read ({error}). Nothing was touched. It names a PEM file from the project's root"
        ) from None
    if _CERTIFICATE not in text or "PRIVATE KEY" in text:
        found = "holds a private key" if "PRIVATE KEY" in text else "holds no certificate in PEM"
        raise pulumi.RunError(
            f"{place}: {name} {found}. Nothing was touched. Put there what signed the issuer's certificate, nothing"
            " else"
        )
    return text
