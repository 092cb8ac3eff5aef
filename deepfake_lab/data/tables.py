"""CSV files beside images: read as strings, every cell checked, every complaint with its line."""

from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from deepfake_lab.errors import UserError

LABELS = ("real", "fake")


def read_table(path: Path, wanted: set[str]) -> pd.DataFrame:
    """Return a CSV file as strings, NaN where a cell is empty.

    Raises:
        UserError: it is no CSV file, or a wanted column is missing.
    """
    try:
        frame = pd.read_csv(path, dtype=str, encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise UserError(f"{path} cannot be read as a CSV file: {error}".splitlines()[0]) from error
    frame.columns = [str(column).strip() for column in frame.columns]
    missing = wanted - set(frame.columns)
    if missing:
        raise UserError(f"{path} lacks the column {', '.join(sorted(missing))}.")
    return frame


def columns(path: Path) -> set[str]:
    """Return the names of a CSV file's columns; none where it is no such file."""
    try:
        return set(pd.read_csv(path, nrows=0, encoding="utf-8-sig").columns.str.strip())
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError):
        return set()  # not a table of ours; another layout may fit


def checked_words(table: Path, column: pd.Series, words: dict, what: str) -> pd.Series:
    """Return a column translated; an empty cell is an error in a label, elsewhere NaN.

    Raises:
        UserError: a word that is not known; the line says in which line of the table.
    """
    plain = column.str.strip().str.lower()
    meaning = plain.map(words)
    odd = meaning.isna() & (plain.notna() | (what == "label"))
    if odd.any():
        row = int(np.flatnonzero(odd)[0])
        value = "" if pd.isna(column.iloc[row]) else column.iloc[row]
        known = "real nor fake" if what == "label" else "train, valid nor test"
        raise UserError(f"{table}, line {row + 2}: {what} '{value}' is neither {known}.")
    return meaning


def one_is_real(table: Path, split: str) -> dict[str, str]:
    """Return `split/id without ending` -> label from a table of the 140k family (1 = real).

    Raises:
        UserError: a label that is neither 0 nor 1.
    """
    rows = read_table(table, {"id", "label"})
    label = rows["label"].str.strip().map({"1": "real", "0": "fake"})
    if label.isna().any():
        row = int(np.flatnonzero(label.isna())[0])
        raise UserError(f"{table}, line {row + 2}: label '{rows['label'][row]}' is not 0 or 1.")
    stems = rows["id"].fillna("").map(lambda name: PurePosixPath(name).stem)
    return dict(zip(split + "/" + stems, label))


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
    return meaning.to_dict()
