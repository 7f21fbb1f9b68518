"""What travels to a machine: one compressed document on the standard input of one SSH command.

The document holds the phase, its data and the agent's own sources. It is deterministic to the byte, on every
operator's computer, or else a preview would show changes that are none: keys are sorted, and bzip2 has one
implementation whose output has not changed since 2000 (zlib's differs between its variants).
"""

from __future__ import annotations

import base64
import bz2
import hashlib
import hmac
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

AGENT = Path(__file__).parent / "agent"

_START = (
    "import base64,bz2,json,sys;"
    "b=json.loads(bz2.decompress(base64.b64decode(sys.stdin.read())));"
    'e={\\"__name__\\":\\"loader\\"};exec(b[\\"agent\\"][\\"components.agent.loader\\"],e);e[\\"start\\"](b)'
)


def remote_command(seconds: int) -> str:
    """The command line of every phase: short and constant, since a failure prints it whole.

    Args:
        seconds: after which the work on the machine is ended; neither Ctrl-C nor a custom timeout reaches it
            there.
    """
    return f'sudo -n timeout --kill-after=10 {seconds} python3 -I -c "{_START}"'


@cache
def agent_sources() -> dict[str, str]:
    """The agent's modules by their full names."""
    modules = {f"components.agent.{path.stem}": path.read_text() for path in sorted(AGENT.glob("*.py"))}
    modules["components.agent"] = modules.pop("components.agent.__init__")
    return {"components": "", **modules}


def encode(phase: str, content: Mapping[str, Any], key: str) -> str:
    """A bundle as text; its `digest` is keyed, so that it can be shown without telling anything of a secret.

    Args:
        phase: module of the agent to start.
        content: the phase's data, without `digest`.
        key: from which the digest's key is derived.
    """
    document = {**content, "phase": phase, "digest": keyed_digest(key, json.dumps(content, sort_keys=True))}
    text = json.dumps({**document, "agent": agent_sources()}, sort_keys=True, separators=(",", ":"))
    return base64.b64encode(bz2.compress(text.encode(), 9)).decode()


def decode(text: str) -> dict[str, Any]:
    """The document of a bundle."""
    return dict(json.loads(bz2.decompress(base64.b64decode(text))))


def derive_key(seed: str, purpose: str) -> bytes:
    """32 bytes for one purpose, by HKDF-SHA256 (RFC 5869) with an empty salt."""
    extracted = hmac.new(bytes(32), seed.encode(), hashlib.sha256).digest()
    return hmac.new(extracted, f"hardway {purpose}".encode() + b"\x01", hashlib.sha256).digest()


def keyed_digest(seed: str, text: str) -> str:
    """A digest that only the holder of the seed can compute; 16 bytes, hexadecimal."""
    return hmac.new(derive_key(seed, "digests"), text.encode(), hashlib.sha256).hexdigest()[:32]
