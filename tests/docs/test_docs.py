"""What pages say exists: commands, links, outputs, settings, tests, and the messages that faults.md quotes."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PAGES = sorted(
    [
        PROJECT / "README.md",
        PROJECT / "CHANGELOG.md",
        PROJECT / "lab" / "README.md",
        PROJECT / "examples" / "tooling" / "README.md",
        *(PROJECT / "docs").rglob("*.md"),
    ]
)
page = pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(PROJECT)))

FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
# Put together here, since no committed file names one of these.
REGISTRIES = ["py" + "pi.", "python" + "hosted.", "npm" + "js.", "proxy.go" + "lang.", "sum.go" + "lang.",
              "deb.deb" + "ian.", "archive.ubu" + "ntu.", "crat" + "es.io"]  # fmt: skip
SPEAKING = 12
"""Characters from which a piece of a message is told from ordinary words."""


def code(text: str) -> str:
    """Fenced blocks and code spans of a page."""
    spans = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", FENCE.sub("", text))
    return "\n".join([*FENCE.findall(text), *spans])


def slugs(text: str) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def table(text: str, header: str) -> list[list[str]]:
    """Cells of every table whose first header cell is the given one."""
    rows: list[list[str]] = []
    inside = False
    for line in FENCE.sub("", text).splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if not cells:
            inside = False
        elif cells[0] == header:
            inside = True
        elif inside and not set("".join(cells)) <= set("-: "):
            rows.append(cells)
    return rows


@cache
def literals() -> str:
    """Every piece of text in the sources, f-strings cut where a value stands."""
    pieces: list[str] = []
    for folder in ("lab", "components", "config", "operations", "workstation"):
        for path in (PROJECT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    pieces.append(node.value)
    return "\0".join(re.sub(r"\s+", " ", piece) for piece in pieces)


@page
def test_every_make_target_that_a_page_names_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake(?: --no-print-directory)? ([a-z][a-z-]*)", code(page.read_text())))
    assert named - targets == set()


def test_the_readme_lists_every_make_target() -> None:
    listed = set(re.findall(r"`make ([a-z-]+)", "".join(row[0] for row in table(readme(), "command"))))
    shown = re.findall(r"^([a-z-]+):.*##", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    assert listed == set(shown) - {"help"}


@page
def test_every_link_inside_the_project_resolves(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        assert linked.is_relative_to(PROJECT), target
        assert linked.is_file(), target
        assert not anchor or anchor in slugs(linked.read_text()), target


@page
def test_no_page_names_a_registry_or_a_path_of_somebodys_machine(page: Path) -> None:
    text = page.read_text()
    assert [host for host in REGISTRIES if host in text] == []
    # What is executed in a pod names the container's own paths.
    own = "\n".join(line for line in text.splitlines() if not re.search(r"^\$ kubectl .* exec ", line))
    assert re.findall(r"(?<![\w.~-])/(?:home|root|work|Users|tmp)/\S*", own) == []


@page
def test_every_lab_command_that_a_page_names_exists(page: Path) -> None:
    main = (PROJECT / "lab" / "__main__.py").read_text()
    for module, command in re.findall(r"python3 -m (lab[.a-z_]*)(?: ([a-z]+))?", code(page.read_text())):
        assert find_spec(module), module
        assert not command or module != "lab" or f'"{command}"' in main, command


@page
def test_every_setting_that_a_page_shows_is_a_key_of_the_reference(page: Path) -> None:
    reference = (PROJECT / "docs" / "settings.md").read_text()
    keys = set(re.findall(r"^\| `([^`]+)` \|", reference, re.MULTILINE))
    parents = {key.rpartition(".")[0] for key in keys} | {key.split(".")[0] for key in keys}
    first = "|".join(sorted({key.split(".")[0].removesuffix("[]") for key in keys if "." in key} - {"etcd"}))
    shown = set(re.findall(rf"`((?:{first})(?:\[\])?\.[A-Za-z.\[\]]+)`", page.read_text()))
    assert shown - keys - parents == set()


def readme() -> str:
    """The README's text."""
    return (PROJECT / "README.md").read_text()


def test_the_outputs_of_the_readme_are_those_of_the_program() -> None:
    tree = ast.parse((PROJECT / "__main__.py").read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    exported = [
        call.args[0].value
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and call.func.attr == "export"
        and isinstance(call.args[0], ast.Constant)
    ]
    assert [row[0].strip("`") for row in table(readme(), "output")] == exported


def test_every_test_that_the_security_page_names_exists() -> None:
    named = re.findall(r"`(test_[a-z0-9_]+)`", (PROJECT / "docs" / "security.md").read_text())
    written = {
        name
        for path in (PROJECT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    assert len(named) >= 30
    assert set(named) - written == set()


def messages() -> Iterator[str]:
    """Messages that faults.md quotes in its tables, from the first column."""
    for row in table((PROJECT / "docs" / "faults.md").read_text(), "message"):
        yield from re.findall(r"`([^`]+)`", row[0])


@pytest.mark.parametrize("message", sorted(set(messages())))
def test_every_message_that_the_faults_page_quotes_is_one_of_the_sources(message: str) -> None:
    pieces = [piece.strip(" ():;,.`'") for piece in message.split("...")]
    speaking = [piece for piece in pieces if len(piece) >= SPEAKING]
    assert speaking, "nothing in it tells it from another message"
    assert [piece for piece in speaking if piece not in literals()] == []


def test_decisions_are_numbered_short_and_have_the_same_parts() -> None:
    decisions = sorted((PROJECT / "docs" / "adr").glob("*.md"))
    assert [int(path.name[:4]) for path in decisions] == list(range(1, len(decisions) + 1))
    for path in decisions:
        text = path.read_text()
        assert text.startswith(f"# {int(path.name[:4])}. "), path.name
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequence"], (
            path.name
        )
        assert len(text.splitlines()) <= 40, path.name


def test_continuous_integration_can_be_started_by_hand() -> None:
    assert os.access(PROJECT / ".ci" / "run", os.X_OK)


def test_actions_of_workflows_are_pinned_to_a_commit() -> None:
    for path in (PROJECT / ".github" / "workflows").glob("*.yaml"):
        used = re.findall(r"uses: (\S+)", path.read_text())
        assert used, path.name
        assert [action for action in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action)] == [], (
            path.name
        )
