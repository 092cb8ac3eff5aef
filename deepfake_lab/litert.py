"""LiteRT interpreters, made in one place, quietly."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()


def make_interpreter(model: bytes, threads: int):
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
