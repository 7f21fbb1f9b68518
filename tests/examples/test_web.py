"""The Tooling site over HTTP, without MariaDB: who gets in, what is refused, what is said when the database is away."""

from pathlib import Path

import pytest
import tooling.passwords
from tooling.store import Link, User

from tests.examples.site import ADMIN, PASSWORD, MemoryStore, Visitor


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def visitor(tmp_path: Path, store: MemoryStore) -> Visitor:
    return Visitor(tmp_path, store)


def test_the_page_is_shown_to_no_one_who_is_not_logged_in(visitor: Visitor, store: MemoryStore) -> None:
    answer = visitor.get("/")
    assert (answer.status_code, answer.location) == (303, "/login")
    assert store.opened == 0


@pytest.mark.parametrize("path", ["/links", "/links/1/delete"])
def test_a_stranger_changes_nothing(visitor: Visitor, store: MemoryStore, path: str) -> None:
    store.kept = [Link(1, "Jenkins", "https://ci.example.com/")]
    answer = visitor.send(path, title="Mine", url="https://example.com/")
    assert (answer.status_code, answer.location) == (303, "/login")
    assert [link.title for link in store.kept] == ["Jenkins"]


def test_the_right_password_leads_to_the_links(visitor: Visitor, store: MemoryStore) -> None:
    store.kept = [Link(4, "Jenkins", "https://ci.example.com/job")]
    answer = visitor.log_in()
    assert (answer.status_code, answer.location) == (303, "/")
    page = visitor.get("/").text
    assert '<a class="tool" href="https://ci.example.com/job" rel="noopener noreferrer">Jenkins</a>' in page
    assert "ci.example.com</span>" in page


@pytest.mark.parametrize(("name", "password"), [("admin", "wrong"), ("nobody", PASSWORD)])
def test_a_wrong_name_and_a_wrong_password_get_the_same_answer(
    visitor: Visitor, name: str, password: str
) -> None:
    answer = visitor.log_in(name, password)
    assert answer.status_code == 401
    assert "Name or password is wrong." in answer.text
    assert visitor.get("/").location == "/login"


def test_an_unknown_name_costs_a_hash_too(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    monkeypatch.setattr(
        tooling.passwords, "verify_password", lambda _, password_hash: hashed.append(password_hash)
    )
    visitor.log_in("admin", "wrong")
    visitor.log_in("nobody", "wrong")
    known, unknown = (text.rsplit("$", 2)[0] for text in hashed)
    assert known == unknown == "scrypt:32768:8:1"


@pytest.mark.parametrize("path", ["/login", "/logout", "/links", "/links/1/delete"])
def test_a_form_without_csrf_token_is_refused(visitor: Visitor, store: MemoryStore, path: str) -> None:
    store.kept = [Link(1, "Jenkins", "https://ci.example.com/")]
    visitor.log_in()
    answer = visitor.client.post(
        path, data={"name": "admin", "password": PASSWORD, "title": "x", "url": "https://x.y"}
    )
    assert answer.status_code == 400
    assert "The form has expired" in answer.text
    assert len(store.kept) == 1
    assert visitor.get("/").status_code == 200


def test_a_csrf_token_from_before_the_login_is_worth_nothing_after_it(
    visitor: Visitor, store: MemoryStore
) -> None:
    with visitor.client.session_transaction() as session:
        session["csrf_token"] = "planted"
    visitor.log_in()
    with visitor.client.session_transaction() as session:
        assert session.get("csrf_token") != "planted"
        assert session["user"] == ADMIN.id


def test_logging_out_ends_the_visit(visitor: Visitor) -> None:
    visitor.log_in()
    assert visitor.send("/logout").location == "/login"
    assert visitor.get("/").location == "/login"


def test_a_changed_password_ends_the_sessions_of_the_old_one(visitor: Visitor, store: MemoryStore) -> None:
    visitor.log_in()
    assert visitor.get("/").status_code == 200
    store.users = [User(ADMIN.id, ADMIN.name, "scrypt:32768:8:1$new$hash")]
    assert visitor.get("/").location == "/login"


def test_a_deleted_user_is_out_at_once(visitor: Visitor, store: MemoryStore) -> None:
    visitor.log_in()
    store.users = []
    assert visitor.get("/").location == "/login"


def test_any_replica_reads_the_session_of_another(tmp_path: Path, store: MemoryStore) -> None:
    first, second = Visitor(tmp_path, store), Visitor(tmp_path, store)
    first.log_in()
    cookie = first.client.get_cookie("tooling")
    assert cookie is not None
    second.client.set_cookie("tooling", cookie.value)
    assert second.get("/").status_code == 200


@pytest.mark.parametrize(("https", "secure"), [(False, False), (True, True)])
def test_the_cookie_is_kept_from_scripts_and_other_sites(
    tmp_path: Path, store: MemoryStore, https: bool, secure: bool
) -> None:
    visitor = Visitor(tmp_path, store, https=https)
    header = visitor.get("/login").headers["Set-Cookie"]
    parts = [part.strip() for part in header.split(";")][1:]
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(parts)
    assert ("Secure" in parts) is secure


def test_a_link_is_added_and_deleted(visitor: Visitor, store: MemoryStore) -> None:
    visitor.log_in()
    assert (
        visitor.send("/links", title=" Grafana ", url=" https://grafana.example.com/d/1 ").status_code == 303
    )
    assert store.kept == [Link(1, "Grafana", "https://grafana.example.com/d/1")]
    assert "Grafana was added." in visitor.get("/").text
    assert visitor.send("/links/1/delete").status_code == 303
    assert store.kept == []
    assert visitor.send("/links/1/delete").status_code == 303


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("javascript:alert(1)", "The URL must begin with http:// or https://."),
        ("JavaScript:alert(1)", "The URL must begin with http:// or https://."),
        ("data:text/html,x", "The URL must begin with http:// or https://."),
        ("//example.com/", "The URL must begin with http:// or https://."),
        ("https:///path", "The URL names no host."),
        ("https://example.com:port/", "The URL&#39;s host or port is wrong."),
        ("https://exa mple.com/", "The URL has a space or a control character in it."),
        ("java\tscript:alert(1)", "The URL has a space or a control character in it."),
        ("https://me:secret@example.com/", "The URL has a login in it, which everybody would see."),
        ("https://example.com/" + "a" * 2000, "The URL has over 2000 characters."),
        ("", "A URL is needed."),
    ],
)
def test_a_url_that_is_no_plain_web_address_is_refused(
    visitor: Visitor, store: MemoryStore, url: str, reason: str
) -> None:
    visitor.log_in()
    answer = visitor.send("/links", title="Tool", url=url)
    assert answer.status_code == 422
    assert reason in answer.text
    assert store.kept == []


@pytest.mark.parametrize("title", ["", "   ", "x" * 81])
def test_a_title_is_needed_and_short(visitor: Visitor, store: MemoryStore, title: str) -> None:
    visitor.log_in()
    assert visitor.send("/links", title=title, url="https://example.com/").status_code == 422
    assert store.kept == []


def test_markup_in_a_title_is_text(visitor: Visitor, store: MemoryStore) -> None:
    visitor.log_in()
    visitor.send("/links", title='<script>"x"</script>', url="https://example.com/?a=1&b='\"")
    page = visitor.get("/").text
    assert "<script" not in page
    assert "&lt;script&gt;&#34;x&#34;&lt;/script&gt;</a>" in page
    assert 'href="https://example.com/?a=1&amp;b=&#39;&#34;"' in page


def test_no_page_may_run_a_script(visitor: Visitor) -> None:
    for path in ("/login", "/nowhere", "/healthz", "/static/style.css"):
        headers = visitor.get(path).headers
        policy = headers["Content-Security-Policy"].split("; ")
        assert "default-src 'none'" in policy
        assert not [rule for rule in policy if "script" in rule or "unsafe" in rule]
        assert headers["X-Content-Type-Options"] == "nosniff"
    assert visitor.get("/login").headers["Cache-Control"] == "no-store"


def test_pages_have_no_inline_script_or_style(visitor: Visitor, store: MemoryStore) -> None:
    store.kept = [Link(1, "Jenkins", "https://ci.example.com/")]
    visitor.log_in()
    for path in ("/", "/login", "/nowhere"):
        page = visitor.get(path).text
        assert "<script" not in page
        assert "style=" not in page
        assert " on" + "click" not in page


def test_the_footer_tells_version_pod_and_node(visitor: Visitor) -> None:
    page = visitor.get("/login").text
    for field, value in (("version", "7"), ("pod", "web-1"), ("node", "worker-0")):
        assert f'<dd id="{field}">{value}</dd>' in page


def test_a_huge_form_is_refused(visitor: Visitor) -> None:
    assert visitor.send("/login", name="admin", password="x" * 70_000).status_code == 413


def test_while_the_database_is_away_visitors_are_told_and_nothing_leaks(
    visitor: Visitor, store: MemoryStore
) -> None:
    visitor.log_in()
    store.away = True
    for answer in (visitor.get("/"), visitor.log_in()):
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "5"
        assert "The database is away" in answer.text
        assert '<dd id="pod">web-1</dd>' in answer.text
        assert "hunter2" not in answer.text
        assert "Traceback" not in answer.text
    store.away = False
    assert visitor.get("/").status_code == 200


def test_an_error_of_ours_shows_no_traceback(
    visitor: Visitor, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor.log_in()
    monkeypatch.setattr(store, "links", lambda: 1 // 0)
    answer = visitor.get("/")
    assert answer.status_code == 500
    assert "Something went wrong" in answer.text
    assert "ZeroDivisionError" not in answer.text


def test_every_store_is_given_back(visitor: Visitor, store: MemoryStore) -> None:
    visitor.log_in()
    visitor.get("/")
    visitor.send("/links", title="x", url="javascript:x")
    visitor.get("/about.json")
    assert store.opened == 4
    assert store.closed == 4
