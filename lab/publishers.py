"""Downloads from publishers, where the network reaches them: quick to give up, never without a digest."""

import hashlib
import re
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from lab import progress
from lab.errors import LabError

CONNECT_SECONDS = 3.0
CHUNK = 1 << 20

_answers: dict[str, bool] = {}


def reachable(url: str) -> bool:
    """Tell whether the URL's host answers; asked once per host and process, and bounded to three seconds.

    Any answer to this very request that is no refusal counts: a filtering proxy's "forbidden" does not.
    """
    host = urllib.parse.urlsplit(url).netloc
    if host not in _answers:
        _answers[host] = _probe(url)
    return _answers[host]


def _probe(url: str) -> bool:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=CONNECT_SECONDS):
            return True
    except urllib.error.HTTPError as error:
        return error.code == 404
    except (OSError, ValueError):
        return False


def fetch(url: str, sha256: str, target: Path, step: progress.Step, *, checksums: str = "") -> bool:
    """Download `url` into `target` if its host answers and a digest is known; tell whether that was done.

    Without a digest in the catalogue the publisher's own list is asked for, at `checksums` or `<url>.sha256`.

    Raises:
        LabError: when what arrived has another digest than it must have.
    """
    if not url or not reachable(url):
        return False
    wanted = sha256 or published_digest(checksums or f"{url}.sha256", url.rsplit("/", 1)[1])
    if not wanted:
        return False
    try:
        found = download(url, target, step)
    except (OSError, ValueError) as error:
        progress.note(f"{url}: download failed ({error}); building it instead")
        return False
    if found != wanted:
        target.unlink()
        raise LabError(
            f"{url}: its sha256 is {found}, expected {wanted}; "
            "the publisher's file or the network changed it: don't use it, ask whoever runs the network"
        )
    return True


def published_digest(url: str, file: str) -> str:
    """Return the sha256 of `file` that the publisher tells at `url`, "" when there is none.

    Both forms in use are understood: the digest alone, and lines of digest and file name.
    """
    try:
        with urllib.request.urlopen(url, timeout=CONNECT_SECONDS) as answer:
            lines = answer.read(CHUNK).decode("ascii", "replace").splitlines()
    except (OSError, ValueError):
        return ""
    for line in lines:
        words = line.split()
        digest, names = "".join(words[:1]), words[1:]
        if re.fullmatch("[0-9a-f]{64}", digest) and (not names or names[0].lstrip("*") == file):
            return digest
    return ""


def download(url: str, target: Path, step: progress.Step) -> str:
    """Download a URL into a file and return the sha256 of what came; OSError when it does not come whole."""
    digest, done = hashlib.sha256(), 0
    with urllib.request.urlopen(url, timeout=CONNECT_SECONDS * 10) as answer, target.open("wb") as stream:
        while chunk := answer.read(CHUNK):
            digest.update(chunk)
            stream.write(chunk)
            done += len(chunk)
            step.detail = f"downloading, {done >> 20} MiB"
    return digest.hexdigest()
