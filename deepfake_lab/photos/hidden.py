"""Settings that image generators hide in the pixels: NovelAI, and add-ons of Stable Diffusion.

The lowest bit of the transparency (``stealth_pnginfo``, ``stealth_pngcomp``) or of red, green and
blue (``stealth_rgbinfo``, ``stealth_rgbcomp``) carries, column by column and each byte from its
highest bit, that name, the length of the text in bits (32 bits, highest byte first) and the text,
UTF-8; ``comp`` is compressed with gzip. It survives programs that drop texts beside the pixels, and
nothing that changes a pixel.
"""

import json
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from deepfake_lab.photos.evidence import MAX_CHARACTERS, Evidence, short

#: Formats that keep every bit.
LOSSLESS = ("PNG", "WEBP", "TIFF", "BMP")

#: Longest hidden text, in bytes as it lies there. Prompts have some thousand.
MAX_BYTES = 1_000_000

_NAMES = {
    "A": (b"stealth_pnginfo", b"stealth_pngcomp"),
    "RGB": (b"stealth_rgbinfo", b"stealth_rgbcomp"),
}
_NAME_BITS = 8 * len(b"stealth_pnginfo")


def read_hidden(image: Image.Image) -> Iterator[Evidence]:
    """Yield what is hidden in the pixels of a decoded image; of most, a column is looked at."""
    if image.format not in LOSSLESS:
        return
    for channels, names in _NAMES.items():
        if image.mode not in ("RGBA", "RGB") or not set(channels) <= set(image.mode):
            continue
        name = _bytes(_bits(image, channels, _NAME_BITS))
        if name in names:
            yield _found(image, channels, name)


def _found(image: Image.Image, channels: str, name: bytes) -> Evidence:
    text = _text(image, channels, name.endswith(b"comp"))
    sentence = "The pixels hide the settings of an image generator"
    if text is None:
        return Evidence(
            "generator", f"{sentence}, which cannot be read: they are damaged.", name.decode()
        )
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        told = None
    if isinstance(told, dict):
        program = told.get("Software")
        text = str(told.get("Description") or text)
        if isinstance(program, str) and program.strip():
            sentence += f" ({short(program, 40)})"
    return Evidence("generator", f"{sentence}.", short(text))


def _text(image: Image.Image, channels: str, packed: bool) -> str | None:
    """Return the beginning of the hidden text; None where there is no whole one."""
    head = _NAME_BITS + 32
    length = int.from_bytes(_bytes(_bits(image, channels, head)[_NAME_BITS:])) // 8
    if not 0 < length <= MAX_BYTES:
        return None
    content = _bytes(_bits(image, channels, head + 8 * length)[head:])
    if len(content) < length:
        return None
    if packed:
        try:  # no more is unpacked than is looked at
            content = zlib.decompressobj(wbits=31).decompress(content, 4 * MAX_CHARACTERS)
        except zlib.error:
            return None
    return content[: 4 * MAX_CHARACTERS].decode("utf-8", "replace")[:MAX_CHARACTERS]


def _bits(image: Image.Image, channels: str, number: int) -> np.ndarray:
    """Return the lowest bits of the first columns, as many as there are up to a number."""
    columns = min(image.width, -(-number // (len(channels) * image.height)))
    part = np.asarray(image.crop((0, 0, columns, image.height)))  # (H, columns, 3 or 4) uint8
    chosen = part[..., 3:] if channels == "A" else part[..., :3]
    return chosen.swapaxes(0, 1).reshape(-1)[:number] & 1


def _bytes(bits: np.ndarray) -> bytes:
    return np.packbits(bits[: len(bits) // 8 * 8]).tobytes()
