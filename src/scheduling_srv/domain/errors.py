"""Every error that the domain raises on purpose.

    SchedulingError
    ├── Unparsable     a text of a request is not in the grammar
    └── ElapsedTime    a one-time job is asked for an instant that has passed

``str(error)`` is a full sentence for the person who sent the request.
"""


class SchedulingError(Exception):
    """The root of all errors that this product raises on purpose."""


class Unparsable(SchedulingError):  # noqa: N818 - read as "raise Unparsable"
    """A text of a request is not in the grammar (CONTRACT 3.5)."""


class ElapsedTime(SchedulingError):  # noqa: N818 - as above
    """A one-time job is due more than a second in the past (CONTRACT 3.5)."""
