"""One photo -> what the API and the page say about it."""

from dataclasses import asdict, dataclass

from deepfake_lab.detection import explain
from deepfake_lab.detection.caveats import MOST_SUSPICIOUS
from deepfake_lab.detection.detector import Detector
from deepfake_lab.detection.judgement import JudgedFace
from deepfake_lab.detection.prediction import Prediction
from deepfake_lab.errors import UserError
from deepfake_lab.photos import images
from deepfake_lab.web import pictures
from deepfake_lab.web.about import ModelFacts
from deepfake_lab.web.problems import Problem
from deepfake_lab.web.uploads import DAMAGED, Upload

#: Caveats that begin so are said by the page in its own, larger words.
SAID_ALREADY = ("No face was found", "P(fake) =")


@dataclass(frozen=True)
class Answer:
    """What is said about one photo.

    Attributes:
        prediction: the detector's answer.
    """

    prediction: Prediction

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
            "turn": round(p.framed.square.turn, 1),
            "faces": [face.to_json() for face in p.faces],
            "caveats": list(p.caveats),
            "evidence": [asdict(piece) for piece in p.evidence],
            "prior": p.prior,
            "model": p.model,
        }


@dataclass(frozen=True)
class ShownFace:
    """One of several faces, for the page.

    Attributes:
        answer: about this face.
        heat: data URI of the square that was judged, upright and in grey, with its heat map.
    """

    answer: JudgedFace
    heat: str

    @property
    def other_caveats(self) -> list[str]:
        """Return the caveats that the page has not said already."""
        return [c for c in self.answer.caveats if not c.startswith(SAID_ALREADY)]


@dataclass(frozen=True)
class Illustrated(Answer):
    """An answer with its pictures, for the page. Lengths are pixels of the photo.

    Attributes:
        photo: data URI.
        width, height: of the photo.
        heat: data URI of the square that was judged, in grey with its heat map.
        faces: each of several faces, the largest first; empty where there are not several.
        spectrum: data URI.
        track_record: how often test photos with such a score were fake.
        errors: how often it errs at the share of fakes that was chosen; "" for its own.
    """

    photo: str
    width: int
    height: int
    heat: str
    faces: tuple[ShownFace, ...]
    spectrum: str
    track_record: str
    errors: str

    @property
    def other_caveats(self) -> list[str]:
        """Return the caveats that the page has not said already."""
        return [
            caveat
            for caveat in self.prediction.caveats
            if not caveat.startswith(SAID_ALREADY) and not caveat.endswith(MOST_SUSPICIOUS)
        ]


def answer(detector: Detector, upload: Upload) -> Answer:
    """Judge one photo, checked by :func:`deepfake_lab.web.uploads.check_photo`.

    Raises:
        Problem: a photo that cannot be judged.
    """
    try:
        prediction = detector.predict(upload.data, upload.name)
    except UserError as error:
        raise Problem("damaged_image", DAMAGED) from error
    return Answer(prediction)


def illustrated_answer(detector: Detector, facts: ModelFacts, upload: Upload) -> Illustrated:
    """Judge one photo, checked as above, and draw the pictures that explain the answer.

    Raises:
        Problem: a photo that cannot be judged.
    """
    try:
        photo = images.read_photo(upload.data)
    except UserError as error:
        raise Problem("damaged_image", DAMAGED) from error
    prediction = detector.predict(photo, upload.name)
    pixels = photo.pixels  # (H, W, 3) uint8
    left, top, right, bottom = prediction.framed.box
    faces = prediction.faces if len(prediction.faces) > 1 else ()
    return Illustrated(
        prediction,
        photo=pictures.photo_uri(pixels if prediction.preview is None else prediction.preview),
        width=pixels.shape[1],
        height=pixels.shape[0],
        heat=pictures.heat_uri(prediction.framed.pixels, explain.heat_map(detector, prediction)),
        faces=tuple(
            ShownFace(face, pictures.heat_uri(face.framed.pixels, explain.heat_map(detector, face)))
            for face in faces
        ),
        spectrum=pictures.spectrum_uri(pixels[max(0, top) : bottom, max(0, left) : right]),
        track_record=facts.track_record(prediction.p_fake, prediction.prior),
        errors=facts.errors_at(prediction.prior),
    )
