"""What was found about one photo, in numbers and words; how it looks is not known here."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np
from PIL import Image

from deepfake_lab.extras import require
from deepfake_lab.photos.evidence import Evidence
from deepfake_lab.photos.faces import Face
from deepfake_lab.photos.images import FramedFace

if TYPE_CHECKING:  # pandas takes longer to import than a photo takes to judge
    import pandas as pd

#: What a manifest gets added; see ``Detector.predict_many``.
ANSWER_COLUMNS = [
    "p_fake", "verdict", "confidence", "uncertain", "face_found", "prior", "model", "error",
]  # fmt: skip


#: Longest side, in pixels, of the photo that an answer keeps to show: less than twice this.
PREVIEW_SIDE = 480


class Scorer(Protocol):
    """Who can be asked again about a picture: a detector, seen from its answers."""

    @property
    def about(self) -> str:
        """Return what it learned from, in words."""
        ...

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        """Return the scores of square pictures, (N, S, S, 3) uint8, as (N,) float32."""
        ...


@dataclass(frozen=True)
class JudgedFace:
    """The answer about one face of a photo.

    Attributes:
        p_fake: calibrated probability in [0, 1] that the face is fake.
        verdict: ``FAKE`` or ``REAL``.
        confidence: calibrated probability in [0, 1] of that verdict.
        uncertain: whether p_fake lies in the band in which the detector errs too often.
        framed: the square that was judged, and the face in it.
        caveats: what speaks against relying on this answer, one sentence each.
        logit: the model's score, before calibration; positive says fake.
        activation_map: (h, w) float32 shares of the logit by place, or None; see
            :func:`deepfake_lab.detection.explain.heat_map`.
    """

    p_fake: float
    verdict: str
    confidence: float
    uncertain: bool
    framed: FramedFace
    caveats: tuple[str, ...]
    logit: float = float("nan")
    activation_map: np.ndarray | None = field(default=None, repr=False, compare=False)

    @property
    def face(self) -> Face:
        """Return the face, as it was found."""
        assert self.framed.face is not None
        return self.framed.face

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Return left, top, right, bottom of the face in the photo, before it is turned by `roll`.

        In whole pixels; a face at the border may reach beyond the photo.
        """
        face = self.face
        right, bottom = face.left + face.width, face.top + face.height
        return round(face.left), round(face.top), round(right), round(bottom)

    @property
    def roll(self) -> float:
        """Return how far the head is turned in the picture, in degrees, clockwise."""
        return self.face.roll

    def to_json(self) -> dict:
        """Return what a program is told about this face: plain numbers, words and lists."""
        return {
            "box": list(self.box),
            "roll": round(self.roll, 1),
            "p_fake": self.p_fake,
            "verdict": self.verdict,
            "confidence": self.confidence,
            "uncertain": self.uncertain,
            "caveats": list(self.caveats),
        }

    def __str__(self) -> str:
        return verdict_line(self.verdict, self.confidence)


@dataclass(frozen=True)
class Judgement:
    """The answer about one photo, as data; see :meth:`to_frame`.

    Of a photo with several faces it is that of the most suspicious face.

    Attributes:
        name: the photo's name, for people.
        p_fake: calibrated probability in [0, 1] that the photo is fake, where a share `prior` of
            all photos asked about is.
        verdict: ``FAKE`` or ``REAL``.
        confidence: calibrated probability in [0, 1] of that verdict.
        uncertain: whether p_fake lies in the band in which the detector errs too often, or no face
            was found.
        framed: the square that was judged, and the face in it.
        model: name of the detector.
        caveats: what speaks against relying on this answer, one sentence each.
        evidence: what the photo's file says about itself; no part of the score.
        logit: the model's score, before calibration; positive says fake.
        activation_map: (h, w) float32 shares of the logit by place; None where the model has none
            (see :func:`deepfake_lab.detection.explain.heat_map`).
        detector: who gave the answer.
        photo_size: width and height of the photo in pixels.
        preview: (h, w, 3) uint8, the photo at a size to show; None where many were asked about.
        faces: the answer about each face, the largest first; empty where none was found.
        prior: the share of fakes that was taken for granted; of each of n faces of a photo, an n-th
            of its odds.
    """

    name: str
    p_fake: float
    verdict: str
    confidence: float
    uncertain: bool
    framed: FramedFace
    model: str
    caveats: tuple[str, ...]
    evidence: tuple[Evidence, ...] = ()
    logit: float = float("nan")
    activation_map: np.ndarray | None = field(default=None, repr=False, compare=False)
    detector: Scorer | None = field(default=None, repr=False, compare=False)
    photo_size: tuple[int, int] = (0, 0)
    preview: np.ndarray | None = field(default=None, repr=False, compare=False)
    faces: tuple[JudgedFace, ...] = ()
    prior: float = 0.5

    @property
    def face_found(self) -> bool:
        """Return whether a face was found in the photo."""
        return self.framed.face is not None

    @property
    def headline(self) -> str:
        """Return what goes before the verdict where nobody should rely on it; else nothing."""
        if not self.face_found:
            return "No face found"
        if not self.uncertain:
            return ""
        leaning, share = ("fake", self.p_fake) if self.p_fake >= 0.5 else ("real", 1 - self.p_fake)
        return f"Uncertain: leans {leaning} ({share:.0%})"

    @property
    def texts(self) -> dict[str, str]:
        """Return caveats and evidence as a table holds them: one text each."""
        return {"caveats": " ".join(self.caveats), "evidence": " ".join(map(str, self.evidence))}

    def without_pixels(self) -> Self:
        """Return the same answer, light enough to be sent from one machine to another."""
        bare = replace(self, activation_map=None, detector=None, preview=None)
        faces = tuple(
            replace(face, framed=_bare(face.framed), activation_map=None) for face in self.faces
        )
        return replace(bare, framed=_bare(self.framed), faces=faces)

    def to_frame(self) -> "pd.DataFrame":
        """Return the answer as a predictions frame of one row: ``file`` and ANSWER_COLUMNS."""
        require("pandas")
        import pandas as pd

        values = {column: getattr(self, column, "") for column in ANSWER_COLUMNS}  # error: ""
        return pd.DataFrame([{"file": self.name, **values}])

    def __str__(self) -> str:
        return verdict_line(self.verdict, self.confidence)


def verdict_line(verdict: str, confidence: float) -> str:
    """Return the one line that every way of asking prints.

    No finite test supports "100.00%", so more than 99.99% is never printed.
    """
    return f"Classification: {verdict}  Confidence: {min(confidence, 0.9999):.2%}"


def _bare(framed: FramedFace) -> FramedFace:
    return replace(framed, pixels=framed.pixels[:0])


def small_copy(pixels: np.ndarray) -> np.ndarray:
    """Return a photo no larger than it is shown, so that answers can be kept."""
    times = max(1, max(pixels.shape[:2]) // PREVIEW_SIDE)
    image = Image.fromarray(pixels)
    # Averaging whole squares of pixels takes a sixth of the time of resizing to an exact size.
    return np.asarray(image.reduce(times) if times > 1 else image)
