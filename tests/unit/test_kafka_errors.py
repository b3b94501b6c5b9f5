"""What each error of Kafka means: every code of librdkafka is in the table."""

import pytest
from confluent_kafka import KafkaError, KafkaException

from scheduling_srv.adapters.kafka.errors import (
    MEANINGS,
    Meaning,
    error_of,
    failed,
    fatal_errors,
    meaning_of,
)
from scheduling_srv.adapters.kafka.errors import publish_failed as as_failure
from scheduling_srv.domain.errors import Fenced, PublishFailed, RecordRefused


def codes() -> dict[str, int]:
    """All that this version knows, by name."""
    found = {name: getattr(KafkaError, name) for name in dir(KafkaError)}
    return {
        name: code
        for name, code in found.items()
        if isinstance(code, int) and name.strip("_").isupper()
    }


def test_every_code_is_classified() -> None:
    """A new one has to be put into the table before its version is used."""
    assert len(codes()) > 150
    assert [name for name, code in codes().items() if code not in MEANINGS] == []


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("MSG_SIZE_TOO_LARGE", Meaning.REFUSED),
        ("RECORD_LIST_TOO_LARGE", Meaning.REFUSED),
        ("INVALID_RECORD", Meaning.REFUSED),
        ("INVALID_TIMESTAMP", Meaning.REFUSED),
        ("POLICY_VIOLATION", Meaning.REFUSED),
        ("UNKNOWN_TOPIC_OR_PART", Meaning.TOPIC),
        ("TOPIC_AUTHORIZATION_FAILED", Meaning.TOPIC),
        ("_INCONSISTENT", Meaning.UNCLEAR),
        ("_FATAL", Meaning.UNCLEAR),
        ("_GAPLESS_GUARANTEE", Meaning.UNCLEAR),
        ("PRODUCER_FENCED", Meaning.FENCED),
        ("_FENCED", Meaning.FENCED),
        ("TRANSACTIONAL_ID_AUTHORIZATION_FAILED", Meaning.MISCONFIGURED),
        ("_AUTHENTICATION", Meaning.MISCONFIGURED),
        ("_AUTO_OFFSET_RESET", Meaning.GONE),
        ("_TIMED_OUT", Meaning.PASSING),
        ("_TRANSPORT", Meaning.PASSING),
        ("NOT_ENOUGH_REPLICAS", Meaning.PASSING),
        ("LEADER_NOT_AVAILABLE", Meaning.PASSING),
    ],
)
def test_what_it_means(name: str, meaning: Meaning) -> None:
    assert meaning_of(KafkaError(codes()[name])) is meaning


def test_an_unknown_code_is_passing() -> None:
    """Of a broker that is newer than this library."""
    assert meaning_of(KafkaError(9_999)) is Meaning.PASSING
    assert meaning_of(None) is Meaning.NONE


@pytest.mark.parametrize("name", sorted(codes()))
def test_what_the_publisher_makes_of_it(name: str) -> None:
    """It looks for a record, or for another service, only where that may help."""
    fault = as_failure(KafkaException(KafkaError(codes()[name])), "why")
    meaning = MEANINGS[codes()[name]]
    looked_for = dict.fromkeys((Meaning.REFUSED, Meaning.TOPIC, Meaning.UNCLEAR), RecordRefused)
    kinds: dict[Meaning, type[PublishFailed]] = {**looked_for, Meaning.FENCED: Fenced}
    assert type(fault) is kinds.get(meaning, PublishFailed)
    if isinstance(fault, RecordRefused):
        assert fault.too_large == (name in {"MSG_SIZE_TOO_LARGE", "RECORD_LIST_TOO_LARGE"})


def test_other_exceptions_have_no_code() -> None:
    assert error_of(BufferError("full")) is None
    assert error_of(KafkaException("text")) is None
    assert type(as_failure(BufferError("full"), "why")) is PublishFailed
    assert type(failed(None, "given up")) is PublishFailed


def raises(fault: Exception) -> None:
    raise fault


def test_a_fatal_error_that_python_finds_late_is_that_error() -> None:
    """It was "a part of the service broke", with a traceback, when an owner was fenced."""
    fault = KafkaException(KafkaError(KafkaError._FENCED))
    late = SystemError("<class 'map'> returned a result with an exception set")
    late.__cause__ = fault
    with pytest.raises(KafkaException) as raised, fatal_errors():
        raises(late)
    assert raised.value is fault


def test_other_errors_of_the_interpreter_stay() -> None:
    with pytest.raises(SystemError, match="another"), fatal_errors():
        raises(SystemError("another"))
