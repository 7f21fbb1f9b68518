"""What travels to a machine: one compressed document on the standard input of one SSH command.

The document holds the phase, its data and the agent's own sources. It is deterministic to the byte, on every
operator's computer, or else a preview would show changes that are none: keys are sorted, and bzip2 has one
implementation whose output has not changed since 2000 (zlib's differs between its variants).
"""

from __future__ import annotations

import ast
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
def agent_sources(phase: str) -> dict[str, str]:
    """The modules that a phase needs, by their full names: its own and what those import, packages empty.

    Only these, so that a change in one phase's code runs no other phase anew.

    Args:
        phase: name of a module of the agent.
    """
    sources: dict[str, str] = {"components": "", "components.agent": ""}
    waiting = ["loader", "evidence", phase]
    while waiting:
        module = waiting.pop()
        name = f"components.agent.{module}"
        if name not in sources:
            sources[name] = (AGENT / f"{module}.py").read_text()
            waiting += _imported(sources[name])
    return dict(sorted(sources.items()))


def _imported(source: str) -> list[str]:
    """The agent's modules that one of them imports."""
    found = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom) and node.module]
    whole = [alias.name for node in found if node.module == "components.agent" for alias in node.names]
    parts = [
        str(node.module).rsplit(".", 1)[1]
        for node in found
        if str(node.module).startswith("components.agent.")
    ]
    return whole + parts


def encode(phase: str, content: Mapping[str, Any], key: str) -> str:
    """A bundle as text; its `digest` is keyed, so that it can be shown without telling anything of a secret.

    Args:
        phase: module of the agent to start.
        content: the phase's data, without `digest`.
        key: from which the digest's key is derived.
    """
    document = {**content, "phase": phase, "digest": keyed_digest(key, json.dumps(content, sort_keys=True))}
    text = json.dumps({**document, "agent": agent_sources(phase)}, sort_keys=True, separators=(",", ":"))
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
