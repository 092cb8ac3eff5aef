"""One way to show progress: on standard error, only where the wait is long enough to wonder."""

from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def progress(work: Iterable[T], what: str, total: int | None = None) -> Iterable[T]:
    """Pass the items of `work` on, with a bar that appears after three seconds and then goes."""
    return tqdm(work, desc=what, total=total, leave=False, delay=3)
