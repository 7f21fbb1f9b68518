"""Which way a machine's downloads take."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from components.agent import downloads, proxy

WAY = {
    "http": "http://proxy.example.com:3128",
    "https": None,
    "none": ["localhost", "10.0.0.0/8", "192.0.2.7", ".cluster.local", "git.example.com"],
}


@pytest.mark.parametrize(
    ("url", "through"),
    [
        ("http://files.example.com/a", True),
        ("https://files.example.com/a", False),
        ("http://localhost/a", False),
        ("http://10.1.2.3:8473/a", False),
        ("http://11.1.2.3:8473/a", True),
        ("http://192.0.2.7/a", False),
        ("http://dns.kube-system.svc.cluster.local/a", False),
        ("http://git.example.com/a", False),
        ("http://notgit.example.com/a", True),
    ],
)
def test_a_url_goes_through_the_proxy_of_its_scheme_unless_its_host_is_an_exception(
    url: str, through: bool
) -> None:
    assert proxy.chosen(url, WAY) == ({"http": "http://proxy.example.com:3128"} if through else {})


def test_without_a_proxy_the_environment_of_the_process_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert proxy.chosen("http://files.example.com/a", None) == {}


def test_apt_is_told_the_proxy_and_its_exceptions_by_name() -> None:
    assert proxy.for_apt(None) == []
    options = proxy.for_apt({**WAY, "none": ["localhost", "10.0.0.0/8", ".svc"]})
    assert options == [
        "-o",
        "Acquire::http::Proxy=http://proxy.example.com:3128",
        "-o",
        "Acquire::http::Proxy::localhost=DIRECT",
        "-o",
        "Acquire::https::Proxy::localhost=DIRECT",
    ]


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """A proxy that answers every request itself, with the URLs that it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"file")

        def log_message(self, *arguments: Any) -> None:
            """Nothing."""

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{made.server_port}", asked
    made.shutdown()
    made.server_close()
    thread.join()


def test_an_artifact_is_fetched_through_the_proxy(tmp_path: Path, server: tuple[str, list[str]]) -> None:
    address, asked = server
    url = "http://files.example.com/tool"
    entry = {
        "name": "tool",
        "version": "1",
        "url": url,
        "sha256": hashlib.sha256(b"file").hexdigest(),
        "folder": str(tmp_path / "tool"),
        "binaries": ["tool"],
    }
    assert downloads.stage([entry], {"http": address, "https": None, "none": ["localhost"]}) == 1
    assert asked == [url]
    assert (tmp_path / "tool" / "tool").read_bytes() == b"file"
