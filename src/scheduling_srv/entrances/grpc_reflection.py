"""What reflection finds: methods too, and files under the names that clients of 2018 know."""

from __future__ import annotations

from google.protobuf.descriptor import FileDescriptor, MethodDescriptor
from google.protobuf.descriptor_pool import DescriptorPool

OURS = "scheduling_srv/wire/"
"""Where our files lie. `io` is a module of Python's, so they cannot lie where they did in 2018."""
NAMES_OF_2018 = {
    f"io/restorecommerce/{name}.proto": f"{OURS}{name}.proto"
    for name in ("job", "commandinterface", "resourcebase")
}


class Descriptors:
    """A descriptor pool as grpcio-reflection asks it. The names are those of `DescriptorPool`.

    The pool of upb finds no methods (protobuf 7: `FindFileContainingSymbol` raises KeyError for
    `package.Service.Method`), although the reflection protocol has them among its symbols.
    """

    def __init__(self, pool: DescriptorPool) -> None:
        self._pool = pool

    def FindFileByName(self, file_name: str) -> FileDescriptor:  # noqa: N802
        """Raises KeyError for a file that nobody knows."""
        return self._pool.FindFileByName(NAMES_OF_2018.get(file_name, file_name))

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:  # noqa: N802
        """Raises KeyError for a symbol that nobody knows."""
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            return self._method(symbol).containing_service.file

    def _method(self, symbol: str) -> MethodDescriptor:
        service, _, method = symbol.rpartition(".")
        return self._pool.FindServiceByName(service).methods_by_name[method]

    def __getattr__(self, name: str) -> object:
        """The rest is the pool's."""
        return getattr(self._pool, name)
