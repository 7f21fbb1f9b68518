"""Owned files, folders, links and binaries on the disk, against digests. What nobody of ours owns is no drift."""

import grp
import os
import pwd
import stat
from typing import Any

from components.agent import downloads, packages
from components.agent.files import owned
from components.agent.findings import ACTIVATE, PREPARE, finding

Finding = dict[str, str]


def files_and_links(bundle: dict[str, Any]) -> tuple[str, list[Finding]]:
    """Content, owner and mode of each owned file and folder, targets of links, and files that are owned no more."""
    found = []
    for file in bundle["files"]:
        what = _file_differs(file)
        if what:
            found.append(finding(file["path"], what, file["by"]))
    for folder in bundle["folders"]:
        what = _owner_differs(folder) if os.path.isdir(folder["path"]) else "is not there"
        if what:
            found.append(finding(folder["path"], what, ACTIVATE))
    for link, target in bundle["links"].items():
        what = _link_differs(link, target)
        if what:
            found.append(finding(link, what, ACTIVATE))
    known = {file["path"] for file in bundle["files"]}
    found += [
        finding(path, "was left by a run that did not end; the state does not know it", ACTIVATE)
        for path in owned()
        if path not in known and os.path.lexists(path)
    ]
    found += [
        finding(path, "is there, and this machine's own facts ask for none", PREPARE)
        for path in bundle["unwanted"]
        if os.path.exists(path)
    ]
    return f"{len(bundle['files'])} files, {len(bundle['links'])} links", found


def _file_differs(file: dict[str, Any]) -> str:
    seen = downloads.look(file["path"])
    if seen is None:
        return "is not there"
    if not stat.S_ISREG(os.stat(file["path"]).st_mode):
        return "is no regular file"
    return "has another content" if seen["sha256"] != file["sha256"] else _owner_differs(file)


def _owner_differs(wanted: dict[str, Any]) -> str:
    status = os.stat(wanted["path"])
    mode = stat.S_IMODE(status.st_mode)
    if mode != wanted["mode"]:
        return f"has mode {mode:04o}, not {wanted['mode']:04o}"
    owner, group = _user(status.st_uid), _group(status.st_gid)
    if (owner, group) != (wanted["owner"], wanted["owner"]):
        return f"belongs to {owner}:{group}, not to {wanted['owner']}:{wanted['owner']}"
    return ""


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _link_differs(link: str, target: str) -> str:
    if not os.path.lexists(link):
        return "is not there"
    if not os.path.islink(link):
        return f"is no link to {target}"
    if os.readlink(link) != target:
        return f"leads to {os.readlink(link)}, not to {target}"
    return ""


def binaries(bundle: dict[str, Any]) -> tuple[str, list[Finding]]:
    """Each staged file against the digest in the state, and the packages that prepare installs."""
    # One after the other: hundreds of megabytes are read beside what serves.
    found = [one for artifact in bundle["artifacts"] for one in _artifact(artifact)]
    missing = packages.missing(bundle["packages"])
    found += [finding(f"package {name}", "is not installed", PREPARE) for name in missing]
    unknown = [artifact["name"] for artifact in bundle["artifacts"] if not artifact["files"]]
    count = sum(len(artifact["files"]) for artifact in bundle["artifacts"])
    note = f"{count} files of {len(bundle['artifacts'])} artifacts"
    return note + (f"; no digests are known of {', '.join(unknown)}" if unknown else ""), found


def _artifact(artifact: dict[str, Any]) -> list[Finding]:
    found = []
    for name, sha256 in artifact["files"].items():
        path = f"{artifact['folder']}/{name}"
        seen = downloads.look(path)
        if seen is None:
            found.append(finding(path, "is not there", PREPARE))
        elif seen["sha256"] != sha256:
            found.append(finding(path, "is not the file that was staged", PREPARE))
        elif artifact["executable"] and seen["mode"] != 0o755:
            found.append(finding(path, f"has mode {seen['mode']:04o}, not 0755", PREPARE))
    return found
