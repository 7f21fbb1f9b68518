"""The good part of bad settings, so that what is wrong between good values is told in the same run.

Bad values are cut out of a copy until it is valid. List elements that fall out shift the others; `Salvage`
remembers where each one stood in the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from config.mistakes import Path, path_of
from config.models import Settings

_STAND_INS: Mapping[Path, Any] = {
    ("name",): "unnamed",
    ("platform",): {"kind": "lab"},
    ("platform", "ssh"): {"privateKeyFile": "unnamed"},
    ("platform", "ssh", "privateKeyFile"): "unnamed",
}
"""For required values whose absence would take everything around them away. What is concluded from them is
dropped."""


@dataclass(frozen=True)
class Salvage:
    """Settings from what was good.

    Attributes:
        settings: valid.
        positions: by list, the places in the file that its remaining elements had.
    """

    settings: Settings
    positions: Mapping[Path, tuple[int, ...]]

    def path_in_file(self, path: Path) -> Path:
        """Where a value of these settings stands in the file."""
        result: Path = ()
        for part in path:
            kept = self.positions.get(result) if isinstance(part, int) else None
            result = (*result, kept[part] if kept and isinstance(part, int) else part)
        return result


def validate(value: object) -> Settings:
    """Validate the YAML's value, by its camelCase names only.

    Raises:
        ValidationError: as pydantic words it.
    """
    return Settings.model_validate(value, by_alias=True, by_name=False)


def salvage(value: object, bad: Iterable[Path]) -> Salvage | None:
    """What is left of a value without the bad places; None if that makes no settings."""
    cut = set(bad)
    while () not in cut:
        positions: dict[Path, tuple[int, ...]] = {}
        rest = _rest(value, (), cut, positions)
        try:
            return Salvage(validate(rest), positions)
        except ValidationError as error:
            shifted = Salvage(_ANY_SETTINGS, positions)
            found = [shifted.path_in_file(path_of(detail["loc"])) for detail in error.errors()]
        # A required value was cut out: what it belongs to has to go too.
        more = {path if path in _STAND_INS and path not in cut else path[:-1] for path in found}
        if more <= cut:
            return None
        cut |= more
    return None


_ANY_SETTINGS = Settings.model_validate({"name": "unnamed", "platform": {"kind": "lab"}})


def _rest(value: Any, path: Path, cut: set[Path], positions: dict[Path, tuple[int, ...]]) -> Any:
    """A copy without what is cut; notes the positions of the list elements that stay."""
    if isinstance(value, Mapping):
        kept = {
            key: _rest(item, (*path, key), cut, positions)
            for key, item in value.items()
            if (*path, key) not in cut
        }
        stand_ins = {
            place[-1]: good for place, good in _STAND_INS.items() if place[:-1] == path and place in cut
        }
        return {**kept, **stand_ins}
    if isinstance(value, list | tuple):
        stay = tuple(index for index in range(len(value)) if (*path, index) not in cut)
        positions[path] = stay
        return [_rest(value[index], (*path, index), cut, positions) for index in stay]
    return value
