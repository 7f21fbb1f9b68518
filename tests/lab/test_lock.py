"""`make lock ARGS=--mirror`: digests to paste, of what machines fetch and nothing else."""

import pytest
import yaml

from lab import lock, mirror
from lab.mirror import LockEntry


def entry(sha256: str) -> LockEntry:
    return LockEntry(sha256=sha256, file="f", source="built", seconds=1.0, size=1, modified=1)


def test_only_what_machines_fetch_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = {
        "kubelet/1.37.2/amd64": "a" * 64,
        "etcd/3.6.14/amd64": "b" * 64,
        "image-coredns/1.14.6/amd64": "c" * 64,
    }
    others = {
        "base/debian-12/amd64": "d" * 64,
        "image-base/1/amd64": "e" * 64,
        "kubelet-debug/1/amd64": "f" * 64,
    }
    stored = {key: entry(sha256) for key, sha256 in {**others, **wanted}.items()}
    monkeypatch.setattr(mirror, "read_lock", lambda: stored)
    lock.print_mirror()
    assert yaml.safe_load(capsys.readouterr().out) == {"digests": wanted}


def test_an_empty_mirror_prints_no_digest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mirror, "read_lock", dict)
    lock.print_mirror()
    assert yaml.safe_load(capsys.readouterr().out) == {"digests": {}}
