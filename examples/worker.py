"""Does the runs of `send_report`, and answers them."""

from scheduling_client import Run, Worker

worker = Worker("reports")  # workers of one name share their runs


@worker.job("send_report", concurrency=4, timeout="5m")
def send_report(report: str, run: Run) -> None:
    """An exception makes the run fail. Its text is the reason."""
    print("sending", report, "attempt", run.attempt, flush=True)


if __name__ == "__main__":
    worker.run()
