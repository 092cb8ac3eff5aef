"""LiteRT interpreters, made in one place, quietly, and a graph that any thread may ask."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ai_edge_litert.interpreter import Interpreter

#: One small network cannot keep more cores than this busy with one picture.
WIDE = 8

_lock = threading.Lock()


def cores() -> int:
    """Return how many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def make_interpreter(model: bytes, threads: int) -> "Interpreter":
    """Return an ``ai_edge_litert`` interpreter of a ``.tflite`` file's content.

    Args:
        model: the content of the file.
        threads: how many threads one call may use.

    Raises:
        ValueError: not a LiteRT model.
    """
    from ai_edge_litert.interpreter import Interpreter

    with _lock, quiet_stderr():  # it announces its CPU delegate, and no setting silences it
        interpreter = Interpreter(model_content=model, num_threads=threads)
        interpreter.allocate_tensors()
    return interpreter


class Graph:
    """A model that takes one picture at a time; any number of threads may ask it.

    On a CPU one picture at a time is also the fastest way through many: a batch of 32 takes longer
    per picture, since its activations no longer fit the cache (``benchmarks/engine.json``). What is
    done with the cores depends on who asks. A lone picture gets all of them for itself; where many
    pictures wait, each thread works on its own with one core. The answers are the same to the bit.

    Args:
        model: the content of a ``.tflite`` file whose signature takes (1, S, S, 3) float32.

    Attributes:
        model: as given, to be sent to another process.
    """

    def __init__(self, model: bytes):
        self.model = model
        self._alone = threading.Lock()
        self._idle: dict[int, list[_Run]] = {}

    def run(self, picture: np.ndarray, alone: bool = True) -> dict[str, np.ndarray]:
        """Return the outputs for one picture by name, without the dimension of the batch.

        Args:
            picture: (S, S, 3), any number type.
            alone: take all cores, one caller after the other; False: one core, and other threads
                that ask at the same time have theirs.
        """
        if alone:
            with self._alone:
                return self._run(picture, threads=min(cores(), WIDE))
        return self._run(picture, threads=1)

    def _run(self, picture: np.ndarray, threads: int) -> dict[str, np.ndarray]:
        idle = self._idle.setdefault(threads, [])
        try:
            run = idle.pop()  # lists are thread-safe; who finds none makes one
        except IndexError:
            run = _Run(self.model, threads)
        try:
            return run(picture)
        finally:
            idle.append(run)


class _Run:
    """One interpreter. Not thread-safe: :class:`Graph` lends it to one thread at a time."""

    def __init__(self, model: bytes, threads: int):
        self._runner = make_interpreter(model, threads).get_signature_runner()
        ((self._input, details),) = self._runner.get_input_details().items()
        self._batch = np.empty(details["shape"], np.float32)  # (1, S, S, 3)

    def __call__(self, picture: np.ndarray) -> dict[str, np.ndarray]:
        self._batch[0] = picture
        outputs = self._runner(**{self._input: self._batch})
        return {name: value[0] for name, value in outputs.items()}


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Hold back what C++ code prints on standard error, for a moment; exceptions pass."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
