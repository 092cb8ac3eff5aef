"""What a file says about itself: Content Credentials and metadata, as evidence beside the score.

None of it enters the score. Metadata is easy to remove and easy to forge; signed Content
Credentials are easy to remove, but not to forge. That a file says nothing proves nothing.
"""

import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import chain, islice

from PIL import ExifTags, Image

#: How much of a file's words is looked at: most texts, characters of each, bytes of its XMP data,
#: and most pieces of evidence. A photo has less of all; a hostile file has megabytes.
MAX_TEXTS = 200
MAX_CHARACTERS = 10_000
MAX_XMP_BYTES = 1_000_000
MAX_EVIDENCE = 12

#: The first bytes of a PNG file.
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Evidence:
    """One thing that a file says about itself.

    Attributes:
        kind: ``content_credentials``, ``source_type``, ``generator``, ``software`` or ``camera``.
        sentence: what it says, for a person.
        quote: the words in the file, shortened; empty where the sentence has them all.
    """

    kind: str
    sentence: str
    quote: str = ""

    def __str__(self) -> str:
        return f"{self.sentence} “{self.quote}”" if self.quote else self.sentence


#: What the last part of an IPTC digital source type means.
#: Source: https://cv.iptc.org/newscodes/digitalsourcetype/
SOURCE_TYPES = {
    "trainedAlgorithmicMedia": "made by a generative AI model",
    "compositeWithTrainedAlgorithmicMedia": "partly made by a generative AI model",
    "compositeSynthetic": "put together with synthetic parts",
    "algorithmicMedia": "made by an algorithm that learned from no data",
    "dataDrivenMedia": "made from data",
    "virtualRecording": "recorded in a virtual scene",
    "digitalCreation": "made by a person with a digital tool",
    "digitalArt": "made by a person with a digital tool",
    "humanEdits": "edited by a person",
    "minorHumanEdits": "slightly edited by a person",
    "composite": "put together from several pictures",
    "compositeCapture": "put together from several photos",
    "computationalCapture": "taken with a camera that computes",
    "digitalCapture": "taken with a digital camera",
    "negativeFilm": "scanned from film",
    "positiveFilm": "scanned from film",
    "print": "scanned from paper",
    "screenCapture": "a capture of a screen",
}

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
_XMP_SOURCE_TYPE = re.compile(rb"digitalsourcetype/(\w{1,60})")
_XMP_TOOL = re.compile(rb"(?:CreatorTool|photoshop:Credit)(?:=\"|>\s*)([^\"<]{1,200})")


def read_evidence(image: Image.Image, data: bytes) -> tuple[Evidence, ...]:
    """Return what a file says about itself; empty where it says nothing that matters here.

    Args:
        image: the file, opened by Pillow; whether it has been decoded does not matter.
        data: its bytes.
    """
    mime = Image.MIME.get(image.format or "", "")
    try:
        found = _told_by(image)
        if first := _late_texts_first(data):
            with Image.open(io.BytesIO(first), formats=("PNG",)) as again:
                found = _told_by(again)
    except Exception as error:  # as at the pixels: a decoder may raise anything
        found = [Evidence("software", "Its metadata is damaged.", type(error).__name__)]
    return tuple(islice(chain(_content_credentials(data, mime), found), MAX_EVIDENCE))


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
        text = f"{key}: {value[:MAX_CHARACTERS]}"
        if key in _SETTINGS:
            yield Evidence(
                "generator",
                f"The file carries the settings of an image generator ({_SETTINGS[key]}).",
                _short(text),
            )
        elif _GENERATORS.search(text):
            yield Evidence("generator", "The file names an image generator.", _short(text))
        elif key == "Software":
            yield Evidence("software", f"The file names the program “{_short(value, 80)}”.")


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
        settings = key == "UserComment" and "Steps: " in value and "Sampler" in value
        if settings or _GENERATORS.search(text):
            yield Evidence("generator", "The file names an image generator.", _short(text))
        elif key == "Software":
            yield Evidence("software", f"The file names the program “{_short(value, 80)}”.")
    camera = [exif.get(tag) for tag in (ExifTags.Base.Make, ExifTags.Base.Model)]
    words = _short(" ".join(part for part in camera if isinstance(part, str)), 80)
    if words:
        yield Evidence("camera", f"The file names the camera “{words}”.")


def _from_xmp(image: Image.Image) -> Iterator[Evidence]:
    """Search the XMP packet with patterns: no XML parser ever sees it."""
    packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    packet = packet[:MAX_XMP_BYTES]
    packet = packet.encode() if isinstance(packet, str) else packet
    for match in dict.fromkeys(_XMP_SOURCE_TYPE.findall(packet)):
        name = match.decode("ascii", "replace")
        yield Evidence("source_type", f"Its metadata calls it {_meaning(name)}.", name)
    for match in dict.fromkeys(_XMP_TOOL.findall(packet)):
        tool = match.decode("utf-8", "replace")
        if _GENERATORS.search(tool):
            yield Evidence("generator", "The file names an image generator.", _short(tool))
        else:
            yield Evidence("software", f"The file names the program “{_short(tool, 80)}”.")


def _content_credentials(data: bytes, mime: str) -> Iterator[Evidence]:
    if b"c2pa" not in data or b"jumb" not in data:
        return
    if find_spec("c2pa") is None:
        yield Evidence(
            "content_credentials",
            "The file carries Content Credentials. To read them, install the extra “provenance”.",
        )
        return
    import c2pa

    # Nothing is ever fetched: a file must not make this server call an address of its choice.
    offline = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}
    try:
        context = c2pa.Context(c2pa.Settings.from_dict(offline))
        reader = c2pa.Reader.try_create(mime, io.BytesIO(data), context=context)
        report = json.loads(reader.json()) if reader else {}
    except (c2pa.C2paError, ValueError) as error:
        yield Evidence(
            "content_credentials",
            "The file carries Content Credentials that cannot be read: they are damaged.",
            _short(str(error), 80),
        )
        return
    manifest = report.get("manifests", {}).get(report.get("active_manifest"))
    if manifest:
        yield from _manifest(manifest, report.get("validation_state", "Invalid"))


def _manifest(manifest: dict, state: str) -> Iterator[Evidence]:
    signer = _short(str(manifest.get("signature_info", {}).get("issuer") or "somebody unnamed"), 80)
    makers = manifest.get("claim_generator_info") or [{}]
    maker = _short(str(makers[0].get("name") or manifest.get("claim_generator") or ""), 80)
    made = f", written by “{maker}”" if maker else ""
    state_words = {
        "Trusted": "The signature is intact, and its signer is known.",
        "Valid": "The signature is intact; who stands behind that name was not checked.",
    }.get(
        state,
        "But they do NOT fit this file: it was changed after signing, or they were copied from "
        "another file.",
    )
    yield Evidence(
        "content_credentials",
        f"Content Credentials (C2PA), signed in the name of “{signer}”{made}. {state_words}",
    )
    for assertion in manifest.get("assertions", []):
        if not str(assertion.get("label", "")).startswith("c2pa.actions"):
            continue
        actions = assertion.get("data", {}).get("actions", [])
        for kind in dict.fromkeys(str(a.get("digitalSourceType", "")) for a in actions):
            name = kind.rsplit("/", 1)[-1]
            if name:
                yield Evidence(
                    "content_credentials",
                    f"The Content Credentials call it {_meaning(name)}.",
                    _short(name, 60),
                )


def _meaning(source_type: str) -> str:
    return SOURCE_TYPES.get(source_type, f"“{_short(source_type, 60)}”")


def _short(text: str, length: int = 200) -> str:
    """Return text on one line, without control characters, cut to a length."""
    start = text[: 10 * length]  # of megabytes, too, no more than that is looked at
    words = " ".join("".join(c if c.isprintable() else " " for c in start).split())
    return words if len(words) <= length else f"{words[: length - 1]}…"
