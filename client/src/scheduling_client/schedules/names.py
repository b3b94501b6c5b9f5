"""The English names of months and weekdays, in lower case, long and short."""

_MONTHS = "january february march april may june july august september october november december"
_WEEKDAYS = "monday tuesday wednesday thursday friday saturday sunday"

MONTHS = {
    form: number for number, name in enumerate(_MONTHS.split(" "), 1) for form in (name, name[:3])
} | {"sept": 9}
"""January is 1."""

WEEKDAYS = {
    form: number for number, name in enumerate(_WEEKDAYS.split(" ")) for form in (name, name[:3])
} | {"tues": 1, "thur": 3, "thurs": 3}
"""Monday is 0, as for `datetime.date.weekday`."""
