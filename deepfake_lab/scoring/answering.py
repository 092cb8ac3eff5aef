"""`deepfake-lab predict`: photos and folders in, lines or tables out."""

import argparse
import contextlib
import json
import os
import sys
import time
from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepfake_lab import interrupts, paths
from deepfake_lab.detection.detector import Detector
from deepfake_lab.detection.judgement import verdict_line
from deepfake_lab.detection.prediction import Prediction
from deepfake_lab.errors import UserError
from deepfake_lab.extras import require
from deepfake_lab.overlap import overlapped
from deepfake_lab.photos.listing import Found, find_photos, tell_passed_over
from deepfake_lab.printing import printable, unicode_name
from deepfake_lab.scoring.maps import Maps
from deepfake_lab.scoring.scorefile import (
    COLUMNS,
    FACE_COLUMNS,
    ScoreFile,
    Stamp,
    csv_writer,
    place,
    stamp,
)

if TYPE_CHECKING:  # an extra
    from distributed import Client

Row = dict[str, Any]

#: So many heat maps that could not be written are named; of the others, how many they are.
SHOWN = 5


def predict(options: argparse.Namespace) -> int:
    """Answer about photos and return the exit status: 0, 1 some failed, 2 all failed.

    Args:
        options: ``photos, model, prior, quantised, format, out, explain, cluster, each_face``
            as the command takes them; ``format`` is None where nobody chose one.

    Raises:
        UserError: nothing can be done: no such detector, an output that cannot be written.
    """
    detector = Detector.load(
        options.model or paths.default_model(), quantised=options.quantised, prior=options.prior
    )
    if options.cluster and options.explain is not None:
        raise UserError("--explain draws on this machine: leave out --cluster, or --explain.")
    maps = None
    if options.explain is not None:
        _check_outside(options.explain, options.photos)
        maps = Maps(options.explain)
    form = options.format or ("text" if options.out is None else "")
    try:
        tally = _answer_all(detector, options, form, maps)
        if options.out is not None:
            print(tally.summary(options.out), file=sys.stderr if form else sys.stdout)
            if tally.before and options.trust_list:
                print(
                    "deepfake-lab: of the photos answered before the evidence stays as it was, "
                    "whatever --trust-list says now; name a new file to have it looked for anew.",
                    file=sys.stderr,
                )
        sys.stdout.flush()  # answers come before what is said of the others
    except KeyboardInterrupt:
        if options.out is not None:
            print("What was answered is kept: the same command goes on.", file=sys.stderr)
        raise
    if tally.beside:
        told = printable(tell_passed_over(list(dict.fromkeys(tally.beside))))
        print(f"deepfake-lab: {told}", file=sys.stderr)
    for reason in tally.failed:
        print(f"deepfake-lab: {printable(reason)}", file=sys.stderr)
    if tally.failed and not tally.answered:
        return 2
    if form in ("", "text"):
        print(detector.about)
    unwritten = maps.failed if maps else []
    for reason in unwritten[:SHOWN]:
        print(f"deepfake-lab: {printable(reason)}", file=sys.stderr)
    if len(unwritten) > SHOWN:
        print(
            f"deepfake-lab: {len(unwritten) - SHOWN:,} more maps were not written.", file=sys.stderr
        )
    return 1 if tally.failed or unwritten else 0


def as_rows(
    path: str, seen: Stamp, answer: Prediction | UserError, detector: Detector, each_face: bool
) -> list[Row]:
    """Return an answer, or the reason why there is none, as rows of a table.

    Args:
        path: of the photo.
        seen: what :func:`deepfake_lab.scoring.scorefile.stamp` said before it was read.
        answer: what came of it.
        detector: who was asked.
        each_face: give each face its own row; else there is one row for the photo.
    """
    row = _as_row(path, seen, answer, detector)
    if not each_face:
        return [row]
    faces = answer.faces if isinstance(answer, Prediction) else ()
    return [
        row
        | {
            "verdict": face.verdict,
            "confidence": face.confidence,
            "p_fake": face.p_fake,
            "uncertain": face.uncertain,
            "caveats": " ".join(face.caveats),
            "face": number,
            "box": " ".join(map(str, face.box)),
            "roll": round(face.roll, 1),
        }
        for number, face in enumerate(faces, start=1)
    ] or [row | {"face": None, "box": "", "roll": None}]


def _as_row(path: str, seen: Stamp, answer: Prediction | UserError, detector: Detector) -> Row:
    given = answer if isinstance(answer, Prediction) else None
    return {
        "path": unicode_name(path),
        "bytes": seen[0],
        "modified": seen[1],
        "verdict": given.verdict if given else None,
        "confidence": given.confidence if given else None,
        "p_fake": given.p_fake if given else None,
        "uncertain": given.uncertain if given else False,
        "face_found": given.face_found if given else False,
        "faces": len(given.faces) if given else 0,
        "prior": detector.prior,
        "model": detector.name,
        "weights": detector.weights,
        **(given.texts if given else {"caveats": "", "evidence": ""}),
        "error": "" if given else unicode_name(str(answer)),
    }


@dataclass
class _Tally:
    """What has come out: of this run, or, where there is a file, of all that it holds."""

    counts: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)  # reasons, of this run only
    beside: list[str] = field(default_factory=list)  # what was passed over in folders, and why
    new: int = 0

    @property
    def answered(self) -> int:
        return self.counts["FAKE"] + self.counts["REAL"]

    def add(self, answer: Prediction | UserError, error: str) -> None:
        self.new += 1
        self.counts[answer.verdict if isinstance(answer, Prediction) else ""] += 1
        if error:
            self.failed.append(error)

    @property
    def before(self) -> int:
        return self.counts.total() - self.new

    def summary(self, file: Path) -> str:
        total = self.counts.total()
        earlier = f" ({self.before:,} of them answered before)" if self.before else ""
        return (
            f"{file}: {total:,} photos{earlier}, {self.counts['FAKE']:,} FAKE, "
            f"{self.counts['REAL']:,} REAL, {self.counts['']:,} failed."
        )


def _no_formula(path: str) -> str:
    """Return a path that a spreadsheet shows and does not run: a name can be `=HYPERLINK()`."""
    return f"./{path}" if path.startswith(("=", "+", "-", "@", "\t", "\r")) else path


class _Printer:
    """Writes answers on standard output as they come."""

    def __init__(self, form: str, lone: bool, each_face: bool):
        self._form, self._lone, self._each_face = form, lone, each_face
        self._csv = csv_writer(sys.stdout)
        self._between = "\n"

    def __enter__(self) -> "_Printer":
        if self._form == "csv":
            self._csv(FACE_COLUMNS if self._each_face else COLUMNS)
        elif self._form == "json":
            print("[", end="")
        return self

    def add(self, rows: list[Row], answer: Prediction | UserError) -> None:
        if self._form == "csv":
            for row in rows:
                self._csv((row | {"path": _no_formula(row["path"])}).values())
        elif self._form == "json":
            for row in self._with_lists(rows, answer):
                print(self._between + json.dumps(row), end="")
                self._between = ",\n"
        elif self._form == "text" and isinstance(answer, Prediction):  # errors come at the end
            print(answer if self._lone else f"{printable(rows[0]['path'])}: {answer}")
            for caveat in answer.caveats:
                print(f"  {caveat}")
            for piece in answer.evidence:
                print(f"  The file says: {piece}")
            if self._each_face:
                for number, face in enumerate(answer.faces, start=1):
                    said = verdict_line(face.verdict, face.confidence)
                    print(f"  Face {number}, at {', '.join(map(str, face.box))}: {said}")
                    for caveat in face.caveats:
                        print(f"    {caveat}")

    def _with_lists(self, rows: list[Row], answer: Prediction | UserError) -> Iterator[Row]:
        """Yield rows with lists for what a table holds as text."""
        if isinstance(answer, UserError):
            none: Row = {"box": None} if self._each_face else {"faces": []}
            yield rows[0] | {"caveats": [], "evidence": []} | none
            return
        evidence = [asdict(piece) for piece in answer.evidence]
        if self._each_face and answer.faces:
            for row, face in zip(rows, answer.faces):
                yield row | {
                    "caveats": list(face.caveats), "evidence": evidence, "box": list(face.box),
                }  # fmt: skip
            return
        faces = [face.to_json() for face in answer.faces]
        more: Row = {"box": None} if self._each_face else {"faces": faces}
        yield rows[0] | {"caveats": list(answer.caveats), "evidence": evidence} | more

    def __exit__(self, *_: object) -> None:
        if self._form == "json":  # whatever happened, what was written stays readable
            print("\n]")


def _answer_all(
    detector: Detector, options: argparse.Namespace, form: str, maps: Maps | None
) -> _Tally:
    tally = _Tally()
    lone = len(options.photos) == 1 and not os.path.isdir(os.path.expanduser(options.photos[0]))
    with contextlib.ExitStack() as stack:
        file = None
        if options.out is not None:
            columns = FACE_COLUMNS if options.each_face else COLUMNS
            file = ScoreFile(options.out, detector.name, detector.weights, detector.prior, columns)
            stack.callback(file.close)

        def left() -> Iterator[Found]:
            photos = find_photos(options.photos, tally.beside)
            return (
                one for one in photos
                if not (file and file.has(one.path)) or (maps and not one.error and maps.lacks(one))
            )  # fmt: skip

        printer = stack.enter_context(_Printer(form, lone, options.each_face))
        answers: Iterable[tuple[Found, Stamp, Prediction | UserError]]
        if options.cluster:
            require("distributed")
            from deepfake_lab.cluster import announced

            client = stack.enter_context(announced(options.cluster))
            there = _answers_there(detector, left(), client)
            answers = there
            stack.callback(there.close)  # before the client is: it lets go of what is under way
        else:
            answers = _answers(detector, left(), maps, lone)
        told = _Teller(tally) if options.cluster else None
        if not lone and sys.stderr.isatty() and not (form and sys.stdout.isatty()):
            from deepfake_lab.progress import progress

            answers = progress(answers, detector.name, sum(1 for _ in left()))
        for one, seen, answer in answers:
            interrupts.check()
            rows = as_rows(one.path, seen, answer, detector, options.each_face)
            tally.add(answer, rows[0]["error"])
            if told:
                told.tell()
            if file:
                file.add([row | {"path": place(one.path)} for row in rows])
            printer.add(rows, answer)
        if file:
            file.finish()
            tally.counts = file.counts
    return tally


def _answers(
    detector: Detector, photos: Iterable[Found], maps: Maps | None, lone: bool
) -> Iterator[tuple[Found, Stamp, Prediction | UserError]]:
    def answer(group: list[Found]) -> list[tuple[Found, Stamp, Prediction | UserError]]:
        seen = [stamp(one.path) for one in group]
        answers = detector.judge([one.path for one in group], alone=lone, preview=maps is not None)
        for one, given in zip(group, answers):
            if maps is not None and isinstance(given, Prediction):
                maps.draw(one, given)
        return [
            (one, mark, UserError(one.error) if one.error else given)
            for one, mark, given in zip(group, seen, answers)
        ]

    return iter(answer(list(photos))) if lone else overlapped(answer, photos)


def _answers_there(
    detector: Detector, photos: Iterable[Found], client: "Client"
) -> Generator[tuple[Found, Stamp, Prediction | UserError]]:
    """Yield what the workers of a cluster answer; a photo is stamped before it is sent for."""
    waiting: deque[tuple[Found, Stamp]] = deque()

    def named() -> Iterator[str]:
        for one in photos:
            waiting.append((one, stamp(one.path)))
            yield one.path

    for given in detector.stream(named(), cluster=client):
        one, mark = waiting.popleft()
        yield one, mark, UserError(one.error) if one.error else given


class _Teller:
    """Says on standard error, line by line, how far a cluster is: jobs on it have no screen."""

    #: Seconds between two lines.
    EVERY = 30

    def __init__(self, tally: _Tally):
        self._tally = tally
        self._start = self._said = time.monotonic()

    def tell(self) -> None:
        """Say it, where the last time is long enough ago."""
        now = time.monotonic()
        if now < self._said + self.EVERY:
            return
        self._said = now
        new, failed = self._tally.new, len(self._tally.failed)
        speed = new / (now - self._start)
        print(f"{new:,} photos, {speed:,.0f} photos/s, {failed:,} failed", file=sys.stderr)


def _check_outside(folder: Path, photos: list[str]) -> None:
    for photo in map(os.path.abspath, map(os.path.expanduser, photos)):
        if os.path.isdir(photo) and Path(photo) in (folder.absolute(), *folder.absolute().parents):
            raise UserError(
                f"--explain {folder}: lies in {photo}, so that its pictures would be taken for "
                "photos; choose a folder outside."
            )
