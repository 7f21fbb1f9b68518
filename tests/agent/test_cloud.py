"""The cloud's identity: asked with a token, and registered by the kubelet."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from components.agent import cloud, units
from components.agent.evidence import Failure
from components.render import ROOTFS

IDENTITY = "aws:///eu-central-1a/i-0123456789abcdef0"


class Metadata(ThreadingHTTPServer):
    """An instance metadata service on loopback that wants a token.

    Attributes:
        answers: by path below /latest/meta-data/.
        refusals: how many requests to refuse first.
        asked: method and path of each request.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Requests)
        self.answers = {
            "instance-id": "i-0123456789abcdef0",
            "placement/availability-zone": "eu-central-1a\n",
        }
        self.refusals = 0
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class Requests(BaseHTTPRequestHandler):
    """One request to it."""

    server: Metadata

    def do_PUT(self) -> None:
        """A token, for those who say how long they want it."""
        self._answer("token", "X-aws-ec2-metadata-token-ttl-seconds", "60")

    def do_GET(self) -> None:
        """A field, for those who have the token."""
        text = self.server.answers.get(self.path.removeprefix("/latest/meta-data/"))
        self._answer(text, "X-aws-ec2-metadata-token", "token")

    def _answer(self, text: str | None, header: str, value: str) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        refused = self.server.refusals > 0
        self.server.refusals -= 1
        status = 403 if refused else 401 if self.headers.get(header) != value else 200 if text else 404
        self.send_response(status)
        self.end_headers()
        self.wfile.write((text or "").encode() if status == 200 else b"")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def metadata(monkeypatch: pytest.MonkeyPatch) -> Iterator[Metadata]:
    """The service, and a proxy in the environment that would answer nothing."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with Metadata() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_the_provider_id_is_asked_for_with_a_token_and_without_the_environments_proxy(
    metadata: Metadata,
) -> None:
    assert cloud.provider_id("aws", metadata.url) == IDENTITY
    assert metadata.asked == [
        "PUT /latest/api/token",
        "GET /latest/meta-data/instance-id",
        "GET /latest/meta-data/placement/availability-zone",
    ]


def test_outside_of_a_cloud_nobody_is_asked(metadata: Metadata) -> None:
    assert cloud.provider_id(None, metadata.url) is None
    assert metadata.asked == []


def test_a_service_that_is_not_ready_yet_is_asked_again(metadata: Metadata, slept: list[float]) -> None:
    metadata.refusals = 2
    assert cloud.provider_id("aws", metadata.url) == IDENTITY
    assert slept == [1, 1]


def test_a_service_that_stays_silent_is_told_with_what_to_look_at(
    metadata: Metadata, slept: list[float]
) -> None:
    metadata.refusals = 99
    with pytest.raises(Failure) as caught:
        cloud.provider_id("aws", metadata.url, seconds=-1)
    assert str(caught.value) == (
        f"the instance metadata service at {metadata.url} gave no answer of use for -1 s (HTTP Error 403: Forbidden). "
        "Look at the instance's metadata options (the HTTP endpoint has to be enabled) and at this machine's route "
        "and firewall to that address, then run again"
    )


def test_what_is_no_instance_is_not_believed(metadata: Metadata, slept: list[float]) -> None:
    metadata.answers["instance-id"] = "<html>log in</html>"
    with pytest.raises(Failure, match="instance-id is '<html>log in</html>'"):
        cloud.provider_id("aws", metadata.url, seconds=-1)


def test_a_cloud_that_is_not_known_is_refused() -> None:
    with pytest.raises(Failure, match=r"^cloud mars is not known to this agent; it knows aws$"):
        cloud.provider_id("mars")


def test_the_kubelet_is_told_its_provider_id_and_nothing_outside_of_a_cloud() -> None:
    ((path, text),) = cloud.drop_in(IDENTITY).items()
    assert path == "/etc/kubernetes/kubelet.conf.d/60-cloud.conf"
    assert json.loads(text) == {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "providerID": IDENTITY,
    }
    assert cloud.drop_in(None) == {}


def test_the_shipped_kubelet_is_restarted_by_activate_when_its_identity_changed(tmp_path: Path) -> None:
    text = (ROOTFS / "node/etc/systemd/system/kubelet.service").read_text()
    (pattern,) = [
        one for one in units.parse("kubelet.service", text).restart_on if fnmatch(cloud.DROP_IN, one)
    ]
    unit = units.Unit("kubelet.service", (pattern.replace("/etc", str(tmp_path), 1),), None, critical=False)
    planted = tmp_path / cloud.DROP_IN.removeprefix("/etc/")
    planted.parent.mkdir(parents=True)
    without = units.inputs_digest(unit)
    planted.write_text(cloud.drop_in(IDENTITY)[cloud.DROP_IN])
    first = units.inputs_digest(unit)
    planted.write_text(cloud.drop_in(f"{IDENTITY}1")[cloud.DROP_IN])
    assert len({without, first, units.inputs_digest(unit)}) == 3
