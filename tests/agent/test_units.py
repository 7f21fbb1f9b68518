"""Units: what they say of themselves, what is due, and restarting with patience but not for ever."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from components.agent import units
from components.agent.evidence import Failure
from components.agent.units import Unit

TEXT = """[Unit]
Description=something
[Service]
ExecStart=/bin/true --a=%h --b=${X}
[X-Hardway]
RestartOn=/a /b/* /c.conf
Healthy=https://127.0.0.1:6443/readyz
Critical=yes
"""


def test_a_unit_says_itself_what_it_depends_on() -> None:
    assert units.parse("x.service", TEXT) == Unit(
        name="x.service",
        restart_on=(
            "/etc/systemd/system/x.service",
            "/etc/systemd/system/x.service.d/*.conf",
            "/a",
            "/b/*",
            "/c.conf",
        ),
        healthy="https://127.0.0.1:6443/readyz",
        critical=True,
    )


def test_a_unit_without_words_of_ours_depends_on_itself_alone() -> None:
    own = ("/etc/systemd/system/x.service", "/etc/systemd/system/x.service.d/*.conf")
    assert units.parse("x.service", "[Service]\nExecStart=/bin/true\n") == Unit("x.service", own, None, False)


def test_values_in_a_health_url_come_from_the_units_environment(tmp_path: Path) -> None:
    (tmp_path / "x.env").write_text('A="1"\nSECURE_PORT="7443"\n')
    text = (
        "[X-Hardway]\nHealthy=https://127.0.0.1:${SECURE_PORT}/readyz\n"
        f"HealthyEnvironment={tmp_path / 'x.env'}\n"
    )
    assert units.parse("x.service", text).healthy == "https://127.0.0.1:7443/readyz"


class Systemd:
    """systemctl of a made-up machine.

    Attributes:
        active: state by unit.
        restarting: unit to the states that its restart goes through, one a look.
        jobs: how many looks a restart's job lasts.
        crashes: how often a unit fell over since it was started.
    """

    def __init__(self, **active: str) -> None:
        self.active = {f"{name}.service": state for name, state in active.items()}
        self.restarting: list[str] = []
        self.jobs = 0
        self.crashes = 0
        self.calls: list[tuple[str, ...]] = []

    def run(self, *command: str, timeout: float = 60) -> str:
        """What systemctl prints."""
        _systemctl, verb, *words = command
        if verb == "show" and "--property=ActiveState" in words:
            if self.restarting:
                self.active[words[-1]] = self.restarting.pop(0)
            return "\n".join(self.active.get(name, "inactive") for name in words[2:]) + "\n"
        if verb == "show" and "--property=Job" in words:
            self.jobs -= 1
            return "1234\n" if self.jobs >= 0 else "\n"
        if verb == "show" and "--property=NRestarts" in words:
            return f"{self.crashes}\n"
        self.calls.append((verb, *words))
        return ""

    def succeeds(self, *command: str) -> bool:
        """Called for its effect."""
        self.calls.append(command[1:])
        return True


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this machine remembers what its units run with."""
    path = tmp_path / "units.json"
    real = units.record
    monkeypatch.setattr(units, "record", lambda unit, value: real(unit, value, str(path)))
    return path


def use(systemd: Systemd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "run", systemd.run)
    monkeypatch.setattr(units, "succeeds", systemd.succeeds)
    monkeypatch.setattr(units, "unit_evidence", lambda name: f"--- {name}: its last lines")


def unit(name: str, *restart_on: Path, healthy: str | None = None) -> Unit:
    return Unit(f"{name}.service", tuple(str(path) for path in restart_on), healthy, False)


def test_units_are_due_whose_inputs_changed_or_that_do_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abcd":
        (tmp_path / name).write_text("1")
    use(Systemd(a="active", b="active", c="failed", d="active"), monkeypatch)
    ours = [unit(name, tmp_path / name) for name in "abcd"]
    was = {one.name: units.inputs_digest(one) for one in ours if one.name != "d.service"}
    (tmp_path / "b").write_text("2")
    # a is as it was, b changed, c has failed, d was never started by us.
    assert [one.name for one in units.due(ours, was)] == ["b.service", "c.service", "d.service"]
    assert units.due([], {}) == []


@pytest.mark.parametrize("change", ["content", "new-file", "gone-file", "link"])
def test_every_kind_of_change_below_a_glob_is_noticed(tmp_path: Path, change: str) -> None:
    (tmp_path / "1.conf").write_text("x")
    (tmp_path / "link").symlink_to("v1")
    watching = unit("a", tmp_path / "*.conf", tmp_path / "link")
    before = units.inputs_digest(watching)
    assert units.inputs_digest(watching) == before
    if change == "content":
        (tmp_path / "1.conf").write_text("y")
    elif change == "new-file":
        (tmp_path / "2.conf").write_text("")
    elif change == "gone-file":
        (tmp_path / "1.conf").unlink()
    else:
        (tmp_path / "link").unlink()
        (tmp_path / "link").symlink_to("v2")
    assert units.inputs_digest(watching) != before


def test_a_large_file_counts_by_size_and_time_not_by_content(tmp_path: Path) -> None:
    path = tmp_path / "binary"
    path.write_bytes(b"a" * (2 << 20))
    os.utime(path, (1, 1))
    before = units.inputs_digest(unit("a", path))
    path.write_bytes(b"b" * (2 << 20))
    os.utime(path, (1, 1))
    assert units.inputs_digest(unit("a", path)) == before
    os.utime(path, (2, 2))
    assert units.inputs_digest(unit("a", path)) != before


def test_what_did_not_run_is_started_in_one_go_and_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, record: Path
) -> None:
    systemd = Systemd()
    use(systemd, monkeypatch)
    units.start_without_waiting([unit("a"), unit("b")])
    assert systemd.calls == [
        ("reset-failed", "a.service", "b.service"),
        ("restart", "--no-block", "a.service", "b.service"),
    ]
    assert set(json.loads(record.read_text())) == {"a.service", "b.service"}
    systemd.calls.clear()
    units.start_without_waiting([])
    assert systemd.calls == []


def test_a_restart_waits_for_the_new_process_and_is_remembered_when_healthy(
    monkeypatch: pytest.MonkeyPatch, record: Path, slept: list[float]
) -> None:
    systemd = Systemd(a="active")
    systemd.jobs = 4
    systemd.restarting = ["active", "active", "activating", "activating", "active"]
    use(systemd, monkeypatch)
    watched = unit("a")
    units.restart_and_wait(watched)
    assert systemd.calls == [("reset-failed", "a.service"), ("restart", "--no-block", "a.service")]
    assert json.loads(record.read_text()) == {"a.service": units.inputs_digest(watched)}
    # The old process was active at first and would have passed for healthy.
    assert len(slept) >= 3


@pytest.fixture
def balancer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Unit, Systemd]:
    """A unit that takes one of its two files by a reload, healthy with both as they are."""
    for name in ("ports", "workers"):
        (tmp_path / name).write_text("1")
    made = Unit("a.service", (str(tmp_path / "ports"),), None, False, (str(tmp_path / "workers"),))
    path = str(tmp_path / "units.json")
    real_record, real_recorded = units.record, units.recorded
    monkeypatch.setattr(units, "record", lambda unit, value: real_record(unit, value, path))
    monkeypatch.setattr(units, "recorded", lambda path=path: real_recorded(path))
    systemd = Systemd(a="active")
    use(systemd, monkeypatch)
    units.restart_and_wait(made)
    assert systemd.calls[-1] == ("restart", "--no-block", "a.service")
    return made, systemd


def test_what_a_reload_takes_up_is_reloaded_and_remembered(
    tmp_path: Path, balancer: tuple[Unit, Systemd]
) -> None:
    ours, systemd = balancer
    (tmp_path / "workers").write_text("2")
    assert units.due([ours], units.recorded()) == [ours]
    units.restart_and_wait(ours)
    # Not queued: systemctl tells when the unit refuses.
    assert systemd.calls[-1] == ("reload", "a.service")
    assert units.due([ours], units.recorded()) == []


@pytest.mark.parametrize("why", ["another file changed too", "it does not run", "it was never started by us"])
def test_what_no_reload_takes_up_is_a_restart(
    why: str, tmp_path: Path, balancer: tuple[Unit, Systemd]
) -> None:
    ours, systemd = balancer
    (tmp_path / "workers").write_text("2")
    if why == "another file changed too":
        (tmp_path / "ports").write_text("2")
    elif why == "it does not run":
        systemd.active["a.service"] = "failed"
        systemd.restarting = ["failed", "activating", "active", "active"]
    else:
        (tmp_path / "units.json").unlink()
    units.restart_and_wait(ours)
    assert systemd.calls[-1] == ("restart", "--no-block", "a.service")


def test_a_reload_that_is_refused_is_due_again(
    tmp_path: Path, balancer: tuple[Unit, Systemd], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, systemd = balancer
    (tmp_path / "workers").write_text("nonsense")

    def refuse(*command: str, timeout: float = 60) -> str:
        if command[1] == "reload":
            raise Failure("'systemctl reload a.service' failed with status 1")
        return systemd.run(*command)

    monkeypatch.setattr(units, "run", refuse)
    with pytest.raises(Failure, match=r"systemctl reload a\.service"):
        units.restart_and_wait(ours)
    assert units.due([ours], units.recorded()) == [ours]


def test_a_unit_that_stays_unhealthy_fails_with_evidence_and_is_due_again(
    monkeypatch: pytest.MonkeyPatch, record: Path
) -> None:
    use(Systemd(a="failed"), monkeypatch)
    with pytest.raises(Failure) as caught:
        units.restart_and_wait(unit("a"), seconds=0.3)
    text = str(caught.value)
    assert text.startswith(
        "a.service was restarted and is not healthy after 0 s; no machine after this one was changed."
    )
    assert text.endswith("--- a.service: its last lines")
    assert not record.exists()


def test_a_unit_that_falls_over_again_and_again_is_given_up_at_once(
    monkeypatch: pytest.MonkeyPatch, record: Path, slept: list[float]
) -> None:
    systemd = Systemd(a="activating")
    systemd.crashes = units.CRASH_LOOP
    use(systemd, monkeypatch)
    with pytest.raises(Failure, match=r"a\.service was restarted and is not healthy"):
        units.restart_and_wait(unit("a"), seconds=0.5)
    assert slept == []


@pytest.fixture
def health_server() -> Iterator[str]:
    """A server whose paths are status codes."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(int(self.path[1:]))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("path", "healthy"), [("200", True), ("503", False), ("401", False), ("204", False)])
def test_a_unit_is_healthy_when_its_url_answers_200(
    path: str, healthy: bool, health_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(Systemd(a="active"), monkeypatch)
    assert units.is_healthy(unit("a", healthy=f"{health_server}/{path}")) is healthy


def test_a_url_that_nobody_serves_is_not_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    use(Systemd(a="active"), monkeypatch)
    assert units.is_healthy(unit("a", healthy="http://127.0.0.1:9/")) is False


def test_a_unit_that_is_still_starting_is_not_asked(
    health_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(Systemd(a="activating"), monkeypatch)
    assert units.is_healthy(unit("a", healthy=f"{health_server}/200")) is False


def test_units_that_left_the_tree_are_stopped_where_they_are_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "flanneld.service").write_text("")
    systemd = Systemd()
    use(systemd, monkeypatch)
    monkeypatch.setattr(units, "UNIT_FOLDER", str(tmp_path))
    units.remove(["flanneld.service", "never-here.service"])
    assert systemd.calls == [("disable", "--now", "flanneld.service")]


def test_what_runs_by_a_file_that_is_gone_is_stopped_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kept.service").write_text("")
    states = {
        "kept": "active",
        "gone": "active",
        "retried": "activating",
        "broken": "failed",
        "never": "inactive",
    }
    systemd = Systemd(**states)
    use(systemd, monkeypatch)
    monkeypatch.setattr(units, "UNIT_FOLDER", str(tmp_path))
    units.stop_withdrawn(list(systemd.active))
    assert systemd.calls == [("stop", "gone.service", "retried.service")]


def test_while_every_file_is_there_systemd_is_not_even_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kept.service").write_text("")
    monkeypatch.setattr(units, "UNIT_FOLDER", str(tmp_path))
    monkeypatch.setattr(units, "run", lambda *command: pytest.fail(f"asked {command}"))
    units.stop_withdrawn(["kept.service"])


def test_a_record_keeps_what_it_knows_of_others(tmp_path: Path) -> None:
    path = str(tmp_path / "units.json")
    assert units.recorded(path) == {}
    units.record(unit("a"), "1", path)
    units.record(unit("b"), "2", path)
    units.record(unit("a"), "3", path)
    assert units.recorded(path) == {"a.service": "3", "b.service": "2"}
