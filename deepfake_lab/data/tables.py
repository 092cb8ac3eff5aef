"""CSV files beside images: read as strings, every cell checked, every complaint with its line."""

import csv
import io
import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pandas as pd

from deepfake_lab.data.folders import LABEL_WORDS, word_in
from deepfake_lab.errors import UserError
from deepfake_lab.photos.images import EXTENSIONS

LABELS = ("real", "fake")

#: What programs write into a cell that has no value.
MISSING = ("NA", "N/A", "NaN", "nan", "NULL", "null", "None")


def read_table(path: Path, wanted: set[str]) -> pd.DataFrame:
    """Return a CSV file as strings, NaN where a cell is empty; the index is the line in the file.

    As spreadsheets write it: separated by commas, semicolons or tabs, with or without a line
    `sep=;`, in UTF-8, UTF-16 or Windows' own alphabet. Names of columns come back in small letters.
    A person or a source may be called `NA`; of a label, a split or an id that means a missing one.

    Raises:
        UserError: it is no CSV file, a line has more cells than the header, a column is there
            twice, or a wanted one is missing.
    """
    try:
        text, lines = _content(path)
        separator = _separator(text)
        written_names = _header(path, text, separator, lines)
        # Empty lines are read as rows and dropped here, so that the others keep their numbers.
        frame = pd.read_csv(
            io.StringIO(text),
            dtype=str,
            keep_default_na=False,
            na_values=[""],
            sep=separator,
            skip_blank_lines=False,
            index_col=False,
            usecols=range(len(written_names)),  # further cells are empty
        )
    except (OSError, ValueError, csv.Error) as error:  # pandas' own errors are ValueErrors
        raise UserError(f"{path} cannot be read as a CSV file: {error}".splitlines()[0]) from error
    frame.columns = [str(column).strip().lower() for column in frame.columns]
    # pandas gives a column that is there twice a name of its own.
    names = Counter(name.strip().lower() for name in written_names if name.strip())
    if twice := [name for name, times in names.items() if times > 1]:
        raise UserError(f"{path} has the column {twice[0]} twice: remove one of them.")
    for column in {"label", "split", "id", "images_id"} & set(frame.columns):
        frame[column] = frame[column].mask(frame[column].isin(MISSING))
    missing = wanted - set(frame.columns)
    if missing:
        raise UserError(
            f"{path} lacks the column {', '.join(sorted(missing))}; it has: "
            f"{', '.join(frame.columns)}."
        )
    frame.index = frame.index + lines + 2
    written = frame.apply(lambda column: column.str.strip().fillna("") != "")
    return frame[written.any(axis="columns")]


def read_written(path: Path) -> pd.DataFrame:
    """Return a table that this library wrote: nothing but an empty cell is missing."""
    return pd.read_csv(path, keep_default_na=False, na_values=[""])


def columns(path: Path) -> list[str]:
    """Return the names of a CSV file's columns, in small letters; none where it is no such file."""
    try:
        text, _ = _content(path, 1 << 16)
        head = pd.read_csv(io.StringIO(text), nrows=0, sep=_separator(text), index_col=False)
    except (OSError, ValueError):
        return []  # not a table of ours; another layout may fit
    return [str(column).strip().lower() for column in head.columns]


def _header(path: Path, text: str, separator: str, skipped: int) -> list[str]:
    """Return the names of the columns as they are written; refuse a line with more cells."""
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    names = next(rows, [])
    for line, row in enumerate(rows, start=skipped + 2):
        if any(cell.strip() for cell in row[len(names) :]):
            raise UserError(
                f"{path}, line {line}: {len(row)} cells, but the header has {len(names)}: name "
                "every column, and put a cell that holds a separator in quotes."
            )
    return names


def _content(path: Path, at_most: int = -1) -> tuple[str, int]:
    """Return the text of a table and how many lines before its header were left out."""
    with path.open("rb") as file:
        raw = file.read(at_most)
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = raw.decode("utf-16", "replace" if at_most > 0 else "strict")
    elif raw[1:2] == b"\0":
        text = raw.decode("utf-16-le", "replace" if at_most > 0 else "strict")
    else:
        try:
            text = raw.decode("utf-8-sig", "replace" if at_most > 0 else "strict")
        except UnicodeDecodeError:
            if b"\0" in raw:
                raise
            text = raw.decode("cp1252", "replace")
    end = re.search(r"\r\n?|\n", text)
    if end and end[0] == "\r":  # as spreadsheets write "CSV (Macintosh)"
        text = text.replace("\r", "\n")
    skipped = 0
    while text:
        first, newline, rest = text.partition("\n")
        if first.strip() and not re.fullmatch(r"sep=.", first.strip("\r\n ")):
            break
        text, skipped = rest, skipped + 1
        if not newline:
            break
    return text, skipped


def _separator(text: str) -> str:
    """Return what separates the names of the columns."""
    head = text.partition("\n")[0]
    return max((",", ";", "\t"), key=head.count)


def label_of(word: str) -> str | None:
    """Return the label that a cell or a folder's name says; None where it says none clearly."""
    return word_in(word, LABEL_WORDS)


def checked_words(
    table: Path, column: pd.Series, meaning_of: Callable[[str], str | None], what: str
) -> pd.Series:
    """Return a column translated; an empty cell is an error in a label, elsewhere NaN.

    Args:
        table: for the message.
        column: as :func:`read_table` returns it.
        meaning_of: of a word; None where it has none.
        what: ``label`` or ``split``.

    Raises:
        UserError: a word that is not known; the line says in which line of the table.
    """
    plain = column.str.strip()
    meaning = plain.map({word: meaning_of(word) for word in plain.dropna().unique()})
    odd = meaning.isna() & (plain.notna() | (what == "label"))
    if odd.any():
        line = column.index[odd][0]
        value = "" if pd.isna(column[line]) else column[line]
        known = "real nor fake" if what == "label" else "train, valid nor test"
        raise UserError(f"{table}, line {line}: {what} '{value}' is neither {known}.")
    return meaning


def one_is_real(table: Path, split: str) -> dict[str, str]:
    """Return `split/id without ending` -> label from a table of the 140k family (1 = real).

    Raises:
        UserError: a label that is neither 0 nor 1, nor a word for one.
    """
    rows = read_table(table, {"id", "label"})
    codes = {"1": "real", "0": "fake", "1.0": "real", "0.0": "fake"}
    plain = rows["label"].str.strip()
    label = plain.map({word: codes.get(word) or label_of(word) for word in plain.dropna().unique()})
    if label.isna().any():
        line = rows.index[label.isna()][0]
        raise UserError(f"{table}, line {line}: label '{rows['label'][line]}' is not 0 or 1.")
    stems = rows["id"].fillna("").map(stem)
    return one_label_each(table, split + "/" + stems, label)


def stem(name: str) -> str:
    """Return a file's name without folders and an image's ending; other dots are part of it."""
    name = PurePosixPath(name.strip()).name
    base, ending = os.path.splitext(name)
    return base if ending.lower() in EXTENSIONS else name


def one_label_each(table: Path, names: pd.Series, labels: pd.Series) -> dict[str, str]:
    """Return name -> label, both (N,) columns of a table; a line without a name is passed over.

    Raises:
        UserError: two lines call one name real and fake.
    """
    said: dict[str, str] = {}
    for line, name, label in zip(names.index, names, labels):
        if not PurePosixPath(name).name or name.endswith("/"):
            continue
        if said.setdefault(name, label) != label:
            raise UserError(
                f"{table}, line {line}: '{PurePosixPath(name).name}' is {label} here and "
                f"{said[name]} in a line above; correct it, or read the folders alone with "
                "layout='plain'."
            )
    return said


def coding_by_folders(table: Path, written: pd.Series, folder: pd.Series) -> dict[str, str]:
    """Return what each written value means, as the folders of the same photos say.

    Args:
        table: for the message.
        written: the labels of the table.
        folder: the labels of the folders, NaN where there is no such photo.

    Raises:
        UserError: the folders leave a doubt.
    """
    counts = pd.crosstab(written, folder).reindex(columns=list(LABELS), fill_value=0)
    meaning = counts.idxmax(axis="columns")
    sure = counts.max(axis="columns") >= 0.95 * counts.sum(axis="columns")
    if len(counts) != 2 or set(meaning) != set(LABELS) or not sure.all():
        values = ", ".join(repr(value) for value in sorted(written.unique())[:5])
        raise UserError(
            f"{table}: what its labels ({values}) mean cannot be told from the folders. "
            "Write real and fake, or read the folders alone with layout='plain'."
        )
    return {str(value): str(label) for value, label in meaning.items()}
