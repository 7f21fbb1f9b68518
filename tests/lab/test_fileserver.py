"""The file server: hands out exactly the mirror's files, once per clone, and leaves when its clone does."""

import contextlib
import http.client
import os
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import fileserver, paths
from lab.errors import LabError

ADDRESS = "127.0.0.1"


@pytest.fixture
def port() -> int:
    """Give a free port below the range from which the kernel takes those of clients."""
    while True:
        candidate = random.randrange(20_000, 30_000)
        with contextlib.suppress(OSError), socket.create_server((ADDRESS, candidate)):
            return candidate


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """Give a mirror with one file, something hidden and a link that leads out."""
    folder = tmp_path / "mirror"
    (folder / "kubelet" / "1.0.0" / "amd64").mkdir(parents=True)
    (folder / "kubelet" / "1.0.0" / "amd64" / "kubelet").write_bytes(b"program" * 100_000)
    (folder / ".hidden").write_text("secret")
    (folder / "escape").symlink_to("/etc/passwd")
    return folder


@pytest.fixture
def served(mirror: Path) -> Iterator[str]:
    """Serve the mirror; give `host:port`."""
    with fileserver.Server(ADDRESS, 0, mirror) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"{ADDRESS}:{server.server_port}"
        server.shutdown()


def ask(host: str, path: str, method: str = "GET") -> tuple[int, bytes]:
    """Send one request as it stands, without a client's normalising of its path."""
    connection = http.client.HTTPConnection(host, timeout=5)
    connection.request(method, path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def test_a_file_arrives_whole(served: str) -> None:
    assert ask(served, "/kubelet/1.0.0/amd64/kubelet") == (200, b"program" * 100_000)


def test_head_tells_the_size_and_sends_no_body(served: str) -> None:
    connection = http.client.HTTPConnection(served, timeout=5)
    connection.request("HEAD", "/kubelet/1.0.0/amd64/kubelet")
    answer = connection.getresponse()
    assert (answer.headers["Content-Length"], answer.read()) == ("700000", b"")
    connection.close()


def test_one_connection_serves_many_files(served: str) -> None:
    connection = http.client.HTTPConnection(served, timeout=5)
    for _ in range(3):
        connection.request("GET", "/kubelet/1.0.0/amd64/kubelet")
        assert len(connection.getresponse().read()) == 700_000
    connection.close()


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/kubelet",
        "/.hidden",
        "/../mirror/.hidden",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/escape",
        "/none",
        "/a%00b",
    ],
)
def test_nothing_but_the_mirrors_files_is_handed_out(served: str, path: str) -> None:
    assert ask(served, path)[0] == 404


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
def test_nothing_can_be_changed(served: str, method: str) -> None:
    assert ask(served, "/kubelet/1.0.0/amd64/kubelet", method)[0] == 501


def test_an_aborted_download_does_not_hurt_the_next(served: str) -> None:
    host, port = served.split(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(b"GET /kubelet/1.0.0/amd64/kubelet HTTP/1.1\r\nHost: x\r\n\r\n")
        client.recv(10)
    assert ask(served, "/kubelet/1.0.0/amd64/kubelet")[0] == 200


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Give a copy of the lab's sources with state and cache of its own, as another clone would have."""
    folder = tmp_path / "clone"
    for name in ("lab", "config"):
        shutil.copytree(
            paths.PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "providers")
        )
    return folder


def control(clone: Path, code: str) -> str:
    """Run code in the other clone; give what it printed."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("HARDWAY_")}
    environ["HARDWAY_CACHE"] = str(clone / "cache")
    program = f"from lab import fileserver\nfrom lab.errors import LabError\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=clone, env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def alive(pid: str) -> bool:
    """Tell whether a process still runs; one that only waits to be collected by its parent does not."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except OSError:
        return False


def test_start_is_idempotent_and_stop_frees_the_port(clone: Path, port: int) -> None:
    start = f"fileserver.start('{ADDRESS}', {port}); print(fileserver.PID_FILE.read_text())"
    first = control(clone, start)
    assert control(clone, start) == first
    control(clone, "fileserver.stop()")
    assert not alive(first)
    assert control(clone, f"print(fileserver.running('{ADDRESS}', {port}))") == "False"


def test_a_taken_port_is_one_clear_error(clone: Path) -> None:
    with socket.socket() as taken:
        taken.bind((ADDRESS, 0))
        taken.listen()
        port = taken.getsockname()[1]
        code = f"try:\n fileserver.start('{ADDRESS}', {port})\nexcept LabError as error:\n print(error)"
        assert f"{ADDRESS}:{port} can't be had (Address already in use)" in control(clone, code)


def test_the_server_ends_when_its_clone_is_deleted(clone: Path, port: int) -> None:
    pid = control(clone, f"fileserver.start('{ADDRESS}', {port}); print(fileserver.PID_FILE.read_text())")
    shutil.rmtree(clone / ".hardway")
    deadline = time.monotonic() + 5
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(pid)


def test_a_stale_pid_file_ends_nobody_else(clone: Path) -> None:
    (clone / ".hardway").mkdir()
    (clone / ".hardway" / "fileserver.pid").write_text(str(os.getpid()))
    control(clone, "fileserver.stop()")
    assert not (clone / ".hardway" / "fileserver.pid").exists()


def test_another_clones_server_is_not_taken_for_ours(clone: Path, port: int) -> None:
    control(clone, f"fileserver.start('{ADDRESS}', {port})")
    try:
        assert not fileserver.running(ADDRESS, port)
    finally:
        control(clone, "fileserver.stop()")


def test_a_foreign_server_on_the_port_is_not_ours(port: int) -> None:
    with socket.create_server((ADDRESS, port)):
        assert not fileserver.running(ADDRESS, port)


def test_an_address_that_is_not_there_is_a_clear_error(port: int) -> None:
    with pytest.raises(LabError, match=rf"192\.0\.2\.1:{port} can't be had"):
        fileserver.serve("192.0.2.1", port)
