"""Files on a machine: written when they differ, removed when nobody wants them, and never half."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.agent import evidence, files


def entry(path: Path, text: str, mode: int = 0o600, owner: str = "root") -> dict[str, Any]:
    return {"path": str(path), "text": text, "mode": mode, "owner": owner}


@pytest.fixture
def manifest(tmp_path: Path) -> str:
    return str(tmp_path / "state/manifest.json")


def test_a_file_lands_with_its_text_mode_and_owner(
    tmp_path: Path, manifest: str, owners: dict[str, str]
) -> None:
    path = tmp_path / "etc/new/etcd.env"
    assert files.apply([entry(path, "a\n", 0o640, "etcd")], manifest) == [str(path)]
    assert path.read_text() == "a\n"
    assert path.stat().st_mode & 0o7777 == 0o640
    assert owners[str(path)] == "etcd"


def test_a_second_time_changes_nothing(tmp_path: Path, manifest: str) -> None:
    wanted = [entry(tmp_path / "a", "1"), entry(tmp_path / "b", "2")]
    files.apply(wanted, manifest)
    times = [(tmp_path / name).stat().st_mtime_ns for name in "ab"]
    assert files.apply(wanted, manifest) == []
    assert [(tmp_path / name).stat().st_mtime_ns for name in "ab"] == times


def test_a_mode_that_somebody_loosened_is_put_back_without_calling_it_a_change(
    tmp_path: Path, manifest: str
) -> None:
    path = tmp_path / "key"
    files.apply([entry(path, "secret")], manifest)
    path.chmod(0o644)
    assert files.apply([entry(path, "secret")], manifest) == []
    assert path.stat().st_mode & 0o777 == 0o600


def test_only_the_files_that_differ_are_named(tmp_path: Path, manifest: str) -> None:
    files.apply([entry(tmp_path / "a", "1"), entry(tmp_path / "b", "2")], manifest)
    assert files.apply([entry(tmp_path / "a", "1"), entry(tmp_path / "b", "3")], manifest) == [
        str(tmp_path / "b")
    ]


def test_a_file_that_left_the_tree_leaves_the_machine_and_foreign_files_stay(
    tmp_path: Path, manifest: str
) -> None:
    (tmp_path / "foreign").write_text("the operator's")
    files.apply([entry(tmp_path / "a", "1"), entry(tmp_path / "b", "2")], manifest)
    assert files.apply([entry(tmp_path / "a", "1")], manifest) == [str(tmp_path / "b")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "foreign", "state"]
    assert files.owned(manifest) == [str(tmp_path / "a")]


def test_a_file_that_is_already_gone_is_no_reason_to_stop(tmp_path: Path, manifest: str) -> None:
    files.apply([entry(tmp_path / "a", "1")], manifest)
    (tmp_path / "a").unlink()
    assert files.apply([], manifest) == [str(tmp_path / "a")]
    assert files.owned(manifest) == []


def test_an_interrupted_run_still_owns_what_it_wrote(
    tmp_path: Path, manifest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.apply([entry(tmp_path / "old", "0")], manifest)

    def killed(path: str, *_: object) -> None:
        raise KeyboardInterrupt(path)

    whole = evidence.write_file

    def write(path: str, *rest: Any) -> None:
        (killed if path == str(tmp_path / "b") else whole)(path, *rest)

    monkeypatch.setattr(files, "write_file", write)
    with pytest.raises(KeyboardInterrupt):
        files.apply([entry(tmp_path / "a", "1"), entry(tmp_path / "b", "2")], manifest)
    monkeypatch.undo()
    assert json.loads(Path(manifest).read_text()) == sorted(
        str(tmp_path / name) for name in ("a", "b", "old")
    )
    # The next run wants neither: nothing of the interrupted one is left behind.
    monkeypatch.setattr(evidence, "set_owner", lambda *_: None)
    assert files.apply([], manifest) == sorted(str(tmp_path / name) for name in ("a", "b", "old"))
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_a_fresh_machine_owns_nothing(tmp_path: Path) -> None:
    assert files.owned(str(tmp_path / "absent.json")) == []


def test_what_would_change_is_told_without_changing_it(tmp_path: Path) -> None:
    (tmp_path / "same").write_text("1")
    (tmp_path / "other").write_text("1")
    os.symlink("target", tmp_path / "right")
    os.symlink("target", tmp_path / "wrong")
    wanted = [entry(tmp_path / "same", "1"), entry(tmp_path / "other", "2"), entry(tmp_path / "absent", "3")]
    links = {str(tmp_path / "right"): "target", str(tmp_path / "wrong"): "new", str(tmp_path / "none"): "t"}
    names = ("other", "absent", "wrong", "none")
    assert files.differing(wanted, links) == [str(tmp_path / name) for name in names]
    assert (tmp_path / "other").read_text() == "1"


def test_links_are_switched_in_one_step_and_only_where_they_differ(tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    links = {str(folder / "kubelet"): "/opt/1/kubelet", str(folder / "kubectl"): "/opt/1/kubectl"}
    assert files.switch_links(links) == list(links)
    links[str(folder / "kubelet")] = "/opt/2/kubelet"
    (folder / "kubelet.hardway-new").symlink_to("left by a killed run")
    assert files.switch_links(links) == [str(folder / "kubelet")]
    assert os.readlink(folder / "kubelet") == "/opt/2/kubelet"
    assert sorted(os.listdir(folder)) == ["kubectl", "kubelet"]
    assert files.switch_links(links) == []


def test_folders_get_their_owner_and_mode_even_when_they_exist(
    tmp_path: Path, owners: dict[str, str]
) -> None:
    (tmp_path / "pki").mkdir(mode=0o755)
    files.make_folders([{"path": str(tmp_path / "pki"), "owner": "etcd", "mode": 0o700}])
    assert (tmp_path / "pki").stat().st_mode & 0o777 == 0o700
    assert owners[str(tmp_path / "pki")] == "etcd"


def test_readers_see_the_old_file_until_the_new_one_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    evidence.write_file(str(path), "old")
    seen: list[str] = []
    replace = os.replace

    def look_then_replace(source: str, target: str) -> None:
        seen.append(path.read_text())
        replace(source, target)

    monkeypatch.setattr(os, "replace", look_then_replace)
    evidence.write_file(str(path), "new", 0o600)
    assert (seen, path.read_text()) == (["old"], "new")
    assert [one.name for one in tmp_path.iterdir()] == ["a"]


def test_a_secret_is_never_readable_by_others_even_for_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[int] = []
    monkeypatch.setattr(evidence, "set_owner", lambda path, *_: modes.append(os.stat(path).st_mode & 0o777))
    evidence.write_file(str(tmp_path / "key"), "secret", 0o644)
    assert modes == [0o600]


def test_a_digest_changes_with_content_name_link_and_absence(tmp_path: Path) -> None:
    one, two, link = tmp_path / "1", tmp_path / "2", tmp_path / "link"
    one.write_text("x")
    two.write_text("x")
    digests = {files.digest([str(one)]), files.digest([str(two)]), files.digest([str(tmp_path / "absent")])}
    link.symlink_to("v1")
    digests.add(files.digest([str(link)]))
    link.unlink()
    link.symlink_to("v2")
    digests.add(files.digest([str(link)]))
    one.write_text("y")
    digests.add(files.digest([str(one)]))
    assert len(digests) == 6


@given(st.permutations(["/etc/a", "/etc/b", "/etc/c"]))
def test_a_digest_does_not_depend_on_the_order(paths: list[str]) -> None:
    assert files.digest(paths) == files.digest(sorted(paths))
