"""Lets reflection find methods, and files by the names that clients of 2018 use."""

from __future__ import annotations

from google.protobuf.descriptor import FileDescriptor, MethodDescriptor
from google.protobuf.descriptor_pool import DescriptorPool

OURS = "scheduling_client/wire/"
"""The folder of our files. The one of 2018, `io`, has the name of a Python module."""
NAMES_OF_2018 = {
    f"io/restorecommerce/{name}.proto": f"{OURS}{name}.proto"
    for name in ("job", "commandinterface", "resourcebase")
}


class Descriptors:
    """A descriptor pool for grpcio-reflection, which calls the methods of `DescriptorPool`.

    The reflection protocol allows `package.Service.Method` as a symbol. The pool of protobuf 7
    (upb) does not find methods: `FindFileContainingSymbol` raises KeyError.
    """

    def __init__(self, pool: DescriptorPool) -> None:
        self._pool = pool

    def FindFileByName(self, file_name: str) -> FileDescriptor:  # noqa: N802
        """Raises KeyError if there is no such file."""
        return self._pool.FindFileByName(NAMES_OF_2018.get(file_name, file_name))

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:  # noqa: N802
        """Raises KeyError if there is no such symbol."""
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            return self._method(symbol).containing_service.file

    def _method(self, symbol: str) -> MethodDescriptor:
        service, _, method = symbol.rpartition(".")
        return self._pool.FindServiceByName(service).methods_by_name[method]

    def __getattr__(self, name: str) -> object:
        """All else is the pool's."""
        return getattr(self._pool, name)
