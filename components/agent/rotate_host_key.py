"""Gives sshd another ed25519 host key, for which the operator's side already holds the public part.

It changes neither who may log in nor what the caller pins. Key files of other types stay where they are: sshd is told
to offer this one alone instead, since a package upgrade would make files anew that were removed, and a client that
prefers their type would then meet a key that nobody pinned. A configuration that names other keys itself keeps them.
"""

import os
from typing import Any

from components.agent.evidence import Failure, say, succeeds, write_file
from components.agent.evidence import run as command
from components.agent.lock import machine_lock

KEY = "/etc/ssh/ssh_host_ed25519_key"
PUBLIC = f"{KEY}.pub"
DROP_IN = "/etc/ssh/sshd_config.d/05-hardway-host-key.conf"
SSHD = "/usr/sbin/sshd"
UNITS = ("ssh.service", "sshd.service")
_MODES = {KEY: 0o600, PUBLIC: 0o644, DROP_IN: 0o644}


def run(bundle: dict[str, Any]) -> dict[str, Any]:
    """Plant the key and have sshd offer it; connections that are open live on.

    Args:
        bundle: `key` (an OpenSSH private key, secret), `public` (its public part), `identity`, `digest`.

    Returns:
        digest, identity, and the public part that new connections meet.

    Raises:
        Failure: the two parts do not belong together, or sshd would not take the key; the old one is back then.
    """
    key, public = bundle["key"].strip() + "\n", bundle["public"].strip()
    with machine_lock():
        _check_pair(key, public)
        wanted = {
            KEY: key,
            PUBLIC: f"{public}\n",
            DROP_IN: f"# Hardway pins this key, so sshd offers no other.\nHostKey {KEY}\n",
        }
        before = {path: _read(path) for path in wanted}
        try:
            for path, text in wanted.items():
                if before[path] != text.encode():
                    write_file(path, text, _MODES[path])
            _check_configuration()
            _reload()
        except BaseException:
            _put_back(before)
            raise
    say("sshd has its new host key" if before[KEY] != key.encode() else "sshd has this host key already")
    return {"digest": bundle["digest"], "identity": bundle["identity"], "public": public}


def _check_pair(key: str, public: str) -> None:
    """Before anything changes: sshd would offer a key that nobody expects, and nobody could log in any more."""
    try:
        derived = command("ssh-keygen", "-y", "-f", "/dev/stdin", text=key).split()
    except Failure as failure:
        raise Failure(
            "the new host key is no OpenSSH private key without passphrase; nothing was changed. Give one: "
            f"{failure}"
        ) from None
    if derived[:2] != public.split()[:2] or derived[0] != "ssh-ed25519":
        raise Failure(
            "the new host key and its public part are no ed25519 pair; nothing was changed. Give both from one key"
        )


def _check_configuration() -> None:
    try:
        command(SSHD, "-t")
        offered = command(SSHD, "-T").splitlines()
    except Failure as failure:
        raise Failure(
            f"sshd would not start with the new host key, so the old one is back: {failure}"
        ) from None
    if f"hostkey {KEY}" not in offered:
        raise Failure(
            f"sshd does not offer {KEY}, so the old state is back: /etc/ssh/sshd_config includes no "
            f"{os.path.dirname(DROP_IN)}/*.conf; add that line at its top, then run again"
        )


def _reload() -> None:
    """Have the running sshd read its key anew; also when nothing differs, since a run may have ended before this."""
    unit = next((name for name in UNITS if succeeds("systemctl", "is-active", "--quiet", name)), None)
    if unit is not None:
        command("systemctl", "reload", unit)
    # Else a socket starts an sshd for each connection, and the next one reads the new key.


def _put_back(before: dict[str, bytes | None]) -> None:
    for path, content in before.items():
        if content is not None:
            write_file(path, content, _MODES[path])
        elif os.path.exists(path):
            os.unlink(path)


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None
