"""The simulation of several shards does what arithmetic says, and says nothing without figures."""

from pathlib import Path
from zlib import crc32

import pytest

from bench import scale
from bench.report import replaced
from bench.results import Results
from bench.scale_model import (
    CORES_OF_ALL,
    REDIS,
    TRANSACTIONS,
    Costs,
    Load,
    Outcome,
    Setup,
    Work,
    busiest,
    shares,
    simulate,
)
from bench.site import Sample

US = 1e-6
NOTHING = Work(0.0, 0.0)
USUAL = Costs(
    redis=Work(200 * US, 7 * US),
    python=Work(700 * US, 13 * US),
    kafka=Work(1_300 * US, 14 * US),
    reader=Work(70 * US, 3 * US),
    wait=0.002,
)
LOADS = [
    Load(5_000),
    Load(2_000, rate=1_000),
    Load(5_000, rate=5_000, types=30, skew=1.0),
    Load(20_000, rate=100_000),
    Load(3_000, types=7),
]
SETUPS = [Setup(), Setup(shared=True), Setup(4, 2, 1, 1), Setup(10, 10, 10, 5)]


def outcome(found: Outcome) -> list[list[float]]:
    return [list(shard.emitted) for shard in found.shards]


def sample(cpu: float, jobs: int = 1_000, **figures: float) -> Sample:
    """`cpu`: microseconds a run of each part."""
    return Sample(figures, jobs, dict.fromkeys(scale.PARTS, cpu * US * jobs))


def measured(path: Path, *workloads: str, size: float = 1.0) -> Path:
    results = Results(
        machine={"cores": 2, "processor": "P", "memory": 8, "system": "S", "python": "3"}
        | {"versions": {}}
    )
    samples = {
        "fire": sample(10, rate=40_000.0, p50=1.0, p99=2.0),
        "steady": sample(100, rate=1_000.0, p50=6.0, p99=12.0),
        "steady-10k": sample(15, rate=10_000.0, p50=8.0, p99=20.0),
        "load-curve": Sample({"p50 100": 4.0, "p99 100": 6.0}),
    }
    for name in workloads:
        results.add(name, size, {"product": [samples[name]]}, {})
    results.write(path)
    return path


@pytest.fixture
def full(tmp_path: Path) -> Path:
    return measured(tmp_path / "r.json", "fire", "steady", "steady-10k", "load-curve")


@pytest.mark.parametrize("setup", SETUPS)
@pytest.mark.parametrize("load", LOADS)
def test_every_run_is_emitted_once_and_none_before_it_is_due(setup: Setup, load: Load) -> None:
    found = simulate(USUAL, setup, load)
    assert sum(len(shard.emitted) for shard in found.shards) == load.runs
    for shard in found.shards:
        assert len(shard.emitted) == len(shard.dues)
        assert shard.emitted == sorted(shard.emitted)
        assert all(at > due for due, at in zip(shard.dues, shard.emitted, strict=True))


@pytest.mark.parametrize("load", LOADS)
def test_the_same_again_is_the_same(load: Load) -> None:
    setup = Setup(4, 2, 2, 1)
    assert outcome(simulate(USUAL, setup, load)) == outcome(simulate(USUAL, setup, load))


def test_another_seed_is_another_load() -> None:
    setup = Setup(4, 4, 4, 4)
    first, second = (simulate(USUAL, setup, Load(500, types=9, seed=seed)) for seed in (1, 2))
    assert [len(each) for each in outcome(first)] != [len(each) for each in outcome(second)]


@pytest.mark.parametrize(
    ("costs", "rate"),
    [
        (Costs(Work(0, 50 * US), NOTHING, NOTHING), 20_000),
        (Costs(NOTHING, Work(0, 50 * US), NOTHING), 20_000),
        (Costs(NOTHING, NOTHING, Work(0, 50 * US)), 20_000),
        # A thousand runs a transaction, which takes 10 ms + 1,000 x 40 us.
        (Costs(NOTHING, Work(0.006, 40 * US), NOTHING, wait=0.004), 20_000),
        (Costs(Work(0.01, 40 * US), NOTHING, NOTHING), 20_000),
    ],
)
def test_what_is_always_busy_bounds_the_rate(costs: Costs, rate: float) -> None:
    found = simulate(costs, Setup(), Load(100_000))
    assert found.rate == pytest.approx(rate, rel=0.01)
    assert max(found.busy.values()) == pytest.approx(1, abs=0.01)


def test_cores_that_everything_shares_bound_the_rate() -> None:
    found = simulate(USUAL, Setup(shared=True), Load(100_000))
    each = sum(part.each + part.fixed / 1_000 for part in USUAL[:4])
    assert found.rate <= 2 / each
    # Fewer runs in the first transactions cost a little more.
    assert found.rate * each == pytest.approx(2 * found.busy[CORES_OF_ALL], rel=0.01)


@pytest.mark.parametrize("shards", [1, 2, 4, 10, 20])
def test_more_shards_do_not_exceed_what_one_redis_server_does(shards: int) -> None:
    found = simulate(USUAL, Setup(shards, shards, 1, shards), Load(20_000 * shards))
    assert found.rate <= 1 / USUAL.redis.each
    assert found.busy[REDIS] <= 1
    if shards >= 10:
        assert found.busy[REDIS] == pytest.approx(1, abs=0.02)
        assert busiest(found.busy) == REDIS


def test_a_server_a_shard_makes_as_many_times_as_much() -> None:
    one = simulate(USUAL, Setup(), Load(20_000))
    ten = simulate(USUAL, Setup(10, 10, 10, 10), Load(200_000))
    assert ten.rate == pytest.approx(10 * one.rate)
    assert busiest(ten.busy) == TRANSACTIONS


def test_replicas_have_one_interpreter_each() -> None:
    costs = Costs(NOTHING, Work(0, 100 * US), NOTHING)
    assert simulate(costs, Setup(4, 2, 4, 4), Load(40_000)).rate == pytest.approx(20_000, rel=0.01)


def test_broker_machines_have_two_cores_each() -> None:
    costs = Costs(NOTHING, NOTHING, Work(0, 100 * US))
    assert simulate(costs, Setup(4, 4, 4, 1), Load(40_000)).rate == pytest.approx(20_000, rel=0.01)


def test_few_runs_take_turns() -> None:
    """A run waits for the rest of a cycle of 8 ms, and then for its own."""
    costs = Costs(Work(0.002, 0), Work(0.001, 0), Work(0.001, 0), wait=0.004)
    found = simulate(costs, Setup(), Load(10_000, rate=1_000))
    assert found.late(0.5) == pytest.approx(0.012, abs=0.001)
    assert found.late(0) == pytest.approx(0.008)
    assert found.late(1) <= 0.0161


def test_a_run_at_a_quiet_moment_waits_for_its_own_transaction_only() -> None:
    costs = Costs(Work(0.002, 0), Work(0.001, 0), Work(0.001, 0), wait=0.004)
    found = simulate(costs, Setup(), Load(100, rate=10))
    assert found.late(0) == pytest.approx(0.008)
    assert found.late(1) == pytest.approx(0.008)


def test_many_runs_are_staged_during_a_transaction() -> None:
    costs = Costs(Work(0, 40 * US), Work(0, 40 * US), NOTHING)
    assert simulate(costs, Setup(), Load(100_000)).rate == pytest.approx(25_000, rel=0.02)


def test_types_are_where_the_product_puts_them() -> None:
    counts = [0] * 10
    for number in range(100):
        counts[crc32(f"type-{number}".encode()) % 10] += 1
    assert shares(100, 0.0, 10) == pytest.approx([count / 100 for count in counts])
    assert sum(shares(100, 1.0, 10)) == pytest.approx(1)


@pytest.mark.parametrize("skew", [0.0, 1.0])
def test_the_busiest_shard_bounds_the_total(skew: float) -> None:
    costs = Costs(NOTHING, Work(0, 100 * US), NOTHING)
    found = simulate(costs, Setup(10, 10, 10, 10), Load(100_000, types=30, skew=skew))
    assert found.rate == pytest.approx(10_000 / max(shares(30, skew, 10)), rel=0.05)


def test_a_fit_goes_through_its_two_points() -> None:
    found = scale.fit(190.0, 4.1, 14.0, 1_000)
    assert found.of(1) > found.fixed > 0
    assert found.fixed / 4.1 + found.each == pytest.approx(190)
    assert found.fixed / 1_000 + found.each == pytest.approx(14)


@pytest.mark.parametrize(("few", "few_runs", "many"), [(10.0, 4.0, 14.0), (9e9, 4.0, 14.0)])
def test_nothing_that_a_fit_says_is_below_nothing(few: float, few_runs: float, many: float) -> None:
    found = scale.fit(few, few_runs, many, 1_000)
    assert found.fixed >= 0
    assert found.each >= 0
    assert found.fixed / 1_000 + found.each == pytest.approx(many)


def test_costs_are_those_that_were_measured(full: Path) -> None:
    found = scale.read(full)
    assert found.few == pytest.approx(4)
    costs = scale.costs_of(found)
    for work in (costs.redis, costs.python, costs.kafka, costs.reader):
        assert work.of(4) / 4 == pytest.approx(100 * US)
        assert work.of(1_000) / 1_000 == pytest.approx(10 * US)
    assert costs.wait == pytest.approx(0.004 - 4 * 4 * 100 * US)
    late = scale.at_rate(costs, Setup(shared=True), scale.STEADY).late(0.5)
    assert late == pytest.approx(0.006, rel=0.1)


def test_without_results_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scale.main(["--results", str(tmp_path / "none.json")]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "run `make bench` first." in err


@pytest.mark.parametrize(("there", "missing"), [("fire", "steady"), ("steady", "fire")])
def test_without_a_workload_it_says_which(
    there: str, missing: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scale.main(["--results", str(measured(tmp_path / "r.json", there))]) == 2
    assert f"run `make bench ONLY={missing}` first." in capsys.readouterr().err


def test_what_is_no_result_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("{", "[]", '{"a": 1}'):
        (tmp_path / "r.json").write_text(text)
        assert scale.main(["--results", str(tmp_path / "r.json")]) == 2
    assert "is not what `make bench` writes" in capsys.readouterr().err


def test_a_small_measurement_is_not_for_pages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = measured(tmp_path / "r.json", "fire", "steady", size=0.1)
    page = tmp_path / "page.md"
    assert scale.main(["--results", str(path), "--pages", "--page", str(page)]) == 2
    assert "SIZE" in capsys.readouterr().err
    assert not page.exists()


def test_one_setup(full: Path, capsys: pytest.CaptureFixture[str]) -> None:
    order = ["--results", str(full), "--shards", "4", "--redis", "1", "--types", "9"]
    assert scale.main([*order, "--rate", "2000", "--zipf", "1"]) == 0
    assert "runs/s" in capsys.readouterr().out


def test_the_tables_are_written_between_the_markers(
    full: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scale, "BACKLOG", 5_000)
    page = tmp_path / "page.md"
    page.write_text(f"a\n<!-- scale: {scale.COMMAND} -->\nold\n<!-- end of scale -->\nb\n")
    assert scale.main(["--results", str(full), "--pages", "--page", str(page)]) == 0
    made = capsys.readouterr().out
    assert page.read_text() == (
        f"a\n<!-- scale: {scale.COMMAND} -->\n\n{made}\n<!-- end of scale -->\nb\n"
    )
    for word in ("| `fire`, runs/s | 40,000 |", "| `load-curve`, p50 ms at 100/s | 4.0 |"):
        assert word in made
    assert scale.tables(scale.read(full)) == made


def test_the_page_has_room_for_the_tables() -> None:
    assert replaced(scale.PAGE.read_text(), "scale", "", scale.COMMAND)
