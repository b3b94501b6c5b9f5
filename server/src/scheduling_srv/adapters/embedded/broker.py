"""The mock broker in librdkafka: for trying and developing, never for data that matters.

It is made through librdkafka's public mock interface (rdkafka_mock.h), not with the property
`test.mock.num.brokers`. Only this interface allows topics with one partition, which clients of 2018
expect, and groups that start without a delay.

Its behaviour, as measured with confluent-kafka 2.16 (librdkafka 2.16):

* A real listener on loopback, up in milliseconds, that other processes can use too. The port is
  the kernel's choice and cannot be fixed. All data is gone when the process ends.
* No admin interface: create_topics, delete_topics, describe_configs and describe_cluster time
  out "waiting for controller". Topics that a producer or an admin client asks for by name appear
  by themselves, with 4 partitions; a consumer's subscription makes none. There are no topic
  settings: nothing is compacted, nothing expires.
* A partition keeps about 5 MB: older batches vanish, its low watermark rises. A batch near or
  over 5 MB is acknowledged and vanishes at once. There is no limit on message size.
* Transactions: init, begin, produce, commit, abort, send_offsets all succeed, at 1 ms a
  transaction, and have no effect. Consumers with read_committed read aborted and open records. A
  second producer with the same transactional.id does not fence the first. Offsets that are sent to
  a transaction are not committed.
* Groups of the classic protocol: the first member joins at once, commits are kept. A member that
  joins later waits up to the session timeout, even after the first one has left. It is 45 s by
  default, and 1 s with session.timeout.ms=2000. With `group.protocol=consumer` a later join takes
  50 ms.
* A fetch that finds no record is answered after fetch.wait.max.ms (500 by default). A record that
  arrives meanwhile does not shorten it: set it low.
* get_watermark_offsets, committed offsets, headers and timestamps work. offsets_for_times
  answers "the end" for every time.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, Self

from confluent_kafka import cimpl

from scheduling_srv.domain.errors import StartError

RD_KAFKA_PRODUCER = 0
TOPIC_ALREADY_EXISTS = 36
ERROR_SIZE = 512

_Pointer = ctypes.c_void_p
_Text = ctypes.c_char_p
_Int = ctypes.c_int
_Size = ctypes.c_size_t

SIGNATURES: dict[str, tuple[type | None, tuple[type, ...]]] = {
    "rd_kafka_conf_new": (_Pointer, ()),
    "rd_kafka_conf_set": (_Int, (_Pointer, _Text, _Text, _Text, _Size)),
    "rd_kafka_new": (_Pointer, (_Int, _Pointer, _Text, _Size)),
    "rd_kafka_destroy": (None, (_Pointer,)),
    "rd_kafka_mock_cluster_new": (_Pointer, (_Pointer, _Int)),
    "rd_kafka_mock_cluster_destroy": (None, (_Pointer,)),
    "rd_kafka_mock_cluster_bootstraps": (_Text, (_Pointer,)),
    "rd_kafka_mock_topic_create": (_Int, (_Pointer, _Text, _Int, _Int)),
    "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, (_Pointer, ctypes.c_int32)),
}
"""The part of librdkafka's C interface that is used: name -> (result, arguments)."""


class EmbeddedBroker:
    """One broker in this process; `with` or start() and stop()."""

    def __init__(self, topics: Iterable[str] = ()) -> None:
        """`topics` are created at the start, with one partition each."""
        self._topics = tuple(topics)
        self._handle: int | None = None
        self._cluster: int | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    @property
    def bootstrap(self) -> str:
        """`host:port`, for this process and others on this machine."""
        address: bytes = _function("rd_kafka_mock_cluster_bootstraps")(self._running())
        return address.decode()

    def start(self) -> None:
        """Returns at once; the broker answers."""
        if self._cluster is not None:
            return
        self._handle = _new_handle()
        self._cluster = _function("rd_kafka_mock_cluster_new")(self._handle, 1)
        if self._cluster is None:
            _function("rd_kafka_destroy")(self._handle)
            self._handle = None
            msg = "The embedded broker cannot listen on 127.0.0.1."
            raise StartError(msg)
        _function("rd_kafka_mock_group_initial_rebalance_delay_ms")(self._cluster, 0)
        for topic in self._topics:
            self.create_topic(topic)

    def stop(self) -> None:
        """The broker and all its records are gone."""
        if self._cluster is not None:
            _function("rd_kafka_mock_cluster_destroy")(self._cluster)
            _function("rd_kafka_destroy")(self._handle)
        self._cluster = self._handle = None

    def create_topic(self, name: str, partitions: int = 1) -> None:
        """A topic that exists already is left as it is."""
        code = _function("rd_kafka_mock_topic_create")(
            self._running(), name.encode(), partitions, 1
        )
        if code not in {0, TOPIC_ALREADY_EXISTS}:
            msg = f"The embedded broker cannot create the topic {name}: error {code}."
            raise StartError(msg)

    def _running(self) -> int:
        if self._cluster is None:
            msg = "The embedded broker is not running."
            raise RuntimeError(msg)
        return self._cluster


def _new_handle() -> int:
    """A librdkafka handle that does nothing but carry the mock cluster, in silence."""
    error = ctypes.create_string_buffer(ERROR_SIZE)
    config = _function("rd_kafka_conf_new")()
    _function("rd_kafka_conf_set")(config, b"log_level", b"0", error, ERROR_SIZE)
    handle: int | None = _function("rd_kafka_new")(RD_KAFKA_PRODUCER, config, error, ERROR_SIZE)
    if handle is None:
        msg = f"The embedded broker cannot start: {error.value.decode()}"
        raise StartError(msg)
    return handle


@cache
def _library() -> ctypes.CDLL:
    """The extension module; librdkafka, which it is linked with, is found through it."""
    return ctypes.CDLL(cimpl.__file__)


@cache
def _function(name: str) -> Callable[..., Any]:
    function = getattr(_library(), name, None)
    if function is None:
        msg = f"The installed confluent-kafka does not offer {name}, which --embedded needs."
        raise StartError(msg)
    function.restype, function.argtypes = SIGNATURES[name]
    found: Callable[..., Any] = function
    return found
