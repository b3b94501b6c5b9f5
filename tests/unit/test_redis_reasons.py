"""Why Redis does not answer, in words of an operator."""

import pytest

from scheduling_srv.adapters.redis.reasons import in_words

CLOSED = "Connection closed by server."
SLOW = "Timeout connecting to server."


@pytest.mark.parametrize(
    ("text", "tls", "connecting", "sentence"),
    [
        ("Error 111 connecting to h:1. Connection refused.", False, True, "h:1 refuses the"),
        ("Error -2 connecting to h:1. Name or service not known.", False, True, "h:1 has a host"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed", True, True, "h:1 shows a certificate"),
        ("[SSL: WRONG_VERSION_NUMBER] (_ssl.c:1006)", True, True, "h:1 does not speak TLS"),
        ('Protocol error, got "\\x15" as reply type byte.', False, True, "h:1 expects TLS"),
        (CLOSED, False, True, "h:1 closes the connection at once: it may expect TLS (rediss://)."),
        (CLOSED, False, False, "h:1 has closed the connection."),
        (CLOSED, True, True, "h:1 closes the connection at once: perhaps it does not speak TLS."),
        (SLOW, True, True, "h:1 does not answer in time, perhaps because it does not speak TLS"),
        (SLOW, False, True, "h:1 does not answer in time."),
        ("The moon is full.", False, False, "h:1: The moon is full."),
    ],
)
def test_in_words(text: str, tls: bool, connecting: bool, sentence: str) -> None:
    assert in_words(text, "h:1", tls=tls, connecting=connecting).startswith(sentence)
