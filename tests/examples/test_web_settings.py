"""The site's environment and secret files."""

from pathlib import Path

import pytest
from tooling.settings import Settings, SettingsError


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "password").write_text("pass word\n")
    (tmp_path / "key").write_text("k" * 32)
    return {
        "DATABASE_PASSWORD_FILE": str(tmp_path / "password"),
        "SESSION_KEY_FILE": str(tmp_path / "key"),
    }


def test_two_files_are_all_that_has_to_be_given(environment: dict[str, str]) -> None:
    settings = Settings.from_environment(environment)
    database = settings.database
    assert (database.host, database.port, database.name, database.user) == (
        "database",
        3306,
        "tooling",
        "tooling",
    )
    assert database.password == "pass word"
    assert (settings.version, settings.node, settings.address) == ("1", "-", "-")
    assert (settings.burn, settings.https) == (False, False)


def test_no_secret_is_in_what_is_printed_of_settings(environment: dict[str, str]) -> None:
    printed = repr(Settings.from_environment(environment))
    assert "pass word" not in printed
    assert "kkkk" not in printed


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("password", "", "DATABASE_PASSWORD_FILE: {path}: empty; write the secret into it"),
        (
            "password",
            None,
            "DATABASE_PASSWORD_FILE: {path}: No such file or directory; mount the secret there",
        ),
        (
            "key",
            "short",
            "SESSION_KEY_FILE: the key has under 32 bytes; make one with: openssl rand -hex 32",
        ),
    ],
)
def test_an_unusable_secret_is_named_with_the_way_out(
    environment: dict[str, str], tmp_path: Path, name: str, text: str | None, message: str
) -> None:
    file = tmp_path / name
    file.unlink()
    if text is not None:
        file.write_text(text)
    with pytest.raises(SettingsError) as told:
        Settings.from_environment(environment)
    assert str(told.value) == message.format(path=file)


@pytest.mark.parametrize("port", ["x", "0", "65536", "-1", "²"])
def test_a_port_is_a_port(environment: dict[str, str], port: str) -> None:
    with pytest.raises(SettingsError, match=r"DATABASE_PORT: .* give a number from 1 to 65535"):
        Settings.from_environment({**environment, "DATABASE_PORT": port})
