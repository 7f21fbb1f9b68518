"""The base tree's recipe and its mirror. That debootstrap makes a tree is shown by the real machines."""

from pathlib import Path

import pytest

from lab import apt_sources, base, paths
from lab.apt_sources import Source
from lab.errors import LabError

MIRROR = "http://mirror.example/debian"
DEB822 = f"""\
# the computer's own mirror
Types: deb
URIs: {MIRROR}
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian.gpg

Types: deb
URIs: http://elsewhere.example/tools
Suites: nodistro
Components: main
"""
UBUNTU = f"deb [arch=amd64 signed-by=/etc/keys/u.gpg] {MIRROR} bookworm main universe restricted # own\n"


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "os-release").write_text('ID=debian\nVERSION_CODENAME="bookworm"\n')
    monkeypatch.setattr(apt_sources, "APT", tmp_path)
    monkeypatch.setattr(apt_sources, "OS_RELEASE", tmp_path / "os-release")
    return tmp_path


def test_mirror_is_the_one_that_apt_uses(apt: Path) -> None:
    (apt / "sources.list.d/own.sources").write_text(DEB822)
    assert apt_sources.own_source() == Source(MIRROR, "bookworm", ("main",), "/usr/share/keyrings/debian.gpg")


def test_mirror_is_read_from_the_old_form_too(apt: Path) -> None:
    (apt / "sources.list").write_text(f"# deb http://no.example bookworm main\n{UBUNTU}")
    assert apt_sources.own_source() == Source(MIRROR, "bookworm", ("main", "universe"), "/etc/keys/u.gpg")


def test_disabled_and_foreign_sources_are_not_used(apt: Path) -> None:
    (apt / "sources.list.d/off.sources").write_text(
        DEB822.replace("Types: deb\n", "Types: deb\nEnabled: no\n")
    )
    with pytest.raises(
        LabError, match="no source offers suite bookworm, component main; add this computer's own"
    ):
        apt_sources.own_source()


def test_a_computer_without_a_release_name_is_refused(apt: Path) -> None:
    (apt / "os-release").write_text("ID=arch\n")
    with pytest.raises(LabError, match=r"needs Debian 12 or later, or Ubuntu 24\.04 or later"):
        apt_sources.own_source()


def test_another_package_makes_another_tree(apt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (apt / "sources.list.d/own.sources").write_text(DEB822)
    before = base.tree()
    assert before == base.tree()
    monkeypatch.setattr(base, "PACKAGES", (*base.PACKAGES, "strace"))
    assert base.tree() != before


def test_a_failed_making_says_why_and_leaves_no_tree(
    apt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (apt / "sources.list.d/own.sources").write_text(DEB822)
    fake = tmp_path / "bin/debootstrap"
    fake.parent.mkdir()
    fake.write_text(
        '#!/bin/sh\neval "d=\\${$(($# - 1))}"\nmkdir -p "$d/etc"\necho "E: no such mirror"\nexit 1\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:/usr/bin:/bin")
    monkeypatch.setattr(paths, "CACHE", tmp_path / "cache")
    with pytest.raises(LabError, match=r"is the mirror of apt reachable\?[^$]*E: no such mirror"):
        base.ensure()
    assert not base.tree().exists()
    assert [path.suffix for path in (tmp_path / "cache/base").iterdir() if path.is_dir()] == []


def test_a_full_disk_is_told_before_anything_is_made(
    apt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (apt / "sources.list.d/own.sources").write_text(DEB822)
    monkeypatch.setattr(paths, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(base, "FREE_BYTES", 2**60)
    with pytest.raises(LabError, match=r"MiB free, the base tree needs .* set HARDWAY_CACHE"):
        base.ensure()


def test_a_disk_keeps_the_tree_it_was_made_on(
    apt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (apt / "sources.list.d/own.sources").write_text(DEB822)
    monkeypatch.setattr(paths, "CACHE", tmp_path)
    earlier = tmp_path / "base/bookworm-earlier"
    earlier.mkdir(parents=True)
    base.tree().mkdir()
    assert base.existing("bookworm-earlier") == earlier
    with pytest.raises(LabError, match="bookworm-lost: the base tree of an existing machine is gone"):
        base.existing("bookworm-lost")
