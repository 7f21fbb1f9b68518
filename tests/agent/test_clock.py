"""A clock that is behind its certificates is refused before they land."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from components.agent import clock
from components.agent.evidence import Failure

BEGIN = datetime(2026, 11, 2, 3, 4, 5, tzinfo=UTC)

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


@pytest.fixture(scope="module")
def certificate() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cp-0")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(BEGIN).not_valid_after(BEGIN + timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def files(certificate: str, path: str = "/etc/kubernetes/pki/kubelet.crt") -> list[dict[str, str]]:
    return [
        {"path": "/etc/kubernetes/pki/ca.crt", "text": "not looked at"},
        {"path": path, "text": certificate},
    ]


@pytest.mark.parametrize("late", [timedelta(0), timedelta(seconds=1), timedelta(days=300)])
def test_a_clock_at_or_after_the_begin_is_right(certificate: str, late: timedelta) -> None:
    clock.check(files(certificate), BEGIN + late)


def test_a_clock_behind_is_refused_with_both_times_and_the_way_out(certificate: str) -> None:
    with pytest.raises(Failure) as caught:
        clock.check(files(certificate), BEGIN - timedelta(hours=1))
    text = str(caught.value)
    assert text.startswith(
        "this machine's clock says 2026-11-02 02:04:05 UTC, before its certificates begin (2026-11-02 03:04:05 UTC)"
    )
    assert "Nothing was changed" in text
    assert "timedatectl" in text


def test_a_machine_without_a_kubelet_has_no_certificate_to_look_at() -> None:
    clock.check([{"path": "/etc/kubernetes/pki/ca.crt", "text": "not looked at"}], BEGIN)
