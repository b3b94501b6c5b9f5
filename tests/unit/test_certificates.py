"""Certificates of the ports: both ports use the content that was checked."""

import ssl
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from scheduling_srv.domain.errors import StartError
from scheduling_srv.entrances import tls
from scheduling_srv.entrances.tls import Certificates
from tests.harness.certificates import Authority, Pair


class Told:
    """The files of a service, and how often a change was told."""

    def __init__(self, directory: Path, **named: Any) -> None:
        self.authority = Authority(directory)
        self.pair = self.renewed()
        self.certificates = Certificates(self.pair.certificate, self.pair.key, **named)
        self.changes = 0
        self.certificates.on_change.append(self.count)

    def count(self) -> None:
        self.changes += 1

    def renewed(self) -> Pair:
        return self.authority.sign("service.test", file="service")


async def test_http_serves_the_last_good_certificate_while_files_change(tmp_path: Path) -> None:
    told = Told(tmp_path)
    before = told.certificates.context()
    told.pair.key.write_text("the first half of a k")
    with capture_logs() as logs:
        await told.certificates.look()
    assert [line["event"] for line in logs] == ["certificates cannot be used"]
    assert told.certificates.context() is before
    told.renewed()
    await told.certificates.look()
    assert (told.changes, told.certificates.context() is before) == (1, False)


async def test_files_that_did_not_change_change_nothing(tmp_path: Path) -> None:
    told = Told(tmp_path)
    before = told.certificates.current, told.certificates.context()
    for _ in range(3):
        await told.certificates.look()
    assert before == (told.certificates.current, told.certificates.context())
    assert told.changes == 0


async def test_a_change_while_they_are_checked_is_none_that_was_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The context reads the files by itself: gRPC and HTTP would serve two certificates."""
    told, built = Told(tmp_path), tls._context
    before = told.certificates.current, told.certificates.context()

    def late(certificate: Path, key: Path) -> ssl.SSLContext:
        told.renewed()
        return built(certificate, key)

    told.renewed()
    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr(tls, "_context", late)
        await told.certificates.look()
    assert ["are changing" in line["reason"] for line in logs] == [True]
    assert before == (told.certificates.current, told.certificates.context())
    await told.certificates.look()
    assert told.changes == 1
    assert told.certificates.current.certificate == told.pair.certificate.read_bytes()


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        ("key", "does not belong to"),
        ("certificate", "are not PEM files"),
        ("client_ca", "holds no certificate in PEM"),
    ],
)
def test_files_that_do_not_fit_end_the_start(tmp_path: Path, broken: str, sentence: str) -> None:
    told = Told(tmp_path)
    files = {"certificate": told.pair.certificate, "key": told.pair.key}
    files["client_ca"] = told.authority.ca
    Certificates(**files)
    if broken == "key":
        files["key"] = told.authority.sign("other.test", lasts=timedelta(days=1)).key
    else:
        files[broken] = tmp_path / "broken.pem"
        files[broken].write_text("broken")
    with pytest.raises(StartError, match=sentence):
        Certificates(**files)
