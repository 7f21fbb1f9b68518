"""The Compose and Swarm files of the example: that they say the same of the site, and what each promises."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tooling import gunicorn_config

EXAMPLE = Path(__file__).parents[2] / "examples" / "tooling"
FILES = ("compose.yaml", "stack.yaml")
SECRETS_OF = {
    "migrate": {"database-password", "admin-password"},
    "web": {"database-password", "session-key"},
    "database": {"database-password"},
}


def loaded(file: str) -> dict[str, Any]:
    content = yaml.safe_load((EXAMPLE / file).read_text())
    assert isinstance(content, dict)
    return content


@pytest.mark.parametrize("file", FILES)
def test_there_are_a_migration_a_site_and_a_database(file: str) -> None:
    services = loaded(file)["services"]
    assert {name: service["image"] for name, service in services.items()} == {
        "migrate": "registry.example.com/tooling-web:1.0.0",
        "web": "registry.example.com/tooling-web:1.0.0",
        "database": "registry.example.com/tooling-database:1.0.0",
    }


@pytest.mark.parametrize("service", list(SECRETS_OF))
@pytest.mark.parametrize("file", FILES)
def test_each_service_is_given_the_secrets_that_it_needs_and_no_other(file: str, service: str) -> None:
    given = loaded(file)["services"][service]["secrets"]
    assert {secret["source"] for secret in given} == SECRETS_OF[service]
    assert {secret["target"] for secret in given} == {
        f"/run/secrets/tooling/{name}" for name in SECRETS_OF[service]
    }


@pytest.mark.parametrize("file", FILES)
def test_passwords_are_named_by_file_and_written_nowhere(file: str) -> None:
    for service in loaded(file)["services"].values():
        secret = {
            key: value for key, value in service["environment"].items() if re.search("PASSWORD|KEY", key)
        }
        assert secret
        for key, value in secret.items():
            assert key.endswith("_FILE")
            assert value.startswith("/run/secrets/tooling/")


@pytest.mark.parametrize("file", FILES)
def test_every_service_has_limits_and_a_read_only_root_without_capabilities(file: str) -> None:
    for service in loaded(file)["services"].values():
        assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]


@pytest.mark.parametrize("file", FILES)
def test_only_the_site_is_reached_from_outside(file: str) -> None:
    content = loaded(file)
    assert content["networks"]["inside"]["internal"] is True
    assert {name: service["networks"] for name, service in content["services"].items()} == {
        "migrate": ["inside"],
        "web": ["outside", "inside"],
        "database": ["inside"],
    }
    assert [name for name, service in content["services"].items() if "ports" in service] == ["web"]


@pytest.mark.parametrize("file", FILES)
def test_the_data_are_in_a_named_volume(file: str) -> None:
    content = loaded(file)
    assert content["volumes"] == {"data": {}}
    mounts = content["services"]["database"]["volumes"]
    assert (
        "data:/var/lib/mysql" in mounts
        or {
            "type": "volume",
            "source": "data",
            "target": "/var/lib/mysql",
        }
        in mounts
    )


@pytest.mark.parametrize("file", FILES)
def test_the_site_has_longer_to_stop_than_gunicorn_takes(file: str) -> None:
    grace = loaded(file)["services"]["web"]["stop_grace_period"]
    assert int(grace.removesuffix("s")) > gunicorn_config.graceful_timeout


def test_compose_starts_database_then_migration_then_site() -> None:
    services = loaded("compose.yaml")["services"]
    assert services["migrate"]["depends_on"] == {"database": {"condition": "service_healthy"}}
    assert services["web"]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
    assert "healthcheck" in services["database"]
    assert services["web"]["ports"] == ["8080:8080"]


def test_compose_forbids_new_privileges() -> None:
    for service in loaded("compose.yaml")["services"].values():
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_swarm_replaces_a_replica_before_it_goes_and_turns_a_bad_update_back() -> None:
    deploy = loaded("stack.yaml")["services"]["web"]["deploy"]
    assert deploy["replicas"] == 2
    assert deploy["update_config"]["order"] == "start-first"
    assert deploy["update_config"]["failure_action"] == "rollback"


def test_swarm_never_runs_two_databases_and_keeps_it_where_its_data_are() -> None:
    deploy = loaded("stack.yaml")["services"]["database"]["deploy"]
    assert deploy["replicas"] == 1
    assert deploy["update_config"]["order"] == "stop-first"
    assert deploy["placement"]["constraints"] == ["node.labels.tooling.database == true"]


def test_no_line_of_the_stack_is_one_that_swarm_ignores() -> None:
    ignored = {"build", "depends_on", "restart", "security_opt", "container_name", "links", "tmpfs"}
    for service in loaded("stack.yaml")["services"].values():
        assert not ignored & set(service)


def test_secrets_made_for_the_example_are_ignored_by_git() -> None:
    ignored = (EXAMPLE / ".gitignore").read_text().splitlines()
    assert {"/secrets/", "secrets.env"} <= set(ignored)
    for secret in loaded("compose.yaml")["secrets"].values():
        assert secret["file"].startswith("secrets/")


def test_the_site_needs_exactly_what_is_installed() -> None:
    pins = [
        line
        for line in (EXAMPLE / "web" / "requirements.txt").read_text().splitlines()
        if line[:1] not in "#"
    ]
    assert len(pins) == 12
    for pin in pins:
        assert re.fullmatch(r"[A-Za-z0-9-]+==\d+(\.\d+)+", pin)


@pytest.mark.parametrize(("image", "user"), [("web", "10001:10001"), ("database", "10002:10002")])
def test_an_image_runs_as_a_number_that_is_not_root(image: str, user: str) -> None:
    lines = (EXAMPLE / image / "Dockerfile").read_text().splitlines()
    assert [line for line in lines if line.startswith("USER")] == [f"USER {user}"]
