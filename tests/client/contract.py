"""The contract's messages, made from protos of our own.

They live in a descriptor pool of their own: the product's classes have the same full names, and
one pool would refuse to hold both.
"""

import tempfile
from pathlib import Path
from typing import Any

import grpc_tools
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_tools import protoc

PROTOS = Path(__file__).parent / "protos"


def _compiled() -> DescriptorPool:
    bundled = Path(grpc_tools.__file__).parent / "_proto"
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "contract"
        files = sorted(str(path) for path in PROTOS.glob("*.proto"))
        options = [f"-I{PROTOS}", f"-I{bundled}", "--include_imports"]
        if protoc.main(["protoc", *options, f"--descriptor_set_out={out}", *files]) != 0:
            raise RuntimeError(f"the protos in {PROTOS} do not compile")
        descriptors = FileDescriptorSet.FromString(out.read_bytes())
    pool = DescriptorPool()
    for file in descriptors.file:
        pool.Add(file)
    return pool


_pool = _compiled()


def _message(name: str) -> Any:
    return GetMessageClass(_pool.FindMessageTypeByName(name))


AnyMessage = _message("google.protobuf.Any")
Job = _message("io.restorecommerce.job.Job")
JobList = _message("io.restorecommerce.job.JobList")
Data = _message("io.restorecommerce.job.Data")
Backoff = _message("io.restorecommerce.job.Backoff")
ScheduledJob = _message("io.restorecommerce.job.ScheduledJob")
JobDone = _message("io.restorecommerce.job.JobDone")
JobFailed = _message("io.restorecommerce.job.JobFailed")
Deleted = _message("io.restorecommerce.job.Deleted")
JobReadRequest = _message("io.restorecommerce.job.JobReadRequest")
JobFilter = _message("io.restorecommerce.job.JobFilter")
FieldFilter = _message("io.restorecommerce.resourcebase.FieldFilter")
DeleteRequest = _message("io.restorecommerce.resourcebase.DeleteRequest")
CommandRequest = _message("io.restorecommerce.commandinterface.CommandRequest")
CommandResponse = _message("io.restorecommerce.commandinterface.CommandResponse")


def payload(text: str | bytes, type_url: str = "payload") -> Any:
    """An Any with these raw bytes in its value."""
    return AnyMessage(type_url=type_url, value=text.encode() if isinstance(text, str) else text)


def job(**fields: Any) -> Any:
    """A Job that lacks nothing but its trigger, unless `fields` say otherwise."""
    return Job(**{"type": "t", "data": Data(creator="tester"), **fields})
