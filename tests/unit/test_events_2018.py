"""Events of 2018 as JSON, for people who look at a dead letter."""

import json

import pytest

from scheduling_client.wire import job_pb2 as jobs
from scheduling_client.wire import resourcebase_pb2 as resources
from scheduling_srv.formats.v1.events_2018 import write_json
from scheduling_srv.runtime import time_slice
from tests.unit.test_long_lists import cron_list, with_turns


async def test_a_message_is_one_json_object() -> None:
    job = jobs.Job(id="ü", type="t", priority=jobs.Job.HIGH, attempts=2)
    job.data.payload.add(type_url="u", value=b"x")
    text = await write_json(
        b"createJobs", jobs.JobList(items=[job, jobs.Job()]).SerializeToString()
    )
    payload = [{"type_url": "u", "value": "eA=="}]
    first = {
        "id": "ü",
        "type": "t",
        "data": {"payload": payload},
        "priority": "HIGH",
        "attempts": 2,
    }
    assert json.loads(text) == {"items": [first, {}]}
    assert "ü" in text
    asked = resources.DeleteRequest(ids=["a", "b"])
    assert await write_json(b"deleteJobs", asked.SerializeToString()) == '{"ids": ["a", "b"]}'
    done = jobs.JobDone(id=7)
    assert await write_json(b"jobDone", done.SerializeToString()) == '{"id": 7}'


@pytest.mark.parametrize(("event", "value"), [(b"other", b""), (b"jobDone", b"\xff")])
async def test_anything_else_is_none(event: bytes, value: bytes) -> None:
    assert await write_json(event, value) == ""


async def test_a_long_list_gives_the_loop_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_slice, "SLICE_MS", 0.0)  # however fast the machine is
    value = cron_list()
    text, turns = await with_turns(write_json(b"createJobs", value))
    found = json.loads(text)["items"]
    assert len(found) == len(jobs.JobList.FromString(value).items)
    assert turns >= len(found) / 100
