"""Another host key for sshd: planted as a pair, offered alone, and taken back when sshd would not have it."""

from __future__ import annotations

import subprocess
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from components.agent import evidence, rotate_host_key
from components.agent.evidence import Failure


class Sshd:
    """sshd and systemctl that take notes; ssh-keygen is the real one.

    Attributes:
        calls: program and words, in order.
        refuses: the call that fails, and what it says.
        offered: what `sshd -T` tells; by default the key that the drop-in names.
    """

    def __init__(self, active: str | None = "ssh.service", refuses: tuple[str, str] = ("", "")) -> None:
        self.calls: list[str] = []
        self.active = active
        self.refuses = refuses
        self.offered = f"port 22\nhostkey {rotate_host_key.KEY}\n"

    def run(self, *command: str, timeout: float = 60, text: str | None = None) -> str:
        """One call."""
        if command[0] == "ssh-keygen":
            return evidence.run(*command, text=text)
        call = " ".join(command)
        self.calls.append(call)
        if call == self.refuses[0]:
            raise Failure(self.refuses[1])
        return self.offered if command[-1] == "-T" else ""

    def succeeds(self, *command: str) -> bool:
        """Whether a unit is active."""
        return command[-1] == self.active


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands in for /etc/ssh."""
    monkeypatch.setattr(rotate_host_key, "machine_lock", nullcontext)
    paths = {
        "KEY": tmp_path / "ssh_host_ed25519_key",
        "PUBLIC": tmp_path / "ssh_host_ed25519_key.pub",
        "DROP_IN": tmp_path / "sshd_config.d/05-hardway-host-key.conf",
    }
    modes = dict(zip(map(str, paths.values()), (0o600, 0o644, 0o644), strict=True))
    for name, path in paths.items():
        monkeypatch.setattr(rotate_host_key, name, str(path))
    monkeypatch.setattr(rotate_host_key, "_MODES", modes)
    paths["KEY"].write_text("old key\n")
    paths["PUBLIC"].write_text("old public\n")
    (tmp_path / "ssh_host_rsa_key").write_text("rsa key\n")
    return tmp_path


def pair(folder: Path, kind: str = "ed25519") -> dict[str, Any]:
    """A bundle with a new key."""
    path = folder.parent / f"{folder.name}-{kind}"
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "cp-0", "-f", str(path)], check=True)
    public = path.with_suffix(".pub").read_text()
    return {"key": path.read_text(), "public": public, "identity": "i-1", "digest": "d"}


def use(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> Sshd:
    monkeypatch.setattr(rotate_host_key, "command", sshd.run)
    monkeypatch.setattr(rotate_host_key, "succeeds", sshd.succeeds)
    return sshd


def tree(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


OLD = {
    "ssh_host_ed25519_key": "old key\n",
    "ssh_host_ed25519_key.pub": "old public\n",
    "ssh_host_rsa_key": "rsa key\n",
}


@pytest.mark.parametrize("unit", ["ssh.service", "sshd.service"])
def test_sshd_is_reloaded_with_the_new_pair_after_it_was_checked(
    folder: Path, monkeypatch: pytest.MonkeyPatch, unit: str
) -> None:
    sshd, bundle = use(Sshd(unit), monkeypatch), pair(folder)
    assert rotate_host_key.run(bundle) == {
        "digest": "d",
        "identity": "i-1",
        "public": bundle["public"].strip(),
    }
    assert tree(folder) == {
        **OLD,
        "ssh_host_ed25519_key": bundle["key"],
        "ssh_host_ed25519_key.pub": bundle["public"],
        "sshd_config.d/05-hardway-host-key.conf": "# Hardway pins this key, so sshd offers no other.\n"
        f"HostKey {folder}/ssh_host_ed25519_key\n",
    }
    assert (folder / "ssh_host_ed25519_key").stat().st_mode & 0o777 == 0o600
    assert sshd.calls == ["/usr/sbin/sshd -t", "/usr/sbin/sshd -T", f"systemctl reload {unit}"]


def test_a_second_run_writes_nothing_and_reloads_since_the_first_may_have_ended_before_that(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = pair(folder)
    use(Sshd(), monkeypatch)
    rotate_host_key.run(bundle)
    sshd = use(Sshd(), monkeypatch)
    written: list[str] = []
    monkeypatch.setattr(rotate_host_key, "write_file", lambda path, *_: written.append(path))
    rotate_host_key.run(bundle)
    assert written == []
    assert sshd.calls[-1] == "systemctl reload ssh.service"
    assert capsys.readouterr().err == "sshd has its new host key\nsshd has this host key already\n"


def test_where_a_socket_starts_sshd_for_each_connection_nothing_is_reloaded(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sshd = use(Sshd(active=None), monkeypatch)
    rotate_host_key.run(pair(folder))
    assert sshd.calls == ["/usr/sbin/sshd -t", "/usr/sbin/sshd -T"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("/usr/sbin/sshd -t", "sshd would not start with the new host key, so the old one is back: no"),
        ("systemctl reload ssh.service", "no"),
    ],
)
def test_the_old_key_is_back_when_sshd_would_not_have_the_new_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch, call: str, message: str
) -> None:
    use(Sshd(refuses=(call, "no")), monkeypatch)
    with pytest.raises(Failure) as caught:
        rotate_host_key.run(pair(folder))
    assert str(caught.value) == message
    assert tree(folder) == OLD
    assert (folder / "ssh_host_ed25519_key").stat().st_mode & 0o777 == 0o600


def test_the_old_key_is_back_when_sshd_does_not_read_our_drop_in(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sshd = use(Sshd(), monkeypatch)
    sshd.offered = "port 22\nhostkey /etc/ssh/ssh_host_rsa_key\n"
    with pytest.raises(Failure, match=r"includes no .*/sshd_config\.d/\*\.conf; add that line at its top"):
        rotate_host_key.run(pair(folder))
    assert tree(folder) == OLD


def test_parts_of_two_keys_are_refused_before_anything_changes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sshd = use(Sshd(), monkeypatch)
    other = pair(folder, "ecdsa")
    for bundle in ({**pair(folder), "public": other["public"]}, other):
        with pytest.raises(
            Failure, match=r"^the new host key and its public part are no ed25519 pair; nothing was"
        ):
            rotate_host_key.run(bundle)
    assert (tree(folder), sshd.calls) == (OLD, [])


def test_what_is_no_key_is_refused_and_not_repeated(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(Sshd(), monkeypatch)
    with pytest.raises(Failure, match=r"^the new host key is no OpenSSH private key") as caught:
        rotate_host_key.run({**pair(folder), "key": "sentinel-of-a-secret"})
    assert "sentinel" not in str(caught.value) + capsys.readouterr().err
    assert tree(folder) == OLD
