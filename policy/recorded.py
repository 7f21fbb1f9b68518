"""A stack's resources without an engine: the program runs under the tests' recorder, its providers made up.

Values are what the program asks for; no AWS account is looked at. A stack file is evaluated as it stands, with
made-up digests and login key, since no rule looks at them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from config.stack_file import KEY
from policy.model import PROVIDER, UNKNOWN, Resource, default_tags_of
from tests.config.clusters import any_digests
from tests.program import recording, wire

PROJECT = Path(__file__).resolve().parents[1]


def stack_files(project: Path = PROJECT) -> list[Path]:
    """Every stack file, examples included, but for what end-to-end tests leave."""
    files = (path for path in project.glob("Pulumi.*.yaml") if "e2e" not in path.name)
    return sorted(path for path in files if KEY in _config(path))


def resources_of(path: Path, *, preview: bool = False) -> list[Resource]:
    """The resources that the program would make for a stack file.

    Args:
        path: the stack file.
        preview: leave outputs unknown, as a preview of a new stack does.

    Raises:
        Exception: whatever the program raises, such as for a mistake in the settings.
    """
    config = _config(path)
    with tempfile.NamedTemporaryFile("w", suffix=".key") as key:
        key.write("stands for the operator's login key")
        key.flush()
        settings = _filled(config[KEY], key.name)
        stack = path.name.removeprefix("Pulumi.").removesuffix(".yaml")
        run = recording.run_program(settings, preview=preview, region=config.get("aws:region"), stack=stack)
        return translate(run.resources)


def _filled(settings: dict[str, Any], key: str) -> dict[str, Any]:
    """Settings with a digest for everything, and a readable file where they name the operator's login key."""
    artifacts = {**settings.get("artifacts", {}), "digests": any_digests()}
    platform = settings["platform"]
    if "privateKeyFile" in platform.get("ssh", {}):
        platform = {**platform, "ssh": {**platform["ssh"], "privateKeyFile": key}}
    return {**settings, "artifacts": artifacts, "platform": platform}


def translate(recorded: Iterable[recording.Resource]) -> list[Resource]:
    """Recorded resources as rules see them, each with the tags that its provider adds."""
    everything = tuple(recorded)
    defaults = {one.urn: default_tags_of(_plain(one.inputs)) for one in everything if one.type == PROVIDER}
    return [
        Resource(one.type, one.name, _plain(one.inputs), defaults.get(one.provider, {})) for one in everything
    ]


def _config(path: Path) -> dict[str, Any]:
    return (yaml.safe_load(path.read_text()) or {}).get("config") or {}


def _plain(value: Any) -> Any:
    """A recorded value with secrets opened and the engine's word for "not known" replaced."""
    opened = wire.open_up(value)
    if isinstance(opened, Mapping):
        return {key: _plain(one) for key, one in opened.items()}
    if isinstance(opened, list):
        return [_plain(one) for one in opened]
    return UNKNOWN if opened == wire.UNKNOWN else opened
