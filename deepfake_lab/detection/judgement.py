"""What was found about one photo, in numbers and words; how it looks is not known here."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np
from PIL import Image

from deepfake_lab.extras import require
from deepfake_lab.photos.evidence import Evidence
from deepfake_lab.photos.images import FramedFace

if TYPE_CHECKING:  # pandas takes longer to import than a photo takes to judge
    import pandas as pd

#: What a manifest gets added; see ``Detector.predict_many``.
ANSWER_COLUMNS = ["p_fake", "verdict", "confidence", "uncertain", "face_found", "model", "error"]


#: A JPEG saved with less than this quality has lost much of what gives a fake away.
POOR_QUALITY = 50

#: Longest side, in pixels, of the photo that an answer keeps to show: less than twice this.
PREVIEW_SIDE = 480

#: The caveat of a photo whose file ends too early, though with every pixel.
LACKS_END = "The file is damaged: it lacks its end, though no pixel."


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
class Judgement:
    """The answer about one photo, as data; see :meth:`to_frame`.

    Attributes:
        name: the photo's name, for people.
        p_fake: calibrated probability in [0, 1] that the photo is fake.
        verdict: ``FAKE`` or ``REAL``.
        confidence: calibrated probability in [0, 1] of that verdict.
        uncertain: whether p_fake lies in the band in which the detector errs too often.
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
        framed = replace(self.framed, pixels=self.framed.pixels[:0])
        return replace(self, framed=framed, activation_map=None, detector=None, preview=None)

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


def caveats(
    framed: FramedFace,
    p_fake: float,
    uncertain: bool,
    config: dict,
    sharpness: float | None,
    jpeg_quality: int | None,
) -> Iterator[str]:
    """Yield what speaks against relying on an answer, one sentence each.

    Args:
        framed: what was judged.
        p_fake: the answer.
        uncertain: whether it lies in the uncertain band.
        config: of the detector.
        sharpness: of what was judged, see
            :func:`deepfake_lab.photos.sharpness.measure_sharpness`; None for a detector that was
            not calibrated by it.
        jpeg_quality: of the file; None for other formats.
    """
    if framed.face is None:
        yield "No face was found in this photo: the answer is unreliable."
    if framed.faces_found > 1:
        yield f"{framed.faces_found} faces were found; the answer is about the largest."
    side = framed.box[2] - framed.box[0]
    if side < config["image_size"] / 2:
        yield f"The face is small ({side} px): the traces that give a fake away may be lost."
    # One in a hundred of the real photos that the detector was calibrated on is softer than this.
    if sharpness is not None and sharpness < config["sharpness"]["sharpness"][0]:
        yield "The photo is blurred: the traces that give a fake away may be gone."
    if jpeg_quality is not None and jpeg_quality < POOR_QUALITY:
        yield (
            f"The file is strongly compressed (JPEG quality about {jpeg_quality} of 100): the "
            "traces that give a fake away may be gone."
        )
    if uncertain:
        low, high = config["uncertain_band"]
        yield (
            f"P(fake) = {p_fake:.0%} lies in the uncertain band {low:.0%} to {high:.0%}: "
            "read the answer as 'do not know'."
        )
    if 0.5 <= p_fake < config["threshold"]:
        yield (
            f"REAL is said although fake is likelier: FAKE is said from {config['threshold']:.1%} "
            "on, so that few real photos are called fake."
        )


def small_copy(pixels: np.ndarray) -> np.ndarray:
    """Return a photo no larger than it is shown, so that answers can be kept."""
    times = max(1, max(pixels.shape[:2]) // PREVIEW_SIDE)
    image = Image.fromarray(pixels)
    # Averaging whole squares of pixels takes a sixth of the time of resizing to an exact size.
    return np.asarray(image.reduce(times) if times > 1 else image)
