"""`scheduling dead-letters`: records that could not be applied."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from scheduling_client.cli.asking import confirm
from scheduling_client.cli.errors import wrong
from scheduling_client.cli.options import Common, Options, resolve
from scheduling_client.cli.output import Columns, note, say, show_item, show_list
from scheduling_client.cli.times import read_instant, utc_text

if TYPE_CHECKING:
    from scheduling_client.api.dead_letters import DeadLetter, LetterFilter
    from scheduling_client.api.jobs import Progress

COLUMNS: Columns = {
    "ID": "id",
    "TIME": "time_here",
    "EVENT": "event",
    "REASON": "reason",
    "MESSAGE": "message",
    "REPLAYED": "replayed",
}

dead_letters = App(
    name="dead-letters",
    help="List, show, replay and drop records that could not be applied.",
    default_parameter=Parameter(negative="", negative_iterable=""),
)


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Where:
    """Filters. All that are given apply."""

    event: Annotated[str, Parameter(help="Those of this event, such as `createJobs`.")] = ""
    reason: Annotated[str, Parameter(help="Those with this reason.")] = ""
    since: Annotated[str | None, Parameter(help="Put aside at this instant or later.")] = None
    until: Annotated[str | None, Parameter(help="Put aside before this instant.")] = None

    @property
    def given(self) -> bool:
        """Whether any filter is given."""
        return bool(self.event or self.reason or self.since or self.until)

    def filter(self, options: Options, *, hidden: bool = False) -> LetterFilter:
        """For the client."""
        from scheduling_client.api.dead_letters import LetterFilter  # noqa: PLC0415

        return LetterFilter(
            event=self.event,
            reason=self.reason,
            since=_time(self.since, "--since", options),
            until=_time(self.until, "--until", options),
            include_hidden=hidden,
        )


def _time(text: str | None, option: str, options: Options) -> datetime | None:
    instant = read_instant(text, option, options.zone)
    return None if instant is None else datetime.fromtimestamp(instant / 1000, UTC)


@dead_letters.command(name="list")
def list_letters(
    *,
    where: Where | None = None,
    all: bool = False,  # noqa: A002 - the option is called so
    limit: int = 50,
    common: Common | None = None,
) -> None:
    """List dead letters, the newest first.

    Parameters
    ----------
    all
        Also those that were dropped or replayed.
    limit
        How many at most; 0: all.
    """
    options = resolve(common)
    wanted = (where or Where()).filter(options, hidden=all)
    from scheduling_client.cli.clients import client  # noqa: PLC0415 - it imports gRPC

    with client(options) as service:
        size = min(limit + 1, 500) if limit else 500
        found = service.dead_letters(wanted, page_size=size)
        letters = [*islice(found, limit + 1 if limit else None)]
    shown = letters[:limit] if limit else letters
    show_list([_row(each, options) for each in shown], COLUMNS, options.output)
    if len(letters) > len(shown) and options.output == "table":
        note(f"These are {len(shown)} dead letters, and there are more: --limit shows them.")


@dead_letters.command
def show(letter_id: str, /, *, common: Common | None = None) -> None:
    """Show one dead letter: why it is one, and the original record.

    Parameters
    ----------
    letter_id
        Its id, such as 0:42.
    """
    options = resolve(common)
    from scheduling_client.cli.clients import client  # noqa: PLC0415 - it imports gRPC

    with client(options) as service:
        found = service.dead_letter(letter_id)
    item = _item(found)
    item["headers"] = dict(found.headers)
    item["value"] = json.loads(found.decoded) if found.decoded else repr(found.value)[2:-1]
    if options.output != "table":
        show_item(item, options.output)
        return
    value = item.pop("value")
    show_item(item, options.output)
    say()
    say(json.dumps(value, indent=2, ensure_ascii=False) if found.decoded else value)


@dead_letters.command
def replay(
    *ids: str,
    where: Where | None = None,
    all: bool = False,  # noqa: A002 - the option is called so
    dry_run: bool = False,
    yes: bool = False,
    common: Common | None = None,
) -> None:
    """Put original records on their topics again, each once: by their ids or by filters.

    Parameters
    ----------
    ids
        The ids of dead letters.
    all
        All of them. It says how many, and asks first, as with filters.
    dry_run
        Only say how many there are.
    yes
        Do not ask.
    """
    _change("replay", ids, where, common, whole=all, dry_run=dry_run, yes=yes)


@dead_letters.command
def drop(
    *ids: str,
    where: Where | None = None,
    all: bool = False,  # noqa: A002 - the option is called so
    dry_run: bool = False,
    yes: bool = False,
    common: Common | None = None,
) -> None:
    """Leave dead letters out of lists, by their ids or by filters. Kafka keeps the records.

    Parameters
    ----------
    ids
        The ids of dead letters.
    all
        All of them. It says how many, and asks first, as with filters.
    dry_run
        Only say how many there are.
    yes
        Do not ask.
    """
    _change("hide", ids, where, common, whole=all, dry_run=dry_run, yes=yes)


WORDS = {"replay": ("replays", "replayed"), "hide": ("drops", "dropped")}
"""Method of the client -> its words."""


def _change(
    method: str,
    ids: tuple[str, ...],
    where: Where | None,
    common: Common | None,
    *,
    whole: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    options, filters = resolve(common), where or Where()
    if sum((bool(ids), filters.given or whole)) != 1:
        raise wrong("Give the ids of dead letters, or filters, or --all for all of them.")
    wanted = None if ids else filters.filter(options)
    does, done = WORDS[method]
    from scheduling_client.cli.clients import client  # noqa: PLC0415 - it imports gRPC

    with client(options) as service:
        change: Callable[..., Progress] = getattr(service, method)
        if wanted is not None and not dry_run and not yes:
            count = change(where=wanted, dry_run=True).changed
            confirm(f"This {does} {count:,} dead letters.", yes=yes)
        found = change(*ids, where=wanted, dry_run=dry_run)
    item = {"matched": found.matched, done: found.changed}
    show_item(item, options.output, name=done)


def _item(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.id,
        "time": utc_text(_ms(letter.time)) if letter.time else None,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "event": letter.event,
        "reason": letter.reason,
        "message": letter.message,
        "replayed": letter.replayed,
        "size": letter.size,
    }


def _row(letter: DeadLetter, options: Options) -> dict[str, Any]:
    row = _item(letter)
    if options.output == "table" and letter.time:
        from scheduling_client.schedules.preview import local_text  # noqa: PLC0415

        row["time_here"] = local_text(_ms(letter.time), options.zone)
    return row


def _ms(time: datetime) -> int:
    return round(time.timestamp() * 1000)
