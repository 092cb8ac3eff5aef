"""A file of answers that is written piece by piece and gone on with after an interruption.

Answers are appended to ``<file>.part``, one JSON line each, as they come: what was answered once
stays answered, even if the process is killed. At the end ``<file>`` is written from it, whole, in
pieces of constant size.

A photo is known by where it lies, its size and the time of its last change. One that was replaced
or could not be read is asked about again, and its new row takes the place of the old one, at the
end of the file. Of several answers for one path, in file and journal, the last one counts. An
answer is one row; where each face has its own, as many rows as the photo has faces.
"""

import csv
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any, TextIO

from deepfake_lab.errors import UserError
from deepfake_lab.locks import lock
from deepfake_lab.photos.listing import place_of
from deepfake_lab.printing import unicode_name

#: Columns of the file, with their types: the photo (``path`` as :func:`place` has it, ``bytes`` and
#: ``modified`` as :func:`stamp` has them; both missing where there is no file), the answer, and
#: ``error`` where there is none.
COLUMNS: dict[str, type] = {
    "path": str, "bytes": int, "modified": str, "verdict": str, "confidence": float,
    "p_fake": float, "uncertain": bool, "face_found": bool, "faces": int, "prior": float,
    "model": str, "weights": str, "caveats": str, "evidence": str, "error": str,
}  # fmt: skip

#: Columns where each face has a row of its own: beside the photo's, the face's number (the largest
#: is 1; missing where there is none), the left, top, right and bottom of its box, and its roll.
FACE_COLUMNS: dict[str, type] = {**COLUMNS, "face": int, "box": str, "roll": float}

#: Rows of a Parquet file that are held and written together.
PIECE = 10_000

Row = dict[str, Any]


Stamp = tuple[int, str] | tuple[None, None]


def place(photo: str | os.PathLike) -> str:
    r"""Return where a photo lies, as :func:`deepfake_lab.photos.listing.place_of` has it.

    A name that is not UTF-8 comes back with its bytes as ``\xe9``: tables must be UTF-8.
    """
    return unicode_name(place_of(os.path.expanduser(photo)))


def stamp(photo: str | os.PathLike) -> Stamp:
    """Return a file's size in bytes and the time of its last change (UTC, nanoseconds).

    Ask before it is read: a file that is replaced meanwhile is then seen as replaced later. Storage
    at an address is not asked: what lies there is known by its address alone.
    """
    try:
        found = os.stat(os.path.expanduser(photo))
    except (OSError, ValueError):  # it is not there, which is what its answer will say
        return None, None
    seconds, nanoseconds = divmod(found.st_mtime_ns, 10**9)
    try:
        day = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    except (OSError, OverflowError, ValueError):  # a year that no calendar here reaches
        day = str(seconds)
    return found.st_size, f"{day}.{nanoseconds:09d}Z"


class ScoreFile:
    """Answers on their way to a CSV or Parquet file.

    Args:
        file: where the answers go; the ending says how. What an earlier run of the same detector
            wrote there, or left half done, is kept and gone on with.
        model: the detector's name.
        weights: see :attr:`deepfake_lab.detection.detector.Detector.weights`.
        prior: see :class:`deepfake_lab.detection.detector.Detector`.
        columns: of the file, with their types: :data:`COLUMNS` or :data:`FACE_COLUMNS`.

    Attributes:
        counts: how many photos have which verdict, those of earlier runs among them; "" for those
            that could not be read.

    Raises:
        UserError: an ending that is not known, a folder that is not there, a file of another
            detector or of something else, or one that another run is writing.
    """

    def __init__(
        self, file: Path, model: str, weights: str, prior: float,
        columns: dict[str, type] = COLUMNS,
    ):  # fmt: skip
        if file.is_symlink():  # a link to a shared table stays one
            file = Path(os.path.realpath(file))
        self.file = file
        self._columns = columns
        self._model, self._weights, self._prior = model, weights, prior
        if file.suffix.lower() not in (".csv", ".parquet"):
            raise UserError(f"--out {file}: the name must end in .csv or .parquet.")
        self._part = file.with_name(f"{file.name}.part")
        if file.is_dir():
            raise UserError(f"--out {file}: this is a folder; name a file.")
        if file.suffix.lower() == ".parquet":
            _parquet()
        if not file.parent.is_dir():
            raise UserError(f"--out {file}: there is no folder {file.parent}; make it first.")
        self.counts: Counter[str] = Counter()
        self._known: dict[str, tuple[int, str]] = {}  # path -> hash of its stamp, verdict
        self._again: set[str] = set()  # paths with more than one answer
        self._new = False  # whether the journal holds an answer
        try:
            self._journal = os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise UserError(f"--out {file}: cannot be written ({error.strerror}).") from error
        try:
            lock(self._journal, self.file)
            os.ftruncate(self._journal, self._whole_length())
            for rows in self._finished():
                self._check(rows)
                self._remember(rows)
            for rows in self._journaled():
                self._check(rows)
                self._remember(rows)
                self._new = True
        except BaseException:
            self.close()
            raise

    def has(self, photo: str | os.PathLike) -> bool:
        """Return whether a photo was answered as it is now; errors do not count as answers."""
        known = self._known.get(place(photo))
        return known is not None and bool(known[1]) and known[0] == hash(stamp(photo))

    def add(self, rows: list[Row]) -> None:
        """Append one answer; it is on file when this returns.

        Args:
            rows: of one photo, each with a value for every column; `path` from :func:`place`,
                `bytes` and `modified` from :func:`stamp`.
        """
        values = [[row[column] for column in self._columns] for row in rows]
        line = (json.dumps(values) + "\n").encode("ascii")
        try:
            written = os.write(self._journal, line)
        except OSError as error:
            raise UserError(f"{self._part}: cannot be written ({error.strerror}).") from error
        if written != len(line):
            raise UserError(f"{self._part}: the disk is full.")
        self._remember(rows)
        self._new = True

    def finish(self) -> None:
        """Write the file itself, whole or not at all, and remove what was needed until then."""
        if self._new or not self.file.exists():
            fresh = self.file.with_name(f".{self.file.name}.new")
            try:
                write = _write_csv if self.file.suffix.lower() == ".csv" else _write_parquet
                write(fresh, self._last_rows(), self._columns)
                os.replace(fresh, self.file)
            except OSError as error:
                fresh.unlink(missing_ok=True)
                reason = error.strerror or " ".join(str(error).split())
                raise UserError(f"{self.file}: cannot be written ({reason}).") from error
        self._let_go(remove=True)

    def close(self) -> None:
        """Let go of the file; what was added stays, to be gone on with."""
        if self._journal >= 0:
            self._let_go(remove=os.fstat(self._journal).st_size == 0)

    def _let_go(self, remove: bool) -> None:
        """Close the journal. It is removed first, while others are locked out of it."""
        at_once = os.name != "nt"  # Windows removes no file that is open
        if remove and at_once:
            self._part.unlink(missing_ok=True)
        os.close(self._journal)
        self._journal = -1
        if remove and not at_once:
            self._part.unlink(missing_ok=True)

    def _whole_length(self) -> int:
        """Return where the last whole line ends; a kill may have cut the one after it."""
        with self._part.open("rb") as stream:
            return sum(len(line) for line in stream if line.endswith(b"\n"))

    def _check(self, rows: list[Row]) -> None:
        row = rows[0]
        if (row["model"], row["weights"]) != (self._model, self._weights):
            raise UserError(
                f"{self.file} holds answers of the detector '{row['model']}' ({row['weights']}), "
                f"not of '{self._model}' ({self._weights}): choose another --out or remove it."
            )
        if row["prior"] != self._prior:
            raise UserError(
                f"{self.file} holds answers for a prior of {row['prior']:g}, not "
                f"{self._prior:g}: choose another --out or remove it."
            )

    def _remember(self, rows: list[Row]) -> None:
        path, row = rows[0]["path"], rows[0]
        verdict = min(one["verdict"] or "" for one in rows)  # FAKE where a face is
        if path in self._known:
            self._again.add(path)
            self.counts[self._known[path][1]] -= 1
        # Of an address neither is known; a CSV gives the time back as "".
        self._known[path] = hash((row["bytes"], row["modified"] or None)), verdict
        self.counts[verdict] += 1

    def _last_rows(self) -> Iterator[Row]:
        """Yield the rows of one answer a path, the last one, in order."""
        left: Counter[str] = Counter()
        if self._again:
            answers = chain(self._finished(), self._journaled())
            left.update(rows[0]["path"] for rows in answers if rows[0]["path"] in self._again)
        for rows in chain(self._finished(), self._journaled()):
            path = rows[0]["path"]
            if path in self._again:
                left[path] -= 1
            if not left.get(path):  # else a later one follows
                yield from rows

    def _journaled(self) -> Iterator[list[Row]]:
        with self._part.open("rb") as stream:
            for line in stream:
                try:
                    answer = json.loads(line)
                    _check_kind(self.file, len(answer[0]), self._columns)
                    rows = [dict(zip(self._columns, values, strict=True)) for values in answer]
                except (ValueError, TypeError, LookupError) as error:
                    raise UserError(f"{self._part} is damaged: remove it.") from error
                yield rows

    def _finished(self) -> Iterator[list[Row]]:
        if not self.file.exists():
            return
        read = _read_csv if self.file.suffix.lower() == ".csv" else _read_parquet
        try:
            for _, group in groupby(read(self.file, self._columns), key=itemgetter("path")):
                rows = list(group)
                if "face" in self._columns:
                    _check_faces(self.file, rows)
                yield rows
        except (ValueError, LookupError, TypeError, OSError, csv.Error) as error:
            raise UserError(
                f"{self.file} exists and is no file of answers as this version writes them: choose "
                "another --out."
            ) from error


def csv_writer(stream: TextIO) -> Callable[[Iterable[Any]], object]:
    """Return what writes a row of values as a line of CSV that ends with a line feed.

    Python's own leaves a carriage return inside a value unquoted, which then reads as an end.
    """
    plain = csv.writer(stream, lineterminator="\n")
    quoted = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL)

    def write(values: Iterable[Any]) -> None:
        values = list(values)
        returns = any(isinstance(value, str) and "\r" in value for value in values)
        (quoted if returns else plain).writerow(values)

    return write


def _check_names(file: Path, names: list[str], columns: dict[str, type]) -> None:
    if names in (list(COLUMNS), list(FACE_COLUMNS)):
        _check_kind(file, len(names), columns)
    elif names != list(columns):
        raise ValueError("other columns")


def _check_kind(file: Path, number: int, columns: dict[str, type]) -> None:
    """Raise where answers are of the other kind: a row a photo, or a row a face."""
    if number == len(columns) or number not in (len(COLUMNS), len(FACE_COLUMNS)):
        return
    holds, needed = ("photo", "leave out") if number == len(COLUMNS) else ("face", "add")
    raise UserError(
        f"{file} holds a row for each {holds}: {needed} --each-face to go on with it, or choose "
        "another --out."
    )


def _check_faces(file: Path, rows: list[Row]) -> None:
    """Raise unless neighbouring rows of one photo are all its faces, in order.

    Rows that were sorted or removed would pass for several answers, of which the last one counts.
    """
    whole: list[int | None] = [*range(1, rows[0]["faces"] + 1)]
    if [row["face"] for row in rows] != (whole or [None]):
        raise UserError(
            f"{file}: the faces of {rows[0]['path']} do not stand together, in order (was the "
            "table sorted or filtered?): bring it back as it was written, or choose another --out."
        )


def _check_end(file: Path) -> None:
    """Raise where a table does not end with a whole line."""
    with file.open("rb") as stream:
        stream.seek(-1, os.SEEK_END)
        if stream.read() not in b"\r\n":
            raise UserError(
                f"{file} was cut off in its last row: remove that row to go on with it, or choose "
                "another --out."
            )


def _read_csv(file: Path, columns: dict[str, type]) -> Iterator[Row]:
    with file.open(newline="", encoding="utf-8-sig") as stream:  # spreadsheets put a mark in front
        reader = csv.DictReader(stream, strict=True)  # a quoted cell that never ends is an error
        _check_names(file, list(reader.fieldnames or ()), columns)
        _check_end(file)
        for row in reader:
            if None in row or None in row.values():
                raise ValueError("more or fewer cells than columns")
            yield {column: _typed(row[column], kind) for column, kind in columns.items()}


def _typed(text: str, kind: type) -> Any:
    if kind is bool:
        return {"true": True, "false": False}[text.lower()]  # spreadsheets write TRUE
    if kind in (float, int):
        return kind(text) if text else None
    return text


def _write_csv(file: Path, rows: Iterable[Row], columns: dict[str, type]) -> None:
    with file.open("w", newline="", encoding="utf-8") as stream:
        write = csv_writer(stream)
        write(columns)
        for row in rows:
            write([row[column] for column in columns])


def _read_parquet(file: Path, columns: dict[str, type]) -> Iterator[Row]:
    _, parquet = _parquet()
    with parquet.ParquetFile(file) as content:
        _check_names(file, content.schema_arrow.names, columns)
        for batch in content.iter_batches(PIECE):
            yield from batch.to_pylist()


def _write_parquet(file: Path, rows: Iterator[Row], columns: dict[str, type]) -> None:
    arrow, parquet = _parquet()
    types = {str: arrow.string(), int: arrow.int64(), float: arrow.float64(), bool: arrow.bool_()}
    schema = arrow.schema([(column, types[kind]) for column, kind in columns.items()])
    with parquet.ParquetWriter(file, schema) as writer:
        while piece := list(islice(rows, PIECE)):
            writer.write_table(arrow.Table.from_pylist(piece, schema))


def _parquet() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UserError(
            "Parquet files need the package pyarrow: run `pip install pyarrow`, or write a .csv."
        ) from error
    return pyarrow, pyarrow.parquet
