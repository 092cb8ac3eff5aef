"""Pictures to measure face finders on: composed of portraits and of things without a face.

Everything comes from a seed: the same seed gives the same picture. Portraits come from the sample
set and, where they are present, from the sources of a data folder.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data as skimage_data

from deepfake_lab import paths
from deepfake_lab.photos.faces import Face, find_faces
from deepfake_lab.photos.images import read_image

#: Pictures of the package scikit-image that show no face, not even an animal's.
OBJECTS = ("brick", "clock", "coffee", "coins", "grass", "gravel", "moon", "page", "rocket", "text",
           "hubble_deep_field", "immunohistochemistry", "colorwheel")  # fmt: skip

#: A face's box against the portrait it was cut from: the portraits of every source show one face.
PER_SOURCE = 40


@dataclass(frozen=True)
class Truth:
    """Where a face was put: its center in pixels, and the longer side of its box."""

    x: float
    y: float
    side: float


@dataclass(frozen=True)
class Portrait:
    """A picture that shows one face and where that is; found by both networks at its own size."""

    source: str
    picture: Image.Image
    face: Face


def read_portraits(data: Path | None) -> list[Portrait]:
    """Return portraits of one face each, as many of every source."""
    sample = paths.project() / "data" / "sample"
    sources = {"sample": sorted(sample.glob("*/*.jpg"))}
    if data is not None:
        for folder in sorted(path for path in data.iterdir() if path.is_dir()):
            files = sorted(path for path in folder.glob("*/*") if path.is_file())
            sources[folder.name] = files
    portraits = []
    for source, files in sources.items():
        rng = np.random.default_rng(0)
        taken = 0
        for i in rng.permutation(len(files)):
            pixels = read_image(files[i])
            faces = find_faces(pixels)
            if len(faces) == 1 and abs(faces[0].roll) < 10 and faces[0].score > 0.75:
                portraits.append(Portrait(source, Image.fromarray(pixels), faces[0]))
                taken += 1
            if taken == PER_SOURCE:
                break
    return portraits


def group_photo(
    portraits: list[Portrait], width: int, count: int, seed: int
) -> tuple[np.ndarray, list[Truth]]:
    """Return a photo of 4:3 with portraits at random places, and where their faces are.

    The sides of the faces' boxes are spread evenly over the logarithm from 40 pixels to 500, or to
    what leaves room for all of them.
    """
    rng = np.random.default_rng((width, count, seed))
    height = width * 3 // 4
    photo = Image.fromarray(background(width, height, rng))
    largest = min(500.0, 0.28 * height / np.sqrt(count) + 40)
    taken: list[tuple[int, int, int, int]] = []
    truths: list[Truth] = []
    while len(truths) < count:
        portrait = portraits[rng.integers(len(portraits))]
        longer = max(portrait.face.width, portrait.face.height)
        side = float(np.exp(rng.uniform(np.log(40), np.log(largest))))
        scale = side / longer
        size = tuple(max(8, round(length * scale)) for length in portrait.picture.size)
        for _ in range(200):
            if size[0] >= width or size[1] >= height:
                break
            left, top = int(rng.integers(width - size[0])), int(rng.integers(height - size[1]))
            box = (left, top, left + size[0], top + size[1])
            if all(
                box[2] <= b[0] or b[2] <= box[0] or box[3] <= b[1] or b[3] <= box[1] for b in taken
            ):
                taken.append(box)
                photo.paste(portrait.picture.resize(size, Image.Resampling.LANCZOS), box[:2])
                x, y = portrait.face.center
                truths.append(Truth(left + x * scale, top + y * scale, side))
                break
    return np.asarray(photo), truths


def tilted(portrait: Portrait, side: float, degrees: float) -> tuple[np.ndarray, Truth]:
    """Return a portrait tilted clockwise on grey, its face `side` pixels large."""
    scale = side / max(portrait.face.width, portrait.face.height)
    size = [max(8, round(length * scale)) for length in portrait.picture.size]
    picture = portrait.picture.resize(size, Image.Resampling.LANCZOS)
    reach = int(1.5 * max(size)) + 1
    canvas = Image.new("RGB", (2 * reach, 2 * reach), (110, 110, 110))
    x, y = (length * scale for length in portrait.face.center)
    canvas.paste(picture, (round(reach - x), round(reach - y)))
    turned = canvas.rotate(-degrees, Image.Resampling.BICUBIC)
    return np.asarray(turned), Truth(reach, reach, side)


def faceless(count: int) -> Iterator[np.ndarray]:
    """Yield pictures without a face: textures, landscapes, and package photos, cut and turned."""
    for seed in range(count):
        rng = np.random.default_rng((7, seed))
        width, height = (int(side) for side in rng.integers(300, 1400, 2))
        yield (texture, landscape, _object, background)[seed % 4](width, height, rng)


def background(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """Return clouds of two colours with a bright spot."""
    clouds = _clouds(width, height, rng)
    one, other = rng.uniform(20, 235, (2, 3))
    y, x = np.mgrid[:height, :width]
    spot = np.exp(-((x - width / 3) ** 2 + (y - height / 2) ** 2) / (0.2 * width) ** 2)
    picture = one + (other - one) * clouds[..., None] + 40 * spot[..., None]
    return np.clip(picture + rng.normal(0, 4, (height, width, 1)), 0, 255).astype(np.uint8)


def texture(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """Return stripes, rings, cells or blobs."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    kind = rng.integers(4)
    if kind == 0:
        values = np.sin(x / rng.uniform(3, 60) + rng.uniform(-2, 2) * y / 40)
    elif kind == 1:
        values = np.sin(np.hypot(x - width / 2, y - height / 2) / rng.uniform(4, 40))
    elif kind == 2:
        points = rng.uniform(0, 1, (30, 2)) * (width, height)
        distance = [np.hypot(x - px, y - py) for px, py in points]
        values = np.min(distance, axis=0) / 60 - 1
    else:
        values = np.zeros_like(x)
        for _ in range(int(rng.integers(2, 12))):
            px, py, size = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(10, 200)
            values += rng.uniform(-1, 1) * np.exp(-((x - px) ** 2 + (y - py) ** 2) / size**2)
    one, other = rng.uniform(0, 255, (2, 3))
    share = np.clip((values + 1) / 2, 0, 1)[..., None]
    return (one + (other - one) * share).astype(np.uint8)


def landscape(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """Return a sky with a sun, hills behind hills, and trees."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    sky = np.stack([150 + 60 * y / height, 180 + 40 * y / height, 235 - 20 * y / height], axis=-1)
    sun = np.hypot(x - rng.uniform(0, width), y - 0.2 * height) < rng.uniform(15, 60)
    sky[sun] = (255, 240, 190)
    for depth in range(4):
        line = height * (0.4 + 0.14 * depth) + 40 * np.sin(
            np.arange(width) / rng.uniform(40, 200) + rng.uniform(0, 6)
        )
        green = np.array([90, 130, 80]) * (1 - 0.15 * depth) + rng.uniform(-15, 15, 3)
        sky[y > line[None]] = green
    for _ in range(int(rng.integers(3, 25))):
        px, py, size = rng.uniform(0, width), rng.uniform(0.6, 1) * height, rng.uniform(8, 60)
        sky[(abs(x - px) < size / 8) & (abs(y - py - size) < size)] = (90, 60, 40)
        sky[np.hypot(x - px, (y - py) * 0.8) < size] = rng.uniform(20, 120, 3) * (0.5, 1, 0.5)
    grain = 25 * (_clouds(width, height, rng)[..., None] - 0.5)
    return np.clip(sky + grain + rng.normal(0, 5, sky.shape), 0, 255).astype(np.uint8)


def _object(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    pixels = getattr(skimage_data, OBJECTS[rng.integers(len(OBJECTS))])()
    picture = Image.fromarray(pixels).convert("RGB")
    share = rng.uniform(0.3, 1)
    sides = [int(length * share) for length in picture.size]
    left, top = (int(rng.integers(a - b + 1)) for a, b in zip(picture.size, sides))
    picture = picture.crop((left, top, left + sides[0], top + sides[1]))
    picture = picture.rotate(90 * int(rng.integers(4)), expand=True)
    return np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC))


def _clouds(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """Return noise of every scale, (height, width) in [0, 1]."""
    total = np.zeros((height, width), np.float32)
    for octave in range(2, 9):
        cells = 2**octave
        small = Image.fromarray(rng.random((cells, cells), dtype=np.float32))
        large = small.resize((width, height), Image.Resampling.BICUBIC)
        total += np.asarray(large) / 2 ** (octave / 2)
    total -= total.min()
    return total / total.max()
