"""What errors of Redis mean: every class that redis-py has, and prefixes that it has none for."""

import inspect
from collections.abc import Mapping

import pytest
from redis import exceptions
from redis._parsers.base import BaseParser

from scheduling_srv.adapters.redis.refusals import BY_CLASS, Meaning, meaning_of, translated
from scheduling_srv.domain.errors import (
    NewerData,
    StoreFault,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
)

CLASSES: set[type[Exception]] = {
    kind
    for _, kind in inspect.getmembers(exceptions, inspect.isclass)
    if issubclass(kind, Exception) and kind.__module__ == exceptions.__name__
}
ANSWERS: Mapping[str, Meaning] = {
    "READONLY You can't write against a read only replica.": Meaning.REPLICA,
    "MASTERDOWN Link with MASTER is down.": Meaning.REPLICA,
    "REDIRECT 127.0.0.1:6379": Meaning.REPLICA,
    "LOADING Redis is loading the dataset in memory": Meaning.BUSY,
    "BUSY Redis is busy running a script.": Meaning.BUSY,
    "MISCONF Redis is configured to save RDB snapshots.": Meaning.BUSY,
    "NOREPLICAS Not enough good replicas to write.": Meaning.BUSY,
    "OOM command not allowed when used memory > 'maxmemory'.": Meaning.FULL,
    "NOAUTH Authentication required.": Meaning.CREDENTIALS,
    "WRONGPASS invalid username-password pair or user is disabled.": Meaning.CREDENTIALS,
    "NOPERM User u has no permissions to run the 'hset' command": Meaning.RIGHTS,
    "ERR invalid password": Meaning.CREDENTIALS,
    "DENIED Redis is running in protected mode.": Meaning.RIGHTS,
    "MOVED 13907 127.0.0.1:6379": Meaning.CLUSTER,
    "ASK 13907 127.0.0.1:6379": Meaning.CLUSTER,
    "TRYAGAIN Multiple keys request during rehashing of slot": Meaning.CLUSTER,
    "CROSSSLOT Keys in request don't hash to the same slot": Meaning.CLUSTER,
    "CLUSTERDOWN Hash slot not served": Meaning.CLUSTER,
    "NOSCRIPT No matching script. Please use EVAL.": Meaning.UNKNOWN_SCRIPT,
    "ERR max number of clients reached": Meaning.ABSENT,
    "ERR unknown command 'EVALSHA', with args beginning with: ": Meaning.SETTING,
    "ERR Error compiling script (new function): user_script:1: unexpected symbol": Meaning.SETTING,
    "NOPROTO unsupported protocol version": Meaning.SETTING,
    "ERR user_script:1: attempt to index a nil value": Meaning.OURS,
    "WRONGTYPE Operation against a key holding the wrong kind of value": Meaning.OURS,
    "EXECABORT Transaction discarded because of previous errors.": Meaning.OURS,
    "ERR DB index is out of range": Meaning.OTHER,
    "ERR ACL failure in script: User u has no permissions to run 'hset'": Meaning.OTHER,
    "ERR upstream failure": Meaning.OTHER,
    "TOMORROW An error of a later version.": Meaning.OTHER,
}
"""As a server sends them; `tests/store/test_refusals.py` has real ones send theirs."""
NEVER_IN_SCRIPTS = {
    Meaning.CLUSTER,
    Meaning.RIGHTS,
    Meaning.CREDENTIALS,
    Meaning.ABSENT,
    Meaning.SETTING,
}
"""Or, of rights, not with that beginning: `ERR ACL failure in script`."""


def test_every_class_of_redis_py_has_a_meaning() -> None:
    """A later version of it may have more: say what they mean."""
    assert CLASSES - {exceptions.ResponseError} - set(BY_CLASS) == set()


@pytest.mark.parametrize("text", ANSWERS)
@pytest.mark.parametrize("script", ["", " script: 0a1b, on @user_script:7.", " script: on @x:1."])
def test_an_answer_means_the_same_within_a_script(text: str, script: str) -> None:
    """A script passes the error of its command on, with more behind it."""
    if script and ANSWERS[text] in NEVER_IN_SCRIPTS:
        return
    assert meaning_of(BaseParser.parse_error(text + script)) is ANSWERS[text]


def test_every_prefix_that_redis_py_knows_is_among_them() -> None:
    known = {text.partition(" ")[0] for text in ANSWERS}
    assert set(BaseParser.EXCEPTION_CLASSES) - known == set()


@pytest.mark.parametrize("kind", sorted(CLASSES, key=str))
def test_whatever_redis_py_raises_means_that_redis_is_not_available(kind: type[Exception]) -> None:
    if kind is exceptions.NoScriptError:
        return  # the script is sent again
    fault = kind("1 h:1") if issubclass(kind, exceptions.AskError) else kind("said")
    error = translated(fault)
    assert isinstance(error, StoreUnavailable)
    assert str(error).startswith("Redis ")
    assert str(error).endswith(".")


@pytest.mark.parametrize(
    ("answer", "kind", "sentence"),
    [
        (
            "READONLY You can't write. script: 0a, on @user_script:1.",
            StoreUnavailable,
            "Redis is a read-only replica, not the primary: You can't write.",
        ),
        ("OOM command not allowed", StoreFull, "Redis is full: it has reached its maxmemory."),
        ("NOPERM no", StoreRefused, "Redis refuses this user: no."),
        ("MOVED 1 h:1", StoreRefused, "Redis is in cluster mode"),
        ("ERR user_script:1: no", StoreFault, "Redis has answered an error"),
        ("ERR max number of clients reached", StoreUnavailable, "Redis refuses: max number"),
        (
            "NEWERDATA format 9 script: 0a, on @user_script:1.",
            NewerData,
            "The stored data is newer than this version of the service: it has format 9, and",
        ),
        ("ERR upstream failure", StoreUnavailable, "Redis refuses: upstream failure."),
    ],
)
def test_the_sentence_says_what_is_wrong(
    answer: str, kind: type[StoreUnavailable], sentence: str
) -> None:
    error = translated(BaseParser.parse_error(answer))
    assert type(error) is kind
    assert str(error).startswith(sentence)


def test_what_is_refused_while_connecting_is_a_wrong_setting() -> None:
    """It answers SELECT; but a server that is busy then is only busy."""
    wrong = translated(BaseParser.parse_error("ERR DB index is out of range"), connecting=True)
    assert isinstance(wrong, StoreRefused)
    assert "DB index is out of range." in str(wrong)
    busy = translated(BaseParser.parse_error("BUSY Redis is busy."), connecting=True)
    assert not isinstance(busy, StoreRefused)


@pytest.mark.parametrize("fault", [OSError("reset"), TimeoutError(), ConnectionResetError()])
def test_a_network_that_fails_is_an_absent_server(fault: Exception) -> None:
    assert str(translated(fault)).startswith("Redis does not answer: ")
