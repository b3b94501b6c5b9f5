"""Shows the whole service at work, or sees for itself that it works."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import grpc

from examples.demo import check
from examples.demo.jobs import HEARTBEAT, PLANS
from examples.demo.screen import Screen
from examples.demo.service import DemoError, Stopped
from examples.demo.session import Session
from examples.demo.terminal import Stop
from scheduling_srv import __version__

PATIENCE_SECONDS = 120.0
"""Seconds that --check waits for each step."""
HEARTBEATS = 2
"""Runs of the recurring job that --check wants to see after the restart."""


def show(data: Path, screen: Screen, stop: Stop, seconds: float | None = None) -> int:
    """Everything that happens, until told to stop."""
    screen.title(f"scheduling-srv {__version__}, embedded: everything runs on this machine")
    with Session(data, os.environ, stop.is_told) as session:
        _introduce(session, screen)
        end = time.monotonic() + seconds if seconds else None
        over = False
        while not (stop.is_told() or (end and time.monotonic() > end)):
            screen.events(session.poll())
            if not over and check.one_time_jobs_are_over(session.events.log):
                over = True
                screen.say(f"That was all but {HEARTBEAT}, which goes on. Ctrl-C stops.", "2")
        screen.say()
        screen.say("Stopping ...")
    screen.say(f"Stopped. {HEARTBEAT} is kept in {data}: start again, and it goes on.")
    return 0


def _introduce(session: Session, screen: Screen) -> None:
    for note in session.notes:
        screen.say(f"  {note}", "33")
    addresses = session.addresses
    if link := session.link:
        screen.say(f"  Admin pages: {link}", "1")
        screen.say(f"  The link signs in once; then {session.link_file} has a new one.", "2")
    admin = "off" if addresses.admin == "off" else f"http://{addresses.admin}"
    screen.facts(
        {
            "gRPC": addresses.grpc,
            "Kafka": f"{addresses.kafka} (in memory, for trying out)",
            "HTTP": admin,
            "data": f"{session.data} (jobs, logs)",
        }
    )
    screen.heading()
    now = round(time.time() * 1000)
    for job in session.kept:
        screen.row(now, job.type, "kept", note=f"{PLANS.get(job.type, '')}, since an earlier start")
    for job in session.create_jobs():
        if job.now:
            screen.row(now, job.type, "created", note="now: it runs at once, nothing is stored")


def examine(data: Path, screen: Screen, stop: Stop) -> int:
    """The demo unattended: two starts, and a verdict."""
    began = time.monotonic()
    verdicts = check.Verdicts()
    screen.title("The demonstration, checked")
    with Session(data, os.environ, stop.is_told) as first:
        first.create_jobs()
        first.watch(lambda: check.one_time_jobs_are_over(first.events.log), PATIENCE_SECONDS)
    screen.say("  first start is over; starting again on the same data")
    with Session(data, os.environ, stop.is_told) as second:
        second.watch(
            lambda: check.done(second.events.log, HEARTBEAT) >= HEARTBEATS, PATIENCE_SECONDS
        )
    check.check_first_start(first.events.log, verdicts)
    check.check_second_start(
        first.events.log, second.events.log, [job.id for job in second.kept], verdicts
    )
    check.check_never_early(first.events.log + second.events.log, verdicts)
    check.check_exits(first.exit_codes + second.exit_codes, verdicts)
    for good, claim, seen in verdicts.rows:
        screen.say(f"  {'ok  ' if good else 'FAIL'}  {claim}", "32" if good else "31;1")
        screen.say(f"        {seen}", "2")
    verdict = "All of it happened" if verdicts.all_good else "Not all of it happened"
    screen.say(f"{verdict}, in {time.monotonic() - began:.1f} s.", "1")
    return 0 if verdicts.all_good else 1


def main(stop: Stop, arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="demo", description="The whole service on this machine.")
    parser.add_argument("--data", type=Path, default=Path(".data"), help="keeps jobs and logs")
    parser.add_argument("--check", action="store_true", help="see that all of it happens, and end")
    parser.add_argument("--seconds", type=float, help="stop after so long, without Ctrl-C")
    parser.add_argument("--colours", action="store_true", help="also where there is no terminal")
    given = parser.parse_args(arguments)
    screen = Screen(sys.stdout, colours=given.colours or None)
    try:
        if given.check:
            with tempfile.TemporaryDirectory() as data:
                return examine(Path(data), screen, stop)
        return show(given.data, screen, stop, given.seconds)
    except Stopped:
        return 1 if given.check else 0
    except DemoError as error:
        sys.stderr.write(f"demo: {error}\n")
    except grpc.RpcError as error:
        sys.stderr.write(f"demo: {error.code().name}: {error.details()}\n")
    return 1
