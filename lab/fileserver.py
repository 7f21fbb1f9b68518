"""A small HTTP server that hands the mirror to the machines: files by their exact path, nothing else.

It listens on one address only, the bridge's, runs detached from the command that started it, and ends by
itself when its clone's state folder is gone. Machines check each file against its sha256, so that nothing
here has to be trusted.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
import urllib.parse
import urllib.request
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO

from lab import paths
from lab.errors import LabError

START_SECONDS = 15.0
PID_FILE = paths.STATE / "fileserver.pid"
LOG_FILE = paths.STATE / "fileserver.log"
IDENTITY = "/.instance"
"""Path that answers with the instance's name, so that a foreign server on the port is told from ours."""


class Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD for regular files below the served folder."""

    protocol_version = "HTTP/1.1"
    timeout = 60
    server: "Server"

    def do_GET(self) -> None:
        """Send a file, by the kernel without copying."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """Send a file's headers only."""
        self._answer(body=False)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Log one line per request with its time."""
        print(f"{time.strftime('%H:%M:%S')} {self.address_string()} {format % args}", flush=True)

    def _answer(self, *, body: bool) -> None:
        if self.path == IDENTITY:
            self._send_text(paths.instance(), body=body)
            return
        path = self.server.find(self.path)
        if path is None:
            self.send_error(HTTPStatus.NOT_FOUND, "no such file in the mirror")
            return
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            self._send_head(size)
            if body:
                self.wfile.flush()
                self._send_file(stream, size)

    def _send_head(self, size: int) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(size))
        self.end_headers()

    def _send_text(self, text: str, *, body: bool) -> None:
        self._send_head(len(text.encode()))
        if body:
            self.wfile.write(text.encode())

    def _send_file(self, stream: BinaryIO, size: int) -> None:
        # socket.sendfile lets the kernel copy (os.sendfile) and still honours the timeout of a dead client.
        sent = 0
        with contextlib.suppress(ConnectionError, TimeoutError):
            sent = self.connection.sendfile(stream, count=size) if size else 0
        # A file that shrank, or an error, leaves the answer short: only closing tells the client.
        self.close_connection = self.close_connection or sent < size


class Server(ThreadingHTTPServer):
    """The server of one folder on one address."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: str, port: int, root: Path) -> None:
        self.root = root.resolve()
        super().__init__((address, port), Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Log a client that went away as one line; anything else keeps its traceback."""
        error = sys.exc_info()[1]
        if isinstance(error, ConnectionError | TimeoutError):
            print(f"{client_address}: {error}", flush=True)
            return
        traceback.print_exc()

    def find(self, request_path: str) -> Path | None:
        """Return the regular file that a request names; None for anything hidden, outside, or no file."""
        parts = urllib.parse.unquote(urllib.parse.urlsplit(request_path).path).split("/")
        names = [part for part in parts if part]
        if not names or any(name.startswith(".") or "\0" in name for name in names):
            return None
        path = self.root.joinpath(*names)
        inside = path.resolve().is_relative_to(self.root)
        return path if inside and path.is_file() else None


def start(address: str, port: int) -> None:
    """Have the server running on `address`:`port`; nothing happens if it already is.

    Raises:
        LabError: when the port is taken by somebody else or the server does not come up in time.
    """
    if running(address, port):
        return
    stop()
    paths.STATE.mkdir(parents=True, exist_ok=True)
    paths.MIRROR.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "lab.fileserver", "--address", address, "--port", str(port)]
    with LOG_FILE.open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=paths.PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_SECONDS
    while not running(address, port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise LabError(
                f"file server on {address}:{port}: does not come up: {_last_line()} (log: {LOG_FILE})"
            )
        time.sleep(0.05)


def running(address: str, port: int) -> bool:
    """Tell whether this clone's own server answers on `address`:`port`."""
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://{address}:{port}{IDENTITY}", timeout=1.0) as answer:
            return bool(answer.read(64).decode("ascii", "replace") == paths.instance())
    except OSError:
        return False


def stop() -> None:
    """End this clone's server, if it runs; the port is free afterwards."""
    pid = _server_pid()
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        _await_end(pid)
    PID_FILE.unlink(missing_ok=True)


def _server_pid() -> int:
    """Return the server's process, 0 when it ended: its number may be somebody else's by now."""
    try:
        pid = int(PID_FILE.read_text())
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return 0
    ours = b"lab.fileserver" in words and Path(f"/proc/{pid}/cwd").resolve() == paths.PROJECT
    return pid if ours else 0


def _await_end(pid: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while _server_pid() == pid and time.monotonic() < deadline:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        time.sleep(0.02)


def _last_line() -> str:
    lines = LOG_FILE.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it says nothing"


def serve(address: str, port: int) -> None:
    """Serve until SIGTERM, or until the state folder that started us is gone.

    Raises:
        LabError: when the address can't be had.
    """
    try:
        server = Server(address, port, paths.MIRROR)
    except OSError as error:
        raise LabError(
            f"file server: {address}:{port} can't be had ({error.strerror}); "
            f"`ss -ltnp 'sport = :{port}'` shows who has it, or choose another port"
        ) from error
    PID_FILE.write_text(str(os.getpid()))
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    threading.Thread(target=_watch_state, args=(server,), daemon=True).start()
    with server:
        server.serve_forever(poll_interval=0.2)


def _watch_state(server: Server) -> None:
    while PID_FILE.exists():
        time.sleep(1.0)
    server.shutdown()


def main(arguments: list[str]) -> int:
    """Serve in the foreground: `python3 -m lab.fileserver --address ADDRESS --port PORT`."""
    parser = argparse.ArgumentParser(prog="python3 -m lab.fileserver")
    parser.add_argument("--address", required=True)
    parser.add_argument("--port", required=True, type=int)
    chosen = parser.parse_args(arguments)
    try:
        serve(chosen.address, chosen.port)
    except LabError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
