"""A project, a cache and a PATH of the test's own; no network and nothing of the user's."""

from pathlib import Path

import pytest

from lab import engine, paths, publishers
from tests.workstation.fakes import Programs

STACK = """\
config:
  aws:region: eu-central-1
  hardway:cluster:
    name: dev
    platform:
      kind: aws
      adminCidrs: [192.0.2.0/24]
      images:
        amd64: ami-0123456789abcdef0
        arm64: ami-0123456789abcdef1
    controlPlane:
      count: 3
    workerPools:
      - name: general
        count: 2
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder with one stack, `dev`, on aws."""
    for name in ("PROJECT", "CACHE", "MIRROR", "STATE", "VENV", "PULUMI_HOME"):
        monkeypatch.setattr(paths, name, tmp_path / name.lower())
    monkeypatch.setattr(engine, "BIN", paths.PULUMI_HOME / "bin")
    monkeypatch.setattr(engine, "_STAMP", paths.PULUMI_HOME / "bin" / ".version")
    monkeypatch.setattr(publishers, "_answers", {"get.pulumi.com": False})
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    paths.PROJECT.mkdir()
    (paths.PROJECT / "Pulumi.dev.yaml").write_text(STACK)
    return paths.PROJECT


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """The whole PATH."""
    made = Programs(tmp_path / "programs")
    monkeypatch.setenv("PATH", str(made.folder))
    return made
