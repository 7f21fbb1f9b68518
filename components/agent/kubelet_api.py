"""The API as this machine's kubelet may use it: its own Node, its pods and their evictions.

No machine needs an administrator's credential for that: the API server lets a kubelet cordon its own Node and evict
pods that run on it, and nobody else's (the Node authorizer and NodeRestriction).
"""

import http.client
import json
import ssl
import urllib.request
from typing import Any

PKI = "/etc/kubernetes/pki"
SECONDS = 5.0


def get(url: str, seconds: float = SECONDS) -> dict[str, Any]:
    """Read an object; OSError (urllib's among them) when nobody answers or it is refused."""
    return _ask(urllib.request.Request(url), seconds)


def patch(url: str, change: dict[str, Any]) -> dict[str, Any]:
    """Change an object by a merge patch; OSError as `get`."""
    headers = {"Content-Type": "application/merge-patch+json"}
    data = json.dumps(change).encode()
    return _ask(urllib.request.Request(url, data=data, headers=headers, method="PATCH"), SECONDS)


def post(url: str, thing: dict[str, Any], seconds: float = SECONDS) -> dict[str, Any]:
    """Create an object; OSError as `get`."""
    headers = {"Content-Type": "application/json"}
    return _ask(urllib.request.Request(url, data=json.dumps(thing).encode(), headers=headers), seconds)


def _ask(request: urllib.request.Request, seconds: float) -> dict[str, Any]:
    context = ssl.create_default_context(cafile=f"{PKI}/ca.crt")
    context.load_cert_chain(f"{PKI}/kubelet-client.crt", f"{PKI}/kubelet-client.key")
    try:
        with urllib.request.urlopen(request, timeout=seconds, context=context) as answer:
            return dict(json.load(answer))
    except (http.client.HTTPException, ValueError) as error:
        # A connection that ends in the middle of an answer is a connection that ended.
        raise OSError(f"{request.full_url}: {error}") from error
