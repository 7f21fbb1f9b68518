"""Checks of AWS: the command line, who it is, and whether it may look at the stack's region."""

from __future__ import annotations

import os
from collections.abc import Iterator

from lab.errors import LabError
from workstation import aws_cli, programs
from workstation.findings import Finding, doubtful, good, missing

GET_CLI = "AWS CLI version 2 from AWS, or `apt-get install awscli`"


def checks(region: str) -> Iterator[Finding]:
    """Everything that platform `aws` needs of AWS, for a stack in a region ("" when its file names none)."""
    if not aws_cli.is_installed():
        yield missing("AWS CLI", "none", GET_CLI)
        yield missing("AWS credentials", "not asked", "first the AWS CLI")
        return
    yield _command_line()
    if not region:
        yield missing("AWS region", "the stack file names none", "'aws:region: eu-central-1' below 'config:'")
        return
    caller = _caller(region)
    yield caller
    yield _region(region)
    if caller.remedy == "":
        yield _permission(region)


def _command_line() -> Finding:
    version = programs.version_in(programs.output(["aws", "--version"]))
    if not version:
        return missing("AWS CLI", "tells no version", GET_CLI)
    if version[0] < 2:
        return doubtful("AWS CLI", programs.told(version), "works; version 2 is the one that AWS maintains")
    return good("AWS CLI", programs.told(version))


def _caller(region: str) -> Finding:
    """Who the credentials belong to, asked of the stack's own region: one that is not opted in refuses."""
    try:
        told = aws_cli.call("sts", "get-caller-identity", region=region)
    except LabError as error:
        return missing("AWS credentials", "none that work", str(error))
    return good("AWS credentials", f"account {told.get('Account')}, {told.get('Arn')}")


def _region(region: str) -> Finding:
    """Where plain `aws` commands go: elsewhere than the stack is confusing, and nothing worse."""
    own = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    own = own or (programs.output(["aws", "configure", "get", "region"]) or "").strip()
    if own and own != region:
        return doubtful(
            "AWS region",
            f"the stack {region}, plain `aws` {own}",
            f"Pulumi goes by the stack file; for your own commands `export AWS_REGION={region}`",
        )
    return good("AWS region", region)


def _permission(region: str) -> Finding:
    """Whether these credentials may look at networks, the least that a preview needs."""
    try:
        aws_cli.call("ec2", "describe-vpcs", "--max-items", "1", region=region)
    except LabError as error:
        return missing("AWS permissions", "may not look at VPCs", str(error))
    return good("AWS permissions", "may look at VPCs; what else is needed: docs/iam")
