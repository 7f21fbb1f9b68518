"""How far each machine is, from the events heard so far."""

import pytest

from lab.event_log import Heard
from lab.machine_progress import ADD_ONS, KEYS, READY, Progress, State, Word
from tests.lab import recordings

URN = "urn:pulumi:lab::hardway::"
COMMAND = "hardway:index:NodeConfig$command:remote:Command"


def event(kind: str, name: str, seconds: float, op: str = "create", type_: str = COMMAND) -> Heard:
    return Heard(seconds, {"timestamp": 0, kind: {"metadata": {"urn": f"{URN}{type_}::{name}", "op": op}}})


def begins(name: str, seconds: float, **more: str) -> Heard:
    return event("resourcePreEvent", name, seconds, **more)


def ends(name: str, seconds: float, **more: str) -> Heard:
    return event("resOutputsEvent", name, seconds, **more)


def says(name: str, text: str, severity: str = "info") -> Heard:
    urn = f"{URN}{COMMAND}::{name}" if name else ""
    return Heard(0, {"timestamp": 0, "diagnosticEvent": {"urn": urn, "severity": severity, "message": text}})


@pytest.fixture
def progress() -> Progress:
    return Progress({"lb-0": False, "cp-0": True})


def states(progress: Progress, machine: str) -> list[str]:
    return [cell.state.value for cell in progress.rows[machine].cells.values()]


def test_at_first_everything_waits_and_a_balancer_never_becomes_a_node(progress: Progress) -> None:
    assert states(progress, "cp-0") == ["waiting"] * 4
    assert states(progress, "lb-0") == ["waiting"] * 3 + ["none"]


def test_a_cell_counts_from_its_begin_and_stands_at_its_end(progress: Progress) -> None:
    progress.take([begins("machine-cp-0", 1.0), begins("prepare-cp-0", 4.0), ends("machine-cp-0", 3.5)])
    cells = progress.rows["cp-0"].cells
    assert [cells["made"].seconds(9.0), cells["artifacts"].seconds(9.0)] == [2.5, 5.0]
    assert states(progress, "cp-0") == ["done", "running", "waiting", "waiting"]


def test_a_component_that_has_its_commands_name_says_nothing_of_it(progress: Progress) -> None:
    progress.take([begins("activate-cp-0", 1.0, type_="hardway:index:NodeConfig")])
    assert states(progress, "cp-0") == ["waiting"] * 4


def test_what_does_not_change_is_told_apart_from_what_was_done(progress: Progress) -> None:
    progress.take([begins("machine-cp-0", 1.0, op="same"), ends("machine-cp-0", 1.0, op="same")])
    assert states(progress, "cp-0")[0] == "unchanged"
    assert progress.count("made") == (1, 2)


def test_a_failure_stays(progress: Progress) -> None:
    failed = event("resOpFailedEvent", "activate-cp-0", 2.0)
    progress.take([begins("activate-cp-0", 1.0), failed])
    assert progress.rows["cp-0"].failed
    assert progress.count("activated") == (0, 2)


def test_a_machine_that_the_operator_brings_is_not_made(progress: Progress) -> None:
    progress.take([begins("prepare-cp-0", 1.0)])
    assert states(progress, "cp-0") == ["none", "running", "waiting", "waiting"]
    assert progress.count("made") == (0, 1)


def test_taking_the_old_one_away_does_not_change_what_the_new_one_is(progress: Progress) -> None:
    progress.take(
        [
            begins("machine-cp-0", 1.0, op="create-replacement"),
            ends("machine-cp-0", 2.0, op="create-replacement"),
        ]
    )
    progress.take([begins("machine-cp-0", 3.0, op="delete-replaced")])
    assert states(progress, "cp-0")[0] == "done"


def test_a_row_shows_the_last_line_that_its_machine_said_and_the_cluster_has_its_own(
    progress: Progress,
) -> None:
    progress.take([says("prepare-cp-0", "staged runc\nstaged kubelet\n"), says("ready", "waiting for all\n")])
    assert (progress.rows["cp-0"].said, progress.rows["lb-0"].said) == ("staged kubelet", "")
    assert progress.said == "waiting for all"


def test_warnings_and_errors_are_handed_on_and_debugging_is_not(progress: Progress) -> None:
    heard = [
        says("", "of the program\n", "warning"),
        says("activate-cp-0", "exit status 3\nwhy\n", "error"),
        says("activate-cp-0", "registering\n", "debug"),
        says("", "Traceback\n", "info#err"),
    ]
    assert progress.take(heard) == [
        Word("warning", "", "of the program"),
        Word("error", "activate-cp-0", "exit status 3\nwhy"),
    ]


def test_a_real_run_ends_with_everything_done() -> None:
    progress = Progress(recordings.MACHINES)
    assert progress.take(recordings.heard(recordings.FIRST_UP)) == []
    assert all(row.finished and not row.failed for row in progress.rows.values())
    assert [progress.count(column) for column in ("made", "artifacts", "activated", READY)] == [
        (6, 6),
        (6, 6),
        (6, 6),
        (5, 5),
    ]
    assert progress.keys == 105
    assert progress.cluster[ADD_ONS].state is progress.cluster[KEYS].state is State.DONE
    assert progress.said == "all 5 Nodes Ready after 14.2 s, add-ons after 14.3 s"


def test_in_the_middle_of_a_real_run_machines_differ() -> None:
    progress = Progress(recordings.MACHINES)
    progress.take(recordings.heard(recordings.FIRST_UP, until=25))
    assert {name: states(progress, name) for name in ("lb-0", "cp-1", "cp-2", "worker-general-0")} == {
        "lb-0": ["done", "done", "done", "none"],
        "cp-1": ["done", "done", "done", "waiting"],
        "cp-2": ["done", "done", "running", "waiting"],
        "worker-general-0": ["done", "done", "waiting", "waiting"],
    }
