"""Artifacts: complete and checked, or absent; told why when they cannot be had."""

from __future__ import annotations

import errno
import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from components.agent import downloads
from components.agent.evidence import Failure


def archive(**members: bytes) -> bytes:
    """A tar.gz with its files two folders deep, beside a link that leads out."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as tar:
        link = tarfile.TarInfo("release/bin/escape")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        for name, content in members.items():
            info = tarfile.TarInfo(f"release/bin/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return target.getvalue()


ARCHIVE = archive(etcd=b"the server", etcdctl=b"the client", README=b"words")
FILES: dict[str, bytes] = {
    "kubelet": b"\x7fELF kubelet" * 1000,
    "etcd.tgz": ARCHIVE,
    "pause.tar": archive(layer=b"x"),
}


class Publisher:
    """A server that counts requests and can misbehave.

    Attributes:
        asked: paths in the order of their requests.
        cut: how many requests to end in the middle, by path.
        busy: how many requests to answer with 503, by path.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.cut: dict[str, int] = {}
        self.busy: dict[str, int] = {}
        publisher = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                publisher.answer(self, self.path[1:])

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler, path: str) -> None:
        """Serve a file, a part of it, or a refusal."""
        self.asked.append(path)
        for wish, status in ((self.busy, 503), ({path: 1} if path not in FILES else {}, 404)):
            if wish.get(path, 0) > 0:
                wish[path] -= 1
                request.send_error(status)
                return
        content = FILES[path]
        request.send_response(200)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        if self.cut.get(path, 0) > 0:
            self.cut[path] -= 1
            content = content[: len(content) // 2]
        request.wfile.write(content)

    def artifact(self, name: str, path: str, **changes: Any) -> dict[str, Any]:
        """An entry as prepare gets it."""
        entry = {
            "name": name,
            "version": "1.2.3",
            "url": f"http://127.0.0.1:{self.server.server_port}/{path}",
            "sha256": hashlib.sha256(FILES.get(path, b"")).hexdigest(),
            "binaries": [name],
            **changes,
        }
        return {"folder": f"{downloads.ROOT}/{entry['name']}/{entry['version']}", **entry}


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    made = Publisher()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where artifacts go."""
    monkeypatch.setattr(downloads, "ROOT", str(tmp_path / "opt"))
    return tmp_path / "opt"


def listing(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_a_single_binary_lands_in_the_folder_of_its_version_and_can_be_run(
    publisher: Publisher, root: Path
) -> None:
    artifact = publisher.artifact("kubelet", "kubelet")
    assert downloads.stage([artifact]) == 1
    assert (root / "kubelet/1.2.3/kubelet").read_bytes() == FILES["kubelet"]
    assert (root / "kubelet/1.2.3/kubelet").stat().st_mode & 0o777 == 0o755
    assert (root / "kubelet/1.2.3/.sha256").read_text() == artifact["sha256"]


def test_what_is_there_is_not_fetched_again(publisher: Publisher) -> None:
    artifact = publisher.artifact("kubelet", "kubelet")
    downloads.stage([artifact])
    assert downloads.stage([artifact]) == 0
    assert publisher.asked == ["kubelet"]


def test_another_digest_for_the_same_version_is_fetched_anew(publisher: Publisher, root: Path) -> None:
    downloads.stage([publisher.artifact("kubelet", "kubelet")])
    FILES["rebuilt"] = b"built again"
    downloads.stage([publisher.artifact("kubelet", "rebuilt")])
    assert (root / "kubelet/1.2.3/kubelet").read_bytes() == b"built again"
    assert listing(root) == ["kubelet/1.2.3/.files.json", "kubelet/1.2.3/.sha256", "kubelet/1.2.3/kubelet"]


def test_another_build_of_the_same_version_lies_beside_the_one_that_runs(
    publisher: Publisher, root: Path
) -> None:
    FILES["rebuilt"] = b"built again"
    for build, path in (("aaaaaaaa", "kubelet"), ("bbbbbbbb", "rebuilt")):
        folder = f"{root}/kubelet/1.2.3-{build}"
        assert downloads.stage([publisher.artifact("kubelet", path, folder=folder)]) == 1
    assert (root / "kubelet/1.2.3-aaaaaaaa/kubelet").read_bytes() == FILES["kubelet"]
    assert (root / "kubelet/1.2.3-bbbbbbbb/kubelet").read_bytes() == b"built again"


def test_another_version_leaves_the_one_that_runs_alone(publisher: Publisher, root: Path) -> None:
    downloads.stage([publisher.artifact("kubelet", "kubelet")])
    downloads.stage([publisher.artifact("kubelet", "kubelet", version="1.2.4")])
    assert sorted(path.name for path in (root / "kubelet").iterdir()) == ["1.2.3", "1.2.4"]


def test_only_the_wanted_binaries_of_an_archive_are_taken(publisher: Publisher, root: Path) -> None:
    downloads.stage([publisher.artifact("etcd", "etcd.tgz", binaries=["etcd", "etcdctl"])])
    names = (".files.json", ".sha256", "etcd", "etcdctl")
    assert listing(root) == [f"etcd/1.2.3/{name}" for name in names]
    assert (root / "etcd/1.2.3/etcdctl").read_bytes() == b"the client"
    assert (root / "etcd/1.2.3/etcd").stat().st_mode & 0o777 == 0o755


def test_all_files_of_an_archive_can_be_wanted_and_links_are_never_followed(
    publisher: Publisher, root: Path
) -> None:
    downloads.stage([publisher.artifact("cni", "etcd.tgz", binaries=["*"])])
    assert listing(root) == [
        f"cni/1.2.3/{name}" for name in (".files.json", ".sha256", "README", "etcd", "etcdctl")
    ]


def test_an_archive_that_lacks_a_binary_is_refused_by_its_name(publisher: Publisher, root: Path) -> None:
    with pytest.raises(Failure, match=r"^the archive of etcd 1\.2\.3 lacks etcdutl, zstd$"):
        downloads.stage([publisher.artifact("etcd", "etcd.tgz", binaries=["etcd", "zstd", "etcdutl"])])
    assert listing(root) == []


def test_an_image_is_kept_as_its_archive_with_its_reference(publisher: Publisher, root: Path) -> None:
    artifact = publisher.artifact("image-pause", "pause.tar", reference="registry.k8s.io/pause:3.10")
    del artifact["binaries"]
    downloads.stage([artifact])
    assert (root / "image-pause/1.2.3/image.tar").read_bytes() == FILES["pause.tar"]
    assert (root / "image-pause/1.2.3/reference").read_text() == "registry.k8s.io/pause:3.10"


def test_a_wrong_digest_installs_nothing_and_says_both(publisher: Publisher, root: Path) -> None:
    good = publisher.artifact("kubelet", "kubelet")
    with pytest.raises(Failure) as caught:
        downloads.stage([{**good, "sha256": "0" * 64}])
    text = str(caught.value)
    assert f"has sha256 {good['sha256']}, expected {'0' * 64}. Nothing was installed." in text
    assert "make clean-artifacts" in text
    assert listing(root) == []
    assert publisher.asked == ["kubelet"]


def test_a_damaged_new_version_leaves_what_is_installed(publisher: Publisher, root: Path) -> None:
    artifact = publisher.artifact("kubelet", "kubelet")
    downloads.stage([artifact])
    with pytest.raises(Failure):
        downloads.stage([{**artifact, "sha256": "0" * 64}])
    assert (root / "kubelet/1.2.3/kubelet").read_bytes() == FILES["kubelet"]
    assert downloads.stage([artifact]) == 0


def test_a_connection_that_ends_early_is_tried_again(
    publisher: Publisher, root: Path, slept: list[float]
) -> None:
    publisher.cut["kubelet"] = 2
    downloads.stage([publisher.artifact("kubelet", "kubelet")])
    assert (root / "kubelet/1.2.3/kubelet").read_bytes() == FILES["kubelet"]
    assert publisher.asked == ["kubelet"] * 3
    assert slept == [1, 2]


def test_a_connection_that_always_ends_early_is_not_called_a_wrong_digest(
    publisher: Publisher, root: Path, slept: list[float]
) -> None:
    publisher.cut["kubelet"] = 99
    with pytest.raises(Failure, match=r"in 4 attempts \(the connection ended after 6000 of 12000 bytes\)"):
        downloads.stage([publisher.artifact("kubelet", "kubelet")])
    assert publisher.asked == ["kubelet"] * 4
    assert listing(root) == []


def test_a_busy_server_is_asked_again(publisher: Publisher, slept: list[float]) -> None:
    publisher.busy["kubelet"] = 3
    assert downloads.stage([publisher.artifact("kubelet", "kubelet")]) == 1
    assert slept == [1, 2, 3]


def test_a_file_that_is_not_there_is_asked_for_once_and_the_way_out_is_told(
    publisher: Publisher, slept: list[float]
) -> None:
    with pytest.raises(Failure) as caught:
        downloads.stage([publisher.artifact("kubelet", "absent")])
    assert "/absent could not be fetched in 1 attempts (HTTP Error 404: Not Found)" in str(caught.value)
    assert "artifacts.mirror" in str(caught.value)
    assert slept == []


def test_a_server_that_does_not_answer_is_tried_four_times(slept: list[float]) -> None:
    artifact = {
        "name": "a",
        "version": "1",
        "folder": f"{downloads.ROOT}/a/1",
        "url": "http://127.0.0.1:9/a",
        "sha256": "0",
        "binaries": ["a"],
    }
    with pytest.raises(Failure, match=r"^http://127\.0\.0\.1:9/a could not be fetched in 4 attempts"):
        downloads.stage([artifact])
    assert slept == [1, 2, 3]


def test_a_full_disk_is_called_a_full_disk(
    publisher: Publisher, root: Path, slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: str) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(downloads, "_fetch", full)
    with pytest.raises(Failure, match=r"^no space is left below .*/opt; free some or enlarge the disk"):
        downloads.stage([publisher.artifact("kubelet", "kubelet")])
    assert slept == []
    assert listing(root) == []


def test_leftovers_of_a_killed_run_are_thrown_away(publisher: Publisher, root: Path) -> None:
    (root / "kubelet/1.2.3.new").mkdir(parents=True)
    (root / "kubelet/1.2.3.new/half").write_text("x")
    (root / "kubelet/1.2.3").mkdir()
    downloads.stage([publisher.artifact("kubelet", "kubelet")])
    assert listing(root) == ["kubelet/1.2.3/.files.json", "kubelet/1.2.3/.sha256", "kubelet/1.2.3/kubelet"]


def test_a_replaced_binary_is_fetched_anew_and_its_neighbours_stay_the_files_they_were(
    publisher: Publisher, root: Path
) -> None:
    artifact = publisher.artifact("etcd", "etcd.tgz", binaries=["etcd", "etcdctl"])
    downloads.stage([artifact])
    folder = root / "etcd/1.2.3"
    kept = (folder / "etcdctl").stat().st_ino
    (folder / "etcd").write_bytes(b"somebody else's")
    assert downloads.damaged(str(folder)) == ["etcd"]
    assert downloads.stage([artifact]) == 1
    assert (folder / "etcd").read_bytes() == b"the server"
    assert (folder / "etcdctl").stat().st_ino == kept
    assert downloads.damaged(str(folder)) == []


@pytest.mark.parametrize("harm", ["removed", "not executable"])
def test_a_binary_that_is_gone_or_cannot_be_run_is_fetched_anew(
    publisher: Publisher, root: Path, harm: str
) -> None:
    artifact = publisher.artifact("kubelet", "kubelet")
    downloads.stage([artifact])
    path = root / "kubelet/1.2.3/kubelet"
    path.unlink() if harm == "removed" else path.chmod(0o644)
    assert downloads.stage([artifact]) == 1
    assert path.read_bytes() == FILES["kubelet"]
    assert path.stat().st_mode & 0o777 == 0o755


def test_a_folder_of_an_earlier_release_gets_its_record_and_keeps_its_files(
    publisher: Publisher, root: Path
) -> None:
    artifact = publisher.artifact("kubelet", "kubelet")
    downloads.stage([artifact])
    folder = root / "kubelet/1.2.3"
    was = (folder / "kubelet").stat().st_ino
    (folder / ".files.json").unlink()
    assert downloads.stage([artifact]) == 1
    assert (folder / "kubelet").stat().st_ino == was
    assert downloads.staged_files(str(folder)) == {"kubelet": {"sha256": artifact["sha256"], "mode": 0o755}}
