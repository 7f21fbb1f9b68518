"""What `make backup` and `make recover` decide on the operator's computer."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import backend, paths, stack
from lab.errors import LabError
from operations import backup, recover, restore_drill

SALT = "v1:abc="
COMMITTED = {"config": {"hardway:cluster": {"name": "office", "platform": {"kind": "hosts"}}}}


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> stack.Stack:
    """A stack of hosts in a project of the test's own, with a passphrase and without a state."""
    monkeypatch.setattr(paths, "PROJECT", tmp_path)
    monkeypatch.setattr(paths, "STATE", tmp_path / "state")
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("x")
    monkeypatch.setattr(backend, "environment", lambda: {"PULUMI_CONFIG_PASSPHRASE_FILE": str(passphrase)})
    monkeypatch.setattr(stack, "exists", lambda _: False)
    (tmp_path / "Pulumi.office.yaml").write_text(yaml.safe_dump(COMMITTED))
    return stack.Stack("office")


def kept(folder: Path, **changes: Any) -> Path:
    """A folder as `make backup` leaves it."""
    folder.mkdir()
    about = {"stack": "office", "secrets": "passphrase", "taken": "then", "resources": 3, **changes}
    (folder / backup.STATUS).write_text(json.dumps(about))
    (folder / backup.STACK).write_text("{}")
    (folder / "Pulumi.office.yaml").write_text(yaml.safe_dump({"encryptionsalt": SALT, **COMMITTED}))
    return folder


def run(chosen: stack.Stack, folder: Path) -> int:
    """`make recover`."""
    return recover.run(chosen, argparse.Namespace(backup=str(folder)))


@pytest.mark.parametrize(
    ("provider", "expected"),
    [
        ({"type": "passphrase", "state": {"salt": "v1:x"}}, "passphrase"),
        ({"type": "cloud", "state": {"url": "awskms://alias/x"}}, "awskms://alias/x"),
        (None, "none"),
    ],
)
def test_who_decrypts_the_export_is_named_by_the_export(provider: Any, expected: str) -> None:
    assert backup.secrets_provider(json.dumps({"deployment": {"secrets_providers": provider}})) == expected


def test_a_lost_state_is_imported_under_the_salt_of_the_backup(
    office: stack.Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr(stack, "ensure", lambda _: done.append("ensure " + office.source.read_text()[:14]))
    monkeypatch.setattr(stack, "capture", lambda words: done.append(" ".join(words[:3])))
    monkeypatch.setattr(stack, "save_outputs", lambda _: {"machines": {"a": 1}})
    assert run(office, kept(tmp_path / "backup")) == 0
    assert done == ["ensure encryptionsalt", "pulumi stack import"]
    assert yaml.safe_load(office.source.read_text()) == {"encryptionsalt": SALT, **COMMITTED}


def test_a_stack_that_has_a_state_keeps_it(
    office: stack.Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack, "exists", lambda _: True)
    monkeypatch.setattr(stack, "exported", lambda _: [{}, {}])
    with pytest.raises(
        LabError,
        match=r"stack office has a state, with 2 resources\..*pulumi stack rm --force --preserve-config office",
    ):
        run(office, kept(tmp_path / "backup"))


def test_without_the_passphrase_nothing_is_made(
    office: stack.Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "passphrase").unlink()
    monkeypatch.setattr(stack, "ensure", lambda _: pytest.fail("made"))
    with pytest.raises(LabError, match=r"its secrets are encrypted with a passphrase, and .* does not exist"):
        run(office, kept(tmp_path / "backup"))


def test_another_salt_in_the_stack_file_is_refused(office: stack.Stack, tmp_path: Path) -> None:
    office.source.write_text(yaml.safe_dump({"encryptionsalt": "v1:other", **COMMITTED}))
    with pytest.raises(LabError, match="its encryptionsalt is another one than the backup's"):
        run(office, kept(tmp_path / "backup"))


def test_a_backup_of_another_stack_and_a_folder_that_is_none_are_refused(
    office: stack.Stack, tmp_path: Path
) -> None:
    with pytest.raises(LabError, match="is of stack home; run 'make recover STACK=home'"):
        run(office, kept(tmp_path / "backup", stack="home"))
    with pytest.raises(LabError, match="is no folder that 'make backup' made"):
        run(office, tmp_path / "absent")


def test_a_rehearsal_tells_age_distance_and_where_keys_differ() -> None:
    found = {
        "snapshot": "etcd-20261123T050000Z-700.db",
        "age_seconds": 90,
        "size": 4096,
        "hash": 11,
        "alike": True,
        "revision": 700,
        "kinds": {"pods": 4, "secrets": 2},
        "living": {"pods": 5, "secrets": 2},
        "behind": 12,
        "seconds": 2.5,
    }
    assert restore_drill.told("cp-2", found) == (
        "etcd-20261123T050000Z-700.db of cp-2 can be restored (2.5 s; nothing that runs was touched)\n"
        "  4096 bytes, 6 keys of 2 resources, revision 700\n"
        "  hash of all keys 0000000b, the living etcd's at that revision too\n"
        "  age 90 s; the living etcd is ahead by 12 revisions\n"
        "  keys by resource where both differ (snapshot, living):\n"
        "    pods                                  4      5"
    )
