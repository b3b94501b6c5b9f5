"""The messages as clients of 2018 have them: `payload` is declared singular."""

from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from tests.client import contract


def _pool() -> DescriptorPool:
    pool = DescriptorPool()
    for message in (contract.AnyMessage, contract.FieldFilter, contract.Job):
        file = FileDescriptorProto()
        message.DESCRIPTOR.file.CopyToProto(file)
        for each in file.message_type:
            if each.name == "Data":
                each.field[2].label = FieldDescriptorProto.LABEL_OPTIONAL
        pool.Add(file)
    return pool


_classic = _pool()


def _message(name: str) -> Any:
    return GetMessageClass(_classic.FindMessageTypeByName(f"io.restorecommerce.{name}"))


Job = _message("job.Job")
JobList = _message("job.JobList")
Data = _message("job.Data")
ScheduledJob = _message("job.ScheduledJob")
JobDone = _message("job.JobDone")
JobFailed = _message("job.JobFailed")
Deleted = _message("job.Deleted")
JobReadRequest = _message("job.JobReadRequest")
DeleteRequest = _message("resourcebase.DeleteRequest")
