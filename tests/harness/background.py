"""Work beside a test, which fails with the test."""

import threading
from abc import ABC, abstractmethod
from typing import Self


class Background(ABC):
    """A thread that works while its context lasts. Leaving the context raises its failure."""

    def __init__(self, name: str) -> None:
        self.leaving = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @abstractmethod
    def work(self) -> None:
        """Work until `leaving` is set."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.leaving.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            self.work()
        except BaseException as failure:  # noqa: BLE001 - raised again where the test sees it
            self._failure = failure
