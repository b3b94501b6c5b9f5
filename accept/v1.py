"""The proof of `scheduling.v1`, its clients and its commands: `make accept-v1`."""

from __future__ import annotations

from accept.__main__ import Point

E2E, STORE, UNIT = "tests/e2e", "tests/store", "tests/unit"
WORKERS = 2
CAMPAIGN = ("chaos", "--minutes", "3", "--seed", "14", "--v1", "3")
READS = (
    *("bench", "--only", "v1-reads", "--contenders", "product", "--rounds", "1"),
    *("--size", "0.02", "--floors"),
)
"""200,000 jobs wait. The goal is for 10,000,000: `make bench ONLY=v1-reads`."""

POINTS = (
    Point(
        "jobs",
        "Jobs are created, read, listed, changed and deleted, with all their properties.",
        [f"{E2E}/test_v1.py", f"{E2E}/test_client.py", f"{STORE}/test_job_index.py"],
    ),
    Point(
        "rules",
        "Overlap, jitter, deadlines, ends and missed runs follow the pure rules; vectors hold.",
        [
            f"{UNIT}/test_run_rules.py",
            f"{UNIT}/test_spread.py",
            f"{UNIT}/test_preview.py",
            f"{STORE}/test_properties.py",
            f"{STORE}/test_obeying.py",
            f"{STORE}/test_spread.py",
            f"{STORE}/test_counts.py",
            f"{E2E}/test_properties.py",
        ],
    ),
    Point(
        "pauses",
        "Nothing of a paused job or type is emitted; what rests goes on after a resume.",
        [f"{STORE}/test_pauses.py"],
    ),
    Point(
        "runs",
        "Runs are started by hand, backfilled, extended and cancelled; each keeps its one answer.",
        [
            f"{E2E}/test_run_control.py",
            f"{STORE}/test_by_hand.py",
            f"{STORE}/test_backfills.py",
            f"{STORE}/test_cancelling.py",
            f"{STORE}/test_timeouts.py",
            f"{STORE}/test_unique_keys.py",
        ],
    ),
    Point(
        "history",
        "What became of runs is kept within its bounds; failed ones are repeated.",
        [f"{E2E}/test_v1_runs.py", f"{STORE}/test_history.py", f"{UNIT}/test_runs_reading.py"],
    ),
    Point(
        "explain",
        "Each reason for a run, late, held, skipped, missed or none, is named in sentences.",
        [
            f"{UNIT}/test_explanation.py",
            f"{UNIT}/test_explaining.py",
            f"{STORE}/test_intervals.py",
            f"{E2E}/test_explain.py",
        ],
    ),
    Point(
        "passed",
        "Runs that pass without a start are counted exactly, and told once a second.",
        [f"{STORE}/test_passed.py", f"{UNIT}/test_cron_counts.py"],
    ),
    Point(
        "events",
        "Watchers see what happens, and go on where they were.",
        [f"{E2E}/test_events.py"],
    ),
    Point(
        "letters",
        "Dead letters are listed, shown, and replayed once each.",
        [f"{E2E}/test_dead_letters.py", f"{STORE}/test_letters.py"],
    ),
    Point(
        "system",
        "The doctor names each fault and its remedy; settings have their sources.",
        [f"{E2E}/test_system.py"],
    ),
    Point(
        "lost",
        "A rebuild from an empty Redis brings back properties, pauses, counts and runs.",
        [f"{E2E}/test_rebuild.py"],
    ),
    Point(
        "faults",
        "All rules hold through crashes, losses of Redis and rebuilds; their checker is checked.",
        [f"{UNIT}/test_chaos_v1.py", f"{UNIT}/test_chaos_seeded.py"],
        [CAMPAIGN],
    ),
    Point(
        "reads",
        "Get, pages, upcoming and overview are fast beside 1,000 runs a second.",
        [f"{STORE}/test_lists.py", f"{STORE}/test_pages.py"],
        [READS],
    ),
    Point(
        "command",
        "Every command on the real service.",
        [
            f"{E2E}/test_command_line.py",
            f"{UNIT}/test_command_line.py",
            f"{UNIT}/test_command_payloads.py",
        ],
    ),
    Point(
        "cost",
        "A job that uses none of it keeps its bytes; calls to Redis keep their bounds.",
        [f"{UNIT}/test_hot_path.py", f"{UNIT}/test_golden_bytes.py", f"{STORE}/test_budgets.py"],
    ),
    Point(
        "pages",
        "The reference is made from the protos and the code.",
        ["tests/docs/test_reference.py", "tests/docs/test_command_line.py"],
    ),
)
