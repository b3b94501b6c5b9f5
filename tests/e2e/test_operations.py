"""Create, Read, Update, Upsert and Delete: each sentence of docs/contract.md."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from tests.client import contract
from tests.client.contract import Backoff, Data, FieldFilter, Job, JobFilter, payload
from tests.client.grpc_client import Client, Refusal
from tests.e2e.product import Product, fresh, instant, now_ms, tomorrow
from tests.harness.windows import in_time, with_enough_time

ASCENDING, DESCENDING = 1, 2


def later(**fields: Any) -> Any:
    """A job for tomorrow."""
    return contract.job(**{"when": tomorrow(), **fields})


def refused(call: Any, *arguments: Any, **options: Any) -> Refusal:
    """The refusal that this call gets."""
    with pytest.raises(Refusal) as caught:
        call(*arguments, **options)
    return caught.value


def assert_names(refusal: Refusal, *, index: int, job_id: str, field: str) -> None:
    """google.rpc.BadRequest names the item by index and id, and the field."""
    [(path, description)] = refusal.violations
    text = f"{path} {description}"
    assert field in path
    assert str(index) in text
    assert job_id in text


# --- Create ---


def test_create_answers_what_was_given_and_what_was_filled_in(product: Product) -> None:
    """Answer: the stored jobs with id, timezone and everything that was given, total_count."""
    given = Job(
        id=fresh(),
        type=fresh("type"),
        data=Data(creator="me", payload=[payload("{}"), payload(b"\0\xff", "x/y")]),
        priority=Job.HIGH,
        attempts=3,
        backoff=Backoff(delay=1000, type=Backoff.EXPONENTIAL),
        parallel=2,
        interval="1 day",
    )
    answer = product.client.create(given)
    assert answer.total_count == 1
    expected = Job.FromString(given.SerializeToString())
    expected.data.timezone = "UTC"
    assert list(answer.items) == [expected]
    assert list(product.client.read(filter=JobFilter(jobs_ids=[given.id])).items) == [expected]
    assert product.created(given.id) == expected


def test_the_time_zone_is_echoed(product: Product) -> None:
    job = later(data=Data(timezone="Asia/Kathmandu", creator="me"))
    assert product.client.create(job).items[0].data.timezone == "Asia/Kathmandu"


def test_ids_are_generated_where_none_is_given(product: Product) -> None:
    answer = product.client.create(*(later() for _ in range(100)))
    ids = [job.id for job in answer.items]
    assert all(ids)
    assert len({*ids}) == 100
    assert product.living(*ids) == sorted(ids)


def test_create_keeps_the_order_of_the_list(product: Product) -> None:
    ids = [fresh() for _ in range(10)]
    answer = product.client.create(*(later(id=job_id) for job_id in ids))
    assert [job.id for job in answer.items] == ids


def test_all_items_are_created_or_none(product: Product) -> None:
    """All items are validated first; all are created or none."""
    good, bad, last = fresh(), fresh(), fresh()
    refusal = refused(
        product.client.create,
        later(id=good),
        contract.job(id=bad, interval="sometimes"),
        later(id=last),
    )
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert_names(refusal, index=1, job_id=bad, field="interval")
    assert product.living(good, bad, last) == []
    assert product.resource_events(good, bad, last) == []


def test_every_fault_of_a_list_is_named(product: Product) -> None:
    refusal = refused(
        product.client.create,
        contract.job(id=fresh(), interval="sometimes"),
        later(id=fresh()),
        Job(id=fresh(), type="t", when=tomorrow()),
    )
    assert [field for field, _ in refusal.violations] == ["items[0].interval", "items[2].data"]


@pytest.mark.parametrize(
    ("job", "sentence", "field"),
    [
        (Job(data=Data(), now=True), "Job type not specified.", "type"),
        (Job(type="t", now=True), "No job data specified.", "data"),
        (
            Job(type="t", data=Data()),
            "No schedule specified for job. Set one of interval, when and now.",
            "",
        ),
    ],
)
def test_what_every_job_needs(product: Product, job: Any, sentence: str, field: str) -> None:
    job_id = fresh()
    named = Job.FromString(job.SerializeToString())
    named.id = job_id
    refusal = refused(product.client.create, later(), named)
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.message == sentence
    assert_names(refusal, index=1, job_id=job_id, field=field)


def test_an_empty_create_is_refused(product: Product) -> None:
    refusal = refused(product.client.create)
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.message == "Missing items in create request."
    assert refusal.violations


def test_an_id_that_exists_is_refused_with_the_whole_list(product: Product) -> None:
    there, new = fresh(), fresh()
    product.client.create(later(id=there, type="first"))
    refusal = refused(product.client.create, later(id=new), later(id=there, type="second"))
    assert refusal.code is grpc.StatusCode.ALREADY_EXISTS
    assert_names(refusal, index=1, job_id=there, field="id")
    assert product.living(there, new) == [there]
    assert product.created(there).type == "first"
    assert product.resource_events(there, new) == [("jobsCreated", there)]


def test_an_id_may_not_stand_twice_in_a_list(product: Product) -> None:
    twice = fresh()
    refusal = refused(product.client.create, later(id=twice), later(), later(id=twice))
    assert refusal.code in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.ALREADY_EXISTS}
    assert_names(refusal, index=2, job_id=twice, field="id")
    assert product.living(twice) == []


def test_an_id_is_free_again_when_its_job_is_gone(product: Product) -> None:
    job_id = fresh()
    product.client.create(later(id=job_id))
    product.client.delete(job_id)
    product.client.create(later(id=job_id))
    assert product.living(job_id) == [job_id]


def test_what_was_answered_has_been_announced(product: Product) -> None:
    """An answered Create, Update or Delete is durable: in Redis, and on jobs.resource."""
    job_id = fresh()
    product.client.create(later(id=job_id))
    assert product.resource_events(job_id) == [("jobsCreated", job_id)]
    product.client.update(later(id=job_id))
    assert product.resource_events(job_id)[1:] == [("jobsDeleted", job_id), ("jobsCreated", job_id)]
    product.client.delete(job_id)
    assert product.resource_events(job_id)[3:] == [("jobsDeleted", job_id)]


# --- Read ---


@pytest.fixture
def five(product: Product) -> list[str]:
    """Ids of five jobs in order of creation; creator is a, b, a, b, a."""
    ids = [fresh() for _ in range(5)]
    tag = fresh("creator")
    for number, job_id in enumerate(ids):
        creator = f"{tag}-{'ab'[number % 2]}"
        product.client.create(later(id=job_id, data=Data(creator=creator)))
    return ids


def creator_of(product: Product, job_id: str) -> str:
    [job] = product.client.read(filter=JobFilter(jobs_ids=[job_id])).items
    return str(job.data.creator)


def test_read_shows_pending_and_unfinished_when_jobs_and_recurring_ones(product: Product) -> None:
    pending, running, recurring, now = (fresh() for _ in range(4))
    kind, now_kind = fresh("type"), fresh("type")
    product.client.create(
        later(id=pending),
        contract.job(id=running, type=kind, when="in 100 milliseconds"),
        contract.job(id=recurring, interval="1 day"),
        contract.job(id=now, type=now_kind, now=True),
    )
    run, now_run = product.run(kind), product.run(now_kind)
    assert product.living(pending, running, recurring, now) == sorted([pending, running, recurring])
    product.done(run)
    product.done(now_run)
    product.deleted(running)
    assert product.living(pending, running, recurring, now) == sorted([pending, recurring])


def test_read_filters_by_creator(product: Product, five: list[str]) -> None:
    creator = creator_of(product, five[0])
    answer = product.client.read(filter=JobFilter(creator=creator))
    assert sorted(job.id for job in answer.items) == sorted(five[::2])
    assert answer.total_count == 3


def test_read_filters_by_ids_and_leaves_unknown_ones_out(product: Product, five: list[str]) -> None:
    answer = product.client.read(filter=JobFilter(jobs_ids=[five[3], "nobody", five[1]]))
    assert sorted(job.id for job in answer.items) == sorted([five[1], five[3]])
    assert answer.total_count == 2


def test_both_filters_have_to_fit(product: Product, five: list[str]) -> None:
    creator = creator_of(product, five[0])
    answer = product.client.read(filter=JobFilter(creator=creator, jobs_ids=five[:3]))
    assert sorted(job.id for job in answer.items) == sorted([five[0], five[2]])
    assert product.ids(filter=JobFilter(creator="nobody", jobs_ids=five)) == []


@pytest.mark.parametrize("by", ["ids", "creator", "all"])
def test_read_sorts_by_creation(product: Product, five: list[str], by: str) -> None:
    mixed = [five[2], five[4], five[0]]
    wanted = [five[0], five[2], five[4]]
    creator = creator_of(product, five[0])
    filters = {
        "ids": JobFilter(jobs_ids=mixed),
        "creator": JobFilter(creator=creator),
        "all": JobFilter(),
    }

    def found(sort: int) -> list[str]:
        return [each for each in product.ids(filter=filters[by], sort=sort) if each in wanted]

    assert found(ASCENDING) == wanted
    assert found(DESCENDING) == wanted[::-1]


@pytest.mark.parametrize("by", ["ids", "creator"])
def test_total_count_is_how_many_match_before_the_limit(
    product: Product, five: list[str], by: str
) -> None:
    creator = creator_of(product, five[0])
    wanted = JobFilter(jobs_ids=five[::2]) if by == "ids" else JobFilter(creator=creator)
    answer = product.client.read(limit=2, sort=ASCENDING, filter=wanted)
    assert [job.id for job in answer.items] == [five[0], five[2]]
    assert answer.total_count == 3
    answer = product.client.read(limit=2, sort=DESCENDING, filter=wanted)
    assert [job.id for job in answer.items] == [five[4], five[2]]


def test_a_limit_holds_without_a_filter(product: Product, five: list[str]) -> None:
    answer = product.client.read(limit=2, sort=DESCENDING)
    assert [job.id for job in answer.items] == [five[4], five[3]]
    assert answer.total_count == product.client.read().total_count >= 5


def test_included_fields_are_the_only_ones(product: Product, five: list[str]) -> None:
    [job] = product.client.read(
        filter=JobFilter(jobs_ids=[five[0]]),
        field=[FieldFilter(name="id", include=True), FieldFilter(name="when", include=True)],
    ).items
    assert sorted(field.name for field, _ in job.ListFields()) == ["id", "when"]
    assert job.id == five[0]


def test_excluded_fields_are_the_missing_ones(product: Product, five: list[str]) -> None:
    [job] = product.client.read(
        filter=JobFilter(jobs_ids=[five[0]]), field=[FieldFilter(name="data", include=False)]
    ).items
    assert sorted(field.name for field, _ in job.ListFields()) == ["id", "type", "when"]


# --- Update ---


def test_update_keeps_the_id_and_merges_nothing(product: Product) -> None:
    """Nothing is merged from the old job."""
    job_id = fresh()
    product.client.create(
        later(
            id=job_id,
            data=Data(creator="old", timezone="Europe/Berlin", payload=[payload("{}")]),
            priority=Job.HIGH,
            attempts=5,
            backoff=Backoff(delay=5),
            parallel=5,
        )
    )
    new = contract.job(id=job_id, type="new", data=Data(), interval="1 day")
    product.client.update(new)
    [stored] = product.client.read(filter=JobFilter(jobs_ids=[job_id])).items
    assert stored.data.timezone == "UTC"
    stored.data.timezone = ""
    assert stored == new


def test_days_in_words_are_echoed_as_given(product: Product) -> None:
    job_id = fresh()
    job = contract.job(id=job_id, type="t", data=Data(timezone="UTC"), interval="Every Monday at 9")
    product.client.create(job)
    [stored] = product.client.read(filter=JobFilter(jobs_ids=[job_id])).items
    assert stored.interval == "Every Monday at 9"
    product.client.delete(job_id)


def test_update_emits_deleted_then_created(product: Product) -> None:
    job_id = fresh()
    product.client.create(later(id=job_id, type="old"))
    product.client.update(later(id=job_id, type="new"))
    assert product.resource_events(job_id) == [
        ("jobsCreated", job_id),
        ("jobsDeleted", job_id),
        ("jobsCreated", job_id),
    ]
    assert product.created(job_id, 2).type == "new"


def test_an_updated_job_runs_by_its_new_trigger_only(product: Product) -> None:
    def attempt(window: int) -> None:
        job_id, old, new = fresh(), fresh("type"), fresh("type")
        old_due = product.create_in(window, contract.job(id=job_id, type=old))
        when = f"in {window + 500} milliseconds"
        (job,) = product.client.update(contract.job(id=job_id, type=new, when=when)).items
        in_time(now_ms() < old_due, "the job was updated before it was due")
        run = product.run(new)
        assert run.nominal > old_due
        run.assert_not_early(instant(job.when))
        assert product.runs_so_far(old) == []
        product.done(run)
        product.deleted(job_id, 2)

    with_enough_time(attempt, 1000)


def test_updating_an_unknown_id_applies_nothing(product: Product) -> None:
    there = fresh()
    product.client.create(later(id=there, type="old"))
    refusal = refused(product.client.update, later(id=there, type="new"), later(id="nobody"))
    assert refusal.code is grpc.StatusCode.NOT_FOUND
    assert_names(refusal, index=1, job_id="nobody", field="id")
    [job] = product.client.read(filter=JobFilter(jobs_ids=[there])).items
    assert job.type == "old"
    assert product.resource_events(there) == [("jobsCreated", there)]


def test_an_update_is_validated_as_a_create(product: Product) -> None:
    there = fresh()
    product.client.create(later(id=there))
    refusal = refused(product.client.update, contract.job(id=there, when="sometime"))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert_names(refusal, index=0, job_id=there, field="when")
    assert product.resource_events(there) == [("jobsCreated", there)]


@pytest.mark.parametrize("method", ["update", "upsert"])
def test_an_empty_list_is_refused(product: Product, method: str) -> None:
    refusal = refused(getattr(product.client, method))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "items" in refusal.message


def test_an_update_without_an_id_is_refused(product: Product) -> None:
    refusal = refused(product.client.update, later())
    assert refusal.code in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}


def test_an_answer_to_a_superseded_run_changes_nothing(product: Product) -> None:
    """The job was updated while it ran: what becomes of the old run is no matter any more."""
    job_id, old = fresh(), fresh("type")
    product.client.create(contract.job(id=job_id, type=old, when="in 100 milliseconds"))
    run = product.run(old)
    product.client.update(later(id=job_id))
    product.done(run)
    product.settle()
    assert product.living(job_id) == [job_id]
    assert len(product.resource_events(job_id)) == 3


# --- Upsert ---


def test_upsert_updates_what_exists_and_creates_what_does_not(product: Product) -> None:
    there, new = fresh(), fresh()
    product.client.create(later(id=there, type="old"))
    answer = product.client.upsert(
        later(id=there, type="new"), later(id=new, type="new"), later(type="new")
    )
    assert answer.total_count == 3
    generated = answer.items[2].id
    assert product.resource_events(there, new, generated) == [
        ("jobsCreated", there),
        ("jobsDeleted", there),
        ("jobsCreated", there),
        ("jobsCreated", new),
        ("jobsCreated", generated),
    ]
    found = product.client.read(filter=JobFilter(jobs_ids=[there, new, generated])).items
    assert [job.type for job in found] == ["new"] * 3


def test_a_refused_upsert_applies_nothing(product: Product) -> None:
    there, new = fresh(), fresh()
    product.client.create(later(id=there, type="old"))
    refusal = refused(
        product.client.upsert, later(id=there, type="new"), later(id=new), Job(id="x", type="t")
    )
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert product.living(there, new) == [there]
    assert product.resource_events(there, new) == [("jobsCreated", there)]


# --- Delete ---


def test_delete_by_ids_passes_over_unknown_ones(product: Product) -> None:
    """Unknown ids are no error and emit nothing. One jobsDeleted per job really deleted."""
    first, second, stays = (fresh() for _ in range(3))
    product.client.create(*(later(id=job_id) for job_id in (first, second, stays)))
    product.client.delete(first, "nobody", second, first)
    assert product.living(first, second, stays) == [stays]
    deleted = product.resource_events(first, second, "nobody", stays)[3:]
    assert sorted(deleted) == sorted([("jobsDeleted", first), ("jobsDeleted", second)])
    product.client.delete(first)
    assert len(product.resource_events(first)) == 2


def test_delete_needs_ids_or_collection(product: Product) -> None:
    refusal = refused(product.client.delete)
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.message == "No arguments provided for delete operation"


def test_fields_three_and_four_of_a_delete_are_ignored(product: Product) -> None:
    job_id = fresh()
    product.client.create(later(id=job_id))
    request = contract.DeleteRequest(id=[1], job_unique_name=[job_id]).SerializeToString()
    refusal = refused(product.client.call, "/io.restorecommerce.job.Service/Delete", request)
    assert refusal.message == "No arguments provided for delete operation"
    assert product.living(job_id) == [job_id]


def test_collection_deletes_every_job(product: Product) -> None:
    ids = [fresh() for _ in range(3)]
    product.client.create(*(later(id=job_id) for job_id in ids))
    product.client.delete(collection=True)
    answer = product.client.read()
    assert (list(answer.items), answer.total_count) == ([], 0)
    events = product.resource_events(*ids)
    assert sorted(events[3:]) == sorted(("jobsDeleted", job_id) for job_id in ids)


def test_deleting_a_collection_of_none_is_no_error(product: Product) -> None:
    product.client.delete(collection=True)
    product.client.delete(collection=True)


def test_once_delete_has_answered_nothing_is_queued(product: Product) -> None:
    """Every second job is deleted while they all fall due, one after the other."""
    kind = fresh("type")
    ids = [fresh() for _ in range(200)]
    product.client.create(
        *(
            contract.job(id=job_id, type=kind, when=f"in {500 + 10 * number} ms")
            for number, job_id in enumerate(ids)
        )
    )
    answered: dict[str, int] = {}
    for job_id in ids[::2]:
        product.client.delete(job_id)
        answered[job_id] = now_ms()
    for job_id in ids[1::2]:
        product.run_of(job_id)
    product.settle()
    runs = product.runs_so_far(kind)
    assert len({run.job_id for run in runs}) == len(runs)
    assert {*ids[1::2]} <= {run.job_id for run in runs}
    assert [run for run in runs if run.record.timestamp > answered.get(run.job_id, 2**63)] == []
    product.client.delete(*ids)


# --- by events ---


def test_lists_are_accepted_by_events(product: Product) -> None:
    one, two = fresh(), fresh()
    product.send("createJobs", contract.JobList(items=[later(id=one), later(id=two)]))
    product.created(one)
    product.created(two)
    product.send("modifyJobs", contract.JobList(items=[later(id=one, type="new")]))
    assert product.created(one, 2).type == "new"
    product.send("deleteJobs", contract.DeleteRequest(ids=[one, two]))
    product.deleted(one, 2)
    product.deleted(two)
    assert product.living(one, two) == []


def test_many_clients_create_at_once(product: Product) -> None:
    """Single creates that arrive together share a call; each gets its own answer."""
    ids = [fresh() for _ in range(100)]
    taken = ids[50]
    product.client.create(later(id=taken))

    def create(job_id: str) -> str:
        try:
            return str(product.client.create(later(id=job_id)).items[0].id)
        except Refusal as refusal:
            return refusal.code.name

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(create, ids))
    assert answers == [*ids[:50], "ALREADY_EXISTS", *ids[51:]]
    product.client.delete(*ids)


def test_another_client_sees_the_same(product: Product) -> None:
    job_id = fresh()
    product.client.create(later(id=job_id))
    with Client(product.service.address) as other:
        assert [job.id for job in other.read(filter=JobFilter(jobs_ids=[job_id])).items] == [job_id]
