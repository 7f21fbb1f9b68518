"""The table: what the official `command` 1.2.1 and `tls` 5.3.1 do, so that a stand-in has to do the same.

A text `{name}` in the inputs stands for something that the fixtures made: a key, an authority, a request, the
connection to the tests' SSH server. Expected texts are regular expressions that must match whole.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.providers.wire import Properties, Secret, Unknown

LOCAL = "command:local:Command"
REMOTE = "command:remote:Command"
KEY = "tls:index/privateKey:PrivateKey"
SELF_SIGNED = "tls:index/selfSignedCert:SelfSignedCert"
REQUEST = "tls:index/certRequest:CertRequest"
LOCALLY_SIGNED = "tls:index/locallySignedCert:LocallySignedCert"


@dataclass(frozen=True)
class DiffCase:
    """Two sets of inputs, and what gets from one to the other."""

    name: str
    token: str
    olds: Properties
    news: Properties
    kind: str
    roots: frozenset[str] = frozenset()


@dataclass(frozen=True)
class CreateCase:
    """Inputs, and what creation gives: outputs, or an error."""

    name: str
    token: str
    inputs: Properties
    outputs: Properties = field(default_factory=dict)
    error: str = ""
    preview: bool = False


@dataclass(frozen=True)
class UpdateCase:
    """A created resource, changed inputs, and the outputs or the error that follow."""

    name: str
    token: str
    olds: Properties
    news: Properties
    outputs: Properties = field(default_factory=dict)
    error: str = ""
    preview: bool = False


@dataclass(frozen=True)
class CheckCase:
    """Inputs with a mistake, or with what Check adds to them."""

    name: str
    token: str
    inputs: Properties
    failures: frozenset[str] = frozenset()
    checked: Properties = field(default_factory=dict)


def _changed(base: Properties, **more: object) -> Mapping[str, object]:
    return {name: value for name, value in {**base, **more}.items() if value is not None}


_LOCAL = {
    "create": "cat; echo created",
    "update": "echo updated",
    "stdin": "one",
    "triggers": ["a", {"b": [1.0]}],
}
_HOST = {
    "host": "127.0.0.1",
    "port": 22.0,
    "user": "root",
    "password": "x",
    "dialErrorLimit": 10.0,
    "perDialTimeout": 15.0,
}
_REMOTE = {"connection": Secret(_HOST), "create": "true", "triggers": ["a"], "stdin": Secret("one")}
_CERTIFICATE = {
    "privateKeyPem": Secret("{key}"),
    "allowedUses": ["server_auth"],
    "validityPeriodHours": 24.0,
    "dnsNames": ["a.example"],
    "subject": {"commonName": "a", "organization": "o"},
}
_REQUEST = {"privateKeyPem": Secret("{key}"), "dnsNames": ["a.example"], "subject": {"commonName": "a"}}
_SIGNED = {
    "certRequestPem": "{request}",
    "caCertPem": "{authority}",
    "caPrivateKeyPem": Secret("{key}"),
    "allowedUses": ["client_auth"],
    "validityPeriodHours": 24.0,
}

DIFFS = (
    DiffCase("nothing changed", LOCAL, _LOCAL, _LOCAL, "none"),
    DiffCase("create changed", LOCAL, _LOCAL, _changed(_LOCAL, create="x"), "update", frozenset({"create"})),
    DiffCase("update changed", LOCAL, _LOCAL, _changed(_LOCAL, update="x"), "update", frozenset({"update"})),
    DiffCase("update gone", LOCAL, _LOCAL, _changed(_LOCAL, update=None), "update", frozenset({"update"})),
    DiffCase("delete added", LOCAL, _LOCAL, _changed(_LOCAL, delete="x"), "update", frozenset({"delete"})),
    DiffCase("stdin changed", LOCAL, _LOCAL, _changed(_LOCAL, stdin="two"), "update", frozenset({"stdin"})),
    DiffCase(
        "stdin unknown", LOCAL, _LOCAL, _changed(_LOCAL, stdin=Unknown()), "update", frozenset({"stdin"})
    ),
    DiffCase(
        "environment added",
        LOCAL,
        _LOCAL,
        _changed(_LOCAL, environment={"A": "1"}),
        "update",
        frozenset({"environment"}),
    ),
    DiffCase("directory added", LOCAL, _LOCAL, _changed(_LOCAL, dir="/"), "update", frozenset({"dir"})),
    DiffCase(
        "logging added", LOCAL, _LOCAL, _changed(_LOCAL, logging="none"), "update", frozenset({"logging"})
    ),
    DiffCase(
        "trigger changed",
        LOCAL,
        _LOCAL,
        _changed(_LOCAL, triggers=["a", {"b": [2.0]}]),
        "replace",
        frozenset({"triggers"}),
    ),
    DiffCase(
        "trigger added",
        LOCAL,
        _LOCAL,
        _changed(_LOCAL, triggers=["a", {"b": [1.0]}, "c"]),
        "replace",
        frozenset({"triggers"}),
    ),
    DiffCase(
        "trigger unknown",
        LOCAL,
        _LOCAL,
        _changed(_LOCAL, triggers=["a", Unknown()]),
        "replace",
        frozenset({"triggers"}),
    ),
    DiffCase(
        "triggers gone", LOCAL, _LOCAL, _changed(_LOCAL, triggers=None), "replace", frozenset({"triggers"})
    ),
    DiffCase(
        "trigger and stdin changed",
        LOCAL,
        _LOCAL,
        _changed(_LOCAL, triggers=["x"], stdin="two"),
        "replace",
        frozenset({"triggers", "stdin"}),
    ),
    DiffCase("remote, nothing changed", REMOTE, _REMOTE, _REMOTE, "none"),
    DiffCase(
        "remote, host changed",
        REMOTE,
        _REMOTE,
        _changed(_REMOTE, connection=Secret({**_HOST, "host": "10.0.0.1"})),
        "update",
        frozenset({"connection"}),
    ),
    DiffCase(
        "remote, host key added",
        REMOTE,
        _REMOTE,
        _changed(_REMOTE, connection=Secret({**_HOST, "hostKey": "k"})),
        "update",
        frozenset({"connection"}),
    ),
    DiffCase(
        "remote, secret input changed",
        REMOTE,
        _REMOTE,
        _changed(_REMOTE, stdin=Secret("two")),
        "update",
        frozenset({"stdin"}),
    ),
    DiffCase(
        "remote, trigger changed",
        REMOTE,
        _REMOTE,
        _changed(_REMOTE, triggers=["b"]),
        "replace",
        frozenset({"triggers"}),
    ),
    DiffCase("key, nothing changed", KEY, {"algorithm": "ED25519"}, {"algorithm": "ED25519"}, "none"),
    DiffCase(
        "key, algorithm changed",
        KEY,
        {"algorithm": "ED25519"},
        {"algorithm": "ECDSA"},
        "replace",
        frozenset({"algorithm"}),
    ),
    DiffCase(
        "key, curve changed",
        KEY,
        {"algorithm": "ECDSA", "ecdsaCurve": "P256"},
        {"algorithm": "ECDSA", "ecdsaCurve": "P384"},
        "replace",
        frozenset({"ecdsaCurve"}),
    ),
    DiffCase("certificate, nothing changed", SELF_SIGNED, _CERTIFICATE, _CERTIFICATE, "none"),
    DiffCase(
        "certificate, name changed",
        SELF_SIGNED,
        _CERTIFICATE,
        _changed(_CERTIFICATE, dnsNames=["b.example"]),
        "replace",
        frozenset({"dnsNames"}),
    ),
    DiffCase(
        "certificate, subject changed",
        SELF_SIGNED,
        _CERTIFICATE,
        _changed(_CERTIFICATE, subject={"commonName": "b", "organization": "o"}),
        "replace",
        frozenset({"subject"}),
    ),
    DiffCase(
        "certificate, uses changed",
        SELF_SIGNED,
        _CERTIFICATE,
        _changed(_CERTIFICATE, allowedUses=["server_auth", "client_auth"]),
        "replace",
        frozenset({"allowedUses"}),
    ),
    DiffCase(
        "certificate, validity changed",
        SELF_SIGNED,
        _CERTIFICATE,
        _changed(_CERTIFICATE, validityPeriodHours=25.0),
        "replace",
        frozenset({"validityPeriodHours"}),
    ),
    DiffCase(
        "certificate, key changed",
        SELF_SIGNED,
        _CERTIFICATE,
        _changed(_CERTIFICATE, privateKeyPem=Secret("{other_key}")),
        "replace",
        frozenset({"privateKeyPem"}),
    ),
    DiffCase(
        "certificate, early renewal changed",
        SELF_SIGNED,
        _CERTIFICATE,
        _changed(_CERTIFICATE, earlyRenewalHours=2.0),
        "update",
        frozenset({"earlyRenewalHours"}),
    ),
    DiffCase("request, nothing changed", REQUEST, _REQUEST, _REQUEST, "none"),
    DiffCase(
        "request, name changed",
        REQUEST,
        _REQUEST,
        _changed(_REQUEST, dnsNames=["b.example"]),
        "replace",
        frozenset({"dnsNames"}),
    ),
    DiffCase(
        "request, address added",
        REQUEST,
        _REQUEST,
        _changed(_REQUEST, ipAddresses=["10.0.0.1"]),
        "replace",
        frozenset({"ipAddresses"}),
    ),
    DiffCase("signed, nothing changed", LOCALLY_SIGNED, _SIGNED, _SIGNED, "none"),
    DiffCase(
        "signed, request unknown",
        LOCALLY_SIGNED,
        _SIGNED,
        _changed(_SIGNED, certRequestPem=Unknown()),
        "replace",
        frozenset({"certRequestPem"}),
    ),
    DiffCase(
        "signed, early renewal changed",
        LOCALLY_SIGNED,
        _SIGNED,
        _changed(_SIGNED, earlyRenewalHours=1.0),
        "update",
        frozenset({"earlyRenewalHours"}),
    ),
)

CREATES = (
    CreateCase(
        "one newline is trimmed",
        LOCAL,
        {"create": "printf 'a\\n\\n'; printf 'b\\n' >&2"},
        {"stdout": "a\n", "stderr": "b"},
    ),
    CreateCase(
        "input, directory and environment",
        LOCAL,
        {"create": "cat; pwd; echo $A", "stdin": "in\n", "dir": "/", "environment": {"A": "v"}},
        {"stdout": "in\n/\nv", "stderr": ""},
    ),
    CreateCase(
        "interpreter", LOCAL, {"create": "a b", "interpreter": ["/bin/echo", "-n"]}, {"stdout": "a b"}
    ),
    CreateCase("no command", LOCAL, {"delete": "true"}, {"stdout": "", "stderr": ""}),
    CreateCase(
        "a secret input makes the outputs secret",
        LOCAL,
        {"create": "cat", "stdin": Secret("s")},
        {"stdin": Secret("s"), "stdout": Secret("s")},
    ),
    CreateCase(
        "an exit status is an error",
        LOCAL,
        {"create": "echo seen; exit 3"},
        error=r'exit status 3: running "echo seen; exit 3":\nseen\n',
    ),
    CreateCase(
        "a preview runs nothing",
        LOCAL,
        {"create": "exit 1"},
        {"stdout": Unknown(), "stderr": Unknown()},
        preview=True,
    ),
    CreateCase(
        "remote command",
        REMOTE,
        {"connection": "{connection}", "create": "cat; echo e >&2", "stdin": "in"},
        {"stdout": "in", "stderr": "e"},
    ),
    CreateCase(
        "remote environment",
        REMOTE,
        {"connection": "{connection}", "create": "echo $A", "environment": {"A": "v"}},
        {"stdout": "v"},
    ),
    CreateCase(
        "remote exit status is an error",
        REMOTE,
        {"connection": "{connection}", "create": "echo seen; exit 3"},
        error=r'Process exited with status 3: running "echo seen; exit 3":\nseen\n',
    ),
    CreateCase(
        "another host key is refused",
        REMOTE,
        {"connection": "{impostor}", "create": "true"},
        error=r"(?s).*host key mismatch.*",
    ),
    CreateCase(
        "refused connections are counted",
        REMOTE,
        {"connection": "{nobody}", "create": "true"},
        error=r"(?s).*after 2 failed attempts: .*connection refused.*",
    ),
    CreateCase(
        "the defaults of a key",
        KEY,
        {"algorithm": "ED25519"},
        {
            "ecdsaCurve": "P224",
            "rsaBits": 2048.0,
            "privateKeyPem": Secret(r"(?s)-----BEGIN PRIVATE KEY-----\n.*"),
            "privateKeyOpenssh": Secret(r"(?s)-----BEGIN OPENSSH PRIVATE KEY-----\n.*"),
            "publicKeyOpenssh": r"ssh-ed25519 \S+\n",
            "publicKeyFingerprintSha256": r"SHA256:\S{43}",
            "publicKeyFingerprintMd5": r"([0-9a-f]{2}:){15}[0-9a-f]{2}",
            "id": r"[0-9a-f]{40}",
        },
    ),
    CreateCase(
        "an elliptic key",
        KEY,
        {"algorithm": "ECDSA", "ecdsaCurve": "P256"},
        {
            "privateKeyPem": Secret(r"(?s)-----BEGIN EC PRIVATE KEY-----\n.*"),
            "privateKeyPemPkcs8": Secret(r"(?s)-----BEGIN PRIVATE KEY-----\n.*"),
            "publicKeyPem": r"(?s)-----BEGIN PUBLIC KEY-----\n.*",
        },
    ),
    CreateCase(
        "P224 has no OpenSSH form",
        KEY,
        {"algorithm": "ECDSA"},
        {"publicKeyOpenssh": "", "publicKeyFingerprintSha256": "", "privateKeyOpenssh": Secret("")},
    ),
    CreateCase(
        "the defaults of a certificate",
        SELF_SIGNED,
        _CERTIFICATE,
        {
            "earlyRenewalHours": 0.0,
            "isCaCertificate": False,
            "setSubjectKeyId": False,
            "setAuthorityKeyId": False,
            "readyForRenewal": False,
            "keyAlgorithm": "ECDSA",
            "id": r"[0-9]{10,39}",
            "certPem": r"(?s)-----BEGIN CERTIFICATE-----\n.*",
            "validityEndTime": r"\d{4}-\d\d-\d\dT.*",
        },
    ),
    CreateCase(
        "a request",
        REQUEST,
        _REQUEST,
        {
            "keyAlgorithm": "ECDSA",
            "certRequestPem": r"(?s)-----BEGIN CERTIFICATE REQUEST-----\n.*",
            "privateKeyPem": Secret("(?s).*"),
            "id": r"[0-9a-f]{40}",
        },
    ),
    CreateCase(
        "a signed certificate",
        LOCALLY_SIGNED,
        _SIGNED,
        {
            "caKeyAlgorithm": "ECDSA",
            "certPem": r"(?s)-----BEGIN CERTIFICATE-----\n.*",
            "readyForRenewal": False,
        },
    ),
    CreateCase(
        "a certificate in preview",
        LOCALLY_SIGNED,
        _SIGNED,
        {"certPem": Unknown(), "validityEndTime": Unknown()},
        preview=True,
    ),
    CreateCase(
        "an authority without a name",
        SELF_SIGNED,
        {**_CERTIFICATE, "subject": None, "isCaCertificate": True},
        error=r"(?s).*(at least one|Distinguished Name).*",
    ),
)

UPDATES = (
    UpdateCase(
        "update runs with the outputs before",
        LOCAL,
        {"create": "echo first", "update": "echo was $PULUMI_COMMAND_STDOUT"},
        {"create": "echo first", "update": "echo was $PULUMI_COMMAND_STDOUT", "stdin": "x"},
        {"stdout": "was first"},
    ),
    UpdateCase(
        "previous outputs are left out on demand",
        LOCAL,
        {"create": "echo first"},
        {"create": "echo was $PULUMI_COMMAND_STDOUT", "addPreviousOutputInEnv": False},
        {"stdout": "was"},
    ),
    UpdateCase(
        "without update, create runs again",
        LOCAL,
        {"create": "echo one"},
        {"create": "echo two"},
        {"stdout": "two"},
    ),
    UpdateCase(
        "without any command, outputs stay",
        LOCAL,
        {"create": "echo one"},
        {"delete": "true"},
        {"stdout": "one"},
    ),
    UpdateCase(
        "a preview runs nothing",
        LOCAL,
        {"create": "echo one"},
        {"create": "exit 1"},
        {"stdout": Unknown()},
        preview=True,
    ),
    UpdateCase(
        "a failure is an error",
        LOCAL,
        {"create": "true"},
        {"create": "true", "update": "exit 4"},
        error=r'exit status 4: running "exit 4":\n',
    ),
    UpdateCase(
        "remote update",
        REMOTE,
        {"connection": "{connection}", "create": "echo one"},
        {"connection": "{connection}", "create": "echo one", "update": "echo was $PULUMI_COMMAND_STDOUT"},
        {"stdout": "was one"},
    ),
    UpdateCase(
        "early renewal keeps the certificate",
        SELF_SIGNED,
        _CERTIFICATE,
        {**_CERTIFICATE, "earlyRenewalHours": 2.0},
        {"earlyRenewalHours": 2.0, "certPem": r"(?s)-----BEGIN CERTIFICATE-----\n.*"},
    ),
)

CHECKS = (
    CheckCase(
        "the connection is secret and has defaults",
        REMOTE,
        {"connection": {"host": "h"}, "create": "true"},
        checked={
            "connection": Secret(
                {"host": "h", "port": 22.0, "user": "root", "dialErrorLimit": 10.0, "perDialTimeout": 15.0}
            )
        },
    ),
    CheckCase("the connection is required", REMOTE, {"create": "true"}, frozenset({"connection"})),
    CheckCase(
        "no default where the schema has none", KEY, {"algorithm": "RSA"}, checked={"algorithm": "RSA"}
    ),
    CheckCase("no such algorithm", KEY, {"algorithm": "DSA"}, frozenset({"algorithm"})),
    CheckCase("no such curve", KEY, {"algorithm": "ECDSA", "ecdsaCurve": "P255"}, frozenset({"ecdsaCurve"})),
    CheckCase(
        "no such use",
        SELF_SIGNED,
        {**_CERTIFICATE, "allowedUses": ["everything"]},
        frozenset({"allowedUses"}),
    ),
    CheckCase(
        "a negative validity",
        SELF_SIGNED,
        {**_CERTIFICATE, "validityPeriodHours": -1.0},
        frozenset({"validityPeriodHours"}),
    ),
    CheckCase(
        "unknown values pass",
        LOCALLY_SIGNED,
        {**_SIGNED, "certRequestPem": Unknown()},
        checked={"certRequestPem": Unknown()},
    ),
)
