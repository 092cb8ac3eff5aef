"""A file of answers that is written piece by piece and gone on with after an interruption.

Answers are appended to ``<file>.part``, one JSON line each, as they come: what was answered once
stays answered, even if the process is killed. At the end ``<file>`` is written from it, whole, in
pieces of constant size.
"""

import csv
import json
import os
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from deepfake_lab.errors import UserError

#: Columns of the file, with their types.
COLUMNS: dict[str, type] = {
    "path": str, "verdict": str, "confidence": float, "p_fake": float, "uncertain": bool,
    "face_found": bool, "model": str, "weights": str, "caveats": str, "error": str,
}  # fmt: skip

#: Rows of a Parquet file that are held and written together.
PIECE = 10_000

Row = dict[str, Any]


class ScoreFile:
    """Answers on their way to a CSV or Parquet file.

    Args:
        file: where the answers go; the ending says how. What an earlier run of the same detector
            wrote there, or left half done, is kept and gone on with.
        model: the detector's name.
        weights: see :attr:`deepfake_lab.detection.detector.Detector.weights`.

    Attributes:
        done: paths that have an answer, or an error, from an earlier run.
        failed: the errors of these.
        counts: how many of these have which verdict; "" for errors.

    Raises:
        UserError: an ending that is not known, a folder that is not there, a file of another
            detector or of something else, or one that another run is writing.
    """

    def __init__(self, file: Path, model: str, weights: str):
        self.file = file
        self._model, self._weights = model, weights
        self._part = file.with_name(f"{file.name}.part")
        if file.suffix.lower() not in (".csv", ".parquet"):
            raise UserError(f"--out {file}: the name must end in .csv or .parquet.")
        if file.suffix.lower() == ".parquet":
            _parquet()
        if not file.parent.is_dir():
            raise UserError(f"--out {file}: there is no folder {file.parent}; make it first.")
        self.done: set[str] = set()
        self.failed: list[str] = []
        self.counts: dict[str, int] = {"FAKE": 0, "REAL": 0, "": 0}
        self._new = False
        try:
            self._journal = os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise UserError(f"--out {file}: cannot be written ({error.strerror}).") from error
        try:
            self._lock()
            os.ftruncate(self._journal, self._whole_length())
            for row in self._finished_rows():
                self._remember(row)
            first = next(self._journal_rows(), None)
            if first is not None and first["path"] in self.done:
                os.ftruncate(self._journal, 0)  # the last run was killed right after it finished
            for row in self._journal_rows():
                self._remember(row)
        except BaseException:
            self.close()
            raise

    def add(self, row: Row) -> None:
        """Append one answer; it is on file when this returns."""
        line = (json.dumps([row[column] for column in COLUMNS]) + "\n").encode("ascii")
        try:
            written = os.write(self._journal, line)
        except OSError as error:
            raise UserError(f"{self._part}: cannot be written ({error.strerror}).") from error
        if written != len(line):
            raise UserError(f"{self._part}: the disk is full.")
        self._new = True

    def finish(self) -> None:
        """Write the file itself, whole or not at all, and remove what was needed until then."""
        if self._new or not self.file.exists():
            rows = chain(self._finished_rows(), self._journal_rows())
            fresh = self.file.with_name(f".{self.file.name}.new")
            try:
                write = _write_csv if self.file.suffix.lower() == ".csv" else _write_parquet
                write(fresh, rows)
                os.replace(fresh, self.file)
            except OSError as error:
                fresh.unlink(missing_ok=True)
                raise UserError(f"{self.file}: cannot be written ({error.strerror}).") from error
        self._part.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the file; what was added stays, to be gone on with."""
        if self._journal >= 0:
            if os.fstat(self._journal).st_size == 0:
                self._part.unlink(missing_ok=True)
            os.close(self._journal)
            self._journal = -1

    def _lock(self) -> None:
        try:
            import fcntl
        except ImportError:  # Windows: two runs with the same --out are not told apart there
            return
        try:
            fcntl.flock(self._journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"Another run is writing {self.file}: wait for it.") from error

    def _whole_length(self) -> int:
        """Return where the last whole line ends; a kill may have cut the one after it."""
        with self._part.open("rb") as stream:
            return sum(len(line) for line in stream if line.endswith(b"\n"))

    def _remember(self, row: Row) -> None:
        if (row["model"], row["weights"]) != (self._model, self._weights):
            raise UserError(
                f"{self.file} holds answers of the detector '{row['model']}' ({row['weights']}), "
                f"not of '{self._model}' ({self._weights}): choose another --out or remove it."
            )
        self.done.add(row["path"])
        self.counts[row["verdict"] or ""] += 1
        if row["error"]:
            self.failed.append(row["error"])

    def _journal_rows(self) -> Iterator[Row]:
        with self._part.open("rb") as stream:
            for line in stream:
                try:
                    yield dict(zip(COLUMNS, json.loads(line), strict=True))
                except (ValueError, TypeError) as error:
                    raise UserError(f"{self._part} is damaged: remove it.") from error

    def _finished_rows(self) -> Iterator[Row]:
        if not self.file.exists():
            return
        read = _read_csv if self.file.suffix.lower() == ".csv" else _read_parquet
        try:
            yield from read(self.file)
        except (ValueError, LookupError, OSError) as error:
            raise UserError(
                f"{self.file} exists and is no file of answers: choose another --out."
            ) from error


def _read_csv(file: Path) -> Iterator[Row]:
    with file.open(newline="", encoding="utf-8", errors="surrogateescape") as stream:
        reader = csv.DictReader(stream)
        if reader.fieldnames != list(COLUMNS):
            raise ValueError("other columns")
        for row in reader:
            yield {column: _typed(row[column], kind) for column, kind in COLUMNS.items()}


def _typed(text: str, kind: type) -> Any:
    if kind is bool:
        return text == "True"
    if kind is float:
        return float(text) if text else None
    return text


def _write_csv(file: Path, rows: Iterator[Row]) -> None:
    with file.open("w", newline="", encoding="utf-8", errors="surrogateescape") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(row.values() for row in rows)


def _read_parquet(file: Path) -> Iterator[Row]:
    _, parquet = _parquet()
    with parquet.ParquetFile(file) as content:
        if content.schema_arrow.names != list(COLUMNS):
            raise ValueError("other columns")
        for batch in content.iter_batches(PIECE):
            yield from batch.to_pylist()


def _write_parquet(file: Path, rows: Iterator[Row]) -> None:
    arrow, parquet = _parquet()
    types = {str: arrow.string(), float: arrow.float64(), bool: arrow.bool_()}
    schema = arrow.schema([(column, types[kind]) for column, kind in COLUMNS.items()])
    with parquet.ParquetWriter(file, schema) as writer:
        while piece := list(islice(rows, PIECE)):
            for row in piece:  # names on disk need not be Unicode, texts in Parquet must be
                row |= {column: _unicode(row[column]) for column in ("path", "error")}
            writer.write_table(arrow.Table.from_pylist(piece, schema))


def _unicode(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _parquet() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UserError(
            "Parquet files need the package pyarrow: run `pip install pyarrow`, or write a .csv."
        ) from error
    return pyarrow, pyarrow.parquet
