"""The reference pages are made from the protos and the code."""

import re

import pytest

from scheduling_srv.domain.reasons import Reason
from scheduling_srv.formats.v1.services import METHODS
from tools.api_pages import API, ERRORS, PAGES, codes


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_page_is_up_to_date(path: object) -> None:
    found = next(each for each in PAGES if each == path)
    assert found.read_text() == PAGES[found](), 'run "make docs"'


def test_every_method_and_message_is_there() -> None:
    text = API.read_text()
    for methods in METHODS.values():
        for method in methods:
            assert f"| `{method}`" in text
            assert f"### {method}Request\n" in text
            assert f"### {method}Response\n" in text


def test_links_lead_to_messages() -> None:
    text = API.read_text()
    names = re.findall(r"^### (\S+)$", text, re.MULTILINE)
    anchors = {name.lower().replace(".", "") for name in names}
    assert set(re.findall(r"\(#([^)]+)\)", text)) <= anchors


def test_every_reason_has_a_code() -> None:
    assert set(codes()) == set(Reason)
    text = ERRORS.read_text()
    for reason, code in codes().items():
        assert f"| `{reason}` | {code} |" in text
