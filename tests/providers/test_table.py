"""Every case of the table, over the wire."""

import re
import subprocess
import time
from pathlib import Path

import pytest
from cryptography import x509

from tests.providers import cases
from tests.providers.made import Made
from tests.providers.process import running
from tests.providers.wire import Client, Properties, ProviderError, Secret, Unknown, Value

pytestmark = pytest.mark.providers


def client_of(clients: dict[str, Client], token: str) -> Client:
    return clients[token.split(":", maxsplit=1)[0]]


def matches(value: Value, expected: Value) -> bool:
    """Tell whether an output is what a case expects; texts are regular expressions."""
    match expected:
        case Secret(value=inner):
            return isinstance(value, Secret) and matches(value.value, inner)
        case str():
            return isinstance(value, str) and (value == expected or re.fullmatch(expected, value) is not None)
    return bool(value == expected)


def assert_outputs(outputs: Properties, expected: Properties) -> None:
    wrong = {
        name: outputs.get(name) for name, want in expected.items() if not matches(outputs.get(name), want)
    }
    assert not wrong, f"these outputs are not as expected: {wrong}"


def state_of(client: Client, token: str, inputs: Properties) -> Properties:
    """The state after creating; a remote command's is made up, since Diff needs no server."""
    if token == cases.REMOTE:
        return {**inputs, "stdout": "", "stderr": ""}
    return client.create(token, inputs)


@pytest.mark.parametrize("case", cases.DIFFS, ids=lambda case: case.name)
def test_diff(case: cases.DiffCase, clients: dict[str, Client], made: Made) -> None:
    client = client_of(clients, case.token)
    olds, news = made.fill(case.olds), made.fill(case.news)
    difference = client.diff(case.token, state_of(client, case.token, olds), olds, news)
    roots = {re.split(r"[.\[]", path, maxsplit=1)[0] for path in difference.paths}
    assert (difference.kind, roots) == (case.kind, set(case.roots))


@pytest.mark.parametrize("case", cases.CREATES, ids=lambda case: case.name)
def test_create(case: cases.CreateCase, clients: dict[str, Client], made: Made) -> None:
    client, inputs = client_of(clients, case.token), made.fill(case.inputs)
    if case.error:
        with pytest.raises(ProviderError) as caught:
            client.create(case.token, inputs, preview=case.preview)
        assert re.fullmatch(case.error, str(caught.value))
        return
    assert_outputs(client.create(case.token, inputs, preview=case.preview), case.outputs)


@pytest.mark.parametrize("case", cases.UPDATES, ids=lambda case: case.name)
def test_update(case: cases.UpdateCase, clients: dict[str, Client], made: Made) -> None:
    client = client_of(clients, case.token)
    olds, news = made.fill(case.olds), made.fill(case.news)
    state = client.create(case.token, olds)
    if case.error:
        with pytest.raises(ProviderError) as caught:
            client.update(case.token, state, olds, news, preview=case.preview)
        assert re.fullmatch(case.error, str(caught.value))
        return
    assert_outputs(client.update(case.token, state, olds, news, preview=case.preview), case.outputs)


@pytest.mark.parametrize("case", cases.CHECKS, ids=lambda case: case.name)
def test_check(case: cases.CheckCase, clients: dict[str, Client], made: Made) -> None:
    checked, failures = client_of(clients, case.token).check(case.token, made.fill(case.inputs))
    assert {re.split(r"[.\[]", place, maxsplit=1)[0] for place in failures} == set(case.failures)
    if case.checked:
        assert {name: checked.get(name) for name in case.checked} == made.fill(dict(case.checked))


def test_delete_uses_the_old_command_and_the_outputs_before(
    clients: dict[str, Client], tmp_path: Path
) -> None:
    witness = tmp_path / "deleted"
    inputs = {"create": "echo made", "delete": f"echo $PULUMI_COMMAND_STDOUT > {witness}"}
    client = clients["command"]
    client.delete(cases.LOCAL, client.create(cases.LOCAL, inputs), inputs)
    assert witness.read_text() == "made\n"


def test_refresh_gives_the_state_back(clients: dict[str, Client]) -> None:
    inputs = {"create": "echo made"}
    state = clients["command"].create(cases.LOCAL, inputs)
    assert clients["command"].read(cases.LOCAL, state, inputs) == state


def test_the_function_run_gives_outputs(clients: dict[str, Client]) -> None:
    result = clients["command"].invoke("command:local:run", {"command": "cat", "stdin": "in"})
    assert (result["stdout"], result["stderr"]) == ("in", "")


def test_a_signed_certificate_was_issued_by_its_authority(clients: dict[str, Client], made: Made) -> None:
    inputs = {
        "certRequestPem": "{request}",
        "caCertPem": "{authority}",
        "caPrivateKeyPem": Secret("{key}"),
        "allowedUses": ["digital_signature", "server_auth"],
        "validityPeriodHours": 24.0,
    }
    outputs = clients["tls"].create(cases.LOCALLY_SIGNED, made.fill(inputs))
    certificate = x509.load_pem_x509_certificate(str(outputs["certPem"]).encode())
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(made.fill("{authority}").encode()))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["leaf.example"]
    assert (certificate.not_valid_after_utc - certificate.not_valid_before_utc).total_seconds() == 24 * 3600


@pytest.mark.parametrize(("name", "version"), [("command", "1.2.1"), ("tls", "5.3.1")])
def test_a_provider_says_which_version_it_is(name: str, version: str, clients: dict[str, Client]) -> None:
    assert clients[name].version() == version


@pytest.mark.parametrize("name", ["command", "tls"])
def test_a_provider_starts_in_no_time(name: str, providers: Path) -> None:
    program = providers / f"pulumi-resource-{name}"
    took = []
    for _ in range(5):
        begun = time.monotonic()
        with subprocess.Popen([program], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline().strip().isdigit()
            took.append(time.monotonic() - begun)
            process.kill()
    assert min(took) < 0.5, f"starts took {took} s"


def test_what_a_stand_in_leaves_out_is_refused_by_name(providers: Path) -> None:
    with running(providers / "pulumi-resource-command") as client:
        _, failures = client.check(cases.LOCAL, {"create": "true", "assetPaths": ["*"]})
        if failures:  # the official plugin serves it
            assert "install the official plugin" in failures["assetPaths"]


def test_an_unknown_value_stays_unknown_in_a_preview(clients: dict[str, Client]) -> None:
    outputs = clients["command"].create(cases.LOCAL, {"create": Unknown(), "stdin": "x"}, preview=True)
    assert (outputs["create"], outputs["stdout"]) == (Unknown(), Unknown())
