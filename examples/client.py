"""Creates two jobs, reads them back, and deletes one of them."""

import os
import sys

import grpc

from scheduling_client.wire import job_pb2, job_pb2_grpc, resourcebase_pb2

ADDRESS = os.environ.get("SCHEDULING_GRPC_ADDRESS", "127.0.0.1:50054")


def main() -> None:
    with grpc.insecure_channel(ADDRESS) as channel:
        jobs = job_pb2_grpc.ServiceStub(channel)
        request = job_pb2.JobList()
        report = request.items.add(type="send_report", when="in 2 seconds", attempts=3)
        report.data.creator = "ann"
        report.data.payload.add(type_url="json", value=b'{"report": 7}')
        clean_up = request.items.add(type="clean_up", interval="0 3 * * *")
        clean_up.data.creator = "ann"
        clean_up.data.timezone = "Europe/Berlin"

        created = jobs.Create(request, timeout=10).items
        for job in created:
            print(job.id, job.type, job.when or job.interval)

        mine = job_pb2.JobReadRequest(filter=job_pb2.JobFilter(creator="ann"))
        print("jobs of ann:", jobs.Read(mine, timeout=10).total_count)

        jobs.Delete(resourcebase_pb2.DeleteRequest(ids=[created[1].id]), timeout=10)
        print("deleted", created[1].id)


if __name__ == "__main__":
    try:
        main()
    except grpc.RpcError as error:
        sys.exit(f"{error.code().name}: {error.details()}")
