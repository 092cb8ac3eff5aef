"""What runs in a worker's process of a Dask cluster; needs the extra `cluster`.

A worker refuses work from a library of another version, and makes what is dear, a detector, once.
"""

import pickle
import sys
import threading
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from distributed import WorkerPlugin, get_worker

from deepfake_lab.errors import UserError

R = TypeVar("R")

#: Packages that an answer depends on.
ANSWERING = ("ai-edge-litert", "numpy", "pillow")

_lock = threading.Lock()
_brought: dict[str, bytes] = {}
_made: dict[str, Any] = {}


class LuggageLost(Exception):
    """A worker has not got what it needs for its work; it has to be given it again."""


class Luggage(WorkerPlugin):
    """Bytes that the scheduler gives to each worker that it has, and to each that comes later.

    Args:
        content: a pickled ``(make, arguments)``.
        key: its SHA-256, by which a worker asks for it.
    """

    def __init__(self, key: str, content: bytes):
        self.key, self.content = key, content

    def setup(self, worker: Any) -> None:
        """Keep the bytes; what is made of them is made when it is first asked for."""
        with _lock:
            _brought[self.key] = self.content

    def teardown(self, worker: Any) -> None:
        """Forget them, and what was made of them."""
        with _lock:
            _brought.pop(self.key, None)
            _made.pop(self.key, None)


def made(key: str) -> Any:
    """Return what was made of a luggage, in this process, once.

    Raises:
        LuggageLost: it has not come here.
        UserError: it was damaged on its way.
    """
    with _lock:
        if key not in _made:
            if key not in _brought:
                raise LuggageLost(key)
            if sha256(_brought[key]).hexdigest() != key:
                raise UserError(f"What the worker {_here()} got is damaged: start it again.")
            make, arguments = pickle.loads(_brought[key])
            _made[key] = make(*arguments)
        return _made[key]


@cache
def versions() -> dict[str, str]:
    """Return what an answer depends on: the version of this library and of those below it."""
    code = sha256()
    for file in sorted(Path(__file__).parent.rglob("*.py")):
        code.update(b"\n".join(file.read_bytes().splitlines()))  # Windows ends lines otherwise
    library = sys.modules[__name__.partition(".")[0]].__version__
    own = {"deepfake-lab": f"{library} (code {code.hexdigest()[:8]})"}
    return own | {name: version(name) for name in ANSWERING}


def check_versions(found: dict[str, str], wanted: dict[str, str], worker: str) -> None:
    """Raise a :class:`UserError` that names a worker and what differs there."""
    for name, here in wanted.items():
        if found.get(name) != here:
            raise UserError(
                f"The worker {worker} has {name} {found.get(name)}, but here it is {here}: install "
                "the same there."
            )


def do(wanted: dict[str, str], work: Callable[..., list[R]], key: str, items: list[Any]) -> list[R]:
    """Work on a chunk, unless this worker is of another version.

    Args:
        wanted: the versions of who asks.
        work: takes what was made of the luggage, where there is one, and the items.
        key: of the luggage; empty for none.
        items: as many as results come back.
    """
    if versions() != wanted:
        check_versions(versions(), wanted, _here())
    return work(made(key), items) if key else work(items)


def _here() -> str:
    return get_worker().address
