"""One photo -> what the API and the page say about it."""

from dataclasses import dataclass

from deepfake_lab.detection import explain
from deepfake_lab.detection.detector import Detector
from deepfake_lab.detection.prediction import Prediction
from deepfake_lab.errors import UserError
from deepfake_lab.photos import images
from deepfake_lab.web import pictures, provenance
from deepfake_lab.web.about import ModelFacts
from deepfake_lab.web.problems import Problem
from deepfake_lab.web.provenance import Evidence
from deepfake_lab.web.uploads import DAMAGED, Upload

#: A JPEG saved with less than this quality has lost much of what gives a fake away.
POOR_QUALITY = 50

#: Caveats that begin so are said by the page in its own, larger words.
SAID_ALREADY = ("No face was found", "P(fake) =")


@dataclass(frozen=True)
class Answer:
    """What is said about one photo.

    Attributes:
        prediction: the detector's answer.
        caveats: what speaks against relying on it, one sentence each.
        evidence: what the file says about itself; no part of the score.
    """

    prediction: Prediction
    caveats: list[str]
    evidence: list[Evidence]

    def to_json(self) -> dict:
        """Return what the API answers."""
        p = self.prediction
        return {
            "text": str(p),
            "verdict": p.verdict,
            "confidence": p.confidence,
            "p_fake": p.p_fake,
            "uncertain": p.uncertain,
            "face_found": p.face_found,
            "faces_found": p.framed.faces_found,
            "box": [int(side) for side in p.framed.box],
            "caveats": self.caveats,
            "evidence": [
                {"kind": e.kind, "sentence": e.sentence, "quote": e.quote} for e in self.evidence
            ],
            "model": p.model,
        }


@dataclass(frozen=True)
class Illustrated(Answer):
    """An answer with its pictures, for the page. Lengths are pixels of the photo.

    Attributes:
        photo: data URI.
        width, height: of the photo.
        judged: left, top and side of the square that the model saw.
        heat: data URI of the heat map over that square.
        spectrum: data URI.
        track_record: how often test photos with such a score were fake.
    """

    photo: str
    width: int
    height: int
    judged: tuple[int, int, int]
    heat: str
    spectrum: str
    track_record: str

    @property
    def other_caveats(self) -> list[str]:
        """Return the caveats that the page has not said already."""
        return [c for c in self.caveats if not c.startswith(SAID_ALREADY)]


def answer(detector: Detector, upload: Upload) -> Answer:
    """Judge one photo, checked by :func:`deepfake_lab.web.uploads.check_photo`.

    Raises:
        Problem: a photo that cannot be judged.
    """
    try:
        prediction = detector.predict(upload.data, upload.name)
    except UserError as error:
        raise Problem("damaged_image", DAMAGED) from error
    return Answer(prediction, *_file_facts(prediction, upload.data))


def illustrated_answer(detector: Detector, facts: ModelFacts, upload: Upload) -> Illustrated:
    """Judge one photo, checked as above, and draw the pictures that explain the answer.

    Raises:
        Problem: a photo that cannot be judged.
    """
    try:
        pixels = images.read_image(upload.data)  # (H, W, 3) uint8
    except UserError as error:
        raise Problem("damaged_image", DAMAGED) from error
    prediction = detector.predict(pixels, upload.name)
    left, top, right, bottom = prediction.framed.box
    return Illustrated(
        prediction,
        *_file_facts(prediction, upload.data),
        photo=pictures.photo_uri(prediction.preview),
        width=pixels.shape[1],
        height=pixels.shape[0],
        judged=(left, top, right - left),
        heat=pictures.heat_uri(explain.heat_map(detector, prediction)),
        spectrum=pictures.spectrum_uri(pixels[top:bottom, left:right]),
        track_record=facts.track_record(prediction.p_fake),
    )


def _file_facts(prediction: Prediction, data: bytes) -> tuple[list[str], list[Evidence]]:
    """Return the caveats, among them what the file adds to them, and the evidence."""
    caveats = list(prediction.caveats)
    quality = provenance.jpeg_quality(data)
    if quality is not None and quality < POOR_QUALITY:
        caveats.append(
            f"The file is strongly compressed (JPEG quality about {quality} of 100): the traces "
            "that give a fake away may be gone."
        )
    return caveats, provenance.read_evidence(data)
