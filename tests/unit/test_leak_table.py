"""The table by which tests look for leaked keys knows every key there is."""

from scheduling_srv.adapters.redis import keys
from tests.harness.leaks import BOUNDS

EXPIRING = {"told:", "lease", "emitting", "claim:", "refused", "manual:", "requests", "request:"}
"""Keys that must have a TTL, so nothing else may bound them."""


def test_each_key_is_bounded_or_expires() -> None:
    assert set(BOUNDS) | EXPIRING == {*keys.FIXED, *keys.NAMED, *keys.LISTS, *keys.SHARED}
    assert not set(BOUNDS) & EXPIRING
