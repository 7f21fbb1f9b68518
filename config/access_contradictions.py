"""Rules between settings about tokens and about the way out."""

from __future__ import annotations

from config.mistakes import Finding, Findings
from config.models import Settings
from config.proxy import proxy_mistake


def access_findings(settings: Settings) -> Findings:
    """What is wrong with the issuer of tokens, the proxy and the registries' mirrors."""
    yield from _two_issuers(settings)
    proxy = settings.network.proxy
    mistake = proxy_mistake(proxy) if proxy else None
    if mistake:
        yield Finding(("network", "proxy"), mistake)
    for registry, mirrors in settings.artifacts.registry_mirrors.items():
        for position, mirror in enumerate(mirrors):
            if mirror in mirrors[:position]:
                reason = f"{mirror} stands in the list already; remove one"
                yield Finding(("artifacts", "registryMirrors", registry, position), reason)


def _two_issuers(settings: Settings) -> Findings:
    """The cluster issues tokens itself, to its ServiceAccounts; the API server takes no issuer twice."""
    oidc = settings.control_plane.oidc
    own = f"https://kubernetes.default.svc.{settings.network.domain}"
    if oidc and oidc.issuer_url.rstrip("/") == own:
        reason = f"{own} is the cluster's own issuer, of ServiceAccounts' tokens; name the one that people log in at"
        yield Finding(("controlPlane", "oidc", "issuerUrl"), reason, (("network", "domain"),))
