"""Which versions may follow which, judged on the machine by what runs: the record of the last run may be old.

Asked are the machine's own links and every API server that answers. A machine on which nothing runs yet is refused
nothing for its own past. Rules: kubernetes.io, "Version Skew Policy"; see config/skew.py, which judges before a run.
"""

import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from components.agent.evidence import Failure

BIN = "/opt/hardway/bin"
KUBELET_BEHIND = 3
"""Minors that a kubelet may be older than an API server."""

Version = tuple[int, int]
"""Major and minor: a patch may go either way."""


def check(bundle: dict[str, Any], version_of: Callable[[str], str | None], bin_folder: str = BIN) -> None:
    """Refuse, before the first file changes, a version that must not follow what runs.

    Args:
        bundle: of activate.
        version_of: what the API server at a URL says that it is, such as v1.37.2; None when it does not answer.
        bin_folder: where the links to what runs lie.

    Raises:
        Failure: with what runs and the way out; nothing was changed.
    """
    wanted = bundle["versions"]
    for name in ("etcd", "kube-apiserver", "kubelet"):
        running = linked(name, bin_folder)
        if name in wanted and running:
            _check_own(name, running, wanted[name])
    if "kubelet" in wanted:
        _check_servers(bundle, version_of)


def linked(name: str, bin_folder: str = BIN) -> str | None:
    """The version that a program's link points at, as in /opt/hardway/kubelet/1.37.2-81fd0be1/kubelet."""
    try:
        target = os.readlink(f"{bin_folder}/{name}")
    except OSError:
        return None
    found = re.search(r"/(\d+\.\d+\.\d+)[^/]*/[^/]+$", target)
    return found[1] if found else None


def minor(version: str) -> Version:
    """Major and minor of v1.37.2 or 1.37.2."""
    major, second, *_ = version.removeprefix("v").split(".")
    return int(major), int(second)


def _check_own(name: str, running: str, wanted: str) -> None:
    now, then = minor(running), minor(wanted)
    if then < now:
        raise _refusal(
            f"{name} {running} runs here and {wanted} would take it back a minor. Write a patch of {_text(now)}"
        )
    # A kubelet may catch up in one step: it is drained before.
    if name != "kubelet" and then > (now[0], now[1] + 1):
        after = _text((now[0], now[1] + 1))
        raise _refusal(
            f"{name} {running} runs here and {wanted} would skip a minor. Write a patch of {after}"
        )


def _check_servers(bundle: dict[str, Any], version_of: Callable[[str], str | None]) -> None:
    """Judge against the API servers of the other machines, or of all, as many as answer."""
    own = f"//{bundle['machine']['address']}:"
    urls = [url for url in bundle["api_servers"] if own not in url]
    with ThreadPoolExecutor(max_workers=9) as pool:
        answers = zip(urls, pool.map(version_of, urls), strict=True)
        servers = {url: minor(version) for url, version in answers if version}
    if "kube-apiserver" in bundle["versions"]:
        _check_neighbours(bundle["versions"]["kube-apiserver"], servers)
    else:
        _check_kubelet(bundle["versions"]["kubelet"], servers)


def _check_neighbours(wanted: str, servers: dict[str, Version]) -> None:
    """API servers of one cluster may be a minor apart."""
    for url, version in servers.items():
        if abs(minor(wanted)[1] - version[1]) > 1:
            raise _refusal(
                f"the API server at {url} is {_text(version)}, and {wanted} is more than a minor away from it. Bring"
                " that machine to the minor in between first"
            )


def _check_kubelet(wanted: str, servers: dict[str, Version]) -> None:
    """A worker's kubelet may talk to any of them. On a control-plane machine it talks to its own, see its balancer."""
    for url, version in servers.items():
        if minor(wanted) > version:
            raise _refusal(
                f"the API server at {url} is {_text(version)}, and a kubelet of {wanted} would be ahead of it. Bring"
                " the control plane there first ('make up' does, in this order)"
            )
        if version[1] - minor(wanted)[1] > KUBELET_BEHIND:
            raise _refusal(
                f"the API server at {url} is {_text(version)}, and a kubelet of {wanted} would be more than"
                f" {KUBELET_BEHIND} minors behind it. Write a newer version"
            )


def _refusal(reason: str) -> Failure:
    return Failure(
        f"{reason} (kubernetes.version, artifacts.versions), then run again. Nothing was changed here"
    )


def _text(version: Version) -> str:
    return f"{version[0]}.{version[1]}"
