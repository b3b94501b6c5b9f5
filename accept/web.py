"""The proof that the admin pages work and are safe: `make accept-web`."""

from __future__ import annotations

from accept.__main__ import Point

PAGES, OPERATING = "tests/web/test_pages.py", "tests/web/test_operating.py"
UNIT, ORDERS, EVENTS = (f"tests/unit/test_web{name}.py" for name in ("", "_orders", "_events"))

POINTS = (
    Point(
        "read",
        "Each page in both colour schemes, on a phone, without JavaScript; axe-core finds nothing.",
        [
            f"{PAGES}::test_a_page_is_accessible_and_fits",
            f"{PAGES}::test_the_other_two_combinations_are_accessible",
            f"{PAGES}::test_a_page_can_be_read_without_javascript",
            f"{PAGES}::test_times_are_in_the_zone_of_the_viewer",
        ],
    ),
    Point(
        "light",
        "A page loads less than 150 kB, and nothing from elsewhere.",
        [f"{PAGES}::test_a_page_is_light_and_loads_nothing_from_elsewhere"],
    ),
    Point(
        "list",
        "Filters stay in the address; pages stay right while jobs come; crowds stand out; live.",
        [
            f"{PAGES}::test_filters_are_kept_in_the_address",
            f"{PAGES}::test_each_condition_filters",
            f"{PAGES}::test_pages_of_a_list_are_stable_while_jobs_come",
            f"{PAGES}::test_a_crowd_stands_out",
            f"{PAGES}::test_runs_are_shown_with_their_state",
            f"{OPERATING}::test_a_strip_shows_how_the_last_runs_ended",
            f"{PAGES}::test_a_list_that_is_looked_at_follows_the_jobs",
        ],
    ),
    Point(
        "operate",
        "A live tail of events that pauses; the system; dead letters are replayed and hidden.",
        [
            f"{OPERATING}::test_events_appear_and_the_tail_pauses_while_the_page_is_not_looked_at",
            f"{OPERATING}::test_events_can_be_read_without_javascript",
            f"{OPERATING}::test_the_system_shows_settings_with_their_source",
            f"{OPERATING}::test_a_dead_letter_is_shown_and_not_obeyed",
            f"{OPERATING}::test_dead_letters_are_replayed_and_hidden_after_a_question",
            f"{OPERATING}::test_a_job_tells_why_it_did_not_run",
            EVENTS,
        ],
    ),
    Point(
        "keys",
        "The keyboard suffices.",
        [f"{PAGES}::test_the_keyboard_suffices"],
    ),
    Point(
        "act",
        "Create, edit, copy, pause, resume, delete, run, backfill, cancel, retry; many at once.",
        [
            f"{PAGES}::test_a_form_shows_the_next_runs_while_it_is_filled_in",
            f"{PAGES}::test_faults_stand_at_their_fields",
            f"{PAGES}::test_an_edit_changes_only_what_was_edited",
            f"{PAGES}::test_an_edit_of_a_job_that_was_changed_meanwhile_is_refused",
            f"{PAGES}::test_a_copy_has_everything_but_the_id",
            f"{PAGES}::test_a_job_is_paused_with_a_note_resumed_and_deleted",
            f"{PAGES}::test_a_type_is_paused_and_resumed",
            f"{PAGES}::test_selected_jobs_are_changed_after_a_question",
            f"{PAGES}::test_all_jobs_that_match_are_changed_after_a_count_and_a_question",
            f"{OPERATING}::test_a_job_is_run_now_and_its_run_cancelled",
            f"{OPERATING}::test_a_backfill_asks_with_the_number_of_runs",
            f"{OPERATING}::test_a_form_that_is_sent_twice_without_javascript_runs_its_job_once",
            ORDERS,
        ],
    ),
    Point(
        "safe",
        "Signing in, sessions, forms of other sites, rebound names, proxies, audit; escaping.",
        [
            UNIT,
            "tests/unit/test_limited_reading.py",
            "tests/unit/test_limited_definitions.py",
            f"{PAGES}::test_texts_of_callers_are_shown_and_not_obeyed",
            f"{PAGES}::test_without_signing_in_jobs_are_shown_and_nothing_is_offered",
            f"{PAGES}::test_the_link_signs_in_once_and_is_replaced",
        ],
    ),
)  # fmt: skip
