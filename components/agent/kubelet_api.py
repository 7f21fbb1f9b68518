"""The API with the kubelet's own credential, which may read its Node and its lease."""

import json
import ssl
import urllib.request
from typing import Any

_PKI = "/etc/kubernetes/pki"


def get(url: str) -> dict[str, Any]:
    """An object of the API.

    Args:
        url: its address, below this machine's own way to the API.

    Raises:
        OSError: nobody answers, or not as asked (an HTTPError tells the status).
    """
    context = ssl.create_default_context(cafile=f"{_PKI}/ca.crt")
    context.load_cert_chain(f"{_PKI}/kubelet-client.crt", f"{_PKI}/kubelet-client.key")
    with urllib.request.urlopen(url, timeout=5, context=context) as answer:
        return dict(json.load(answer))
