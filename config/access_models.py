"""Settings of who gets in by tokens, and of how machines get out: an OIDC issuer, a proxy.

Models as in `config.models`: closed, frozen, camelCase in YAML. Which addresses a proxy is never asked for is decided
in `config.proxy`.
"""

from __future__ import annotations

from typing import Literal

from config.fields import ClaimName, ClaimPrefix, ClientId, FileName, HttpsUrl, NoProxy, ProxyUrl
from config.model import Model


class Oidc(Model):
    """An issuer of tokens that the API server takes, as one JWT authenticator."""

    issuer_url: HttpsUrl
    """The issuer, exactly as its tokens name it; `/.well-known/openid-configuration` is read below it."""
    client_id: ClientId
    """Whom a token has to be made for (its audience)."""
    username_claim: Literal["sub", "email"] = "sub"
    """What tells a user's name. `email` counts only where the issuer calls it verified, or says nothing of that."""
    username_prefix: ClaimPrefix = "oidc:"
    """What the cluster puts in front of the name."""
    groups_claim: ClaimName | None = "groups"
    """What tells a user's groups; `null` for none."""
    groups_prefix: ClaimPrefix = "oidc:"
    """What the cluster puts in front of each group."""
    certificate_authority_file: FileName | None = None
    """File with the authority of the issuer's own certificate, PEM, from the project's root; left out, the
    control-plane machines' own list of authorities counts."""


class Proxy(Model):
    """A proxy for HTTP. One of `http` and `https` has to be there."""

    http: ProxyUrl | None = None
    """For URLs of http."""
    https: ProxyUrl | None = None
    """For URLs of https, by CONNECT."""
    none: tuple[NoProxy, ...] = ()
    """What is reached without it, beside what always is: machines, pods, Services and their names."""
