"""Who is answered now, who waits, and who is told at once to come back."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, TimeoutError
from contextlib import contextmanager
from typing import TypeVar

from deepfake_lab.web import limits
from deepfake_lab.web.problems import Problem

T = TypeVar("T")


class Desk:
    """A counter with a few clerks and a short queue.

    The work on photos runs in a few threads of its own, so that its memory and the number of
    model copies do not grow with the number of clients.

    Args:
        running: requests worked on at the same time.
        waiting: requests that may wait.
        patience: longest wait in seconds.
    """

    def __init__(
        self,
        running: int = limits.RUNNING,
        waiting: int = limits.WAITING,
        patience: float = limits.PATIENCE_SECONDS,
    ):
        self._pool = ThreadPoolExecutor(running, thread_name_prefix="photo")
        self._places = threading.Semaphore(running + waiting)
        self._large = threading.Semaphore(max(1, running // 2))
        self._patience = patience

    @contextmanager
    def place(self) -> Iterator[None]:
        """Take a place, before anything of the request is unpacked.

        Raises:
            Problem: ``busy``; all places are taken.
        """
        if not self._places.acquire(blocking=False):
            raise Problem("busy")
        try:
            yield
        finally:
            self._places.release()

    def run(self, work: Callable[[], T], large: bool = False) -> T:
        """Return what the work returns.

        Args:
            work: what is to be done.
            large: whether it takes much memory; half of the clerks do nothing of that kind.

        Raises:
            Problem: ``busy``; its turn did not come in time.
        """
        if large:
            if not self._large.acquire(timeout=self._patience):
                raise Problem("busy")
            try:
                return self.run(work)
            finally:
                self._large.release()
        future = self._pool.submit(work)
        try:
            return future.result(self._patience)
        except TimeoutError:
            if future.cancel():
                raise Problem("busy") from None
            return future.result()  # its turn has come: it is being worked on

    def close(self) -> None:
        """Finish what is being worked on."""
        self._pool.shutdown(wait=True, cancel_futures=True)
