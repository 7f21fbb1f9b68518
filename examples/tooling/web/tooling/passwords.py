"""Password hashes: werkzeug's scrypt, one at a time, and as slow for a name that nobody has."""

import hashlib
import hmac
import secrets
import threading

from werkzeug.security import check_password_hash, generate_password_hash

METHOD = "scrypt:32768:8:1"
"""Werkzeug's own default, written down so that every hash costs the same: about 60 ms and 32 MiB."""

_one_at_a_time = threading.Lock()


def hash_password(password: str) -> str:
    """Return a salted hash that names its method."""
    with _one_at_a_time:
        return generate_password_hash(password, METHOD)


def verify_password(password: str, password_hash: str) -> bool:
    """Tell whether this is the password of the hash.

    Hashes are computed one at a time in a process: each takes 32 MiB, and a few logins at once would be more memory
    than a container of this site is given.
    """
    with _one_at_a_time:
        return check_password_hash(password_hash, password)


class Passwords:
    """Verifies logins so that the time taken does not tell which names exist."""

    def __init__(self) -> None:
        self._nobody = hash_password(secrets.token_hex())

    def match(self, password: str, password_hash: str | None) -> bool:
        """Tell whether the password is right; None, for an unknown user, costs as much and is wrong."""
        right = verify_password(password, password_hash or self._nobody)
        return right and password_hash is not None


def stamp(password_hash: str, session_key: str) -> str:
    """Return what a session remembers of a password, so that a changed one ends the sessions of the old."""
    return hmac.new(session_key.encode(), password_hash.encode(), hashlib.sha256).hexdigest()[:32]
