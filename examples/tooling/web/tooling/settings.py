"""What the site runs with: the environment and the secret files that it names. Read once, at the start."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

SECRETS = "/run/secrets/tooling"
SHORTEST_SESSION_KEY = 32
"""Bytes; the session cookie's signature is worth no more than its key."""


class SettingsError(ValueError):
    """A variable or a secret file is missing or unusable; the message names it and the way out."""


@dataclass(frozen=True)
class DatabaseSettings:
    """Where the database is and who we are there."""

    host: str
    port: int
    name: str
    user: str
    password: str = field(repr=False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "DatabaseSettings":
        """Read the `DATABASE_*` variables and the password's file.

        Raises:
            SettingsError: if the port is no number from 1 to 65535, or the password's file can't be read.
        """
        port = environment.get("DATABASE_PORT", "3306")
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise SettingsError(f"DATABASE_PORT: {port!r} is no port; give a number from 1 to 65535")
        return cls(
            host=environment.get("DATABASE_HOST", "database"),
            port=int(port),
            name=environment.get("DATABASE_NAME", "tooling"),
            user=environment.get("DATABASE_USER", "tooling"),
            password=read_secret("DATABASE_PASSWORD_FILE", "database-password", environment),
        )


@dataclass(frozen=True)
class Settings:
    """All that the web process needs to know.

    `version`, `pod`, `node` and `address` are only shown, so that one sees which replica answered.
    """

    database: DatabaseSettings
    session_key: str = field(repr=False)
    version: str = "1"
    pod: str = "-"
    node: str = "-"
    address: str = "-"
    burn: bool = False
    https: bool = False
    out_of_service_file: Path = Path("/tmp/out-of-service")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read every variable and secret file of the web process.

        Raises:
            SettingsError: if one is missing or unusable, or the session key is shorter than 32 bytes.
        """
        session_key = read_secret("SESSION_KEY_FILE", "session-key", environment)
        if len(session_key.encode()) < SHORTEST_SESSION_KEY:
            raise SettingsError(
                f"SESSION_KEY_FILE: the key has under {SHORTEST_SESSION_KEY} bytes; "
                "make one with: openssl rand -hex 32"
            )
        return cls(
            database=DatabaseSettings.from_environment(environment),
            session_key=session_key,
            version=environment.get("TOOLING_VERSION", "1"),
            pod=environment.get("POD_NAME") or socket.gethostname(),
            node=environment.get("NODE_NAME") or "-",
            address=environment.get("POD_IP") or "-",
            burn=environment.get("TOOLING_BURN") == "1",
            https=environment.get("TOOLING_HTTPS") == "1",
        )


def read_secret(variable: str, file: str, environment: Mapping[str, str] = os.environ) -> str:
    """Return the text of the file that a variable names, without the newline that editors add.

    Args:
        variable: for example `SESSION_KEY_FILE`.
        file: the name below `/run/secrets/tooling` that is used when the variable isn't set.
        environment: the process's own, unless a test says otherwise.

    Raises:
        SettingsError: if the file can't be read, is no text, or is empty.
    """
    path = Path(environment.get(variable) or f"{SECRETS}/{file}")
    try:
        text = path.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no text"
        raise SettingsError(f"{variable}: {path}: {reason}; mount the secret there") from error
    if not text:
        raise SettingsError(f"{variable}: {path}: empty; write the secret into it")
    return text
