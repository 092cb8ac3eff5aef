"""Ctrl-C that is not lost.

Python raises KeyboardInterrupt wherever the main thread happens to be. In a finaliser, such as that
of a Dask future, it is printed and forgotten, and the work goes on as if nobody had pressed a key.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_pressed = threading.Event()


@contextmanager
def remembered() -> Iterator[None]:
    """Remember a Ctrl-C, for :func:`check`, besides raising it as Python does.

    Who handles or ignores that signal otherwise, or is no main thread, is left alone.
    """
    python = signal.default_int_handler
    alone = threading.current_thread() is not threading.main_thread()
    if alone or signal.getsignal(signal.SIGINT) is not python:
        yield
        return
    signal.signal(signal.SIGINT, _press)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, python)
        _pressed.clear()


def check() -> None:
    """Raise KeyboardInterrupt where Ctrl-C was pressed; to be called between pieces of work."""
    if _pressed.is_set():
        raise KeyboardInterrupt


def _press(number: int, frame: FrameType | None) -> None:
    _pressed.set()
    raise KeyboardInterrupt
