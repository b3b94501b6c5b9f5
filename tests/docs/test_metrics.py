"""The page of metrics is what the code registers."""

import re

from scheduling_srv.runtime import metrics
from tools.metrics_page import PAGE, of_redis, of_replica, page, registered

SUFFIXES = ("", "_total", "_bucket", "_count", "_sum", "_created")


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), 'run "make docs"'


def test_every_metric_is_on_it() -> None:
    rows = {row.name.removesuffix("_total") for row in (*of_replica(), *of_redis())}
    known = {name + suffix for name in rows for suffix in SUFFIXES}
    assert registered() <= known
    assert rows <= registered()


def test_every_metric_has_a_sentence() -> None:
    for row in (*of_replica(), *of_redis()):
        assert row.sentence.endswith("."), row.name
        assert len(row.sentence) > 20
        assert "|" not in row.sentence


def test_every_label_set_that_is_known_is_there_from_the_start() -> None:
    """Those that depend on the deployment appear with it."""
    said = metrics.exposition().decode()
    later = {"scheduling_consumer_lag_records", "scheduling_guarantee_at_risk"}
    later |= {"scheduling_unknown_events_total"}
    shown = set(re.findall(r"^(scheduling_\w+?)(?:_bucket|_count|_sum)?[ {]", said, re.MULTILINE))
    assert {row.name for row in of_replica()} - shown <= later
