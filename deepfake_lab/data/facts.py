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

import numpy as np
from PIL import Image, JpegImagePlugin
from scipy.fft import dct

from deepfake_lab.errors import UserError
from deepfake_lab.photos import images
from deepfake_lab.photos.faces import find_faces

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
    ("exif", "?"), ("lacks_end", "?"), ("metadata", "u4"), ("quality", "i2"), ("tables", "u4"),
    ("sampling", "i1"),
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
        with Image.open(io.BytesIO(content), formats=images.formats()) as image:
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
                RuntimeError,  # of Pillow's AVIF decoder
            ) as error:
                if "truncated" not in str(error).lower():
                    return DAMAGED
                if not images.lacks_its_end(content):
                    return TRUNCATED
                facts["lacks_end"] = True
                picture = Image.fromarray(images.read_image(content))
    except Image.DecompressionBombError:
        return TOO_LARGE
    except (OSError, SyntaxError, ValueError, EOFError, ArithmeticError, RuntimeError):
        return NOT_AN_IMAGE
    _pixels(picture, facts)
    if is_chosen(facts["fingerprint"], face_share):
        _faces(picture, facts)
    return OK


def _header(image: Image.Image, facts: np.ndarray) -> None:
    facts["width"], facts["height"] = image.size
    facts["format"], facts["mode"] = (image.format or "").encode(), image.mode.encode()
    facts["animated"] = getattr(image, "is_animated", False)
    tile = getattr(image, "tile", ())  # only of what was opened from a file
    raw = str(tile[0][3]) if tile else ""
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
    grey = small.convert("L").resize((2 * THUMB, 2 * THUMB), Image.Resampling.BOX)
    facts["hash"] = _perceptual_hash(np.asarray(grey, np.float32))
    thumb = np.asarray(grey.reduce(2))
    facts["thumb"], facts["brightness"] = thumb.ravel(), thumb.mean()
    rgb = np.asarray(small)  # (h, w, 3) uint8
    sides = (rgb[:2], rgb[-2:], rgb[2:-2, :2], rgb[2:-2, -2:])
    border = np.concatenate([side.reshape(-1, 3) for side in sides]).astype(np.float32)  # (N, 3)
    mean = border.mean(axis=0)
    facts["border_red"], facts["border_green"], facts["border_blue"] = mean
    facts["border_spread"] = np.sqrt(np.square(border - mean).mean())
    facts["sharpness"], facts["slope"] = _detail(picture)


def _small(picture: Image.Image) -> Image.Image:
    """Return the picture at a whole fraction of its size, the longer side at most 128 pixels."""
    return picture.reduce(-(-max(picture.size) // _SMALL))


def _perceptual_hash(grey: np.ndarray) -> int:
    """Return 64 bits: which of the 8 x 8 coarsest cosine waves are stronger than their median.

    Args:
        grey: (32, 32) float32.

    Source: Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010
    (the DCT hash; size and median as in the package ImageHash).
    """
    waves = (_COSINES @ grey @ _COSINES.T).ravel()  # (64,)
    bits = waves > np.partition(waves, 31)[31]
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


#: The eight coarsest cosine waves over 32 pixels, (8, 32).
_COSINES = dct(np.eye(32, dtype=np.float32), axis=0)[:8]


def _detail(picture: Image.Image) -> tuple[float, float]:
    """Return sharpness and spectrum slope of the middle, at the size in which the file is stored.

    Sharpness is the variance of the Laplacian; the slope is that of the logarithm of the power
    against the logarithm of the frequency along the rows, from 0.05 to 0.5 cycles per pixel.

    Source: Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000
    (variance of the Laplacian); Durall et al., "Watch your Up-Convolution", CVPR 2020 (the
    spectrum's far end as a generator's trace).
    """
    side = next((s for s in (128, 64, 32) if s <= min(picture.size)), min(picture.size))
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    crop = picture.crop((left, top, left + side, top + side)).convert("L")
    grey = np.asarray(crop, np.float32)  # (side, side) in [0, 255]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1]
    laplacian += grey[1:-1, :-2]
    laplacian += grey[1:-1, 2:]
    laplacian -= 4 * grey[1:-1, 1:-1]
    flat = laplacian.ravel()
    window, first, fit = _spectrum_plan(side)
    rows = (grey[::2] - grey.mean()) * window  # every other row is enough
    waves = np.fft.rfft(rows)[:, first : first + len(fit)]
    power = (np.square(waves.real) + np.square(waves.imag)).mean(axis=0)
    # The Laplacian's mean is as good as zero, so its mean square is its variance.
    return float(flat @ flat / flat.size), float(fit @ np.log(power + 1e-3))


@cache
def _spectrum_plan(side: int) -> tuple[np.ndarray, int, np.ndarray]:
    """Return the window, the first frequency used, and the weights that give a line's slope."""
    first, last = max(1, round(0.05 * side)), side // 2
    x = np.log(np.arange(first, last) / side)
    x -= x.mean()
    return np.hanning(side).astype(np.float32), first, x / (x**2).sum()


def _faces(picture: Image.Image, facts: np.ndarray) -> None:
    small = _small(picture)
    found = find_faces(np.asarray(small))
    facts["faces"] = len(found)
    if found:
        face = max(found, key=lambda f: f.width * f.height)
        x, y = face.center
        facts["face_size"] = max(face.width, face.height) / min(small.size)
        facts["face_x"], facts["face_y"] = x / small.width - 0.5, y / small.height - 0.5


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
