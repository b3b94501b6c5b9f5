"""Creates two jobs, lists them, and deletes one of them."""

import os
import sys

from scheduling_client import Client, Filter, Payload, RetryPolicy, SchedulingError, at, cron

ADDRESS = os.environ.get("SCHEDULING_GRPC_ADDRESS", "127.0.0.1:50054")


def main() -> None:
    with Client(ADDRESS) as client:
        client.create(
            "send_report",
            at("in 2 seconds"),
            creator="ann",
            payload=Payload.of_json({"report": 7}),
            retry=RetryPolicy(attempts=3),
        )
        clean_up = client.create(
            "clean_up", cron("0 3 * * *", timezone="Europe/Berlin"), creator="ann"
        )
        for job in client.list(Filter(creator="ann")):
            print(job.id, job.type, job.words)

        client.delete(clean_up.id)
        print("deleted", clean_up.id)


if __name__ == "__main__":
    try:
        main()
    except SchedulingError as error:
        sys.exit(f"{error.code}: {error}")
