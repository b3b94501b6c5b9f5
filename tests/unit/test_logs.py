"""Logs are one line an event, and never hold what jobs carry."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from scheduling_srv.runtime import logs


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    structlog.reset_defaults()
    root.handlers, root.level = handlers, level
    logging.getLogger("scheduling_srv").setLevel(logging.NOTSET)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    out, err = capsys.readouterr()
    assert out == ""
    return [json.loads(line) for line in err.splitlines()]


def fail_with(secret: str) -> None:
    payload = secret
    raise ValueError(type(payload))


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    structlog.get_logger("scheduling_srv.x").info("said", number=1, data=b"s3cret", text="x" * 5000)
    structlog.get_logger("scheduling_srv.x").debug("not said")
    (line,) = lines(capsys)
    assert str(line.pop("timestamp")).endswith("Z")
    assert len(str(line.pop("text"))) == 2003
    assert line == {
        "event": "said",
        "level": "info",
        "logger": "scheduling_srv.x",
        "number": 1,
        "data": "<6 bytes>",
    }


@pytest.mark.parametrize("style", ["json", "console"])
def test_tracebacks_show_no_variables(capsys: pytest.CaptureFixture[str], style: str) -> None:
    logs.configure("info", style)  # type: ignore[arg-type]
    secret = "s3cret-text"
    try:
        fail_with(secret)
    except ValueError:
        structlog.get_logger("scheduling_srv.x").exception("failed")
    err = capsys.readouterr().err
    assert "ValueError: <class 'str'>" in err
    assert "fail_with" in err
    assert secret not in err


def test_libraries_are_heard_in_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    logging.getLogger("asyncio").warning("slow %s", "task")
    logging.getLogger("asyncio").info("not said")
    (line,) = lines(capsys)
    assert (line["event"], line["level"], line["logger"]) == ("slow task", "warning", "asyncio")


def test_console(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("debug", "console")
    structlog.get_logger("scheduling_srv.x").debug("said", number=1)
    assert "said" in capsys.readouterr().err
