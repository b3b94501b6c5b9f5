"""How a run ended, and the text by which stores keep it."""

from __future__ import annotations

from typing import NamedTuple

LONGEST_ERROR_BYTES = 1024
"""Bytes of an error that a jobFailed carries."""
_MARK = "\x1f"


class Ended(NamedTuple):
    """The end of a run; `error` is None if it is done."""

    error: str | None = None
    retry_after_ms: int = 0
    """When the next attempt begins; 0: the job's backoff decides."""
    final: bool = False
    """No attempt follows."""

    def to_store(self) -> str | None:
        """As stores keep it: None, or the error with its flags before it if there are any."""
        if self.error is None or not (self.retry_after_ms or self.final):
            return self.error
        return f"{_MARK}{self.retry_after_ms}{_MARK}{int(self.final)}{_MARK}{self.error}"

    @classmethod
    def from_store(cls, text: str | None) -> Ended:
        """Of a text that `to_store` made."""
        if text is None or not text.startswith(_MARK):
            return cls(text)
        _, after, final, error = text.split(_MARK, 3)
        return cls(error, int(after), final == "1")


DONE = Ended()


def failed(fault: BaseException) -> Ended:
    """The end of a run whose handler raised: the type of the exception and its first line."""
    line = str(fault).strip().partition("\n")[0]
    name = type(fault).__name__
    return Ended(shortened(f"{name}: {line}" if line else name))


def shortened(text: str) -> str:
    """At most as many bytes as an answer carries, in whole characters."""
    return text.encode(errors="replace")[:LONGEST_ERROR_BYTES].decode(errors="ignore")
