"""What docs/operations.md lists is what there is."""

import re

from scheduling_srv.adapters.redis.preflight import COMMANDS
from scheduling_srv.app.health.guarantees import Risk
from scheduling_srv.runtime import failpoints
from scheduling_srv.settings.load import describe
from tests.docs.snippets import ROOT, pages
from tools import kafka_rights, redis_rights

PAGE = (ROOT / "docs" / "operations.md").read_text()


def test_every_setting_that_pages_name_exists() -> None:
    known = {setting.environment for setting in describe()} | {failpoints.VARIABLE}
    for page in pages():
        named = set(re.findall(r"SCHEDULING_(?!CLIENT_)[A-Z_]+[A-Z]", page.read_text()))
        assert {name.removesuffix("_FILE") for name in named} <= known, page


def test_the_risks_are_those_that_the_service_knows() -> None:
    section = PAGE.partition("## Guarantees at risk")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == [risk.value for risk in Risk]


def test_it_lists_the_rights_that_the_scripts_need() -> None:
    assert redis_rights.with_rights(PAGE) == PAGE, 'run "make docs"'
    assert {command for command, *_ in COMMANDS} <= redis_rights.needed()


def test_it_lists_the_rights_of_kafka() -> None:
    assert kafka_rights.with_rights(PAGE) == PAGE, 'run "make docs"'
