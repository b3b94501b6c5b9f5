"""The proof that the first week has no silent traps: `make accept-traps`."""

from __future__ import annotations

from accept.__main__ import Point

POINTS = (
    Point(
        "1",
        "Two services on one Kafka do not disturb each other; a replica is none of them.",
        [
            "tests/e2e/test_deployments.py",
            "tests/unit/test_deployment.py",
            "tests/unit/test_neighbours.py",
            "tests/unit/test_kafka_neighbours.py",
            "tests/unit/test_sentry.py",
            "tests/store/test_namespace.py",
        ],
    ),
    Point(
        "2",
        "A job that failed for good says so: headers, log line, counter.",
        [
            "tests/e2e/test_jobs.py::test_jobs_deleted_says_how_a_job_ended",
            "tests/e2e/test_jobs.py::test_jobs_deleted_says_that_a_job_was_replaced",
            "tests/unit/test_ended.py",
        ],
    ),
    Point(
        "3",
        "The README's programs run as they are pasted, and are those of examples.",
        ["tests/docs/test_readme.py"],
    ),
    Point(
        "4",
        "Other hosts reach gRPC only with permission; destructive calls are logged.",
        [
            "tests/unit/test_addresses.py",
            "tests/unit/test_destructive.py",
            "tests/store/test_reset.py",
            "tests/e2e/test_process.py::test_an_address_that_other_hosts_reach_needs_a_permission",
            "tests/e2e/test_commands.py::test_the_log_names_the_caller_of_a_reset",
            "tests/e2e/test_commands.py::test_the_log_names_the_caller_of_a_delete_of_everything",
        ],
    ),
    Point(
        "5",
        "The embedded broker has a port that stays.",
        ["tests/unit/test_embedded_port.py"],
    ),
    Point(
        "6",
        "Ignored triggers, unknown keys and keys that stand twice are said or refused.",
        [
            "tests/unit/test_ignored_triggers.py",
            "tests/unit/test_unknown_events.py",
            "tests/unit/test_settings.py",
            "tests/unit/test_command_payloads.py",
        ],
    ),
    Point(
        "7",
        "Trouble with a server has an address and a reason.",
        [
            "tests/e2e/test_troubles.py",
            "tests/unit/test_kafka_clients.py",
            "tests/unit/test_redis_reasons.py",
            "tests/unit/test_redis_client.py",
        ],
    ),
    Point(
        "8",
        "The log says a change once, and what lasts once a minute.",
        ["tests/unit/test_states.py", "tests/unit/test_health.py", "tests/unit/test_logs.py"],
    ),
    Point(
        "9",
        "Metrics answer the first questions; a page made from the code has a sentence for each.",
        [
            "tests/docs/test_metrics.py",
            "tests/store/test_counts.py",
            "tests/unit/test_figures.py",
            "tests/unit/test_measure.py",
        ],
    ),
    Point(
        "10",
        "A text has one meaning, or its refusal names the accepted form.",
        [
            "tests/docs/test_contract.py",
            "tests/unit/test_cron.py",
            "tests/unit/test_cron_oracle.py",
            "tests/unit/test_when.py",
            "tests/unit/test_interval.py",
            "tests/unit/test_validation.py",
            "tests/unit/test_cli.py",
        ],
    ),
    Point(
        "11",
        "The wheel has the protos, and nothing that only a checkout needs.",
        ["tests/unit/test_packaging.py", "tests/unit/test_lock.py"],
    ),
    Point(
        "12",
        "Fifty runs of tests that a busy machine once made fail, beside busy cores.",
        ["tests/demo/test_events.py"],
        [("accept.busy", "--times", "50")],
    ),
    Point(
        "13",
        "Texts of 2018 are understood.",
        ["tests/docs/test_contract.py::test_an_instant", "tests/unit/test_grammar_fuzz.py"],
    ),
    Point(
        "14",
        "A relative `when` is kept as the instant that it meant.",
        [
            "tests/e2e/test_jobs.py::test_a_relative_when_is_shown_as_the_instant_that_it_meant",
            "tests/unit/test_validation.py::test_a_relative_when_is_kept_as_the_instant_that_it_meant",
        ],
    ),
    Point(
        "15",
        "version and health_check answer as clients of 2018 read them.",
        [
            "tests/e2e/test_commands.py::test_version_names_package_and_runtime",
            "tests/unit/test_commands.py",
        ],
    ),
    Point(
        "16",
        "Reflection finds methods, and files by their names of 2018.",
        [
            "tests/e2e/test_process.py::test_reflection_finds_a_method",
            "tests/e2e/test_process.py::test_reflection_knows_files_by_their_names_of_2018",
        ],
    ),
    Point(
        "17",
        "A page tells clients of 2018 what differs.",
        ["tests/docs/test_clients_of_2018.py", "tests/e2e/test_clients_of_2018.py"],
    ),
)
