"""What speaks against relying on an answer, one sentence each."""

from collections.abc import Iterator, Sequence

import numpy as np

from deepfake_lab.photos.faces import Face
from deepfake_lab.photos.images import FramedFace

#: A JPEG saved with less than this quality has lost much of what gives a fake away.
POOR_QUALITY = 50

#: The caveat of a photo whose file ends too early, though with every pixel.
LACKS_END = "The file is damaged: it lacks its end, though no pixel."

#: The caveat of a photo without a face.
NO_FACE = (
    "No face was found in this photo: the answer means nothing. Landscapes, things, drawings and "
    "statues cannot be judged, nor a face that is hidden or very small."
)

#: What ends the caveat of a photo with several faces.
MOST_SUSPICIOUS = "The verdict is that of the most suspicious face."

#: The caveat of several faces of which none is called fake (``benchmarks/groups.py``).
MISSED_AMONG_MANY = (
    "A single fake among several faces is missed more often than in a portrait: cut a face out to "
    "ask about it alone."
)

#: A nose this far beyond the eyes, in distances between them, belongs to a head turned aside.
PROFILE = 0.1

#: Of a lower score, a face is hard to make out.
HARD_TO_SEE = 0.5


def of_photo(
    verdicts: Sequence[str], faces_found: int, jpeg_quality: int | None, lacks_end: bool
) -> Iterator[str]:
    """Yield what holds for a photo, whichever face it is about.

    Args:
        verdicts: of the faces that were judged.
        faces_found: how many faces the photo shows.
        jpeg_quality: of the file; None for other formats.
        lacks_end: whether the file ends too early, though with every pixel.
    """
    if lacks_end:
        yield LACKS_END
    if not faces_found:
        yield NO_FACE
    if len(verdicts) > 1:
        yield f"{tell_faces(verdicts)}. {MOST_SUSPICIOUS}"
        if "FAKE" not in verdicts:
            yield MISSED_AMONG_MANY
    if faces_found > len(verdicts) > 1:
        yield f"{faces_found} faces were found; the {len(verdicts)} largest were judged."
    if jpeg_quality is not None and jpeg_quality < POOR_QUALITY:
        yield (
            f"The file is strongly compressed (JPEG quality about {jpeg_quality} of 100): the "
            "traces that give a fake away may be gone."
        )


def tell_faces(verdicts: Sequence[str]) -> str:
    """Return how many of several faces are called fake: ``2 of 3 faces: FAKE``."""
    fake = sum(verdict == "FAKE" for verdict in verdicts)
    return f"{fake} of {len(verdicts)} faces: FAKE" if fake else f"All {len(verdicts)} faces: REAL"


def of_face(
    framed: FramedFace, p_fake: float, config: dict, sharpness: float | None,
    band: tuple[float, float],
) -> Iterator[str]:  # fmt: skip
    """Yield what holds for one face, or for the square that was judged where there is none.

    Args:
        framed: what was judged.
        p_fake: the answer.
        config: of the detector.
        sharpness: of what was judged, see
            :func:`deepfake_lab.photos.sharpness.measure_sharpness`; None for a detector that was
            not calibrated by it.
        band: see :attr:`deepfake_lab.detection.detector.Detector.band`.
    """
    if framed.face is not None:
        yield from _seen_badly(framed.face)
    side = round(framed.square.side)
    if side < config["image_size"] / 2:
        yield f"The face is small ({side} px): the traces that give a fake away may be lost."
    # One in a hundred of the real photos that the detector was calibrated on is softer than this.
    if sharpness is not None and sharpness < config["sharpness"]["sharpness"][0]:
        yield "The photo is blurred: the traces that give a fake away may be gone."
    low, high = band
    if low < p_fake < high:
        yield (
            f"P(fake) = {p_fake:.0%} lies in the uncertain band {low:.0%} to {high:.0%}: "
            "read the answer as 'do not know'."
        )


def _seen_badly(face: Face) -> Iterator[str]:
    if not face.settled:
        yield "It is not clear which way up the face is: it may have been judged tilted."
    if _aside(face.keypoints) < -PROFILE:
        yield "The head is turned aside (a profile): the detector knows faces from the front."
    elif face.score < HARD_TO_SEE:
        yield "The face is hard to make out: it may be covered, dark, painted or no face at all."


def _aside(keypoints: np.ndarray) -> float:
    """Return by how much the nose lies between the eyes: 0.5 in the middle, below 0 beyond one.

    Measured along the line through both eyes, in distances between them, from the nearer one.
    """
    right, left, nose = keypoints[:3]
    across = left - right
    along = float((nose - right) @ across / max(float(across @ across), 1e-9))
    return min(along, 1 - along)
