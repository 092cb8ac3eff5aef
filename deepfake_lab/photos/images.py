"""From a file to pixels: the only place that decodes an image.

Training, evaluation, the notebook cell, the command and the web page all come through
:func:`load_face`, so that a detector is asked about exactly the kind of picture it was trained on.
"""

import io
import os
import warnings
import zlib
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageFilter, TiffImagePlugin

from deepfake_lab.errors import UserError
from deepfake_lab.photos import addresses
from deepfake_lab.photos.evidence import Evidence
from deepfake_lab.photos.faces import Face, find_faces
from deepfake_lab.photos.formats import format_of
from deepfake_lab.photos.margins import content_box
from deepfake_lab.photos.provenance import jpeg_quality, read_evidence
from deepfake_lab.photos.squares import MIN_SIDE, Square, cut, square_around

ImageSource = str | Path | bytes | BinaryIO | Image.Image | np.ndarray

#: Files with one of these endings are taken for images when a folder is read.
EXTENSIONS = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".bmp", ".dib", ".gif",
    ".tif", ".tiff", ".avif", ".heic", ".heif", ".hif",
)  # fmt: skip

#: Endings of cameras' raw files. Many begin as a TIFF does, with a small preview of the photo.
RAW_ENDINGS = (
    ".3fr", ".arw", ".cr2", ".cr3", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".mrw", ".nef", ".nrw",
    ".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
)  # fmt: skip

#: What is said of a raw file.
RAW = "a camera's raw file is not read here; convert it to JPEG"

#: Decoders that may run. Pillow has many more, for formats that no photo comes in. (The MPO files
#: of some phones open as JPEG.)
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF")

#: More pixels than this are refused before decoding (a small file can claim billions).
MAX_PIXELS = 100_000_000

#: A frame is cut this much larger than the model's input, so that training can crop at random
#: where everything else crops the center. Less than ImageNet's 8/7: the border tells, too (on 200
#: validation photos of 140k, AUC 0.966 with it and 0.959 without).
CROP_ROOM = 16 / 15

#: How the pixels of a file lie, as its EXIF says, and what sets them upright.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90,
}  # fmt: skip

#: What `framing` may be: a square around the largest face, or the largest centred square.
FRAMINGS = ("face", "whole")


@dataclass(frozen=True)
class Photo:
    """A photo as it was read, and what its file tells besides.

    Attributes:
        pixels: (H, W, 3) uint8 RGB in [0, 255].
        evidence: what the file says about itself; arrays and Pillow images have no file.
        jpeg_quality: about which quality (1-100) the file was saved with; None where it is no JPEG.
        lacks_end: whether a JPEG ends too early, though with every pixel.
    """

    pixels: np.ndarray
    evidence: tuple[Evidence, ...] = ()
    jpeg_quality: int | None = None
    lacks_end: bool = False


@dataclass(frozen=True, eq=False)
class FramedFace:
    """A square picture ready for a model, and how it was cut.

    Attributes:
        pixels: (S, S, 3) uint8 RGB.
        square: what of the photo was cut.
        face: the face that the square is drawn around; None where no face was found.
        faces_found: how many faces the photo shows.
    """

    pixels: np.ndarray = field(repr=False)
    square: Square
    face: Face | None
    faces_found: int

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FramedFace):
            return NotImplemented
        mine, theirs = ((one.square, one.face, one.faces_found) for one in (self, other))
        return mine == theirs and np.array_equal(self.pixels, other.pixels)

    def __hash__(self) -> int:
        return hash((self.square, self.face, self.faces_found))

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Return the square as left, top, right, bottom, before it is turned about its center."""
        return self.square.box

    def moved(self, left: int, top: int) -> "FramedFace":
        """Return the same where its photo begins so far from the left and the top of another."""
        if not left and not top:
            return self
        square, face = self.square, self.face
        square = replace(square, left=square.left + left, top=square.top + top)
        return replace(self, square=square, face=face and face.moved(left, top))


@cache
def formats() -> tuple[str, ...]:
    """Return the decoders that may run; HEIC only where the extra `heic` is installed."""
    if find_spec("pillow_heif") is None:
        return FORMATS
    import pillow_heif

    pillow_heif.register_heif_opener()
    return (*FORMATS, "HEIF")


def read_image(source: ImageSource, name: str = "") -> np.ndarray:
    """Decode an image and check it.

    EXIF rotation is applied, transparency is laid on white, 16-bit and CMYK pictures are brought
    to 8-bit RGB; of an animation the first picture is taken.

    Args:
        source: a path, the bytes of a file, an open binary file, a Pillow image, or an array of
            shape (H, W), (H, W, 3) or (H, W, 4), uint8 in [0, 255].
        name: what to call it in messages; by default the path, or what it is.

    Returns:
        (H, W, 3) uint8 RGB in [0, 255].

    Raises:
        UserError: not an image, damaged, too large, or too small; the line says which.
    """
    if isinstance(source, np.ndarray):
        return _checked(_from_array(source), name or "the array")
    if isinstance(source, Image.Image):
        return _checked(_decode(source, name or "the image"), name or "the image")
    called, data = _bytes(source)
    return _read(name or called, data)[0]


def read_photo(source: "ImageSource | Photo", name: str = "") -> Photo:
    """Decode an image as :func:`read_image` does, and read what its file says about itself.

    Args:
        source: as for :func:`read_image`; a photo that was read before comes back as it is.
        name: as for :func:`read_image`.

    Raises:
        UserError: as :func:`read_image`; also a trust list that cannot be read, see
            :func:`deepfake_lab.photos.provenance.read_evidence`.
    """
    if isinstance(source, Photo):
        return source
    if isinstance(source, np.ndarray | Image.Image):
        return Photo(read_image(source, name))
    called, data = _bytes(source)
    pixels, image, lacks_end = _read(name or called, data)
    return Photo(pixels, read_evidence(image, data), jpeg_quality(image), lacks_end)


def load_face(source: ImageSource, size: int, framing: str = "face") -> FramedFace:
    """Read an image and cut the square that a model looks at.

    Args:
        source: as for :func:`read_image`.
        size: side of the square that comes back, in pixels.
        framing: ``face`` for a square around the largest face (the largest centred square where
            no face is found), ``whole`` for the largest centred square of the photo.

    Raises:
        UserError: an unreadable image or an unknown framing.
    """
    check_framing(framing)
    return frame_face(read_image(source), size, framing)


def check_framing(framing: str) -> None:
    """Raise a :class:`UserError` unless `framing` is one of :data:`FRAMINGS`."""
    if framing not in FRAMINGS:
        raise UserError(f"Unknown framing '{framing}'; known: {', '.join(FRAMINGS)}.")


def frame_face(image: np.ndarray, size: int, framing: str = "face") -> FramedFace:
    """Cut the square that a model looks at out of decoded pixels, (H, W, 3) uint8.

    The square never leaves the photo: padding would be a border that a model can learn, and so
    would a plain margin, see :func:`deepfake_lab.photos.margins.content_box`. Where the
    photo is itself a tight crop, the square is as large as the photo allows. A tilted head is set
    straight.
    """
    left, top, right, bottom = content_box(image)
    image = image[top:bottom, left:right]
    faces = find_faces(image)
    face = faces[0] if faces else None
    square = square_around(face if framing == "face" else None, *image.shape[1::-1])
    return FramedFace(cut(image, square, size), square, face, len(faces)).moved(left, top)


def frame_size(image_size: int) -> int:
    """Return the side of the frame that is cut for a model input of `image_size` pixels."""
    return round(image_size * CROP_ROOM)


def center_crop(frames: np.ndarray, size: int) -> np.ndarray:
    """Cut the central (size, size) of square pictures, (..., S, S, 3) with S >= size."""
    start = (frames.shape[-2] - size) // 2
    return frames[..., start : start + size, start : start + size, :]


def degrade(image: np.ndarray, kind: str, level: float) -> np.ndarray:
    """Damage a photo as the world does; the same photo is always damaged in the same way.

    Args:
        image: (H, W, 3) uint8.
        kind: one of

            - ``none``;
            - ``jpeg``, level: quality, 1-95;
            - ``blur``, level: radius of the Gaussian in pixels;
            - ``downscale``, level: by how much; then back to the old size;
            - ``noise``, level: standard deviation of the Gaussian, of 255;
            - ``screenshot``, level: how much smaller the photo is shown. It was a JPEG 85, is
              drawn smaller and sharpened by the viewer, cut out off the old JPEG grid and sent on
              as JPEG 70;
            - ``messenger``, level: quality of the JPEG that is written at half the size; comes
              back at that size;
            - ``margin``, level: how many times as wide and as high a blurred copy of the photo is
              in whose middle it lies, as videos and stories fill their frame.
        level: how much, as above.

    Returns:
        (H, W, 3) uint8; smaller for ``screenshot`` and ``messenger``, larger for ``margin``.

    Raises:
        UserError: an unknown kind.
    """
    if kind == "none":
        return image
    picture = Image.fromarray(image)
    if kind == "jpeg":
        return np.asarray(_jpeg(picture, int(level)))
    if kind == "blur":
        return np.asarray(picture.filter(ImageFilter.GaussianBlur(level)))
    if kind == "downscale":
        smaller = _smaller(picture, level, Image.Resampling.LANCZOS)
        return np.asarray(smaller.resize(picture.size, Image.Resampling.BICUBIC))
    if kind == "noise":
        # Not one pattern for all photos: that could be learned, or leave one detector unharmed.
        rng = np.random.default_rng(zlib.crc32(image.tobytes()))
        noisy = image + rng.normal(0, level, image.shape)
        return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    if kind == "screenshot":
        shown = _smaller(_jpeg(picture, 85), level, Image.Resampling.BILINEAR)
        shown = shown.filter(ImageFilter.UnsharpMask(radius=1, percent=50, threshold=0))
        left, top = (min(3, side - 1) for side in shown.size)
        return np.asarray(_jpeg(shown.crop((left, top, *shown.size)), 70))
    if kind == "messenger":
        return np.asarray(_jpeg(_smaller(picture, 2, Image.Resampling.LANCZOS), int(level)))
    if kind == "margin":
        wide, high = (round(side * level) for side in picture.size)
        whole = picture.resize((wide, high)).filter(ImageFilter.GaussianBlur(wide / 20))
        whole.paste(picture, ((wide - picture.width) // 2, (high - picture.height) // 2))
        return np.asarray(whole)
    known = "none, jpeg, blur, downscale, noise, screenshot, messenger, margin"
    raise UserError(f"Unknown degradation '{kind}'; known: {known}.")


def _jpeg(picture: Image.Image, quality: int) -> Image.Image:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=quality)
    return Image.open(stream).convert("RGB")


def _smaller(picture: Image.Image, factor: float, filter: Image.Resampling) -> Image.Image:
    size = [max(1, round(side / factor)) for side in picture.size]
    return picture.resize(size, filter)


def _bytes(source: str | Path | bytes | BinaryIO) -> tuple[str, bytes]:
    """Return a name for messages and the content of a file."""
    if isinstance(source, bytes):
        return "the uploaded file", source
    if addresses.is_address(source):
        return source, addresses.read(source)
    if isinstance(source, str | Path):
        try:
            return str(source), Path(os.path.expanduser(source)).read_bytes()
        except FileNotFoundError as error:
            raise UserError(f"{source}: no such file.") from error
        except IsADirectoryError as error:
            raise UserError(f"{source}: a folder, not a photo.") from error
        except (OSError, ValueError, RuntimeError) as error:
            raise UserError(f"{source}: cannot be read ({_one_line(error)}).") from error
    if hasattr(source, "read"):
        name = str(getattr(source, "name", "the file"))
        try:
            return name, bytes(memoryview(source.read()))  # TypeError for a text
        except (OSError, ValueError, TypeError) as error:
            raise UserError(f"{name}: cannot be read; open it with mode 'rb'.") from error
    raise UserError(f"Cannot read an image from a {type(source).__name__}; give a path or bytes.")


def _read(name: str, data: bytes) -> tuple[np.ndarray, Image.Image, bool]:
    """Return pixels, the opened image, and whether a JPEG lacks nothing but its end."""
    image = _opened(name, data)
    try:
        return _checked(_decode(image, name), name), image, False
    except UserError as error:
        if "truncated" not in str(error) or not lacks_its_end(data):
            raise
    image = _opened(name, data + _END)
    return _checked(_decode(image, name), name), image, True


def lacks_its_end(data: bytes) -> bool:
    """Return whether a JPEG lacks its end marker but no pixel.

    Noise in place of the end would show in the picture, if pixels were still to come.
    """
    if not data.startswith(b"\xff\xd8"):
        return False
    seen = []
    for noise in (b"", b"\x5a\x17\xc3\x71" * 64):
        try:
            with Image.open(io.BytesIO(data + noise + _END), formats=("JPEG",)) as image:
                seen.append(np.asarray(image))
        except Exception:  # what a decoder raises at a damaged file is anybody's guess
            return False
    clean, noisy = seen
    return np.array_equal(clean, noisy)


#: The marker at the end of a JPEG.
_END = b"\xff\xd9"


def _why_not_an_image(data: bytes) -> str:
    if not data:
        return "an empty file"
    kind = format_of(data[:64])
    if kind:
        damaged = f"damaged image (it begins as {kind}, but cannot be opened)"
        return why_no_decoder(data) or damaged
    return "not an image in a format that can be read here"


def why_no_decoder(head: bytes) -> str:
    """Return what would read an image that begins so; empty for one that is read here, or none."""
    kind = format_of(head[:64])
    if not kind or kind in formats():
        return ""
    if kind == "HEIF":
        return "HEIC, which needs the package pillow-heif: `pip install pillow-heif`"
    return f"{kind} is not read here; convert it to one of {', '.join(formats())}"


def _opened(name: str, data: bytes) -> Image.Image:
    """Return an image whose header has been read; it keeps the bytes until it is forgotten."""
    if is_raw(name, data):
        raise UserError(f"{name}: {RAW}.")
    try:
        image = Image.open(io.BytesIO(data), formats=formats())
        preview = isinstance(image, TiffImagePlugin.TiffImageFile) and _is_preview(image)
    except Image.UnidentifiedImageError as error:
        raise UserError(f"{name}: {_why_not_an_image(data)}.") from error
    except Image.DecompressionBombError as error:
        raise UserError(f"{name}: too many pixels; scale it down.") from error
    except Exception as error:  # what a decoder raises at a damaged file is anybody's guess
        raise UserError(f"{name}: damaged image ({_one_line(error)}).") from error
    if preview:
        raise UserError(f"{name}: {RAW}.")
    return image


def is_raw(name: str, head: bytes) -> bool:
    """Return whether a file of that name that begins so is a camera's raw file."""
    kind = format_of(head[:64])
    return kind == "raw photo" or (name.lower().endswith(RAW_ENDINGS) and kind in ("TIFF", ""))


def _is_preview(image: TiffImagePlugin.TiffImageFile) -> bool:
    """Return whether a TIFF begins with a smaller copy of what lies further down in it."""
    new_subfile_type, sub_ifds = 254, 330
    return bool(image.tag_v2.get(new_subfile_type, 0) & 1) and sub_ifds in image.tag_v2


def _decode(image: Image.Image, name: str) -> np.ndarray:
    """Return the pixels of an image that was opened; it is decoded here, if it was not before."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise UserError(
            f"{name}: {width} x {height} pixels is too large; "
            f"scale it down below {MAX_PIXELS // 1_000_000} megapixels."
        )
    try:
        return _to_rgb(image)
    except Exception as error:  # as above
        raise UserError(f"{name}: damaged image ({_one_line(error)}).") from error


def _to_rgb(image: Image.Image) -> np.ndarray:
    image.load()  # a TIFF is turned by that alone, and its tag is gone
    # Pillow's exif_transpose would write the other tags anew, which fails where one of them is odd.
    turn = UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    if turn is not None:
        image = image.transpose(turn)
    if image.mode.startswith("I") or image.mode == "F":
        values = np.nan_to_num(np.asarray(image, dtype=np.float64))
        highest = values.max(initial=0)
        # 16 bits use their whole range; in wider types 8-bit values and shares of 1 occur as well.
        if image.mode.startswith("I;16") or highest > 255:
            values = values / 257
        elif image.mode == "F" and highest <= 1:
            values = values * 255
        image = Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _from_array(array: np.ndarray) -> np.ndarray:
    shape_ok = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if not shape_ok or array.dtype != np.uint8:
        raise UserError(
            f"An image array must be uint8 of shape (H, W), (H, W, 3) or (H, W, 4); "
            f"this one is {array.dtype} {array.shape}."
        )
    if array.shape[2:] == (3,) and array.shape[0] * array.shape[1] <= MAX_PIXELS:
        return np.ascontiguousarray(array)
    return _decode(Image.fromarray(array), "the array")


def _checked(pixels: np.ndarray, name: str) -> np.ndarray:
    height, width = pixels.shape[:2]
    if min(height, width) < MIN_SIDE:
        raise UserError(f"{name}: {width} x {height} pixels is too small to judge.")
    return pixels


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


# Pillow's remarks on odd metadata say nothing about the pixels, and the pixel limit here is the
# stricter one. A filter for good: `catch_warnings` is not safe among threads, and what it leaves
# behind would swallow this library's own warnings.
warnings.filterwarnings("ignore", module=r"PIL\.")

# A truncated file must be an error, never a picture with a grey lower half.
assert not ImageFile.LOAD_TRUNCATED_IMAGES
