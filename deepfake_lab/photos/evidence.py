"""What a file says about itself, piece by piece, and the words for it."""

from dataclasses import dataclass

#: Most characters that are looked at of one text of a file: a hostile one has megabytes.
MAX_CHARACTERS = 10_000

#: What is not looked for, and why.
UNREADABLE = (
    "Invisible watermarks such as Google's SynthID are read by their makers' services alone: "
    "offline nobody can look for them."
)


@dataclass(frozen=True)
class Evidence:
    """One thing that a file says about itself.

    Attributes:
        kind: ``content_credentials``, ``ai_label``, ``source_type``, ``generator``, ``software``
            or ``camera``.
        sentence: what it says, for a person.
        quote: the words in the file, shortened; empty where the sentence has them all.
    """

    kind: str
    sentence: str
    quote: str = ""

    def __str__(self) -> str:
        return f"{self.sentence} “{self.quote}”" if self.quote else self.sentence


#: What the last part of an IPTC or C2PA digital source type means.
#: Source: https://cv.iptc.org/newscodes/digitalsourcetype/ and the C2PA specification.
SOURCE_TYPES = {
    "trainedAlgorithmicMedia": "made by a generative AI model",
    "trainedAlgorithmicData": "made by a generative AI model",
    "compositeWithTrainedAlgorithmicMedia": "partly made by a generative AI model",
    "compositeSynthetic": "put together with synthetic parts",
    "algorithmicMedia": "made by an algorithm that learned from no data",
    "algorithmicallyEnhanced": "improved by an algorithm",
    "dataDrivenMedia": "made from data",
    "virtualRecording": "recorded in a virtual scene",
    "softwareImage": "made by a program",
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
_SOURCE_TYPES = {name.lower(): meaning for name, meaning in SOURCE_TYPES.items()}


def source_type_name(value: str) -> str:
    """Return the last part of a digital source type: of an address, ``digsrctype:NAME``, ``NAME``.

    Some programs write one, some another, and not all with the same capitals.
    """
    return short(value.rstrip("/ ").replace(":", "/").rsplit("/", 1)[-1], 60)


def source_type_meaning(name: str) -> str:
    """Return what a digital source type means; the name itself where it is not known."""
    return _SOURCE_TYPES.get(name.lower(), f"“{name}”")


def short(text: str, length: int = 200) -> str:
    """Return text on one line, without control characters, cut to a length."""
    start = text[: 10 * length]  # of megabytes, too, no more than that is looked at
    words = " ".join("".join(c if c.isprintable() else " " for c in start).split())
    return words if len(words) <= length else f"{words[: length - 1]}…"
