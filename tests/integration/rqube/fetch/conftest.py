"""A hostile server for each test, and certificates for those that speak TLS."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.hostile_server import HostileServer


@pytest.fixture
def server() -> Iterator[HostileServer]:
    """Speaks plain HTTP."""
    with HostileServer() as server:
        yield server


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Issues the certificates of the tests."""
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_bundle(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file that makes a fetch trust the authority, and nobody else."""
    path: Path = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture
def tls_server(authority: trustme.CA) -> Iterator[HostileServer]:
    """Speaks TLS and has a certificate for good.test."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("good.test").configure_cert(context)
    with HostileServer(tls=context) as server:
        yield server
