"""What the placeholders of the table stand for."""

import socket

import pytest

from tests.providers import cases
from tests.providers.wire import Client, Properties, Secret, Value, plain


class Made:
    """Fills the `{name}` placeholders of the table, and makes each thing once."""

    def __init__(self, clients: dict[str, Client], fixtures: pytest.FixtureRequest) -> None:
        self._tls = clients["tls"]
        self._fixtures = fixtures
        self._things: dict[str, Value] = {}

    def fill(self, value: Value) -> Value:
        """Return the value with every placeholder in it replaced, and without what is None."""
        if isinstance(value, str) and value.startswith("{") and value.endswith("}"):
            name = value[1:-1]
            if name not in self._things:
                self._things[name] = getattr(self, f"make_{name}")()
            return self._things[name]
        if isinstance(value, Secret):
            return Secret(self.fill(value.value))
        if isinstance(value, dict):
            return {name: self.fill(inner) for name, inner in value.items() if inner is not None}
        return [self.fill(inner) for inner in value] if isinstance(value, list) else value

    def make_key(self) -> Value:
        """Return a private key in PEM."""
        return plain(
            self._tls.create(cases.KEY, {"algorithm": "ECDSA", "ecdsaCurve": "P256"})["privateKeyPem"]
        )

    def make_other_key(self) -> Value:
        """Return another private key in PEM."""
        return self.make_key()

    def make_authority(self) -> Value:
        """Return the certificate of an authority whose key is `key`."""
        inputs: Properties = {
            "privateKeyPem": Secret("{key}"),
            "isCaCertificate": True,
            "validityPeriodHours": 24.0,
            "allowedUses": ["cert_signing"],
            "subject": {"commonName": "authority"},
        }
        return self._tls.create(cases.SELF_SIGNED, self.fill(inputs))["certPem"]

    def make_request(self) -> Value:
        """Return a certificate request in PEM."""
        inputs: Properties = {"privateKeyPem": Secret("{other_key}"), "dnsNames": ["leaf.example"]}
        return self._tls.create(cases.REQUEST, self.fill(inputs))["certRequestPem"]

    def make_connection(self) -> Value:
        """Return a connection to the tests' SSH server."""
        reach = self._fixtures.getfixturevalue("server")
        return Secret({**reach, "user": "root", "dialErrorLimit": 2.0, "perDialTimeout": 5.0})

    def make_impostor(self) -> Value:
        """Return a connection to the tests' SSH server that expects another host key."""
        other = self._tls.create(cases.KEY, {"algorithm": "ED25519"})["publicKeyOpenssh"]
        return Secret({**self.make_connection().value, "hostKey": other, "dialErrorLimit": 0.0})

    def make_nobody(self) -> Value:
        """Return a connection to a port that nobody listens on."""
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = float(unused.getsockname()[1])
        reach = {"host": "127.0.0.1", "port": port, "user": "root", "password": "x", "perDialTimeout": 5.0}
        return Secret({**reach, "dialErrorLimit": 2.0})
