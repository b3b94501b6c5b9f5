"""The proof that the doors are safe, and that the service ships: `make accept-doors`."""

from __future__ import annotations

from accept.__main__ import Point

DOORS, CREDENTIALS = "tests/e2e/test_doors.py", "tests/unit/test_credentials.py"
REDIS, KAFKA = "tests/e2e/test_redis_doors.py", "tests/e2e/test_kafka_doors.py"
DEPLOY = "tests/deploy/test_deploy.py"
WORKERS = 3
"""Processes of pytest: most tests wait for servers."""
BEFORE = "c6a52ab"
"""The last version without doors."""
BESIDE_IT = (
    *("chaos", "--minutes", "2", "--beside", BEFORE),
    *("--faults", "kill,kill-emitter,kill-all,terminate,freeze-emitter"),
)

POINTS = (
    Point(
        "tls",
        "Certificates are read again; clients without a good one are refused.",
        [
            f"{DOORS}::test_certificates_are_read_again_when_they_change",
            f"{DOORS}::test_clients_with_certificates",
        ],
    ),
    Point(
        "who",
        "Hashed tokens and JWTs: rotation, expiry, audience, issuer, alg=none, garbage.",
        [CREDENTIALS, f"{DOORS}::test_credentials_are_read_again_when_they_change"],
    ),
    Point(
        "may",
        "Each method has a role; limits hold; one module decides for gRPC and HTTP.",
        [
            "tests/unit/test_door.py",
            f"{DOORS}::test_each_role_may_do_what_is_its_own",
            f"{DOORS}::test_without_valid_credentials_only_health_answers",
            f"{DOORS}::test_health_may_be_closed_and_reflection_switched_off",
            f"{DOORS}::test_a_limited_caller_sees_and_changes_its_own_jobs_only",
            f"{DOORS}::test_a_limited_operator_defines_its_own_jobs_with_scheduling_v1",
            f"{DOORS}::test_bulk_calls_of_a_limited_operator_concern_its_own_jobs",
            f"{DOORS}::test_a_limited_operator_controls_its_own_runs",
            "tests/store/test_caller_limits.py",
        ],
    ),
    Point(
        "shut",
        "A port is open to other hosts only if it is meant to be, and each start says so.",
        [
            f"{DOORS}::test_a_door_that_cannot_close_ends_the_start",
            f"{DOORS}::test_ports_that_are_open_are_told_at_each_start",
        ],
    ),
    Point(
        "client",
        "The command shows its credentials, and sends no token that others could read.",
        [f"{DOORS}::test_the_command_shows_its_credentials"],
    ),
    Point(
        "quota",
        "A flood of one caller is refused with RetryInfo, and others are served.",
        [
            f"{DOORS}::test_one_caller_s_flood_is_refused_and_another_s_calls_are_not",
            f"{DOORS}::test_bytes_count_as_well",
            f"{DOORS}::test_a_creator_has_a_number_of_living_jobs",
            "tests/unit/test_live_jobs.py",
            "tests/unit/test_quotas.py",
            "tests/unit/test_grpc_gate.py",
        ],
    ),
    Point(
        "log",
        "The audit log and the log of deletions name callers and ids, also of scheduling.v1.",
        [
            f"{DOORS}::test_scheduling_v1_stands_behind_the_doors",
            "tests/unit/test_limited_definitions.py",
        ],
    ),
    Point(
        "fuzz",
        "Broken tokens and metadata that is too large never open a door, nor end the service.",
        ["tests/unit/test_fuzz_doors.py"],
        [["chaos.fuzz", "--count", "4000"]],
    ),
    Point(
        "trace",
        "The trace of a creator leads to its runs; a collector gets all spans; off is off.",
        ["tests/e2e/test_tracing.py", "tests/unit/test_telemetry.py"],
    ),
    Point(
        "roll",
        "Beside the version before, under load and kills: nothing lost or twice, and back.",
        commands=[[*BESIDE_IT, "--seed", seed] for seed in ("1", "2")],
    ),
    Point("redis", "Least rights, TLS, client certificates; each fault is named.", [REDIS]),
    Point("kafka", "Least rights, SCRAM, OAUTHBEARER, TLS, client certificates.", [KAFKA]),
    Point(
        "ship",
        "Image, compose, manifests, unit, alerts, dashboard and packages are valid.",
        [
            DEPLOY,
            "tests/deploy/test_deploy_tools.py",
            "tests/deploy/test_uvx.py",
            "tests/unit/test_packaging.py",
        ],
    ),
    Point("pages", "Pages are plain, and their lists are made from the code.", [
        "tests/docs/test_pages.py",
        "tests/docs/test_operations.py",
        "tests/docs/test_command_line.py",
    ]),
)  # fmt: skip
