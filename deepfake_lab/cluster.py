"""Work through any number of items on the workers of a Dask cluster, in order, in constant memory.

What :mod:`deepfake_lab.overlap` is to the cores of one machine. Dask decides who does what and does
again what a dead worker had in hand. Here stands what it cannot know: how much is under way at a
time, the order of the results, and what becomes of an item that no worker survives. Needs the extra
`cluster`.
"""

import itertools
import logging
import pickle
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Generic, TypeVar
from uuid import uuid4

import dask
from distributed import (
    CancelledError,
    Client,
    Future,
    KilledWorker,
    LocalCluster,
    as_completed,
)

from deepfake_lab import workers
from deepfake_lab.errors import UserError
from deepfake_lab.litert import cores

T = TypeVar("T")
R = TypeVar("R")

#: Items in a chunk, at most: some seconds of work for one core, and all that a death costs.
CHUNK = 500

#: Items in the first chunks, so that a few items keep all workers busy.
FIRST = 16

#: Chunks per thread of the cluster that may be worked on, or wait for a slow one before them.
AHEAD = 3

#: Seconds that a scheduler may be away, or a cluster without a worker.
PATIENCE = 30

#: Above every level: what Dask logs of a dead worker is handled here, its tracebacks help nobody.
_SILENT = logging.CRITICAL + 1

#: Of what is opened here. A chunk that has killed one worker is tried on one more; a worker that
#: dies several times within seconds is not given up, else none would be left. Each connection keeps
#: its last messages, by default 1,000, and with them as many chunks. Workers' memory is given back
#: to the system as any process gives it back: by default Dask makes each of them do so after every
#: few pictures, and fetch it anew, which costs an eighth of their time.
_SETTINGS = {
    "distributed.admin.low-level-log-length": 10,
    "distributed.scheduler.allowed-failures": 1,
    "distributed.deploy.lost-worker-timeout": "1 hour",
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,
}


@dataclass(frozen=True)
class Recipe:
    """Something dear that each worker makes once, such as a detector of its config and weights.

    Attributes:
        make: called in the worker's process.
        arguments: for it; they go to each worker once.
    """

    make: Callable[..., Any]
    arguments: tuple[Any, ...]


@contextmanager
def connected(cluster: Client | str | Path) -> Iterator[Client]:
    """Lend a client of a cluster, and close what was opened for it.

    Args:
        cluster: ``local`` for a process per core of this machine; a scheduler's address, such as
            ``tcp://host:8786``; the scheduler file that it wrote; or a client, lent as it is.

    Raises:
        UserError: no such scheduler.
    """
    if isinstance(cluster, Client):
        yield cluster
        return
    name = str(cluster)
    if name != "local" and "://" not in name and not Path(name).is_file():
        raise UserError(
            f"--cluster {name}: give local, a scheduler's address such as tcp://host:8786, or the "
            "scheduler file that it wrote."
        )
    logger = logging.getLogger("distributed")
    before = logger.level
    logger.setLevel(_SILENT)
    try:
        with dask.config.set(_SETTINGS):
            with _local() if name == "local" else _client(name) as client:
                yield client
    finally:
        logger.setLevel(before)


@contextmanager
def _local() -> Iterator[Client]:
    with LocalCluster(
        n_workers=cores(), threads_per_worker=1, processes=True, dashboard_address=":0",
        silence_logs=_SILENT,
    ) as here, Client(here, set_as_default=False) as client:  # fmt: skip
        yield client


def _client(name: str) -> Client:
    where = {"address": name} if "://" in name else {"scheduler_file": name}
    try:
        return Client(**where, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, LookupError) as error:
        raise UserError(
            f"--cluster {name}: no scheduler answers there; start one with `dask scheduler`."
        ) from error


@contextmanager
def announced(cluster: Client | str | Path) -> Iterator[Client]:
    """Lend a client as :func:`connected` does, and say on standard error what it is of."""
    with connected(cluster) as client:
        print(about(client), file=sys.stderr, flush=True)
        yield client


def about(client: Client) -> str:
    """Return one line on a cluster: its address, its workers, and where its dashboard is.

    Raises:
        UserError: no workers, or some of another version.
    """
    threads = check_workers(client)
    count = "1 worker" if len(threads) == 1 else f"{len(threads):,} workers"
    link = client.dashboard_link
    return (
        f"{_address(client)}: {count}, {sum(threads.values()):,} threads"
        f"{f'; dashboard {link}' if link else ''}"
    )


def _address(client: Client) -> str:
    scheduler = client.scheduler  # None once the client is closed
    return str(scheduler.address) if scheduler else "that was closed"


def check_workers(client: Client) -> dict[str, int]:
    """Return how many threads each worker has; all have the versions that this process has.

    Raises:
        UserError: no workers, or some of another version.
    """
    address = _address(client)
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError as error:
        raise UserError(
            f"The cluster {address} has no workers: start some with `dask worker {address}`."
        ) from error
    for worker, found in sorted(client.run(workers.versions, on_error="return").items()):
        if isinstance(found, ImportError):
            raise UserError(
                f"The worker {worker} lacks a package ({found}): install there what is installed "
                "here."
            )
        if isinstance(found, dict):  # else it has just gone
            workers.check_versions(found, workers.versions(), worker)
    return client.nthreads()


def spread(
    client: Client,
    work: Callable[..., list[R]],
    items: Iterable[T],
    failed: Callable[[T, str], R],
    recipe: Recipe | None = None,
) -> Iterator[R]:
    """Yield what `work` returns for each item, in the order of the items.

    Items travel in chunks, with a bounded number under way. A worker that dies loses one chunk,
    which is done again; a chunk that failed twice is done item by item, so that the guilty item
    alone is given up. A scheduler that is away for a moment is waited for.

    Args:
        client: of the cluster.
        work: takes what the recipe made, where there is one, and a list of items; returns a list of
            as many results. A :class:`UserError` from it ends everything.
        items: drawn as they are needed; may be endless.
        failed: makes the result of an item that could not be done, from the item and a reason.
        recipe: what each worker needs for its work.

    Raises:
        UserError: no workers, one of another version, or a scheduler that does not come back.
    """
    run: _Run = _Run(client, work, failed, recipe)
    try:
        yield from run.results(iter(items))
    finally:
        run.close()


@dataclass
class _Chunk(Generic[T, R]):
    """Items that were drawn together, and their results as they come in."""

    items: list[T]
    results: dict[int, R] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        return len(self.results) == len(self.items)


@dataclass
class _Task:
    """Some items of a chunk on their way.

    Attributes:
        alone: nothing else of this run is under way: if the worker dies, this was the reason.
    """

    chunk: _Chunk
    positions: range
    failures: int = 0
    alone: bool = False


class _Run(Generic[T, R]):
    def __init__(
        self, client: Client, work: Callable[..., list[R]], failed: Callable[[T, str], R],
        recipe: Recipe | None,
    ):  # fmt: skip
        self._client, self._work, self._failed = client, work, failed
        self._luggage = pickle.dumps((recipe.make, recipe.arguments)) if recipe else b""
        self._key = sha256(self._luggage).hexdigest() if recipe else ""
        self._name = f"deepfake-lab-{uuid4().hex}"
        self._numbers = itertools.count()
        self._open: deque[_Chunk[T, R]] = deque()
        self._suspects: deque[_Task] = deque()
        self._prepare()

    def results(self, items: Iterator[T]) -> Iterator[R]:
        drawn, more = 0, True
        while True:
            threads = max(1, self._threads())
            while more and not self._suspects and len(self._open) < AHEAD * threads:
                size = min(CHUNK, FIRST + drawn // (4 * threads))
                chunk: _Chunk[T, R] = _Chunk(list(itertools.islice(items, size)))
                more = bool(chunk.items)
                if more:
                    drawn += size
                    self._open.append(chunk)
                    self._submit(_Task(chunk, range(len(chunk.items))))
            while self._open and self._open[0].done:
                done = self._open.popleft()
                yield from map(done.results.__getitem__, range(len(done.items)))
            if self._under_way:
                self._take(self._next())
            elif self._suspects:
                self._submit(self._suspects.popleft())
            elif not self._open and not more:
                return

    def close(self) -> None:
        """Let go of what is under way, also where the caller stops early."""
        # Where the scheduler is gone there is nothing to let go of, and it has been said.
        with suppress(OSError, CancelledError, TimeoutError, RuntimeError):
            if self._client.status == "running":
                self._client.cancel(list(self._under_way), force=True)
                if self._key:
                    self._client.unregister_worker_plugin(self._name)
        self._under_way.clear()

    def _prepare(self) -> None:
        """Make sure of the workers and give them what they need; nothing is under way."""
        self._under_way: dict[Future, _Task] = {}
        self._completed = as_completed(loop=self._client.loop)
        self._asked = time.monotonic()
        self._nthreads = sum(check_workers(self._client).values())
        if self._key:
            self._client.register_plugin(workers.Luggage(self._key, self._luggage), self._name)

    def _threads(self) -> int:
        if time.monotonic() > self._asked + 5:  # workers come and go
            self._asked = time.monotonic()
            self._nthreads = sum(self._client.nthreads().values())
        return self._nthreads

    def _next(self) -> Future:
        """Wait for a task; not for ever, where no worker is left to do it."""
        last_seen = time.monotonic()
        while not self._completed.has_ready() and self._client.status == "running":
            time.sleep(0.01)
            if self._asked + 5 < time.monotonic() and self._threads():
                last_seen = time.monotonic()
            if time.monotonic() > last_seen + 10 * PATIENCE:
                raise UserError(
                    "The cluster has had no worker for minutes; where there is a file of answers, "
                    "the same command goes on."
                )
        return next(self._completed)

    def _submit(self, task: _Task) -> None:
        items = [task.chunk.items[i] for i in task.positions]
        future = self._client.submit(
            workers.do, workers.versions(), self._work, self._key, items,
            key=f"{self._name}-{next(self._numbers)}",
        )  # fmt: skip
        self._under_way[future] = task
        self._completed.add(future)

    def _take(self, future: Future) -> None:
        """Take a task's results, or decide what becomes of it."""
        task = self._under_way.pop(future)
        try:
            found = future.result()
        except CancelledError:
            self._begin_again(task)
        except UserError:
            raise
        except ImportError as error:
            raise UserError(
                f"A worker lacks a package ({error}): install there what is installed here."
            ) from error
        except workers.LuggageLost:
            self._begin_again(task)
        except Exception as error:  # what a worker may raise is anybody's guess
            self._decide(task, error)
        else:
            task.chunk.results.update(zip(task.positions, found, strict=True))

    def _decide(self, task: _Task, error: Exception) -> None:
        killed = isinstance(error, KilledWorker)
        task.failures += 1
        if len(task.positions) > 1:
            if not killed and task.failures < 2:  # Dask itself repeats what killed a worker
                self._submit(task)
                return
            for i in task.positions:
                self._submit(_Task(task.chunk, range(i, i + 1)))
        elif killed and not task.alone:  # perhaps it only was beside the guilty one
            task.alone = True
            self._suspects.append(task)
        else:
            (at,) = task.positions
            why = " ".join(str(error).split()) or type(error).__name__
            task.chunk.results[at] = self._failed(
                task.chunk.items[at],
                "the worker that took it died, again and again" if killed
                else f"it could not be done ({why})",
            )  # fmt: skip

    def _begin_again(self, task: _Task) -> None:
        """Wait for a scheduler that is away, and give it anew what was under way."""
        # The client tries to come back by itself, for as long as it was told when it was made.
        while self._client.status == "connecting":
            time.sleep(0.1)
        if self._client.status != "running":
            raise UserError(
                "The cluster's scheduler is gone and did not come back; where there is a file of "
                "answers, the same command goes on."
            )
        tasks = [task, *self._under_way.values()]
        self._prepare()
        for one in tasks:
            self._submit(one)
