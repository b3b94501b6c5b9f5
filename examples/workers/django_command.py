"""A Django command. In a project it is `management/commands/worker.py`: manage.py worker."""

from typing import Any

from django.core.management.base import BaseCommand
from django.db import close_old_connections

from scheduling_client import Run, Worker

worker = Worker("site")


@worker.job("publish", concurrency=4, timeout="1m")
def publish(article: int, run: Run) -> None:
    close_old_connections()  # a thread has a connection of its own
    print("published", article, "attempt", run.attempt, flush=True)


class Command(BaseCommand):  # type: ignore[misc]
    """Does the runs of this site's jobs."""

    help = "Do the runs of jobs until SIGTERM."

    def handle(self, *_: Any, **__: Any) -> None:
        worker.run()


if __name__ == "__main__":
    from django.conf import settings

    settings.configure()
    Command().handle()
