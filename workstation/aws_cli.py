"""The AWS command line: one bounded call at a time, and its failures in plain words.

It reads only. Credentials are the user's own business: nothing here asks for, prints or keeps one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import Any

from lab.errors import LabError

SECONDS = 15.0
"""How long one call may take, the look for credentials included."""
_NO_CREDENTIALS = (
    "Unable to locate credentials",
    "NoCredentials",
    "could not be found",
    "Partial credentials",
)
_BAD_CREDENTIALS = (
    "ExpiredToken", "RequestExpired", "InvalidClientTokenId", "AuthFailure", "SignatureDoesNotMatch",
    "Token has expired", "UnrecognizedClient",
)  # fmt: skip
_FORBIDDEN = ("UnauthorizedOperation", "AccessDenied")
_UNREACHABLE = ("Could not connect", "Connect timeout", "Read timeout", "Name or service not known")
_LOG_IN = "run `aws configure` or `aws sso login`, or set AWS_PROFILE"


def is_installed() -> bool:
    """Whether there is an `aws` in PATH."""
    return shutil.which("aws") is not None


def call(*arguments: str, region: str) -> Any:
    """Run `aws` in a region and return what it answered, parsed.

    Raises:
        LabError: it is not installed, has no credentials, may not do this, or does not answer in time.
    """
    command = ["aws", *arguments, "--region", region, "--output", "json"]
    # Two attempts fit into the time; with more a dead network would only be told by the limit.
    environ = {"AWS_MAX_ATTEMPTS": "2", **os.environ, "AWS_PAGER": ""}
    what = f"aws {' '.join(arguments[:2])}"
    try:
        done = subprocess.run(
            command,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise LabError(
            f"{what}: the AWS CLI is not installed; get version 2 from AWS, or `apt-get install awscli`"
        ) from None
    except subprocess.TimeoutExpired:
        raise LabError(
            f"{what}: no answer within {SECONDS:.0f} s; does this computer reach AWS in {region}? A proxy is set with "
            "HTTPS_PROXY"
        ) from None
    if done.returncode:
        raise LabError(f"{what}: {_reason(done.stderr.strip() or done.stdout.strip(), region)}")
    try:
        return json.loads(done.stdout)
    except ValueError:
        raise LabError(f"{what}: answered no JSON; is the `aws` in PATH the AWS CLI?") from None


def _reason(said: str, region: str) -> str:
    """Why a call failed, with the way out where there is a common one."""
    last = said.splitlines()[-1] if said else "failed without a word"
    hints = (
        (_NO_CREDENTIALS, f"no credentials; {_LOG_IN}"),
        (
            _BAD_CREDENTIALS,
            f"the credentials are not good for {region} (any more); {_LOG_IN}, or opt in to the region",
        ),
        (_FORBIDDEN, "these credentials may not do that; docs/iam has the policies that Hardway needs"),
        (
            _UNREACHABLE,
            f"AWS in {region} does not answer; look at the network, a proxy, or the region's name",
        ),
    )
    for marks, hint in hints:
        if any(mark in said for mark in marks):
            return f"{hint} (it said: {last})"
    return last
