"""The proof that the service stays alive: `make accept-alive`."""

from __future__ import annotations

from accept.__main__ import Point

CAMPAIGN = ("--minutes", "2", "--seed", "10")

POINTS = (
    Point(
        "1",
        "A Redis failover, both ways, ends no replica; wrong rights end the start with a sentence.",
        [
            "tests/e2e/test_failover.py",
            "tests/unit/test_refusals.py",
            "tests/store/test_refusals.py",
        ],
    ),
    Point(
        "2",
        "A topic that was deleted and created again loses no event.",
        ["tests/e2e/test_topics_anew.py", "tests/unit/test_positions.py"],
    ),
    Point(
        "3",
        "One record that cannot be published stops nothing but itself.",
        [
            "tests/e2e/test_refused.py",
            "tests/e2e/test_topics_watched.py",
            "tests/unit/test_kafka_errors.py",
            "tests/store/test_set_aside.py",
            "tests/store/test_refill.py",
        ],
    ),
    Point(
        "4",
        "A guarantee at risk is said: policies, eviction, replication.",
        ["tests/unit/test_guarantees.py", "tests/unit/test_watch.py"],
    ),
    Point(
        "5",
        "Settings that a library refuses are sentences, and a signal ends the start quietly.",
        [
            "tests/unit/test_kafka_options.py",
            "tests/e2e/test_process.py::test_properties_that_cannot_be_used_end_it_with_one_sentence",
            "tests/e2e/test_process.py::test_a_signal_during_the_start_ends_it_without_a_traceback",
        ],
    ),
    Point(
        "6",
        "Added partitions are noticed; a later version's position record is read.",
        [
            "tests/e2e/test_topics_anew.py::test_added_partitions_are_read_from_their_beginning",
            "tests/unit/test_position_record.py",
        ],
    ),
    Point(
        "7",
        "SERVING follows from progress; a checker finds a health that only believes.",
        [
            "tests/unit/test_progress.py",
            "tests/store/test_progress.py",
            "tests/unit/test_chaos_health.py",
            "tests/chaos/test_seeded.py::test_a_planted_bug_is_found[blind_health]",
        ],
    ),
    Point(
        "8",
        "A rebuild and a restore of large jobs end, in bounded memory.",
        [
            "tests/e2e/test_memory.py",
            "tests/store/test_loading.py",
            "tests/unit/test_restore.py",
        ],
    ),
    Point(
        "9",
        "Large jobs that are due delay no urgent one, and no call to Redis is long.",
        ["tests/e2e/test_large_runs.py", "tests/store/test_budgets.py"],
        [("bench.worst",)],
    ),
    Point(
        "10",
        "Long lists and costly texts hold neither Redis nor the event loop.",
        [
            "tests/unit/test_long_lists.py",
            "tests/store/test_lists.py",
            "tests/unit/test_time_slice.py",
        ],
    ),
    Point(
        "11",
        "The memory of gRPC requests is bounded, and slow or large senders stop no small call.",
        [
            "tests/e2e/test_reception.py",
            "tests/e2e/test_overload.py",
            "tests/unit/test_receive_slots.py",
            "tests/unit/test_decompression.py",
        ],
    ),
    Point(
        "12",
        "Equal restores share a pass, and at most 100 of them wait.",
        [
            "tests/e2e/test_commands.py::test_equal_restores_share_a_pass",
            "tests/store/test_inputs.py::test_the_number_of_pending_restores_is_bounded",
            "tests/unit/test_restore.py",
        ],
    ),
    Point(
        "13",
        "Reads are bounded, and clients cannot use up the owner's connections.",
        ["tests/store/test_pages.py", "tests/unit/test_redis_client.py"],
    ),
    Point(
        "14",
        "A job that cannot be planned, and many partitions, delay no others.",
        ["tests/unit/test_consume.py", "tests/unit/test_stager.py"],
    ),
    Point(
        "15",
        "A greedy client delays no runs, and the lease is kept.",
        commands=[("bench", "--only", "noisy", "--rounds", "3", "--size", "0.25", "--floors")],
    ),
    Point(
        "16",
        "Inputs are read before time moves on.",
        ["tests/e2e/test_inputs_first.py", "tests/unit/test_catch_up.py"],
    ),
    Point(
        "17",
        "An unchanged schedule keeps its phase, and its runs that are due.",
        ["tests/e2e/test_updates.py", "tests/store/test_updates.py"],
    ),
    Point(
        "18",
        "MIN_INTERVAL holds for cron; lateness and expiry metrics are exact; restores tell errors.",
        [
            "tests/e2e/test_commands.py::test_restore_from_beyond_the_end_of_the_topic_is_an_error",
            "tests/unit/test_cron_gaps.py",
            "tests/unit/test_measure.py",
            "tests/unit/test_restore.py",
        ],
    ),
    Point(
        "19",
        "A status fits into a client's headers, and a client may ping.",
        [
            "tests/unit/test_grpc_server.py::test_a_status_of_long_ids_fits_into_the_headers",
            "tests/unit/test_grpc_server.py::test_a_watcher_that_pings_every_six_seconds_is_not_disconnected",
        ],
    ),
    Point(
        "all",
        "A campaign with all faults keeps every promise.",
        commands=[("chaos", *CAMPAIGN)],
    ),
)
