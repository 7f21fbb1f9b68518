"""Artifacts: what is in the mirror is whole, has the locked digest, and is made only when needed.

No Go build runs here; the e2e run proves those by starting what they made.
"""

import hashlib
import http.server
import json
import os
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import versions
from lab import archives, artifacts, builds, mirror, paths, progress, publishers, scratch
from lab.errors import LabError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a cache of its own and a network that reaches nobody."""
    monkeypatch.setattr(paths, "CACHE", tmp_path)
    monkeypatch.setattr(paths, "MIRROR", tmp_path / "mirror")
    monkeypatch.setattr(paths, "WORK", tmp_path / "work")
    monkeypatch.setattr(publishers, "_answers", {})
    monkeypatch.setattr(artifacts, "GIBIBYTE", 1)
    return tmp_path


@pytest.fixture
def publisher(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Serve a folder as a publisher does; give its URL and the folder."""
    folder = tmp_path / "published"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, directory=str(folder), **kwargs)  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()


class Builder:
    """A build that writes a known text and counts how often it ran."""

    def __init__(self, text: str = "built here") -> None:
        self.text, self.runs = text, 0

    def __call__(self, target: Path) -> None:
        self.runs += 1
        target.write_text(self.text)

    def order(self, recipe: str = "r1", url: str = "", sha256: str = "") -> artifacts.Order:
        return artifacts.Order("tool/1.0.0/amd64", "tool", self, recipe, url, sha256)


def test_a_second_run_builds_nothing() -> None:
    build = Builder()
    first = artifacts.fill([build.order()])
    second = artifacts.fill([build.order()])
    assert build.runs == 1
    assert first == second
    assert second["tool/1.0.0/amd64"].sha256 == hashlib.sha256(b"built here").hexdigest()


def test_the_lock_on_disk_tells_digest_file_source_and_seconds() -> None:
    artifacts.fill([Builder().order()])
    stored = json.loads(mirror.lock_path().read_text())["tool/1.0.0/amd64"]
    assert (stored["file"], stored["source"]) == ("tool", "built")
    assert stored["seconds"] >= 0
    assert stored["sha256"] == hashlib.sha256(b"built here").hexdigest()


def test_a_changed_recipe_builds_again() -> None:
    build = Builder()
    artifacts.fill([build.order("r1")])
    artifacts.fill([build.order("r2")])
    assert build.runs == 2


def test_a_truncated_file_is_noticed_by_its_size_and_made_again() -> None:
    build = Builder()
    artifacts.fill([build.order()])
    build.order().path().write_text("bui")
    artifacts.fill([build.order()])
    assert build.runs == 2
    assert build.order().path().read_text() == "built here"


def test_a_flipped_byte_with_the_old_size_and_time_is_found_only_when_verifying() -> None:
    build = Builder()
    artifacts.fill([build.order()])
    path = build.order().path()
    before = path.stat()
    path.write_text("built hare")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    artifacts.fill([build.order()])
    assert build.runs == 1
    artifacts.fill([build.order()], verify=True)
    assert build.runs == 2


def test_an_interrupted_build_leaves_nothing_that_counts() -> None:
    def interrupted(target: Path) -> None:
        target.write_text("half of")
        raise KeyboardInterrupt

    order = artifacts.Order("tool/1.0.0/amd64", "tool", interrupted, "r1")
    with pytest.raises(KeyboardInterrupt):
        artifacts.fill([order])
    assert not order.path().exists()
    assert mirror.read_lock() == {}
    build = Builder()
    artifacts.fill([build.order()])
    assert build.order().path().read_text() == "built here"


def test_the_publishers_file_is_preferred_when_its_digest_fits(publisher: tuple[str, Path]) -> None:
    url, folder = publisher
    (folder / "tool").write_text("published")
    build = Builder()
    digest = hashlib.sha256(b"published").hexdigest()
    entries = artifacts.fill([build.order(url=f"{url}/tool", sha256=digest)])
    assert build.runs == 0
    assert entries["tool/1.0.0/amd64"].source == "publisher"
    assert build.order().path().read_text() == "published"


def test_a_publishers_file_of_another_digest_is_refused_and_not_replaced_by_a_build(
    publisher: tuple[str, Path],
) -> None:
    url, folder = publisher
    (folder / "tool").write_text("tampered")
    build = Builder()
    with pytest.raises(LabError, match=r"its sha256 is [0-9a-f]{64}, expected 0{64}"):
        artifacts.fill([build.order(url=f"{url}/tool", sha256="0" * 64)])
    assert build.runs == 0
    assert not build.order().path().exists()


def test_without_a_known_digest_the_publishers_own_is_asked_for(publisher: tuple[str, Path]) -> None:
    url, folder = publisher
    (folder / "tool").write_text("published")
    build = Builder()
    assert artifacts.fill([build.order(url=f"{url}/tool")])["tool/1.0.0/amd64"].source == "built"
    (folder / "tool.sha256").write_text(hashlib.sha256(b"published").hexdigest())
    entries = artifacts.fill([build.order("r2", url=f"{url}/tool")])
    assert entries["tool/1.0.0/amd64"].source == "publisher"


@pytest.mark.parametrize("line", ["{digest}", "{digest}  tool.tar.gz", "{digest} *tool.tar.gz\n"])
def test_both_forms_of_published_digests_are_read(publisher: tuple[str, Path], line: str) -> None:
    url, folder = publisher
    (folder / "sums").write_text(f"comment\n{line.format(digest='a' * 64)}")
    assert publishers.published_digest(f"{url}/sums", "tool.tar.gz") == "a" * 64


def test_a_digest_of_another_file_is_not_taken(publisher: tuple[str, Path]) -> None:
    url, folder = publisher
    (folder / "sums").write_text(f"{'a' * 64}  other.tar.gz\n")
    assert publishers.published_digest(f"{url}/sums", "tool.tar.gz") == ""


def test_a_silent_host_is_asked_once_only(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def probe(url: str) -> bool:
        asked.append(url)
        return False

    monkeypatch.setattr(publishers, "_probe", probe)
    for name in ("a", "b", "c"):
        assert not publishers.reachable(f"https://publisher.invalid/{name}")
    assert len(asked) == 1


def test_a_full_disk_is_reported_before_anything_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "GIBIBYTE", 1 << 60)
    build = Builder()
    with pytest.raises(LabError, match=r"GiB free, builds need .*HARDWAY_CACHE"):
        artifacts.fill([build.order()])
    assert build.runs == 0


def test_an_unreadable_lock_is_one_clear_error() -> None:
    mirror.lock_path().parent.mkdir(parents=True)
    mirror.lock_path().write_text("{ half")
    with pytest.raises(LabError, match=r"lock\.json: not a lock of artifacts .* delete it"):
        mirror.read_lock()


def test_an_unknown_artifact_is_refused_with_the_known_ones() -> None:
    with pytest.raises(LabError, match=r"artifact etcdd: .*kubelet.*etcd"):
        artifacts.ensure(["etcdd"])


def test_every_artifact_of_the_catalogue_can_be_built() -> None:
    assert set(artifacts.names()) <= set(builds.RECIPES)


@pytest.mark.parametrize("name", artifacts.names())
def test_a_built_file_has_the_publishers_name_and_form(name: str) -> None:
    order = artifacts.order(name)
    packed = order.file.endswith((".tgz", ".tar.gz"))
    assert order.file == order.url.rsplit("/", 1)[1]
    assert builds.RECIPES[name].pack == ("archive" if packed else "plain")


def test_a_relinked_kubernetes_reports_the_other_version_from_the_same_sources(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls: list[tuple[str, str, str | None]] = []

    def compiled(name: str, version: str, folder: Path, *, stamp: str | None = None) -> Path:
        calls.append((name, version, stamp))
        (folder / "kubelet").write_text("program")
        return folder

    monkeypatch.setattr(builds, "compile_programs", compiled)
    order = artifacts.order("kubelet", kubernetes="1.37.3", sources=versions.KUBERNETES_DEFAULT)
    order.build(tmp_path / "kubelet")
    assert calls == [("kubelet", versions.KUBERNETES_DEFAULT, "1.37.3")]
    assert order.key == f"kubelet/1.37.3/{paths.architecture()}"


def test_archives_are_the_same_whenever_they_are_packed(tmp_path: Path) -> None:
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in ("b", "a"):
        (folder / name).write_text(name * 1000)
    archives.pack(folder, "archive", "bin", tmp_path / "one.tgz")
    (folder / "a").touch()
    archives.pack(folder, "archive", "bin", tmp_path / "two.tgz")
    assert (tmp_path / "one.tgz").read_bytes() == (tmp_path / "two.tgz").read_bytes()
    with tarfile.open(tmp_path / "one.tgz") as packed:
        assert packed.getnames() == ["bin", "bin/a", "bin/b"]
        assert {(member.mtime, member.uid, member.mode) for member in packed} == {(0, 0, 0o755)}


def test_scratch_of_a_dead_process_is_swept_and_of_a_living_one_is_kept() -> None:
    dead, alive = paths.WORK / "kubelet.999999999.x", paths.WORK / "etcd.1.x"
    for folder in (dead, alive):
        folder.mkdir(parents=True)
    with scratch.folder("new") as folder:
        assert folder.is_dir()
    assert not dead.exists()
    assert alive.is_dir()
    assert not folder.exists()


def test_steps_tell_their_end_and_failure(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.step("artifact kubelet"):
        pass
    with pytest.raises(LabError), progress.step("artifact etcd"):
        raise LabError("no compiler")
    printed = capsys.readouterr().err
    assert "artifact kubelet: done in 0.0 s" in printed
    assert "artifact etcd: failed after 0.0 s" in printed
    assert "artifact kubelet" in [label for label, _ in progress.timings()]
