"""Event logs of real runs, with all inputs and outputs taken out.

`first-up` is the lab's first `make up` by the engine's whole seconds, with what its state told of its commands;
`failed-up` a run of three commands of which one failed, with arrival times.
"""

import json
from pathlib import Path
from typing import Any

from lab import event_log
from lab.event_log import Heard

FOLDER = Path(__file__).parent / "recorded"
FIRST_UP = FOLDER / "first-up.json"
FAILED_UP = FOLDER / "failed-up.json"
MACHINES = {
    "lb-0": False,
    "cp-0": True,
    "cp-1": True,
    "cp-2": True,
    "worker-general-0": True,
    "worker-general-1": True,
}
"""The machines of the first run, and whether each became a Node."""
CHAIN = [
    "bridge",
    "machine-cp-0",
    "prepare-cp-0",
    "activate-cp-0",
    "activate-cp-1",
    "activate-cp-2",
    "activate-worker-general-0",
    "activate-worker-general-1",
    "ready",
]
"""The critical path of the first run."""


def heard(log: Path, until: float = float("inf")) -> list[Heard]:
    """The events of a recorded run up to a second."""
    return [one for one in event_log.read(log) if one.seconds <= until]


def state() -> list[dict[str, Any]]:
    """The resources that the first run left, as the engine exports them."""
    return list(json.loads((FOLDER / "first-up.state.json").read_text()))
