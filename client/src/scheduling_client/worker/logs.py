"""Log lines of a worker: JSON for machines, plain lines for a terminal. Never a payload."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

ROOT = "scheduling_client.worker"
_OWN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


def set_up(level: int | str = logging.INFO) -> None:
    """Log to stderr, unless the program has set up logging itself."""
    if logging.getLogger().handlers or logging.getLogger(ROOT).handlers:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(Lines() if sys.stderr.isatty() else Json())
    logger = logging.getLogger(ROOT)
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False


def facts(record: logging.LogRecord) -> dict[str, Any]:
    """The values that a log call has given beside its sentence."""
    return {key: value for key, value in record.__dict__.items() if key not in _OWN}


class Json(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **facts(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class Lines(logging.Formatter):
    """Time, level, sentence, and `key=value`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        values = "".join(f"  {key}={value}" for key, value in facts(record).items())
        line = f"{time} {record.levelname.lower():<8}{record.getMessage()}{values}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line
