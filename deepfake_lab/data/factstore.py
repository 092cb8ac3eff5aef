"""The facts of many files: read by all cores, kept in a cache, so that nothing is read twice.

The cache is one SQLite file outside every data folder. It knows a file by path, size and times,
and facts by the file's content: a copied or renamed data set is known at once. Deleting it costs
nothing but time. Facts that another version of this code found are not used.
"""

import hashlib
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from functools import cache, partial
from itertools import chain, islice
from multiprocessing import parent_process
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import joblib
import numpy as np
import PIL
from platformdirs import user_cache_path

from deepfake_lab import paths
from deepfake_lab.data import facts as facts_of
from deepfake_lab.extras import require
from deepfake_lab.photos import images
from deepfake_lab.printing import printable
from deepfake_lab.progress import progress

if TYPE_CHECKING:  # an extra
    from distributed import Client

#: Fewer files than this are read in this process: starting others would take longer. Headers
#: (the first number) cost little, pixels (the second) more.
IN_THIS_PROCESS = (5000, 300)

#: Files that are handed to a process at once.
CHUNK = 64

T = TypeVar("T")
R = TypeVar("R")


def cache_file() -> Path:
    """Return where facts are kept.

    `<DEEPFAKE_LAB_HOME>/.cache/facts.sqlite` where that variable is set, else `deepfake-lab/` in
    the user's cache folder, where the system has it.
    """
    home = os.environ.get("DEEPFAKE_LAB_HOME")
    if home:
        return paths.expanded(home) / ".cache" / "facts.sqlite"
    return user_cache_path("deepfake-lab", appauthor=False) / "facts.sqlite"


def collect(
    root: Path,
    files: list[str],
    level: int = facts_of.HEADER,
    face_share: float = 0.0,
    cluster: "Client | None" = None,
) -> np.ndarray:
    """Return the facts of some files, (N,) of :data:`facts.RECORD` in the order given.

    Args:
        root: the folder that they lie in.
        files: their names inside it.
        level: how much to find out, see :mod:`deepfake_lab.data.facts`.
        face_share: share of the photos in which faces are looked for.
        cluster: whose workers read the files, by the same paths; None for this machine's cores.
    """
    paths = [os.path.join(root, file) for file in files]
    stats = [_stat(path) for path in paths]
    result = np.zeros(len(files), facts_of.RECORD)
    with closing(_Store.open()) as store:
        known = store.load(str(root), paths, stats, result)
        todo = np.flatnonzero(~(known & facts_of.is_enough(result, level, face_share)))
        parts = [todo[i : i + CHUNK] for i in range(0, len(todo), CHUNK)]
        work = [[paths[i] for i in rows] for rows in parts]
        if cluster is None:
            read = in_processes(
                partial(_read_chunk, level, face_share), work,
                alone=len(todo) < IN_THIS_PROCESS[level],
            )  # fmt: skip
        else:
            read = _read_there(cluster, partial(_read_all, level, face_share), work)
        for rows, found in zip(parts, progress(read, "reading files", len(parts))):
            result[rows] = found
            store.save([paths[i] for i in rows], [stats[i] for i in rows], found)
    return result


def collect_anywhere(
    photos: Sequence[str], level: int = facts_of.HEADER, face_share: float = 0.0
) -> np.ndarray:
    """Return the facts of photos anywhere on this machine, (N,); as :func:`collect` does."""
    places = [os.path.abspath(photo) for photo in photos]
    drives = np.array([os.path.splitdrive(place)[0] for place in places])
    result = np.zeros(len(places), facts_of.RECORD)
    for drive in np.unique(drives):  # of Windows; elsewhere all is one
        rows = np.flatnonzero(drives == drive)
        root = os.path.commonpath([os.path.dirname(places[row]) for row in rows])
        files = [os.path.relpath(places[row], root) for row in rows]
        result[rows] = collect(Path(root), files, level, face_share)
    return result


def remembered(key: str) -> str | None:
    """Return a text that was kept under this key, None where there is none."""
    with closing(_Store.open()) as store:
        return store.result(key)


def remember(key: str, text: str) -> None:
    """Keep a text that took time to work out."""
    with closing(_Store.open()) as store:
        store.save_result(key, text)


@cache
def code_version() -> str:
    """Return a name for what finds facts: the code that looks at photos, its weights, the decoders.

    It changes when one of them does.
    """
    digest = hashlib.blake2b(digest_size=8)
    room = Path(str(images.__file__)).parent
    code = [*sorted(room.glob("*.py")), *sorted((room / "weights").glob("*.tflite"))]
    for file in (Path(str(facts_of.__file__)), *code):
        digest.update(file.read_bytes())
    digest.update(f"{PIL.__version__} {images.formats()} {facts_of.RECORD.descr}".encode())
    return digest.hexdigest()


def in_processes(work: Callable[[T], R], parts: list[T], alone: bool) -> Iterator[R]:
    """Yield what `work` makes of each part, in order, on all cores; in this process if `alone`.

    Only a few parts are under way at a time, so memory does not grow with their number.
    """
    if alone:
        yield from map(work, parts)
        return
    # joblib's own processes, unlike the standard pool's, do not run the caller's script again.
    pool = joblib.Parallel(
        n_jobs=joblib.cpu_count(), backend="loky", return_as="generator",
        batch_size=1, pre_dispatch="3*n_jobs",
    )  # fmt: skip
    yield from pool(joblib.delayed(work)(part) for part in parts)


def _read_chunk(level: int, face_share: float, paths: list[str]) -> np.ndarray:
    """Return the facts of a few files, (N,); what is known of a content is not found out again."""
    with closing(_Store.open()) as store:
        facts = np.zeros(len(paths), facts_of.RECORD)
        for i, path in enumerate(paths):
            facts[i] = facts_of.of_file(path, level, face_share, store.content)
    return facts


def _read_there(
    cluster: "Client", work: Callable[[list[str]], list[np.ndarray]], parts: list[list[str]]
) -> Iterator[np.ndarray]:
    """Yield the facts of each part, (N,), as workers of a cluster find them."""
    require("distributed")
    from deepfake_lab.cluster import spread

    found = spread(cluster, work, chain.from_iterable(parts), _not_read)
    for part in parts:
        yield np.array(list(islice(found, len(part))), facts_of.RECORD)


def _read_all(level: int, face_share: float, paths: list[str]) -> list[np.ndarray]:
    # Without the cache: where homes are shared, many machines would write one file.
    return [facts_of.of_file(path, level, face_share) for path in paths]


def _not_read(path: str, reason: str) -> np.ndarray:
    """Return the facts of a file that kills who reads it; they are not kept."""
    facts = np.zeros((), facts_of.RECORD)
    facts["state"], facts["faces"] = facts_of.UNREADABLE, -1
    return facts


def _stat(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _signed(fingerprint: int) -> int:
    """SQLite's integers have a sign."""
    return fingerprint - (1 << 64) if fingerprint >> 63 else fingerprint


class _Store:
    """The cache file; where it is at fault, one in memory that ends with the call."""

    _TABLES = (
        "CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, size INTEGER, mtime INTEGER,"
        " ctime INTEGER, content INTEGER) WITHOUT ROWID",
        "CREATE TABLE IF NOT EXISTS facts (content INTEGER, version TEXT, record BLOB,"
        " PRIMARY KEY (content, version)) WITHOUT ROWID",
        "CREATE TABLE IF NOT EXISTS results (key TEXT PRIMARY KEY, text TEXT) WITHOUT ROWID",
    )

    def __init__(self, connection: sqlite3.Connection):
        self._use(connection)

    def _use(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        # Losing the cache in a power cut is no harm; waiting for the disk at every chunk is.
        connection.execute("PRAGMA synchronous = OFF")
        for table in self._TABLES:
            connection.execute(table)

    @classmethod
    def open(cls) -> "_Store":
        path = cache_file()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return cls(sqlite3.connect(path, timeout=60))
        except (sqlite3.Error, OSError) as error:
            _go_on_without(error)
        return cls(sqlite3.connect(":memory:"))

    def _tried(self, work: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """Do something with the cache; where it is at fault, say so and go on without it."""
        try:
            return work(self._connection)
        except sqlite3.Error as error:
            self._connection.close()
            _go_on_without(error)
            self._use(sqlite3.connect(":memory:"))
            return otherwise

    def close(self) -> None:
        self._connection.close()

    def load(self, root: str, paths: list[str], stats: list, result: np.ndarray) -> np.ndarray:
        """Fill in what is known; return for which files that is, (N,) bool."""
        known = np.zeros(len(paths), bool)
        # Names that are not UTF-8 cannot be asked for; their contents are known all the same.
        if not _is_text(root):
            return known
        # Every path below the root: "/" + 1 is "0". (The root of all ends in "/" itself.)
        end = root.rstrip(os.sep) + chr(ord(os.sep) + 1)
        place = {path: i for i, path in enumerate(paths)}

        def fill(connection: sqlite3.Connection) -> None:
            rows = connection.execute(
                "SELECT path, size, mtime, ctime, record FROM files JOIN facts USING (content)"
                " WHERE version = ? AND path > ? AND path < ?",
                (code_version(), root, end),
            )
            # In blocks: the rows of 140,000 files at once would be the largest thing in memory.
            while block := rows.fetchmany(4096):
                found = [(place[row[0]], row) for row in block if row[0] in place]
                found = [(i, row[4]) for i, row in found if stats[i] == row[1:4]]
                if found:
                    at, blobs = zip(*found)
                    result[list(at)] = np.frombuffer(b"".join(blobs), facts_of.RECORD)
                    known[list(at)] = True

        self._tried(fill, None)
        return known

    def content(self, fingerprint: int) -> np.ndarray | None:
        """Return the facts of a content, () of :data:`facts.RECORD`."""
        query = "SELECT record FROM facts WHERE content = ? AND version = ?"
        asked = (_signed(fingerprint), code_version())
        row = self._tried(lambda connection: connection.execute(query, asked).fetchone(), None)
        return np.frombuffer(row[0], facts_of.RECORD)[0] if row else None

    def save(self, paths: list[str], stats: list, records: np.ndarray) -> None:
        """Keep facts; a file that could not be read or changed meanwhile is not kept."""
        files, facts = [], []
        for path, stat, record in zip(paths, stats, records):
            if stat and record["state"] != facts_of.UNREADABLE and stat[0] == record["bytes"]:
                content = _signed(int(record["fingerprint"]))
                if _is_text(path):
                    files.append((path, *stat, content))
                facts.append((content, code_version(), record.tobytes()))

        def write(connection: sqlite3.Connection) -> None:
            with connection:
                connection.executemany("INSERT OR REPLACE INTO files VALUES (?,?,?,?,?)", files)
                connection.executemany("INSERT OR REPLACE INTO facts VALUES (?,?,?)", facts)

        self._tried(write, None)

    def result(self, key: str) -> str | None:
        query = "SELECT text FROM results WHERE key = ?"
        row = self._tried(lambda connection: connection.execute(query, (key,)).fetchone(), None)
        return row[0] if row else None

    def save_result(self, key: str, text: str) -> None:
        def write(connection: sqlite3.Connection) -> None:
            with connection:
                connection.execute("INSERT OR REPLACE INTO results VALUES (?,?)", (key, text))

        self._tried(write, None)


def _is_text(path: str) -> bool:
    """Return whether a path is UTF-8; the database holds no other."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _go_on_without(error: Exception) -> None:
    """Say once that the cache cannot be used; take a damaged one away, so that the next is good."""
    path = cache_file()
    damaged = isinstance(error, sqlite3.DatabaseError) and not isinstance(
        error, sqlite3.OperationalError
    )
    if damaged:
        with suppress(OSError):
            path.unlink(missing_ok=True)  # it holds nothing that cannot be found again
    if parent_process() is None and "said" not in _SAID:
        _SAID.add("said")
        what = "was damaged and has been removed" if damaged else f"cannot be used ({error})"
        warning = f"The cache of facts, {path}, {what}: all goes on without it, only slower."
        print(printable(warning), file=sys.stderr)


#: Whether a person has heard that the cache is at fault.
_SAID: set[str] = set()
