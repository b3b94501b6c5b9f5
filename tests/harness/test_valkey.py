"""The Valkey of the harness is a real one, and loses nothing over SIGKILL."""

import pytest
import redis

from tests.harness.given import Store
from tests.harness.leaks import leaked_keys
from tests.harness.names import Names
from tests.harness.valkey import ValkeyServer


def test_answered_writes_survive_sigkill(breakable_valkey: ValkeyServer, names: Names) -> None:
    with breakable_valkey.client() as client:
        client.set(names.namespace, "kept")
        breakable_valkey.restart()
        assert client.get(names.namespace) == "kept"


def test_a_paused_server_keeps_silent(breakable_valkey: ValkeyServer, names: Names) -> None:
    breakable_valkey.pause()
    with (
        redis.Redis.from_url(breakable_valkey.url, socket_timeout=0.2, retry=None) as client,
        pytest.raises(redis.TimeoutError),
    ):
        client.ping()
    breakable_valkey.resume()
    with breakable_valkey.client() as client:
        assert client.ping()


def test_flush_forgets_everything(breakable_valkey: ValkeyServer, names: Names) -> None:
    with breakable_valkey.client() as client:
        client.set(names.namespace, "gone")
        breakable_valkey.flush()
        assert client.dbsize() == 0


@pytest.mark.parametrize(
    ("keys", "leaks"),
    [
        (["{0}:meta", "{0}:inputs", "shards"], []),
        (["{0}:jobs", "{0}:due", "{0}:creator:me"], []),
        (["{0}:due"], ["{0}:due (string)"]),
        (["{0}:jobs", "{1}:due"], ["{1}:due (string)"]),
        (["{0}:creator:me"], ["{0}:creator:me (string)"]),
        (["{0}:unheard-of", "odd"], ["odd (string)", "{0}:unheard-of (string)"]),
    ],
)
def test_leaks_are_found(valkey: Store, names: Names, keys: list[str], leaks: list[str]) -> None:
    with valkey.client() as client:
        for key in keys:
            client.set(f"{names.namespace}:{key}", "x")
        client.set(f"{names.namespace}:{{0}}:anything", "x", ex=100)
        assert leaked_keys(client, names) == [f"{names.namespace}:{leak}" for leak in leaks]


def test_when_nothing_lives_the_roots_are_leaks(valkey: Store, names: Names) -> None:
    with valkey.client() as client:
        client.set(f"{names.namespace}:{{0}}:jobs", "x")
        assert leaked_keys(client, names) == []
        assert leaked_keys(client, names, idle=True) == [f"{names.namespace}:{{0}}:jobs (string)"]
