"""A program that fails, for the tests of the fork server."""


def main() -> int:
    """Fail."""
    raise ZeroDivisionError("as it is told")
