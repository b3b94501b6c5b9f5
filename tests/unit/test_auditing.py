"""The command `audit` and a Kafka that does not answer."""

import pytest

from scheduling_srv.cli.audit import audit
from scheduling_srv.domain.errors import StartError
from scheduling_srv.settings.model import Settings


def test_it_says_why_kafka_does_not_answer() -> None:
    """It said that a port that refuses connections did not answer in time."""
    settings = Settings(kafka_bootstrap_servers="127.0.0.1:3")
    with pytest.raises(StartError) as wrong:
        audit(settings, since="1h", until="now", late="1s", as_json=False)
    assert str(wrong.value) == (
        "Kafka does not answer: 127.0.0.1:3 refuses the connection: no server listens there."
    )
