"""An SSH key of the operator's own, from a file."""

from __future__ import annotations

from pathlib import Path

import pulumi


def read_key(path: str) -> str:
    """The private key in a file.

    Args:
        path: from the project's root; `~` is the user's home.

    Raises:
        pulumi.RunError: the file cannot be read.
    """
    try:
        return Path(path).expanduser().read_text()
    except OSError as error:
        raise pulumi.RunError(
            f"cluster.platform.ssh.privateKeyFile: {path} cannot be read ({error.strerror}); "
            "name the file with the private key that logs in on the machines. Nothing was touched."
        ) from None
