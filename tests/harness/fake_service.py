"""Stands in for the product where the harness itself is tested.

Takes the product's environment; FAKE_HEALTH says what it answers, FAKE_EXIT how it ends.
"""

import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from types import FrameType

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc


def main() -> None:
    if os.environ.get("SCHEDULING_FAKE_START") == "fail":
        print("cannot start: the fake was told so")
        sys.exit(2)
    server = grpc.server(ThreadPoolExecutor(2))
    servicer = health.HealthServicer()
    status = os.environ.get("SCHEDULING_FAKE_HEALTH", "SERVING")
    servicer.set("", getattr(health_pb2.HealthCheckResponse, status))
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    server.add_insecure_port(os.environ["SCHEDULING_GRPC_ADDRESS"])

    def leave(_signal: int, _frame: FrameType | None) -> None:
        server.stop(0)

    signal.signal(signal.SIGTERM, leave)
    server.start()
    print("fake service up", os.environ["SCHEDULING_NAMESPACE"], flush=True)
    server.wait_for_termination()
    sys.exit(int(os.environ.get("SCHEDULING_FAKE_EXIT", "0")))


main()
