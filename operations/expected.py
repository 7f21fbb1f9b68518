"""What a machine must look like, from what its last good prepare and activate were given.

Pure: the documents of two bundles in, the data of the agent's `verify` out. Contents stay here: what travels are
sha256 digests, and a digest tells nothing of a key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from components.agent import cloud, machine_facts
from components.agent.findings import ACTIVATE, PREPARE

Document = Mapping[str, Any]
KERNEL_FILE_MODE = 0o644
"""Mode with which prepare writes them (`evidence.write_file`)."""


def expected(prepare: Document, prepared: Document, activate: Document) -> dict[str, Any]:
    """The data of `verify` for one machine.

    Args:
        prepare: document of its prepare.
        prepared: what that prepare gave; `members` has the digests of what came out of archives.
        activate: document of its activate.
    """
    drop_ins = _drop_ins(prepare, activate["facts"]) if activate["machine"]["node"] else {}
    files = [
        _file(file["path"], file["text"], file["mode"], file["owner"], ACTIVATE) for file in activate["files"]
    ]
    files += [
        _file(path, text, KERNEL_FILE_MODE, "root", PREPARE) for path, text in prepare["kernel_files"].items()
    ]
    files += [_file(path, text, 0o600, "root", PREPARE) for path, text in drop_ins.items()]
    possible = (*machine_facts.DROP_INS, cloud.DROP_IN) if activate["machine"]["node"] else ()
    content = {
        "machine": activate["machine"],
        "files": sorted(files, key=lambda file: str(file["path"])),
        "unwanted": [path for path in possible if path not in drop_ins],
        "drop_ins": [file["path"] for file in files if ".d/" in file["path"]],
        "folders": activate["folders"],
        "links": activate["links"],
        "units": activate["units"],
        "versions": activate["versions"],
        "packages": prepare["packages"],
        "artifacts": [_artifact(one, prepared.get("members", {})) for one in prepare["artifacts"]],
        "certificates": _leaves(activate["files"]),
        "api": activate["api"],
        "api_port": urlsplit(activate["api_servers"][0]).port if activate["api_servers"] else None,
    }
    return content | ({"etcd": activate["etcd"]} if "etcd" in activate else {})


def _drop_ins(prepare: Document, told: Document) -> dict[str, str]:
    facts = {name: value for name, value in told.items() if name != "provider_id"}
    planted = machine_facts.drop_ins(machine_facts.Facts(**facts), prepare["pods"])
    return planted | cloud.drop_in(told.get("provider_id"))


def _file(path: str, text: str, mode: int, owner: str, by: str) -> dict[str, Any]:
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    return {"path": path, "sha256": sha256, "mode": int(mode), "owner": owner, "by": by}


def _artifact(artifact: Document, members: Mapping[str, Any]) -> dict[str, Any]:
    """Digests of an artifact's files: its own, or those that its archive's files had when they were staged."""
    if "reference" in artifact:
        files = {"image.tar": artifact["sha256"]}
    elif artifact["folder"] in members:
        files = dict(members[artifact["folder"]])
    elif artifact["binaries"] == [artifact["name"]] and not _is_archive(artifact):
        files = {artifact["name"]: artifact["sha256"]}
    else:
        files = {}
    return {
        "name": artifact["name"],
        "folder": artifact["folder"],
        "executable": "reference" not in artifact,
        "files": files,
    }


def _is_archive(artifact: Document) -> bool:
    return str(artifact["url"]).endswith((".tar.gz", ".tgz", ".tar"))


def _leaves(files: list[Document]) -> list[str]:
    """Certificates that have a key beside them, so no authorities."""
    paths = {str(file["path"]) for file in files}
    return sorted(
        path for path in paths if path.endswith(".crt") and f"{path.removesuffix('.crt')}.key" in paths
    )
