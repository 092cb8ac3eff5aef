"""From a request to photos: limits hold before a single pixel is decoded; all stays in memory."""

import io
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from flask import Request
from PIL import Image
from werkzeug.http import parse_options_header

from deepfake_lab.photos import images
from deepfake_lab.web import limits, screening
from deepfake_lab.web.problems import Problem


@dataclass(frozen=True)
class Upload:
    """A file that was sent.

    Attributes:
        name: for people; it is never used as a path.
        data: the bytes of the file.
    """

    name: str
    data: bytes


def read_form(request: Request) -> tuple[list[Upload], float | None]:
    """Return the files of a form, in their order, and the prior that it names, if it does.

    The form is taken apart here, in memory: Werkzeug's own way goes through temporary files, and
    takes no file without a name.

    Raises:
        Problem: not a form, no file, too many of them, or a prior that is no share or not one.
    """
    boundary = request.mimetype_params.get("boundary", "")
    if request.mimetype != "multipart/form-data" or not boundary:
        raise Problem("wrong_media_type")
    uploads, priors = [], []
    for name, file_name, content in _parts(request.get_data(cache=False), boundary.encode()):
        # A form without a chosen file sends an empty one without a name.
        if name == "photos" and (file_name or content):
            uploads.append(Upload(clean_name(file_name), content))
        if name == "prior":
            priors.append(read_prior(content))
        if len(uploads) > limits.MAX_FILES:
            raise Problem("too_many_files")
    if not uploads:
        raise Problem("no_photo")
    if len(priors) > 1:
        raise Problem("bad_request", "prior stands in the form more than once.")
    return uploads, priors[0] if priors else None


#: A share as people write it, above 0 and below 1; openapi.json has the same.
_PRIOR = re.compile(rb"0?[.][0-9]{0,5}[1-9][0-9]{0,5}")


def read_prior(content: bytes) -> float | None:
    """Return a share of fakes as it was sent; None where nothing was chosen.

    Raises:
        Problem: it is no share.
    """
    if not content:  # a choice that was left as it is
        return None
    if not _PRIOR.fullmatch(content):
        raise Problem(
            "bad_request",
            "prior is the share of fakes among the photos asked about: a number between 0 and 1, "
            "such as 0.1.",
        )
    return float(content)


def clean_name(name: str | None) -> str:
    """Return a file name that can be shown: no path, no control or direction characters."""
    last = (name or "").replace("\\", "/").rsplit("/", 1)[-1]
    shown = "".join(c for c in last if unicodedata.category(c)[0] != "C")
    shown = " ".join(shown.split())
    return _cut(shown, 200, 50) or "photo"


def shortened(name: str) -> str:
    """Return a name for the page, where a long one would push the answer aside."""
    return _cut(name, 40, 15)


def _cut(name: str, begin: int, end: int) -> str:
    return f"{name[:begin]}…{name[-end:]}" if len(name) > begin + end + 5 else name


def check_photo(data: bytes, name: str = "") -> int:
    """Look at the header of a file and refuse what cannot or should not be decoded.

    Args:
        data: the bytes of the file.
        name: of the file, which tells a camera's raw file from a TIFF.

    Returns:
        How many pixels the photo has.

    Raises:
        Problem: too large, not an image, more pixels than :data:`limits.MAX_PIXELS`, or built to
            keep a decoder busy.
    """
    if len(data) > limits.MAX_FILE_BYTES:
        raise Problem("too_large")
    if images.is_raw(name, data):
        raise Problem("not_an_image", f"{images.RAW[0].upper()}{images.RAW[1:]}.")
    scans = screening.screen(data)
    try:
        with Image.open(io.BytesIO(data), formats=images.formats()) as image:
            width, height = image.size
            exif = image.info.get("exif") or b""
    except Image.UnidentifiedImageError as error:
        raise Problem("not_an_image", _NOT_AN_IMAGE) from error
    except Image.DecompressionBombError as error:
        raise Problem("too_many_pixels", _TOO_MANY_PIXELS) from error
    except Exception as error:  # what a decoder raises at a damaged header is anybody's guess
        raise Problem("damaged_image", DAMAGED) from error
    if width * height > limits.MAX_PIXELS:
        raise Problem("too_many_pixels", f"{width} x {height} pixels: {_TOO_MANY_PIXELS}")
    if min(width, height) < images.MIN_SIDE:
        raise Problem("too_small", f"{width} x {height} pixels are too few to judge.")
    if max(width, height) > limits.MAX_RATIO * min(width, height):
        raise Problem("too_small", f"{width} x {height} pixels are too narrow to judge.")
    if width * height * scans > limits.MAX_SCANNED_PIXELS:
        raise Problem("too_many_pixels", _TOO_MANY_SCANS)
    screening.screen_exif(exif)  # where the header alone did not show it: WebP, AVIF, HEIC
    return width * height


#: What people may send, in their words.
FORMATS = "JPEG, PNG, WebP, AVIF, GIF or TIFF"
if "HEIF" in images.formats():
    FORMATS = FORMATS.replace("AVIF", "AVIF, HEIC")

#: Most parts of a form, and most bytes of the header of one.
MAX_PARTS = 4 * limits.MAX_FILES
MAX_PART_HEADER = 8192

_DISPOSITION = re.compile(r"content-disposition\s*:", re.IGNORECASE)

DAMAGED = "This image file is damaged or cut off: save or download it again."
_NOT_AN_IMAGE = f"This is not an image that can be read here: use {FORMATS}."
_TOO_MANY_PIXELS = (
    f"A photo may have {limits.MAX_PIXELS // 1_000_000} megapixels at most: scale it down."
)
_TOO_MANY_SCANS = "This JPEG would take too long to decode: open it and save it again."


def _parts(body: bytes, boundary: bytes) -> Iterator[tuple[str, str, bytes]]:
    """Take a form apart: field name, file name and content of each part.

    Source: RFC 7578 (multipart/form-data) and RFC 2046, section 5.1.1.
    """
    dashes = b"--" + boundary
    start = 0 if body.startswith(dashes) else body.find(b"\r\n" + dashes) + 2
    position = start + len(dashes)
    if not body.startswith(dashes, start):
        raise Problem("bad_request", _NO_FORM)
    for _ in range(MAX_PARTS):
        if body.startswith(b"--", position):
            return
        end_of_head = body.find(b"\r\n\r\n", position, position + MAX_PART_HEADER)
        end = body.find(b"\r\n" + dashes, end_of_head + 2)
        if end_of_head < 0 or end < 0:
            raise Problem("bad_request", _NO_FORM)
        head = body[position:end_of_head].decode("utf-8", "replace")
        lines = [line for line in head.split("\r\n") if _DISPOSITION.match(line)]
        _, options = parse_options_header(lines[0].partition(":")[2] if lines else "")
        yield options.get("name", ""), options.get("filename", ""), body[end_of_head + 4 : end]
        position = end + 2 + len(dashes)
    raise Problem("too_many_files")


_NO_FORM = "This is no whole form: it was cut off, or its parts are not where it says."
