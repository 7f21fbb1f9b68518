"""Artifacts into versioned folders, each checked against its sha256 before anything can use it.

A folder `/opt/hardway/<name>/<version>/` is complete or absent: it is filled beside and renamed, and holds
the digest that it was made from and those of its files. Folders of other versions stay. What runs is never touched,
unless its file is no longer the one that was staged: then that file alone is replaced, in one step.
"""

import errno
import hashlib
import http.client
import json
import os
import shutil
import tarfile
import time
import urllib.error
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from components.agent import proxy
from components.agent.evidence import Failure, say

ROOT = "/opt/hardway"
CHUNK = 1 << 20
ATTEMPTS = 4
RECORD = ".files.json"
"""In each folder: sha256 and mode of the files that staging put there, by name."""


def stage(artifacts: list[dict[str, Any]], way_out: proxy.Proxy | None = None) -> int:
    """Bring every artifact that is not there yet; gives how many were fetched.

    Args:
        artifacts: each with name, version, url, sha256, binaries ("*" for all of an archive's files); an
            image archive has `reference` instead of binaries.
        way_out: the proxy, or None.
    """
    missing = [artifact for artifact in artifacts if not _present(artifact)]
    with ThreadPoolExecutor(max_workers=4) as pool:
        list(pool.map(partial(_bring, way_out=way_out), missing))
    return len(missing)


def folder(artifact: dict[str, Any]) -> str:
    """Where an artifact's files lie; its name tells version and digest, so nothing is ever replaced in place."""
    return str(artifact["folder"])


def _present(artifact: dict[str, Any]) -> bool:
    if not _is_of(artifact):
        return False
    wrong = damaged(folder(artifact))
    if wrong:
        say(
            f"{artifact['name']} {artifact['version']} is fetched anew: {', '.join(wrong)} is not what was staged"
        )
    return not wrong and os.path.exists(f"{folder(artifact)}/{RECORD}")


def _is_of(artifact: dict[str, Any]) -> bool:
    """Whether the folder was made from the wanted file."""
    try:
        with open(f"{folder(artifact)}/.sha256") as recorded:
            return recorded.read().strip() == str(artifact["sha256"])
    except OSError:
        return False


def staged_files(where: str) -> dict[str, dict[str, Any]]:
    """sha256 and mode of each file as staging recorded them; nothing of a folder without a record."""
    try:
        with open(f"{where}/{RECORD}") as recorded:
            return dict(json.load(recorded))
    except (OSError, ValueError):
        return {}


def damaged(where: str) -> list[str]:
    """Names of files in a folder that are gone or no longer what staging put there."""
    return [name for name, file in staged_files(where).items() if look(f"{where}/{name}") != file]


def look(path: str) -> dict[str, Any] | None:
    """sha256 and mode of a file; None of one that is not there."""
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o7777
            return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "mode": mode}
    except OSError:
        return None


def _bring(artifact: dict[str, Any], way_out: proxy.Proxy | None = None) -> None:
    new = folder(artifact) + ".new"
    shutil.rmtree(new, ignore_errors=True)
    os.makedirs(new, mode=0o755)
    try:
        archive = f"{new}/.download"
        found = _download(artifact["url"], archive, way_out)
        if found != artifact["sha256"]:
            raise Failure(
                f"{artifact['name']} {artifact['version']} from {artifact['url']} has sha256 {found}, "
                f"expected {artifact['sha256']}. Nothing was installed. The file is damaged or is not the "
                "one that was locked: fetch it anew at its source (in the lab: make clean-artifacts), "
                "then run again"
            )
        _unpack(artifact, archive, new)
        with open(f"{new}/.sha256", "w") as recorded:
            recorded.write(found)
        _record(new)
        if _is_of(artifact):
            _mend(new, folder(artifact))
        else:
            shutil.rmtree(folder(artifact), ignore_errors=True)
            os.rename(new, folder(artifact))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise Failure(
            f"no space is left below {ROOT}; free some or enlarge the disk, then run again"
        ) from None
    finally:
        shutil.rmtree(new, ignore_errors=True)
    say(f"staged {artifact['name']} {artifact['version']}")


def _record(where: str) -> None:
    """Write down what lies in a folder, so that a later look can tell what has become of it."""
    names = sorted(name for name in os.listdir(where) if not name.startswith("."))
    with open(f"{where}/{RECORD}", "w") as record:
        json.dump({name: look(f"{where}/{name}") for name in names}, record, indent=1)


def _mend(new: str, where: str) -> None:
    """Replace what differs in a folder that stays, a file at a time: what runs from the others goes on."""
    for name in sorted(os.listdir(new)):
        if look(f"{new}/{name}") != look(f"{where}/{name}"):
            os.replace(f"{new}/{name}", f"{where}/{name}")


def _download(url: str, target: str, way_out: proxy.Proxy | None = None) -> str:
    """Fetch a URL into a file and give the sha256 of what came; a lost connection is tried again."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _fetch(url, target, way_out)
        except (OSError, http.client.HTTPException) as error:
            full = isinstance(error, OSError) and error.errno == errno.ENOSPC
            if full:
                raise
            refused = isinstance(error, urllib.error.HTTPError) and error.code < 500
            if refused or attempt == ATTEMPTS:
                raise Failure(
                    f"{url} could not be fetched in {attempt} attempts ({error}); check that this machine reaches "
                    "it, or name a mirror in artifacts.mirror"
                ) from None
            time.sleep(attempt)
    raise AssertionError("unreachable")


def _fetch(url: str, target: str, way_out: proxy.Proxy | None = None) -> str:
    """One attempt. A connection that ends early is an error of its own, not a wrong digest."""
    digest = hashlib.sha256()
    with proxy.open_url(url, way_out, 30) as source, open(target, "wb") as sink:
        while chunk := source.read(CHUNK):
            digest.update(chunk)
            sink.write(chunk)
        promised = source.headers.get("Content-Length")
        if promised is not None and int(promised) != sink.tell():
            raise ConnectionError(f"the connection ended after {sink.tell()} of {promised} bytes")
    return digest.hexdigest()


def _unpack(artifact: dict[str, Any], archive: str, target: str) -> None:
    """Put the wanted files of an archive, or the single file itself, into the folder; executable."""
    if "reference" in artifact:
        os.rename(archive, f"{target}/image.tar")
        with open(f"{target}/reference", "w") as file:
            file.write(artifact["reference"])
        return
    if not tarfile.is_tarfile(archive):
        os.rename(archive, f"{target}/{artifact['name']}")
        os.chmod(f"{target}/{artifact['name']}", 0o755)
        return
    wanted = set(artifact["binaries"])
    with tarfile.open(archive) as members:
        for member in members:
            name = os.path.basename(member.name)
            source = (
                members.extractfile(member) if member.isfile() and ("*" in wanted or name in wanted) else None
            )
            if source is None:
                continue
            with source, open(f"{target}/{name}", "wb") as sink:
                shutil.copyfileobj(source, sink, CHUNK)
            os.chmod(f"{target}/{name}", 0o755)
    os.unlink(archive)
    absent = wanted - {"*"} - set(os.listdir(target))
    if absent:
        raise Failure(
            f"the archive of {artifact['name']} {artifact['version']} lacks {', '.join(sorted(absent))}"
        )
