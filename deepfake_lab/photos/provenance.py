"""What a file says about itself, as evidence beside the score: texts, EXIF, XMP, and what else.

None of it enters the score. Metadata is easy to remove and easy to forge; signed Content
Credentials are easy to remove, but not to forge. That a file says nothing proves nothing.
"""

import html
import io
import json
import re
from collections.abc import Iterator
from itertools import chain, islice

from PIL import ExifTags, Image

from deepfake_lab.photos.credentials import read_credentials
from deepfake_lab.photos.evidence import (
    MAX_CHARACTERS,
    Evidence,
    short,
    source_type_meaning,
    source_type_name,
)
from deepfake_lab.photos.hidden import read_hidden

#: How much of a file's words is looked at: most texts, bytes of its XMP data, prefixes for one
#: namespace in there, and most pieces of evidence. A photo has less of all; a hostile file has
#: megabytes.
MAX_TEXTS = 200
MAX_XMP_BYTES = 1_000_000
MAX_PREFIXES = 3
MAX_EVIDENCE = 12

#: The first bytes of a PNG file.
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


# Text chunks in which image generators keep their settings -> the program that writes them.
_SETTINGS = {
    "parameters": "Stable Diffusion web UI or a relative of it",
    "workflow": "ComfyUI",
    "prompt": "ComfyUI",
    "invokeai_metadata": "InvokeAI",
    "invokeai_graph": "InvokeAI",
    "sd-metadata": "InvokeAI",
    "Dream": "InvokeAI",
    "fooocus_scheme": "Fooocus",
}
_GENERATORS = re.compile(
    r"stable.?diffusion|midjourney|dall.?e\b|adobe firefly|novelai|comfyui|invokeai|fooocus"
    r"|automatic1111|made with google ai|\bimagen.?[2-9]|google gemini|chatgpt"
    r"|openai|gpt.?image|leonardo\.ai|ideogram|\bflux.?[12]\b|thispersondoesnotexist|stylegan"
    r"|generated\.photos|\bgrok\b",
    re.IGNORECASE,
)
# The value of the property, as an attribute, as text or as a resource; or the address anywhere.
_XMP_SOURCE_TYPE = re.compile(
    rb"digitalsource(?:file)?type(?:\s*=\s*[\"']|(?:\s+rdf:resource\s*=\s*[\"']|\s*>)\s*|/)"
    rb"([^\"'<>]{1,200})",
    re.IGNORECASE,
)
# The prefix that stands for the namespace of the label, and what it names.
_XMP_LABEL_PREFIX = re.compile(
    rb"xmlns:(\w{1,40})\s*=\s*[\"']http://www\.tc260\.org\.cn/ns/AIGC/1\.0/[\"']"
)
_XMP_TOOL = re.compile(rb"(?:CreatorTool|photoshop:Credit)(?:=\"|>\s*)([^\"<]{1,200})")


def read_evidence(image: Image.Image, data: bytes) -> tuple[Evidence, ...]:
    """Return what a file says about itself; empty where it says nothing that matters here.

    Args:
        image: the file, decoded by Pillow.
        data: its bytes.

    Raises:
        UserError: the trust list that the user named cannot be read.
    """
    mime = Image.MIME.get(image.format or "", "")
    try:
        found = _told_by(image)
        if first := _late_texts_first(data):
            with Image.open(io.BytesIO(first), formats=("PNG",)) as again:
                found = _told_by(again)
    except Exception as error:  # as at the pixels: a decoder may raise anything
        found = [Evidence("software", "Its metadata is damaged.", type(error).__name__)]
    told = chain(read_credentials(data, mime), read_hidden(image), found)
    return tuple(islice(told, MAX_EVIDENCE))


def jpeg_quality(image: Image.Image) -> int | None:
    """Return about which quality (1-100) a JPEG was saved with last; None for other formats.

    It is the quality of the libjpeg table whose coarse steps (those for the slowest changes of
    brightness) are as large; the fine ones all reach their limit at low qualities.
    """
    table = getattr(image, "quantization", {}).get(0)
    if not table:
        return None
    coarse = sum(table[8 * row + column] for row in range(3) for column in range(3))
    # Those nine add up to 118 in the luminance table of the standard (ITU T.81, annex K).
    percent = 100 * coarse / 118
    quality = 5000 / percent if percent > 100 else 100 - percent / 2
    return max(1, min(100, round(quality)))


def _told_by(image: Image.Image) -> list[Evidence]:
    """Return what the metadata of an opened image says, each thing once."""
    told = chain(_from_texts(image), _from_exif(image), _from_xmp(image))
    return list(dict.fromkeys(islice(told, MAX_TEXTS)))


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the type, start and end of each chunk of a PNG file; none for other files."""
    position = len(PNG_SIGNATURE) if data.startswith(PNG_SIGNATURE) else len(data)
    while position + 12 <= len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4])
        yield data[position + 4 : position + 8], position, end
        position = end


def _late_texts_first(data: bytes) -> bytes:
    """Return a PNG with what it says behind its pixels before them; empty if it says nothing there.

    Pillow would come to it only after it has decoded all the pixels.
    """
    pixels, late = 0, []
    for kind, start, end in png_chunks(data):
        if kind == b"IDAT" and not pixels:
            pixels = start
        elif pixels and kind in (b"tEXt", b"zTXt", b"iTXt", b"eXIf"):
            late.append(data[start:end])
    return data[:pixels] + b"".join(late) + data[pixels:] if late else b""


def _from_texts(image: Image.Image) -> Iterator[Evidence]:
    """Read the text chunks of a PNG (other formats have a comment at most)."""
    for key, value in islice(image.info.items(), MAX_TEXTS):
        if isinstance(value, bytes) and key == "comment":
            value = value[:MAX_CHARACTERS].decode("utf-8", "replace")
        if not isinstance(value, str) or key == "XML:com.adobe.xmp":
            continue
        if key == "AIGC":
            yield _ai_label(value)
            continue
        text = f"{key}: {value[:MAX_CHARACTERS]}"
        if key in _SETTINGS:
            yield Evidence(
                "generator",
                f"The file carries the settings of an image generator ({_SETTINGS[key]}).",
                short(text),
            )
        elif _GENERATORS.search(text):
            yield Evidence("generator", "The file names an image generator.", short(text))
        elif key == "Software":
            yield Evidence("software", f"The file names the program “{short(value, 80)}”.")


def _from_exif(image: Image.Image) -> Iterator[Evidence]:
    exif = image.getexif()
    details = exif.get_ifd(ExifTags.IFD.Exif)
    comment = details.get(ExifTags.Base.UserComment, b"")
    values = {
        "Software": exif.get(ExifTags.Base.Software),
        "ImageDescription": exif.get(ExifTags.Base.ImageDescription),
        "Artist": exif.get(ExifTags.Base.Artist),
        # Its first eight bytes name the encoding; the words are legible without it.
        "UserComment": comment[8:MAX_CHARACTERS].replace(b"\0", b"").decode("utf-8", "replace")
        if isinstance(comment, bytes)
        else comment,
    }
    for key, value in values.items():
        if not isinstance(value, str) or not value.strip():
            continue
        value = value[:MAX_CHARACTERS]
        text = f"{key}: {value}"
        if '"Label"' in value and '"ContentProducer"' in value:
            yield _ai_label(value)
            continue
        settings = key == "UserComment" and "Steps: " in value and "Sampler" in value
        if settings or _GENERATORS.search(text):
            yield Evidence("generator", "The file names an image generator.", short(text))
        elif key == "Software":
            yield Evidence("software", f"The file names the program “{short(value, 80)}”.")
    camera = [exif.get(tag) for tag in (ExifTags.Base.Make, ExifTags.Base.Model)]
    words = short(" ".join(part for part in camera if isinstance(part, str)), 80)
    if words:
        yield Evidence("camera", f"The file names the camera “{words}”.")


#: What the numbers of the label mean.
_AI_LABELS = {"1": "made by AI", "2": "possibly made by AI", "3": "suspected to be made by AI"}


def _ai_label(text: str) -> Evidence:
    """Read the label that Chinese law asks of whoever makes or spreads AI content.

    Source: GB 45438-2025, appendix E (the JSON text); TC260-PG-20258A (its place in image files).
    """
    carries = "The file carries the label of China's standard for AI content (GB 45438-2025)"
    try:
        told = json.loads(text[:MAX_CHARACTERS])
        told = told.get("AIGC", told)
        meaning = _AI_LABELS.get(str(told["Label"]).strip())
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError):
        return Evidence("ai_label", f"{carries}, which cannot be read.", short(text))
    says = meaning or f"“{short(str(told['Label']), 20)}”, a value that the standard does not know"
    named = {key: told.get(key) for key in ("ContentProducer", "ContentPropagator")}
    quote = "; ".join(f"{key}: {value}" for key, value in named.items() if value)
    return Evidence("ai_label", f"{carries}. It says: {says}.", short(quote))


def _from_xmp(image: Image.Image) -> Iterator[Evidence]:
    """Search the XMP packet with patterns: no XML parser ever sees it."""
    packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    packet = packet[:MAX_XMP_BYTES]
    packet = packet.encode() if isinstance(packet, str) else packet
    for match in dict.fromkeys(_XMP_SOURCE_TYPE.findall(packet)):
        if name := source_type_name(match.decode("utf-8", "replace")):
            yield Evidence(
                "source_type", f"Its metadata calls it {source_type_meaning(name)}.", name
            )
    for prefix in list(dict.fromkeys(_XMP_LABEL_PREFIX.findall(packet)))[:MAX_PREFIXES]:
        label = rb"\b" + prefix + rb":AIGC(?:\s*=\s*(?:\"([^\"]+)\"|'([^']+)')|\s*>([^<]+)<)"
        for found in re.finditer(label, packet):
            value = next(filter(None, found.groups()))[: 2 * MAX_CHARACTERS]
            yield _ai_label(html.unescape(value.decode("utf-8", "replace")))
    for match in dict.fromkeys(_XMP_TOOL.findall(packet)):
        tool = match.decode("utf-8", "replace")
        if _GENERATORS.search(tool):
            yield Evidence("generator", "The file names an image generator.", short(tool))
        else:
            yield Evidence("software", f"The file names the program “{short(tool, 80)}”.")
