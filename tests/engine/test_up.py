"""What the first run makes, that a second one has nothing to do, what lies in the state, and how all of it goes."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.engine.cluster import Cluster, platform, settings
from tests.engine.conftest import Standing
from tests.engine.fakes import KEY_MARK

pytestmark = pytest.mark.engine

MACHINES = ("cp-0", "cp-1", "cp-2", "worker-general-0", "worker-general-1")
PROTECTED = ("LoadBalancer::api", "Volume::etcd-cp-0", "Volume::etcd-cp-1", "Volume::etcd-cp-2")


def test_the_first_run_creates_everything_and_works_on_each_machine_once(standing: Standing) -> None:
    run = standing.made
    assert set(run.changes) == {"create"}
    assert sorted(run.done) == sorted(f"create {name}" for name in standing.cluster.resources())
    assert sorted(run.phases()) == sorted(
        [
            *((f"{phase}-{machine}", phase) for phase in ("prepare", "activate") for machine in MACHINES),
            ("add-ons", "operate"),
            ("ready", "operate"),
        ]
    )


def test_control_plane_machines_are_activated_in_turn_and_workers_after_them(standing: Standing) -> None:
    activated = [name for name, phase in standing.made.phases() if phase == "activate"]
    assert activated == [f"activate-{machine}" for machine in MACHINES]


def test_a_second_run_has_nothing_to_do(cluster: Cluster, standing: Standing) -> None:
    again = cluster.up(settings())
    assert again.ok, again.text
    assert (again.done, again.changes) == ([], {"same": standing.made.changes["create"]})
    preview = cluster.preview(settings(), "--expect-no-changes")
    assert preview.ok, preview.text


def test_the_state_holds_no_private_key_that_could_be_read(standing: Standing) -> None:
    text = standing.cluster.checkpoint()
    assert [mark for mark in _spellings(KEY_MARK) if mark in text] == []
    assert [mark for mark in _spellings(KEY_MARK) if mark in standing.made.text] == []
    found = [mark for mark in _spellings(KEY_MARK) if mark in standing.cluster.opened()]
    # In plain text in keys, and as base64 in the kubeconfig: the search can find something.
    assert (len(found), found[0]) == (2, KEY_MARK)


def test_nothing_that_is_sent_to_a_machine_can_be_read_in_the_state(standing: Standing) -> None:
    sent = list(_values(json.loads(standing.cluster.checkpoint()), ("stdin", "userData", "privateKey")))
    assert len(sent) > 2 * len(MACHINES)
    assert [value for value in sent if not (isinstance(value, dict) and "ciphertext" in value)] == []


def _spellings(text: str) -> list[str]:
    """A text as it is, and what base64 makes of its middle at each of the three places where it can begin."""
    encoded = [base64.b64encode(b"x" * shift + text.encode()).decode()[4:-4] for shift in range(3)]
    return [text, *encoded]


def _values(tree: Any, keys: tuple[str, ...]) -> Iterator[Any]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            if key in keys and not isinstance(value, list):
                yield value
            yield from _values(value, keys)
    elif isinstance(tree, list):
        for value in tree:
            yield from _values(value, keys)


def test_protected_things_keep_everything_from_being_destroyed(cluster: Cluster) -> None:
    refused = cluster.destroy(settings())
    assert (refused.ok, refused.done) == (False, [])
    assert [name for name in PROTECTED if name not in refused.text] == []


def test_what_is_protected_no_more_is_destroyed_without_draining_anything(cluster: Cluster) -> None:
    unprotected = settings(platform=platform(deletionProtection=False))
    assert cluster.up(unprotected).done == ["update LoadBalancer api"]
    gone = cluster.destroy(unprotected)
    assert gone.ok, gone.text
    assert gone.phases() == []
    assert cluster.resources() == {}
    assert [action for action in gone.done if "drain" in action] == []
    assert len(gone.about("machine-cp-0", "machine-cp-1", "machine-cp-2")) == 3
