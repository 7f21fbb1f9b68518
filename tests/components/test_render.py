"""Rendering: strict both ways, and no syntax of shell or systemd is ever touched."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from components import render as rendering
from components.render import (
    File,
    RenderError,
    dump_yaml,
    environment,
    render,
    render_manifest,
    render_tree,
)

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,10}", fullmatch=True)
VALUES = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
UNTOUCHED = (
    "echo $HOME ${HOME} $$ $(date) `id` 50% %H %% @ a@b.example",
    "ExecStart=/bin/true --name=${NODE_NAME} %i $MAINPID",
    "@@name stays, for braces are required",
    "{} {0} {{name}} <% name %>",
)


@pytest.fixture
def rootfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A rootfs of the test's own."""
    monkeypatch.setattr(rendering, "ROOTFS", tmp_path)
    rendering._sources.cache_clear()
    yield tmp_path
    rendering._sources.cache_clear()


def put(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_a_template_is_filled_and_tells_what_it_used() -> None:
    assert render("a @@{one} b @@{two} @@{one}", {"one": 1, "two": "x", "three": 3}) == (
        "a 1 b x 1",
        frozenset({"one", "two"}),
    )


@pytest.mark.parametrize("text", UNTOUCHED)
def test_syntax_of_shell_and_systemd_stays_as_it_is(text: str) -> None:
    assert render(text, {}) == (text, frozenset())


@given(st.text(string.printable, max_size=60).filter(lambda text: "@@" not in text))
def test_text_without_the_delimiter_stays_as_it_is(text: str) -> None:
    assert render(text, {}) == (text, frozenset())


@given(NAMES, VALUES)
def test_a_value_lands_verbatim_even_when_it_looks_like_a_template(name: str, value: str) -> None:
    assert render(f"<@@{{{name}}}>", {name: f"@@{{{name}}}${{{name}}}%{value}"})[0] == (
        f"<@@{{{name}}}${{{name}}}%{value}>"
    )


def test_the_delimiter_itself_is_written_twice() -> None:
    assert render("@@@@{name}", {}) == ("@@{name}", frozenset())


def test_a_name_without_a_value_is_an_error() -> None:
    with pytest.raises(RenderError, match=re.escape("no value for @@{two}")):
        render("@@{one} @@{two}", {"one": 1})


@pytest.mark.parametrize("text", ["@@{", "@@{}", "@@{a b}", "@@{9}", "a\n@@{one", "@@{one-two}"])
def test_a_malformed_name_is_an_error(text: str) -> None:
    with pytest.raises(RenderError, match="malformed template: Invalid placeholder"):
        render(text, {"one": 1})


def test_a_tree_is_the_folders_path_with_templates_filled(rootfs: Path) -> None:
    put(rootfs, "node/etc/plain.conf", "@@{kept as it is in no template}")
    put(rootfs, "node/etc/filled.conf.tmpl", "x=@@{x}")
    put(rootfs, "node/usr/local/lib/hardway/run", "#!/bin/sh")
    assert render_tree(["node"], {"x": 7}) == {
        "/etc/filled.conf": File("x=7", 0o600),
        "/etc/plain.conf": File("@@{kept as it is in no template}", 0o600),
        "/usr/local/lib/hardway/run": File("#!/bin/sh", 0o700),
    }


def test_a_value_that_no_template_uses_is_an_error(rootfs: Path) -> None:
    put(rootfs, "node/a.tmpl", "@@{x}")
    with pytest.raises(RenderError, match=r"^no template of node uses y, z$"):
        render_tree(["node"], {"x": 1, "z": 2, "y": 3})


def test_a_missing_value_names_the_file(rootfs: Path) -> None:
    put(rootfs, "node/etc/a.tmpl", "@@{x}")
    with pytest.raises(RenderError, match=re.escape("rootfs/node/etc/a.tmpl: no value for @@{x}")):
        render_tree(["node"], {})


@pytest.mark.parametrize("other", ["etc/a", "etc/a.tmpl"])
def test_two_roles_cannot_bring_the_same_path(rootfs: Path, other: str) -> None:
    put(rootfs, "one/etc/a", "1")
    put(rootfs, f"two/{other}", "2")
    with pytest.raises(RenderError, match=r"^/etc/a comes from two roles, one of them two$"):
        render_tree(["one", "two"], {})


def test_a_manifest_is_as_strict_as_a_tree() -> None:
    with pytest.raises(RenderError, match=re.escape("no value for @@{kubelet_client_user}")):
        render_manifest("rbac", {"admins_group": "a"})
    with pytest.raises(RenderError, match=r"^manifests/rbac\.yaml\.tmpl does not use more$"):
        render_manifest("rbac", {"admins_group": "a", "kubelet_client_user": "b", "more": 1})


DOCUMENTS = st.dictionaries(
    NAMES,
    st.recursive(
        st.none() | st.booleans() | st.integers() | VALUES,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)


@given(DOCUMENTS)
def test_a_dumped_document_parses_back_in_its_own_order(document: dict[str, object]) -> None:
    parsed = yaml.safe_load(dump_yaml(document))
    assert parsed == document
    assert list(parsed) == list(document)


def test_a_list_that_stands_twice_is_written_out_twice() -> None:
    names = ["a"]
    assert dump_yaml({"one": list(names), "two": list(names)}) == "one:\n- a\ntwo:\n- a\n"


def test_an_environment_file_quotes_every_value() -> None:
    assert environment({"NAME": "cp-0", "COUNT": 3, "EMPTY": "", "SPACED": "--a=b --c=d"}) == (
        'NAME="cp-0"\nCOUNT="3"\nEMPTY=""\nSPACED="--a=b --c=d"\n'
    )


@pytest.mark.parametrize("value", ['say "a"', "back\\slash", "two\nlines", "$HOME", "${X}"])
def test_an_environment_file_refuses_what_systemd_would_read_as_syntax(value: str) -> None:
    with pytest.raises(RenderError, match=r"^BAD holds a quote, a backslash, a dollar sign or a line break$"):
        environment({"GOOD": "1", "BAD": value})


@given(st.dictionaries(st.from_regex(r"[A-Z][A-Z_]{0,8}", fullmatch=True), VALUES, max_size=5))
def test_whatever_an_environment_file_accepts_reads_back_unchanged(values: dict[str, str]) -> None:
    try:
        text = environment(values)
    except RenderError:
        return
    lines = text.split("\n")[:-1]
    assert {name: quoted[1:-1] for name, quoted in (line.split("=", 1) for line in lines)} == values
