"""Files that Hardway owns on a machine: written when they differ, removed when the tree has them no more."""

import hashlib
import json
import os
from typing import Any

from components.agent.evidence import set_owner, write_file

MANIFEST = "/var/lib/hardway/manifest.json"


def apply(files: list[dict[str, Any]], manifest: str = MANIFEST) -> list[str]:
    """Make the owned files so; gives the paths that changed or went.

    The manifest of what is owned is written before the first file appears, so that an interrupted run leaves
    no file that nobody would remove.

    Args:
        files: each with path, text, mode (an integer) and owner.
        manifest: where the list of owned paths lies.
    """
    before = owned(manifest)
    wanted = {file["path"]: file for file in files}
    write_file(manifest, json.dumps(sorted({*before, *wanted}), indent=1), 0o600)
    changed = [path for path, file in wanted.items() if _apply_one(file)]
    removed = [path for path in before if path not in wanted]
    for path in removed:
        if os.path.lexists(path):
            os.unlink(path)
    write_file(manifest, json.dumps(sorted(wanted), indent=1), 0o600)
    return [*changed, *removed]


def differing(files: list[dict[str, Any]], links: dict[str, str]) -> list[str]:
    """Paths of files and links that `apply` and `switch_links` would change."""
    changed = [file["path"] for file in files if not _is(file["path"], file["text"].encode())]
    return changed + [link for link, target in links.items() if not _points(link, target)]


def _is(path: str, data: bytes) -> bool:
    try:
        with open(path, "rb") as current:
            return current.read() == data
    except FileNotFoundError:
        return False


def _points(link: str, target: str) -> bool:
    return os.path.islink(link) and os.readlink(link) == target


def owned(manifest: str = MANIFEST) -> list[str]:
    """The paths that an earlier run owns; none on a fresh machine."""
    try:
        with open(manifest) as recorded:
            return list(json.load(recorded))
    except FileNotFoundError:
        return []


def _apply_one(file: dict[str, Any]) -> bool:
    path, data = file["path"], file["text"].encode()
    same = _is(path, data)
    if same:
        set_owner(path, file["owner"], file["mode"])
    else:
        write_file(path, data, file["mode"], file["owner"])
    return not same


def make_folders(folders: list[dict[str, Any]]) -> None:
    """Make folders with their owner and mode, which later files in them keep."""
    for folder in folders:
        os.makedirs(folder["path"], exist_ok=True)
        set_owner(folder["path"], folder["owner"], folder["mode"])


def switch_links(links: dict[str, str]) -> list[str]:
    """Point links at their targets, each in one step; gives the links that changed.

    Args:
        links: link to target, such as /opt/hardway/bin/kubelet to /opt/hardway/kubelet/1.37.2/kubelet.
    """
    changed = []
    for link, target in links.items():
        if _points(link, target):
            continue
        os.makedirs(os.path.dirname(link), exist_ok=True)
        if os.path.lexists(link + ".hardway-new"):
            os.unlink(link + ".hardway-new")
        os.symlink(target, link + ".hardway-new")
        os.replace(link + ".hardway-new", link)
        changed.append(link)
    return changed


def digest(paths: list[str]) -> str:
    """One sha256 over files' names and contents; a link counts by its target, a missing file by its name."""
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(path.encode() + b"\0")
        if os.path.islink(path):
            total.update(os.readlink(path).encode())
        elif os.path.isfile(path) and os.path.getsize(path) < 1 << 20:
            with open(path, "rb") as file:
                total.update(file.read())
        elif os.path.isfile(path):
            # Large files are artifacts in a folder of their version: name, size and time tell them apart.
            total.update(f"{os.path.getsize(path)} {os.path.getmtime(path)}".encode())
    return total.hexdigest()
