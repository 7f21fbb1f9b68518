"""A small registry on the bridge that serves one image, from an archive of the lab's own, and notes who asked."""

from __future__ import annotations

import hashlib
import json
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

PORT = 8475
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Registry:
    """Serves by HTTP while its block runs (OCI distribution specification, pulling only).

    Attributes:
        url: of the registry.
        asked: requests, such as "GET /v2/library/x/manifests/1?ns=docker.io".
    """

    def __init__(self, address: str, repository: str, tag: str, archive: Path) -> None:
        self.url = f"http://{address}:{PORT}"
        self.asked: list[str] = []
        self._blobs: dict[str, bytes] = {}
        manifest = json.dumps(self._read(archive)).encode()
        base = f"/v2/{repository}"
        self._pages = {f"{base}/manifests/{name}": manifest for name in (tag, _digest(manifest))}
        self._pages |= {f"{base}/blobs/{digest}": data for digest, data in self._blobs.items()}
        self._server = ThreadingHTTPServer((address, PORT), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, name="registry", daemon=True)

    def __enter__(self) -> Registry:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _read(self, archive: Path) -> dict[str, Any]:
        """The manifest of an image in docker's archive format, whose layers are plain tar files."""
        with tarfile.open(archive) as members:

            def part(name: str) -> bytes:
                file = members.extractfile(name)
                assert file is not None, name
                return file.read()

            image = json.loads(part("manifest.json"))[0]
            config, layers = part(image["Config"]), [part(layer) for layer in image["Layers"]]
        return {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": self._blob("application/vnd.oci.image.config.v1+json", config),
            "layers": [self._blob("application/vnd.oci.image.layer.v1.tar", layer) for layer in layers],
        }

    def _blob(self, kind: str, data: bytes) -> dict[str, Any]:
        self._blobs[_digest(data)] = data
        return {"mediaType": kind, "digest": _digest(data), "size": len(data)}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self._answer()

            def do_GET(self) -> None:
                body = self._answer()
                self.wfile.write(body)

            def _answer(self) -> bytes:
                registry.asked.append(f"{self.command} {self.path}")
                path = self.path.partition("?")[0]
                body = registry._pages.get(path)
                self.send_response(200 if body is not None else 404)
                self.send_header("Content-Length", str(len(body or b"")))
                if body is not None:
                    self.send_header(
                        "Content-Type", _MANIFEST if "/manifests/" in path else "application/octet-stream"
                    )
                    self.send_header("Docker-Content-Digest", _digest(body))
                self.end_headers()
                return body or b""

            def log_message(self, *arguments: Any) -> None:
                """Nothing: a test tells what it needs."""

        return Handler
