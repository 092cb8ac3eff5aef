"""Find the faces in a photo, and how each of them is turned.

Two small networks share the work. YuNet finds where faces are, also small ones and many of them;
BlazeFace looks at each closely and knows where eyes, nose and mouth are, also in a tilted head. A
face is what both agree on. Neither can tell an upside-down face by its keypoints, but YuNet is
surest of a face that stands upright: where a face is doubtful, a vote among the four ways up
decides, and the photo is looked at again that way up.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image

from deepfake_lab.photos import blazeface, yunet

#: A face whose eyes slope by less than this (degrees) is taken as upright: setting it straight
#: would blur the traces that give a fake away, and a detector bears that much. On 800 validation
#: photos tilted by 5 and 10 degrees the AUC is .960 and .962; it was .946 and .948 where 8 stood
#: here, and untilted .967 with both.
UPRIGHT = 4

#: Of a lower score, or eyes that slope more than this, the way up is put to the vote.
DOUBTFUL, STEEP = 0.75, 45

#: Of a face that slopes more than this, in degrees, it is asked once more whether it stands on its
#: head: halfway between two ways up the vote can go wrong.
ASLANT = 20

#: What scores less is no face; ``benchmarks/faces.py`` measures what is missed and invented.
MIN_SCORE = 0.42

#: A smaller face, in pixels, is shown to YuNet again, larger, where the score leaves a doubt; and
#: how large that picture is.
SMALL, AGAIN = 120, 192

#: A face narrower than this share of the photo's longer side is shown to BlazeFace by itself.
CLOSE = 0.2

#: How much around a face BlazeFace is shown then, in lengths of YuNet's box.
AROUND = 2.0

#: How much around a face a way up is voted on, in lengths of YuNet's box; a larger face than this,
#: in pixels, is scaled down for it.
WIDE, LARGE = 4.0, 64

#: Faces whose centers are no further apart than this, in widths of the larger one, are one face.
SAME_PLACE = 0.6

#: Longest side of the photo in which faces are looked for the other ways up if none was found.
SECOND_LOOK = 1024


@dataclass(frozen=True)
class Face:
    """A face in a photo; all lengths in pixels of the photo.

    Attributes:
        left, top, width, height: the box, from about the eyebrows to the chin, before it is turned
            about its center by `roll`.
        keypoints: (6, 2) x and y of right eye, left eye, nose tip, mouth, right and left ear
            (right and left of the person), where they are in the photo.
        score: the product of what both finders score, in [0, 1]; 0.8 and more for most faces that
            are plain to see.
        roll: how far the head is turned in the picture, in degrees, clockwise; in (-180, 180].
        settled: whether it is clear which way up the head is.
    """

    left: float
    top: float
    width: float
    height: float
    keypoints: np.ndarray = field(repr=False, compare=False)
    score: float
    roll: float = 0.0
    settled: bool = True

    @property
    def center(self) -> tuple[float, float]:
        """Return x and y of the box's center."""
        return self.left + self.width / 2, self.top + self.height / 2

    @property
    def corners(self) -> np.ndarray:
        """Return the corners (4, 2) of the box turned by `turn`, from the upper left one on."""
        return box_corners(self.left, self.top, self.width, self.height, self.turn)

    @property
    def turn(self) -> float:
        """Return by how many degrees, clockwise, a frame around this face has to be turned.

        A quarter turn moves pixels and changes none; any other is only worth it from
        :data:`UPRIGHT` on.
        """
        quarter = 90.0 * round(self.roll / 90)
        return quarter if abs(self.roll - quarter) < UPRIGHT else self.roll

    def moved(self, left: float, top: float) -> "Face":
        """Return the same face where the photo begins so far from the left and top of another."""
        keypoints = self.keypoints + np.array([left, top])
        return replace(self, left=self.left + left, top=self.top + top, keypoints=keypoints)


def find_faces(image: np.ndarray) -> list[Face]:
    """Return the faces in a photo, the largest first.

    Args:
        image: (H, W, 3) uint8 RGB.
    """
    photo = Image.fromarray(image)
    seen = _look(photo)
    faces = [face for face, way in seen if way == 0]
    for way in {way for _, way in seen if way} if seen else _second_look(photo):
        turned = photo.transpose(_TURNS[way])
        faces += [_back(face, way, photo.size) for face, voted in _look(turned) if voted == 0]
    if not faces:  # none is upright any way: better judged as they are, and said so, than not
        faces = [replace(face, settled=False) for face, _ in seen if face.score >= MIN_SCORE]
    return _distinct(faces)


def turned_points(points: np.ndarray, center: tuple[float, float], degrees: float) -> np.ndarray:
    """Return points (..., 2) turned clockwise about a center."""
    angle = np.radians(degrees)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (np.asarray(points) - center) @ matrix.T + center


def box_corners(left: float, top: float, width: float, height: float, degrees: float) -> np.ndarray:
    """Return the corners (4, 2) of a box that is turned clockwise about its center."""
    right, bottom = left + width, top + height
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    return turned_points(corners, ((left + right) / 2, (top + bottom) / 2), degrees)


#: What brings a photo upright that was turned clockwise by one, two or three quarters.
_TURNS = {
    1: Image.Transpose.ROTATE_90,
    2: Image.Transpose.ROTATE_180,
    3: Image.Transpose.ROTATE_270,
}


def _look(photo: Image.Image) -> list[tuple[Face, int]]:
    """Return the faces of a photo as it is, each with by how many quarters it seems turned.

    What is told of one that is turned is not to be trusted.
    """
    whole = blazeface.find(photo)
    close = CLOSE * max(photo.size)
    found = []
    for x, y, width, height, score in yunet.find(photo):
        center, size = np.array([x, y]), max(width, height)
        seen = _nearest(whole, center, size)
        if seen is None or seen.size[0] < close:
            seen = _closer(photo, center, size)
        if seen is None:
            continue
        face, way = _face(seen, float(score) * seen.score), 0
        if face.score < DOUBTFUL and (abs(face.roll) >= UPRIGHT or size < SMALL):
            face = replace(face, score=_looked_again(photo, face) * seen.score)
        if face.score < DOUBTFUL or abs(face.roll) > STEEP:
            way, sure = _vote(photo, center, size)
            face = replace(face, settled=sure or abs(face.roll) < STEEP)
        if way == 0 and face.score < MIN_SCORE:
            continue
        if way == 0 and abs(face.roll) >= ASLANT:
            face = _on_its_feet(photo, face)
        if way == 0 and abs(face.roll) >= UPRIGHT:
            face = _straightened(photo, face)
        found.append((face, way))
    return found


def _nearest(seen: list[blazeface.Seen], center: np.ndarray, size: float) -> blazeface.Seen | None:
    """Return which of BlazeFace's faces is the one that YuNet has found there, if any."""
    near = [
        one
        for one in seen
        if np.hypot(*(one.center - center)) < 0.5 * one.size[0] and 0.5 < size / one.size[0] < 2.5
    ]
    return min(near, key=lambda one: np.hypot(*(one.center - center)), default=None)


def _closer(photo: Image.Image, center: np.ndarray, size: float) -> blazeface.Seen | None:
    """Show BlazeFace the part of a photo around a face that YuNet has found."""
    part, corner = _part(photo, center, AROUND * size)
    seen = _nearest(blazeface.find(part), center - corner, size)
    if seen is None:
        return None
    return seen._replace(center=seen.center + corner, keypoints=seen.keypoints + corner)


def _part(photo: Image.Image, center: np.ndarray, side: float) -> tuple[Image.Image, np.ndarray]:
    """Return a square of a photo, less what lies outside, and its upper left corner."""
    corner = np.maximum(np.round(center - side / 2), 0).astype(int)
    end = np.minimum(np.round(center + side / 2), photo.size).astype(int)
    return photo.crop((*corner.tolist(), *end.tolist())), corner


def _face(seen: blazeface.Seen, score: float) -> Face:
    left, top = seen.center - seen.size / 2
    width, height = seen.size
    roll = _roll(seen.keypoints)
    return Face(float(left), float(top), float(width), float(height), seen.keypoints, score, roll)


def _roll(keypoints: np.ndarray) -> float:
    across = keypoints[1] - keypoints[0]
    return float(np.degrees(np.arctan2(across[1], across[0])))


def _straightened(photo: Image.Image, face: Face) -> Face:
    """Return what is seen of a tilted face that was set straight; the same face if nothing is."""
    side = AROUND * 1.2 * max(face.width, face.height)
    part = _patch(photo, face, side, blazeface.SIZE)
    middle = np.full(2, blazeface.SIZE / 2)
    scale = side / blazeface.SIZE
    seen = _nearest(blazeface.find(part), middle, 1.2 * max(face.width, face.height) / scale)
    if seen is None:
        return replace(face, settled=False)
    roll = face.roll + _roll(seen.keypoints)

    def back(points: np.ndarray) -> np.ndarray:
        return turned_points((points - middle) * scale + face.center, face.center, face.roll)

    width, height = (seen.size * scale).tolist()
    x, y = back(seen.center)
    keypoints = back(seen.keypoints)
    left, top = x - width / 2, y - height / 2
    return Face(left, top, width, height, keypoints, face.score, _within(roll), face.settled)


def _on_its_feet(photo: Image.Image, face: Face) -> Face:
    """Return a tilted face turned over where YuNet is surer of it so: its keypoints do not tell."""
    ways = [replace(face, roll=_within(face.roll + half)) for half in (0, 180)]
    return max(ways, key=lambda way: _looked_again(photo, way))  # of equals the first


def _looked_again(photo: Image.Image, face: Face) -> float:
    """Return YuNet's score of a face that was set straight and scaled to what YuNet knows best."""
    patch = _patch(photo, face, AROUND * 1.2 * max(face.width, face.height), AGAIN)
    found = yunet.look(patch)
    middle = np.abs(found[:, :2] - AGAIN / 2).max(axis=1) < AGAIN / 6
    return float(found[middle, 4].max(initial=0))


def _vote(photo: Image.Image, center: np.ndarray, size: float) -> tuple[int, bool]:
    """Return by how many quarters a face is turned clockwise: YuNet is surest of an upright one.

    And whether it is sure at all; if not, the face is taken as it is.
    """
    part, _ = _part(photo, center, WIDE * size)
    times = round(size / LARGE)
    part = part.reduce(times) if times > 1 else part
    looks = [yunet.look(part.transpose(_TURNS[way]) if way else part) for way in range(4)]
    scores = [found[:, 4].max(initial=0) for found in looks]
    sure = bool(max(scores) >= DOUBTFUL)
    return int(np.argmax(scores)) if sure else 0, sure


def _second_look(photo: Image.Image) -> set[int]:
    """Return the ways up, other than the photo's own, in which it seems to show faces."""
    times = -(-max(photo.size) // SECOND_LOOK)
    small = photo.reduce(times) if times > 1 else photo
    return {
        way
        for way, turn in _TURNS.items()
        if len(found := yunet.find(small.transpose(turn))) and found[0, 4] >= DOUBTFUL
    }


def _patch(photo: Image.Image, face: Face, side: float, size: int) -> Image.Image:
    """Return a square around a face, set straight, at `size` pixels; black outside of the photo.

    Good enough to look at, not to judge: see :mod:`deepfake_lab.photos.squares`.
    """
    part, corner = _part(photo, np.array(face.center), side * 2**0.5)
    times = max(1, int(side / size))
    part = part.reduce(times) if times > 1 else part
    scale = side / size / times
    angle = np.radians(face.roll)
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    x, y = (np.array(face.center) - corner) / times
    half = size / 2
    place = (cos, -sin, x - half * (cos - sin), sin, cos, y - half * (sin + cos))
    return part.transform((size, size), Image.Transform.AFFINE, place, Image.Resampling.BILINEAR)


def _back(face: Face, way: int, photo_size: tuple[int, int]) -> Face:
    """Return where a face is in the photo that was found in it turned back by `way` quarters."""
    width, height = photo_size
    points = np.vstack([face.center, face.keypoints])
    x, y = points[:, 0], points[:, 1]
    places = {1: (width - y, x), 2: (width - x, height - y), 3: (y, height - x)}
    points = np.stack(places[way], axis=1)
    return replace(
        face,
        left=float(points[0, 0] - face.width / 2),
        top=float(points[0, 1] - face.height / 2),
        keypoints=points[1:],
        roll=_within(face.roll + 90 * way),
    )


def _within(degrees: float) -> float:
    """Return an angle as it is in (-180, 180]."""
    return -((180 - degrees) % 360 - 180)


def _distinct(faces: list[Face]) -> list[Face]:
    """Return the faces, the largest first, and of each group in one place the best."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        apart = (
            np.hypot(*np.subtract(face.center, other.center)) / max(face.width, other.width)
            for other in kept
        )
        if all(distance > SAME_PLACE for distance in apart):
            kept.append(face)
    return sorted(kept, key=lambda face: -face.width * face.height)
