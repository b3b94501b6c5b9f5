"""Raw gRPC calls by path, as a client in another language makes them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_reflection.v1alpha import reflection_pb2

from tests.client import contract
from tests.harness.slow_machine import step
from tests.harness.waiting import PATIENCE_SECONDS

JOBS = "/io.restorecommerce.job.Service/"
COMMAND = "/io.restorecommerce.commandinterface.Service/Command"
HEALTH = "/grpc.health.v1.Health/Check"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
HEALTH_STATES = {b"": "UNKNOWN", b"\x08\x01": "SERVING", b"\x08\x02": "NOT_SERVING"}


@dataclass(eq=False)  # not frozen: Python sets tracebacks
class Refusal(Exception):
    """A call that was answered with an error."""

    code: grpc.StatusCode
    message: str
    violations: tuple[tuple[str, str], ...]
    """(field, description) of each google.rpc.BadRequest violation."""
    retry_seconds: float | None = None
    """Of google.rpc.RetryInfo."""
    quota: tuple[str, ...] = ()
    """The subjects of google.rpc.QuotaFailure."""

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message} {list(self.violations)}"


class Client:
    """One channel; every call is answered, or raises Refusal."""

    def __init__(
        self,
        address: str,
        *,
        timeout: float = PATIENCE_SECONDS,
        token: str | None = None,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        """`credentials` are for TLS."""
        # A server that was restarted is found again at once. An attempt has as long as it needs:
        # `min_reconnect_backoff_ms` would bound it, and TLS takes long on a busy machine.
        backoff = "grpc.initial_reconnect_backoff_ms", "grpc.max_reconnect_backoff_ms"
        options = [(name, 200) for name in backoff]
        if credentials:
            self.channel = grpc.secure_channel(address, credentials, options=options)
        else:
            self.channel = grpc.insecure_channel(address, options=options)
        self.timeout = timeout
        self.metadata: tuple[tuple[str, str | bytes], ...] = ()
        if token is not None:
            self.metadata = (("authorization", f"Bearer {token}"),)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.channel.close()

    def create(self, *jobs: Any) -> Any:
        return self._jobs("Create", contract.JobList(items=jobs), contract.JobList)

    def update(self, *jobs: Any) -> Any:
        return self._jobs("Update", contract.JobList(items=jobs), contract.JobList)

    def upsert(self, *jobs: Any) -> Any:
        return self._jobs("Upsert", contract.JobList(items=jobs), contract.JobList)

    def read(self, **request: Any) -> Any:
        """`request`: fields of JobReadRequest."""
        return self._jobs("Read", contract.JobReadRequest(**request), contract.JobList)

    def delete(self, *ids: str, collection: bool = False) -> None:
        request = contract.DeleteRequest(ids=ids, collection=collection)
        answer = self.call(JOBS + "Delete", request.SerializeToString())
        assert answer == b"", "Delete answers Empty"

    def command(self, name: str, payload: Any = None) -> Any:
        """`payload`: what to send as JSON, or bytes to send as they are; answers the JSON."""
        raw = payload if isinstance(payload, bytes) else json.dumps(payload or {}).encode()
        request = contract.CommandRequest(name=name, payload=contract.payload(raw))
        answer = contract.AnyMessage.FromString(self.call(COMMAND, request.SerializeToString()))
        assert answer.type_url == "payload"
        return json.loads(answer.value)

    def health(self, service: str = "") -> str:
        """SERVING, NOT_SERVING or UNKNOWN."""
        name = service.encode()
        answer = self.call(HEALTH, b"\x0a" + bytes([len(name)]) + name if name else b"")
        return HEALTH_STATES[answer]

    def services(self) -> list[str]:
        """What reflection lists."""
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        listed = self._reflect(request).list_services_response.service
        return sorted(service.name for service in listed)

    def file_containing(self, symbol: str) -> list[bytes]:
        """The serialized FileDescriptorProtos that reflection has for a symbol."""
        request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol)
        return list(self._reflect(request).file_descriptor_response.file_descriptor_proto)

    def file_named(self, name: str) -> list[bytes]:
        """The same for the file with this name."""
        request = reflection_pb2.ServerReflectionRequest(file_by_filename=name)
        return list(self._reflect(request).file_descriptor_response.file_descriptor_proto)

    def call(self, path: str, request: bytes, *, timeout: float | None = None) -> bytes:
        """Any unary call, bytes in and out."""
        stub: Callable[..., bytes] = self.channel.unary_unary(path)
        try:
            with step():
                return stub(
                    request,
                    timeout=timeout or self.timeout,
                    wait_for_ready=True,
                    metadata=self.metadata,
                )
        except grpc.RpcError as error:
            raise refusal(error) from error

    def _jobs(self, method: str, request: Any, answer: Any) -> Any:
        return answer.FromString(self.call(JOBS + method, request.SerializeToString()))

    def _reflect(self, request: Any) -> Any:
        stub = self.channel.stream_stream(
            REFLECTION,
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        try:
            answers = stub(iter([request]), timeout=self.timeout, metadata=self.metadata)
            return next(iter(answers))
        except grpc.RpcError as error:
            raise refusal(error) from error


def refusal(error: Any) -> Refusal:
    """The error with its details taken apart."""
    trailers = dict(error.trailing_metadata() or ())
    status = status_pb2.Status.FromString(trailers.get("grpc-status-details-bin", b""))
    violations, retry, quota = [], None, list[str]()
    for detail in status.details:
        bad_request = error_details_pb2.BadRequest()
        if detail.Unpack(bad_request):
            violations += [(each.field, each.description) for each in bad_request.field_violations]
        delay = error_details_pb2.RetryInfo()
        if detail.Unpack(delay):
            retry = delay.retry_delay.ToNanoseconds() / 1e9
        failure = error_details_pb2.QuotaFailure()
        if detail.Unpack(failure):
            quota += [each.subject for each in failure.violations]
    return Refusal(error.code(), error.details() or "", tuple(violations), retry, tuple(quota))
