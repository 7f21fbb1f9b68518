"""The soak's parts: bounded, told of beforehand, reported whatever becomes of them."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

import pytest

from bench import soak
from bench.soak import Outcome, Part

DAY = datetime.date(2026, 11, 23)


def test_it_says_beforehand_what_it_takes_and_which_tests_it_runs() -> None:
    told = soak.plan(["tests/e2e/test_7.py::test_kills"])
    assert told.startswith("make soak runs 3 parts, 7.2 hours at most:\n")
    assert "everything built from nothing       60 minutes, 20 GB of disk; ended after 120" in told
    assert told.endswith("  tests/e2e/test_7.py::test_kills\nIts report is docs/proof/soak.md; commit it.")


def test_names_of_tests_are_taken_from_what_pytest_collects() -> None:
    collected = "tests/e2e/test_7.py::test_kills[1]\ntests/e2e/test_7.py::test_more\n\n2/90 tests collected\n"
    assert soak.tests_of(collected) == [
        "tests/e2e/test_7.py::test_kills[1]",
        "tests/e2e/test_7.py::test_more",
    ]


def test_the_report_has_every_part_with_its_outcome_and_its_words() -> None:
    built, tests = Part("all built", (), 60, "long"), Part("tests", (), 60, "longer")
    outcomes = [Outcome(built, 0, "binaries 5 s\n", 5.4), Outcome(tests, 1, "noise", 7.0, "| a | passed |\n")]
    assert soak.report(outcomes, DAY).splitlines() == [
        "# The soak",
        "",
        f"`make soak` on 2026-11-23, {os.cpu_count()} processors.",
        "",
        "| part | outcome | seconds |",
        "|---|---|---|",
        "| all built | passed | 5 |",
        "| tests | failed with status 1 | 7 |",
        "",
        "## All built",
        "",
        "```",
        "binaries 5 s",
        "```",
        "",
        "## Tests",
        "",
        "| a | passed |",
    ]


def test_a_part_gives_its_status_its_words_and_its_report(capfd: pytest.CaptureFixture[str]) -> None:
    lines = (
        "import os, sys; from pathlib import Path;"
        "Path(os.environ['HARDWAY_REPORT']).write_text('its own');"
        "print('said'); sys.exit(3)"
    )
    done = soak.run(Part("small", ("-c", lines), 60, "a second"))
    assert (done.status, done.said, done.report) == (3, "said\n", "its own")
    assert capfd.readouterr().out == "said\n"


def test_a_part_that_takes_too_long_is_asked_to_end_and_counts_as_failed() -> None:
    done = soak.run(Part("slow", ("-c", "import time; time.sleep(60)"), 1, "a minute"))
    assert done.status != 0
    assert "KeyboardInterrupt" in done.said
    assert done.seconds < 60


def test_the_report_is_rewritten_after_each_part_and_a_failure_is_told_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soak, "COLLECT", ("-c", ""))
    monkeypatch.setattr(soak, "REPORT", tmp_path / "soak.md")
    parts = (Part("bad", ("-c", "raise SystemExit(2)"), 60, "-"), Part("good", ("-c", ""), 60, "-"))
    monkeypatch.setattr(soak, "PARTS", parts)
    assert soak.main([]) == 1
    text = (tmp_path / "soak.md").read_text()
    assert "| bad | failed with status 2 |" in text
    assert "| good | passed |" in text
