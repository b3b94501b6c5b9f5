"""The proof that the redesign is complete: `make accept-house`."""

from __future__ import annotations

from accept.__main__ import Point

ROOMS, EMISSION = "tests/house/test_rooms.py", "tests/house/test_emission.py"
CHECKOUT, PAGES = "tests/house/test_checkout.py", "tests/docs/test_pages.py"
SEEDED = "tests/chaos/test_seeded.py::test_a_planted_bug_is_found"

POINTS = (
    Point(
        "0",
        "No test counts lines of code.",
        [f"{CHECKOUT}::test_no_test_counts_lines_of_code"],
    ),
    Point(
        "1",
        "One and several shards take one path.",
        [
            f"{ROOMS}::test_one_path_serves_one_and_several_shards",
            "tests/unit/test_shards.py",
            "tests/unit/test_consume_shards.py",
            "tests/e2e/test_shards.py::test_a_list_over_all_shards_is_created_as_a_whole",
            "tests/e2e/test_shards.py::test_events_over_all_shards_count_once",
            "tests/e2e/test_shards.py::test_everything_is_deleted_restored_and_reset",
        ],
    ),
    Point(
        "2",
        "One floor holds every layout and message; scripts name their arguments.",
        [
            f"{ROOMS}::test_only_the_formats_of_the_server_know_the_wire_code",
            f"{ROOMS}::test_no_script_takes_an_argument_by_its_number",
            "tests/unit/test_layouts.py",
            "tests/unit/test_golden_bytes.py",
            "tests/store/test_lua_source.py",
            "tests/store/test_scripts.py",
        ],
    ),
    Point(
        "3",
        "The domain decides about the next occurrence, and Lua agrees with it.",
        ["tests/unit/test_trigger.py", "tests/store/test_trigger.py"],
    ),
    Point(
        "4",
        "Emission is one room without callbacks that are wired later.",
        [
            EMISSION,
            "tests/unit/test_emitter.py",
            "tests/unit/test_owner.py",
            "tests/unit/test_stager.py",
            "tests/unit/test_publisher.py",
        ],
    ),
    Point(
        "5",
        "The consumer is an adapter after a port; its use case is in app.",
        [
            "tests/unit/test_consumer.py",
            "tests/unit/test_listener.py",
            "tests/unit/test_consume.py",
        ],
    ),
    Point(
        "6",
        "Two distributions, no module at a root, imports that only go down.",
        [
            f"{ROOMS}::test_there_are_two_distributions",
            f"{ROOMS}::test_no_module_lies_at_the_root_of_a_package",
            f"{ROOMS}::test_the_import_contracts_hold",
            f"{ROOMS}::test_no_modules_import_each_other",
            f"{ROOMS}::test_no_packages_import_each_other",
            f"{CHECKOUT}::test_constructors_of_many_arguments_take_them_by_name",
            "tests/unit/test_packaging.py",
            "tests/unit/test_lock.py",
        ],
    ),
    Point(
        "7",
        "Failpoints lie around ports, and the page says why not where they do not.",
        ["tests/docs/test_failpoints.py", "tests/unit/test_failpoint_wrappers.py"],
    ),
    Point(
        "8",
        "Ten words, and units in names.",
        [
            f"{CHECKOUT}::test_the_glossary_has_ten_words",
            f"{CHECKOUT}::test_names_of_durations_end_in_their_unit",
        ],
    ),
    Point(
        "9",
        "Pages are plain, short and true.",
        [
            PAGES,
            "tests/docs/test_job_states.py",
            "tests/docs/test_readme.py",
            "tests/docs/test_metrics.py",
            "tests/docs/test_contract.py",
        ],
    ),
    Point(
        "10",
        "Tests run in gears, and beside busy cores.",
        [
            f"{CHECKOUT}::test_a_gear_exists",
            f"{CHECKOUT}::test_continuous_integration_shifts_through_the_gears",
        ],
        [("accept.busy", "--times", "6")],
    ),
    Point(
        "11",
        "Measurements are of machines that exist; the fuzzer and the checker find bugs.",
        [
            f"{CHECKOUT}::test_nothing_is_measured_that_nobody_has",
            "tests/unit/test_fuzz.py",
            "tests/unit/test_chaos_seeded.py",
            *(f"{SEEDED}[{bug}]" for bug in ("no_fencing", "trim_before_commit", "woken_early")),
            "tests/bench/test_smoke.py",
        ],
    ),
    Point(
        "kept",
        "The first version's data is read on, its living replicas are found, the wire is the same.",
        [
            "tests/e2e/test_rebuild.py",
            "tests/e2e/test_deployments.py::test_a_living_older_version_keeps_its_schedule",
            "tests/e2e/test_golden_wire.py",
        ],
    ),
    Point(
        "all",
        "A campaign with all faults keeps every promise, with one shard and with four.",
        commands=[
            ("chaos", "--minutes", "2", "--seed", "12"),
            ("chaos", "--minutes", "2", "--seed", "12", "--shards", "4"),
        ],
    ),
)
