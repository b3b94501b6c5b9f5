"""Bodies of forms, within a size; and whether a form is one of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request

from scheduling_srv.domain.errors import Forbidden, InvalidRequest, TooLarge
from scheduling_srv.entrances.web.guests import Guest

LARGEST_BYTES = 256 * 1024
MOST_FIELDS = 2_000
_MOST_DIGITS = 19
TOKEN = "form_token"  # noqa: S105 - the name of a field
KIND = "application/x-www-form-urlencoded"
FOREIGN = "The form was not sent by a page of this service. Open the page again, and repeat it."

Form = Mapping[str, Sequence[str]]


async def read(request: Request, guest: Guest) -> Form:
    """The fields of a form of this guest.

    Raises `Forbidden` for a form of another site or session, `TooLarge` and `InvalidRequest`.
    """
    check_origin(request)
    form = await read_any(request)
    token = "".join(form.get(TOKEN, ()))
    if not guest.signed_in or not guest.sessions.is_form_token(token, guest.bound_to):
        raise Forbidden(FOREIGN)
    return form


async def read_any(request: Request) -> Form:
    """The fields of a form, whoever has made it. Raises `TooLarge` and `InvalidRequest`."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != KIND:
        raise InvalidRequest(f"A form is sent as {KIND}.")
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > LARGEST_BYTES:
            raise TooLarge(
                f"The form has more than {LARGEST_BYTES // 1024} kB: use the command 'scheduling'."
            )
    try:
        return parse_qs(
            body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict"
        )
    except ValueError as fault:
        raise InvalidRequest("The form cannot be read.") from fault


def check_origin(request: Request) -> None:
    """Raise `Forbidden` for a form that another site has sent. Browsers tell where from."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        if site not in ("same-origin", "none"):
            raise Forbidden(FOREIGN)
        return
    origin = request.headers.get("origin")
    if origin is not None and _place_of(origin) != request.headers.get("host"):
        raise Forbidden(FOREIGN)


def _place_of(origin: str) -> str:
    """Host and port of an origin. Raises `Forbidden` for one that is malformed."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        raise Forbidden(FOREIGN) from None


def text(form: Form, name: str) -> str:
    """The value of a field, without spaces around; empty if it is not there."""
    return form.get(name, ("",))[-1].strip()


def raw(form: Form, name: str) -> str:
    """The value of a field as it was sent: ids and types may begin with a space."""
    return form.get(name, ("",))[-1]


def instant(typed: str, name: str, place: tzinfo) -> datetime:
    """The time in a field, in that zone unless it has an offset. Raises `InvalidRequest`."""
    try:
        found = datetime.fromisoformat(typed)
    except ValueError:
        raise InvalidRequest(
            f"{typed!r} is no time for {name!r}: write it like 2027-01-31T08:00."
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=place)


def whole(form: Form, name: str) -> int:
    """The number in a field; 0 for anything else."""
    value = text(form, name)
    return int(value) if value.isascii() and value.isdigit() and len(value) < _MOST_DIGITS else 0
