"""What of a real cluster must be seen nowhere: keys, passphrase, tokens, in the forms in which they would be seen."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from components import bundle
from components.secrets import encryption_config
from lab import backend
from lab import stack as lab_stack
from tests.e2e.cluster import Cluster

SHORTEST = 16
"""Characters of which a needle has at least as many: fewer would be found by chance."""
PRIVATE_LINES = {
    "ECDSA": {"privateKeyPem": 0, "privateKeyPemPkcs8": 1, "privateKeyOpenssh": 5},
    "ED25519": {"privateKeyPem": 0, "privateKeyPemPkcs8": 0, "privateKeyOpenssh": 3},
}
"""The line of each text's body that holds private bytes; others hold the curve's name or the public key (RFC 5915, RFC
5208, OpenSSH's PROTOCOL.key), which certificates show to everybody."""


def needles(cluster: Cluster) -> dict[str, str]:
    """Every secret's distinctive middle, as it is, in base64 and in hexadecimal, to the name of what it is of."""
    return {form: name for name, text in secrets_of(cluster).items() for form in forms(text)}


def secrets_of(cluster: Cluster) -> dict[str, str]:
    """All secrets that the stack, the cluster and this computer hold, by name; of PEM texts a private line."""
    found = _keys(_opened(cluster))
    found["passphrase"] = backend.PASSPHRASE.read_text().strip()
    token = cluster.kubectl("--namespace", "default", "create", "token", "default").strip()
    found["a ServiceAccount's token"] = token.rpartition(".")[2]
    return found


def _opened(cluster: Cluster) -> Mapping[str, Any]:
    line = ["pulumi", "stack", "export", "--show-secrets", "--stack", cluster.name]
    return dict(json.loads(lab_stack.capture(line)))


def _keys(state: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for resource in state["deployment"]["resources"]:
        if resource["type"] != "tls:index/privateKey:PrivateKey":
            continue
        name = resource["urn"].rpartition("::")[2]
        for form, number in PRIVATE_LINES[_plain(resource["inputs"]["algorithm"])].items():
            text = _plain(resource["outputs"].get(form))
            if text:
                found[f"{name} ({form})"] = line_of(text, number)
        if name == "secret-seed":
            seed = _plain(resource["outputs"]["privateKeyPemPkcs8"])
            found |= derived(seed)
    return found


def _plain(value: Any) -> str:
    """A secret output as `--show-secrets` writes it: JSON below `plaintext`."""
    if isinstance(value, dict):
        return str(json.loads(value["plaintext"]))
    return str(value or "")


def line_of(pem: str, number: int) -> str:
    """A line of a PEM text's body, the first being 0."""
    return [line for line in pem.splitlines() if line and not line.startswith("-----")][number]


def derived(seed: str) -> dict[str, str]:
    """What Hardway makes of the seed: the key for encryption at rest and the one of shown digests."""
    config = yaml.safe_load(encryption_config(seed))
    at_rest = config["resources"][0]["providers"][0]["secretbox"]["keys"][0]["secret"]
    return {"encryption at rest": at_rest, "digests": bundle.derive_key(seed, "digests").hex()}


def forms(text: str) -> set[str]:
    """A text as it is, in hexadecimal, and its base64 at each of the three positions in a longer text."""
    raw = text.encode()
    shifted = (base64.b64encode(b"x" * shift + raw + b"xxx").decode() for shift in range(3))
    cut = {one[4:-8] for one in shifted}
    return {form for form in {text, *cut, raw.hex(), raw.hex().upper()} if len(form) >= SHORTEST}


def seen(text: str, wanted: Mapping[str, str]) -> set[str]:
    """Names of the secrets that a text shows."""
    return {name for needle, name in wanted.items() if needle in text}


def seen_in(paths: list[Path], wanted: Mapping[str, str]) -> dict[str, set[str]]:
    """Files that show any, with their names."""
    texts = {str(path): path.read_text(errors="replace") for path in paths if path.is_file()}
    return {path: found for path, text in texts.items() if (found := seen(text, wanted))}
