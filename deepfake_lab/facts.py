"""One image file -> its facts: what the file says of itself, what the pixels say, where faces are.

A file is opened once and decoded once. The facts of a file are one fixed-size record, so that those
of 140,000 files fit into 60 MB and go between processes and into the cache as plain bytes.
Nothing here imports TensorFlow: the functions run in worker processes.
"""

import hashlib
import io
import warnings
import zlib
from collections.abc import Callable
from functools import cache

import imagehash
import numpy as np
from PIL import Image, JpegImagePlugin

from deepfake_lab import images
from deepfake_lab.errors import UserError
from deepfake_lab.faces import find_faces

#: How much is known of a file: what its header says, or its pixels as well.
HEADER, PIXELS = 0, 1

#: What can be wrong with a file; the first word of a state is the same for all machines.
STATES = (
    "ok", "empty file", "not an image", "unreadable file", "too many pixels", "too small",
    "truncated image", "damaged image",
)  # fmt: skip
OK, EMPTY, NOT_AN_IMAGE, UNREADABLE, TOO_LARGE, TOO_SMALL, TRUNCATED, DAMAGED = range(len(STATES))

#: Side of the grey thumbnail that near-duplicates are compared by.
THUMB = 16

#: Side of the picture in which faces are looked for and from which the hash is made.
_SMALL = 128

RECORD = np.dtype([
    ("fingerprint", "u8"), ("level", "u1"), ("state", "u1"),
    # the header
    ("width", "u4"), ("height", "u4"), ("bytes", "u8"), ("format", "S6"), ("mode", "S6"),
    ("animated", "?"), ("deep", "?"), ("transparent", "?"), ("orientation", "u1"),
    ("exif", "?"), ("metadata", "u4"), ("quality", "i2"), ("tables", "u4"), ("sampling", "i1"),
    # the pixels
    ("hash", "u8"), ("thumb", "u1", (THUMB * THUMB,)), ("sharpness", "f4"), ("brightness", "f4"),
    ("border_red", "f4"), ("border_green", "f4"), ("border_blue", "f4"), ("border_spread", "f4"),
    ("slope", "f4"),
    # the faces; -1: not looked for
    ("faces", "i2"), ("face_size", "f4"), ("face_x", "f4"), ("face_y", "f4"),
])  # fmt: skip


#: Answers what is known of a content already: fingerprint -> record, None where nothing is.
Known = Callable[[int], np.ndarray | None]


def of_file(
    path: str, level: int, face_share: float = 0.0, known: Known | None = None
) -> np.ndarray:
    """Return the facts of one file, () of :data:`RECORD`; a bad file has a state, never an error.

    Args:
        path: the file.
        level: :data:`HEADER` or :data:`PIXELS`.
        face_share: share of the photos in which faces are looked for. Which ones follows from
            their content, so it is the same choice on every machine.
        known: asked before a content is decoded.
    """
    facts = np.zeros((), RECORD)
    facts["level"], facts["faces"], facts["orientation"] = level, -1, 1
    facts["quality"] = facts["sampling"] = -1
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError:
        facts["state"] = UNREADABLE
        return facts
    facts["bytes"] = len(content)
    facts["fingerprint"] = int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big")
    if not content:
        facts["state"] = EMPTY
        return facts
    before = known(int(facts["fingerprint"])) if known else None
    if before is not None and is_enough(before, level, face_share):
        return before
    with warnings.catch_warnings():
        # Pillow's remarks on odd metadata and large pictures: both are findings of their own.
        warnings.simplefilter("ignore")
        facts["state"] = _read(content, facts, level, face_share)
    return facts


def is_enough(facts: np.ndarray, level: int, face_share: float) -> np.ndarray:
    """Return whether records answer a question that was put so, an array of bool."""
    asked = is_chosen(facts["fingerprint"], face_share) & (facts["state"] == OK)
    return (facts["level"] >= level) & (~asked | (facts["faces"] >= 0))


def is_chosen(fingerprints: np.ndarray, share: float) -> np.ndarray:
    """Return which photos are among the share in which faces are looked for, (N,) bool."""
    return fingerprints / 2.0**64 < share


def _read(content: bytes, facts: np.ndarray, level: int, face_share: float) -> int:
    try:
        with Image.open(io.BytesIO(content), formats=images.FORMATS) as image:
            _header(image, facts)
            if image.width * image.height > images.MAX_PIXELS:
                return TOO_LARGE
            if min(image.size) < images.MIN_SIDE:
                return TOO_SMALL
            if level == HEADER:
                return OK
            try:
                picture = _decoded(image, int(facts["orientation"]))
            except (
                UserError,
                OSError,
                SyntaxError,
                ValueError,
                EOFError,
                ArithmeticError,
            ) as error:
                return TRUNCATED if "truncated" in str(error).lower() else DAMAGED
    except Image.DecompressionBombError:
        return TOO_LARGE
    except (OSError, SyntaxError, ValueError, EOFError, ArithmeticError):
        return NOT_AN_IMAGE
    _pixels(picture, facts)
    if is_chosen(facts["fingerprint"], face_share):
        _faces(picture, facts)
    return OK


def _header(image: Image.Image, facts: np.ndarray) -> None:
    facts["width"], facts["height"] = image.size
    facts["format"], facts["mode"] = (image.format or "").encode(), image.mode.encode()
    facts["animated"] = getattr(image, "is_animated", False)
    raw = str(image.tile[0][3]) if image.tile else ""
    facts["deep"] = image.mode.startswith(("I", "F")) or ";16" in raw
    facts["transparent"] = image.has_transparency_data
    facts["exif"] = "exif" in image.info
    software = ""
    if facts["exif"] or image.format == "TIFF":
        exif = image.getexif()
        turned = exif.get(0x0112, 1)
        facts["orientation"] = turned if turned in range(1, 9) else 1
        software = f"{exif.get(0x0131, '')}/{exif.get(0x010F, '')}"  # Software, Make
    kinds = ",".join(sorted(str(key) for key in image.info))
    facts["metadata"] = zlib.crc32(f"{kinds}|{software}".encode())
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        tables = image.quantization
        facts["tables"] = zlib.crc32(repr(sorted(tables.items())).encode())
        facts["quality"] = _quality(sum(tables[0])) if 0 in tables else -1
        facts["sampling"] = JpegImagePlugin.get_sampling(image)


def _decoded(image: Image.Image, orientation: int) -> Image.Image:
    if image.mode == "RGB" and orientation == 1 and not image.has_transparency_data:
        image.load()  # nothing has to be converted: three copies are saved
        return image
    return Image.fromarray(images.read_image(image))


def _pixels(picture: Image.Image, facts: np.ndarray) -> None:
    small = _small(picture)
    bits = imagehash.phash(small).hash  # (8, 8) bool
    facts["hash"] = np.packbits(bits).view(">u8")[0]
    grey = small.convert("L")
    facts["thumb"] = np.asarray(grey.resize((THUMB, THUMB), Image.Resampling.BOX)).ravel()
    facts["brightness"] = np.asarray(grey).mean()
    rgb = np.asarray(small)  # (h, w, 3) uint8
    sides = (rgb[:2], rgb[-2:], rgb[2:-2, :2], rgb[2:-2, -2:])
    border = np.concatenate([side.reshape(-1, 3) for side in sides])  # (N, 3)
    facts["border_red"], facts["border_green"], facts["border_blue"] = border.mean(axis=0)
    facts["border_spread"] = border.std(axis=0).mean()
    facts["sharpness"], facts["slope"] = _detail(picture)


def _small(picture: Image.Image) -> Image.Image:
    """Return the picture with its longer side at 128 pixels; itself where it is smaller."""
    scale = _SMALL / max(picture.size)
    if scale >= 1:
        return picture
    size = tuple(max(1, round(side * scale)) for side in picture.size)
    return picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=1.0)


def _detail(picture: Image.Image) -> tuple[float, float]:
    """Return sharpness and spectrum slope of the middle, at the size in which the file is stored.

    Sharpness is the variance of the Laplacian; the slope is that of the logarithm of the power
    against the logarithm of the frequency, from 0.05 to 0.5 cycles per pixel.

    Source: Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000
    (variance of the Laplacian); Durall et al., "Watch your Up-Convolution", CVPR 2020 (the
    spectrum's far end as a generator's trace).
    """
    side = next((s for s in (128, 64, 32) if s <= min(picture.size)), min(picture.size))
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    crop = picture.crop((left, top, left + side, top + side)).convert("L")
    grey = np.asarray(crop, np.float32)  # (side, side) in [0, 255]
    laplacian = (
        grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1]
    )
    window, ring, rings, fit = _spectrum_plan(side)
    power = np.abs(np.fft.rfft2((grey - grey.mean()) * window)) ** 2
    mean = np.bincount(ring, power.ravel(), len(rings)) / rings
    return float(laplacian.var()), float(fit @ np.log(mean[-fit.size :] + 1e-3))


@cache
def _spectrum_plan(side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return window, ring of each coefficient, size of each ring, weights of a line's slope."""
    hann = np.hanning(side).astype(np.float32)
    radius = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])
    count = side // 2
    ring = np.minimum((radius * side).round().astype(int), count).ravel()
    rings = np.bincount(ring, minlength=count + 1)
    first = max(1, round(0.05 * side))
    x = np.log(np.arange(first, count) / side)
    # The corners beyond 0.5 cycles per pixel share the last ring, which is left out.
    weights = np.append((x - x.mean()) / ((x - x.mean()) ** 2).sum(), 0.0)
    return hann[:, None] * hann[None, :], ring, rings, weights


def _faces(picture: Image.Image, facts: np.ndarray) -> None:
    found = find_faces(np.asarray(_small(picture)))
    width, height = _small_size(picture)
    facts["faces"] = len(found)
    if found:
        face = max(found, key=lambda f: f.width * f.height)
        x, y = face.center
        facts["face_size"] = max(face.width, face.height) / min(width, height)
        facts["face_x"], facts["face_y"] = x / width - 0.5, y / height - 0.5


def _small_size(picture: Image.Image) -> tuple[int, int]:
    scale = min(1.0, _SMALL / max(picture.size))
    return max(1, round(picture.width * scale)), max(1, round(picture.height * scale))


# Table of Annex K of the JPEG standard for luminance; every encoder built on libjpeg scales it.
# Source: ITU-T T.81 (1992), table K.1; the scaling is libjpeg's jpeg_quality_scaling.
_LUMINANCE = np.array([
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113,
    92, 49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
])  # fmt: skip


@cache
def _table_sums() -> np.ndarray:
    """Return the sum of the luminance table at qualities 1 to 100, (100,)."""
    quality = np.arange(1, 101)
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    tables = (_LUMINANCE[None, :] * scale[:, None] + 50) // 100
    return np.clip(tables, 1, 255).sum(axis=1)


def _quality(table_sum: int) -> int:
    """Return the libjpeg quality whose luminance table comes closest."""
    return int(np.abs(_table_sums() - table_sum).argmin()) + 1
