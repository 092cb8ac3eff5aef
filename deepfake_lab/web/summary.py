"""Several photos at a glance: a row a photo for the page, and the same as a CSV file."""

import csv
import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from deepfake_lab.web.answers import Answer
from deepfake_lab.web.problems import Problem
from deepfake_lab.web.uploads import shortened

#: Columns of the CSV file, named as the command names them.
COLUMNS = (
    "photo", "verdict", "confidence", "p_fake", "uncertain", "face_found", "faces", "caveats",
    "evidence", "prior", "model", "error",
)  # fmt: skip


#: With these, a formula begins for a spreadsheet; a name that does gets an apostrophe in front.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Row:
    """One photo in the summary.

    Attributes:
        name: of the photo, shortened; the CSV file has the whole one.
        kind: in a word or two, to be counted.
        says: the answer in a few words.
        p_fake: in [0, 1]; None where there is no answer.
        csv: its line of the CSV file.
    """

    name: str
    kind: str
    says: str
    p_fake: float | None
    csv: str


def summary_row(name: str, result: Answer | Problem) -> Row:
    """Return the row of one photo."""
    if isinstance(result, Problem):
        failed: list[object] = [name, *[""] * (len(COLUMNS) - 2), result.message]
        return Row(shortened(name), "without an answer", "No answer", None, _line(failed))
    p = result.prediction
    kind = p.verdict if not p.headline else "uncertain" if p.face_found else "without a face"
    says = p.headline or f"{p.verdict}, {str(p).split('Confidence: ')[1]}"
    line = [
        name, p.verdict, p.confidence, p.p_fake, p.uncertain, p.face_found, len(p.faces),
        p.texts["caveats"], p.texts["evidence"], p.prior, p.model, "",
    ]  # fmt: skip
    return Row(shortened(name), kind, says, p.p_fake, _line(line))


def summary_title(rows: Iterable[Row]) -> str:
    """Return the summary in one line."""
    counts = Counter(row.kind for row in rows)
    counted = ", ".join(f"{number} {kind}" for kind, number in counts.items())
    return f"{counts.total()} photos: {counted}"


def csv_text(rows: Iterable[Row]) -> str:
    """Return the CSV file, marked as UTF-8 for spreadsheets."""
    return "".join(["\ufeff", _line(COLUMNS), *(row.csv for row in rows)])


def _no_formula(value: object) -> object:
    """Return a text that a spreadsheet shows and does not run: a name can be `=HYPERLINK()`."""
    return f"'{value}" if isinstance(value, str) and value[:1] in _FORMULA else value


def _line(values: Iterable[object]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerow(map(_no_formula, values))
    return stream.getvalue()
