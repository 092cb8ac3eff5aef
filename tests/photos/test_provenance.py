"""What a file says about itself: each kind of evidence, and files that lie about their sizes."""

import datetime
import html
import io
import json
import os
import time
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from benchmarks.web import photo
from deepfake_lab.errors import UserError
from deepfake_lab.photos import credentials
from deepfake_lab.photos.images import read_photo
from tests.telling import hidden, png, signed, with_xmp


def sentences(data: bytes) -> str:
    return " ".join(str(piece) for piece in read_photo(data).evidence)


# --- texts, EXIF, XMP ---


def test_settings_of_an_image_generator_are_found():
    said = sentences(png(parameters="a sailor Steps: 20, Sampler: Euler a"))
    assert "settings of an image generator" in said and "a sailor" in said


def test_what_a_png_says_behind_its_pixels_is_found():
    words = png(parameters="a sailor Steps: 20, Sampler: Euler a")
    said, start = words[33 : words.index(b"IDAT") - 4], words.index(b"IDAT") - 4
    behind = words[:33] + words[start:-12] + said + words[-12:]
    assert "settings of an image generator" in sentences(behind)


def test_an_editing_program_is_named_without_blame():
    (piece,) = read_photo(png(Software="GIMP 2.10")).evidence
    assert piece.kind == "software" and "GIMP 2.10" in piece.sentence


def test_a_camera_in_the_exif_data_is_named():
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "NIKON", "D90"
    assert "the camera “NIKON D90”" in sentences(photo(exif=exif))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_details_of_the_exif_data_are_read_whatever_the_format(kind):
    exif = Image.Exif()
    exif[0x010F] = "NIKON"
    exif.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0Steps: 20, Sampler: Euler a"
    assert "names an image generator" in sentences(photo(kind, exif=exif))


_ADDRESS = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        ("JPEG", f'<a Iptc4xmpExt:DigitalSourceType="{_ADDRESS}"/>'),
        ("PNG", f'<a Iptc4xmpExt:DigitalSourceType="{_ADDRESS}"/>'),
        ("WEBP", f'<a Iptc4xmpExt:DigitalSourceType="{_ADDRESS}"/>'),
        ("JPEG", f"<a x:DigitalSourceType = '{_ADDRESS.replace('http:', 'https:')}/'/>"),
        ("JPEG", '<a x:DigitalSourceType="digsrctype:trainedAlgorithmicMedia"/>'),
        ("JPEG", '<a x:DigitalSourceType="trainedAlgorithmicMedia"/>'),
        ("JPEG", '<a x:DigitalSourceType="TrainedAlgorithmicMedia"/>'),
        ("JPEG", f"<x:DigitalSourceType> {_ADDRESS} </x:DigitalSourceType>"),
        ("JPEG", "<x:DigitalSourceType>trainedAlgorithmicMedia</x:DigitalSourceType>"),
        ("JPEG", f'<x:DigitalSourceType rdf:resource="{_ADDRESS}"/>'),
        ("JPEG", '<x:DigitalSourceFileType rdf:resource="trainedAlgorithmicMedia"/>'),
    ],
)
def test_the_source_type_is_found_however_it_is_written(kind, written):
    (piece,) = read_photo(with_xmp(written, kind)).evidence
    assert piece.kind == "source_type" and "made by a generative AI model" in piece.sentence


def test_a_source_type_that_nobody_knows_is_quoted():
    said = sentences(with_xmp('<a x:DigitalSourceType="digsrctype:dreamtOf"/>'))
    assert "calls it “dreamtOf”" in said


def test_a_packet_without_a_source_type_says_nothing_of_one():
    assert sentences(with_xmp('<a x:DigitalSourceType=""/><b>digital source type</b>')) == ""


# --- China's label ---

_LABEL = {"Label": "1", "ContentProducer": "001X", "ProduceID": "7", "ContentPropagator": "Example"}


def _labelled(value: str, form: str = "text", namespace: str = "") -> str:
    name = f'xmlns:TC260="{namespace or "http://www.tc260.org.cn/ns/AIGC/1.0/"}"'
    if form == "attribute":
        return f"<a {name} TC260:AIGC='{value}'/>"
    if form == "escaped":
        return f'<a {name} TC260:AIGC="{html.escape(value)}"/>'
    return f"<a {name}><TC260:AIGC>{html.escape(value)}</TC260:AIGC></a>"


@pytest.mark.parametrize("form", ["text", "attribute", "escaped"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_the_label_of_chinas_standard_is_read(kind, form):
    (piece,) = read_photo(with_xmp(_labelled(json.dumps(_LABEL), form), kind)).evidence
    assert piece.kind == "ai_label" and piece.sentence.endswith("It says: made by AI.")
    assert piece.quote == "ContentProducer: 001X; ContentPropagator: Example"


@pytest.mark.parametrize(
    ("label", "words"),
    [("2", "possibly made by AI"), (3, "suspected to be made by AI"), ("9", "“9”, a value that")],
)
def test_each_value_of_the_label_has_its_words(label, words):
    assert words in sentences(with_xmp(_labelled(json.dumps({"Label": label}))))


@pytest.mark.parametrize("key", ["AIGC", "Comment_"])
def test_the_label_as_a_text_of_a_png_is_read(key):
    data = png(**{key.rstrip("_"): json.dumps({"AIGC": _LABEL})})
    assert ("made by AI" in sentences(data)) == (key == "AIGC")


@pytest.mark.parametrize(
    "value", ["", "value1", "[1]", '{"AIGC": "1"}', "{}", "[" * 9000, '{"Label": 1' * 2000]
)
def test_a_label_that_cannot_be_read_is_told_as_such(value):
    said = sentences(with_xmp(_labelled(value)))
    assert ("cannot be read" in said) == bool(value) and len(said) < 400


def test_the_label_of_another_namespace_is_none():
    packet = _labelled(json.dumps(_LABEL), namespace="http://example.org/AIGC/")
    assert sentences(with_xmp(packet)) == ""


def test_a_namespace_with_a_thousand_prefixes_takes_no_time():
    names = "".join(f'xmlns:p{i}="http://www.tc260.org.cn/ns/AIGC/1.0/" ' for i in range(16_000))
    data = photo("WEBP", 64, xmp=f"<a {names}/>".encode())
    start = time.perf_counter()
    assert sentences(data) == "" and time.perf_counter() - start < 1


# --- hidden in the pixels ---

_SETTINGS = json.dumps(
    {"Description": "a sailor", "Software": "NovelAI", "Comment": '{"steps": 28}'}
).encode()


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("name", ["stealth_pnginfo", "stealth_pngcomp", "stealth_rgbinfo",
                                  "stealth_rgbcomp"])  # fmt: skip
def test_settings_hidden_in_the_pixels_are_found(kind, name):
    (piece,) = read_photo(hidden(_SETTINGS, name, kind=kind)).evidence
    assert (piece.kind, piece.quote) == ("generator", "a sailor")
    assert piece.sentence.endswith("hide the settings of an image generator (NovelAI).")


def test_hidden_words_that_are_no_json_are_quoted():
    said = sentences(hidden("a sailor, Grüße\nSteps: 20".encode(), "stealth_rgbcomp"))
    assert "a sailor, Grüße Steps: 20" in said


def test_hidden_settings_are_found_in_a_photo_lower_than_their_name_is_long():
    data = hidden(b"a sailor", "stealth_pnginfo")
    pixels = np.asarray(Image.open(io.BytesIO(data)))  # (96, 96, 4)
    flat = pixels.swapaxes(0, 1).reshape(512, 18, 4).swapaxes(0, 1)  # (18, 512, 4), same columns
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(flat)).save(stream, "PNG")
    assert "a sailor" in sentences(stream.getvalue())


@pytest.mark.parametrize("bits", [0, 7, 2**32 - 1, 8 * 900_000])
def test_a_hidden_text_of_a_wrong_length_is_told_as_damaged(bits):
    (piece,) = read_photo(hidden(_SETTINGS, "stealth_pnginfo", bits)).evidence
    assert "they are damaged" in piece.sentence and piece.quote == "stealth_pnginfo"


def test_hidden_content_that_is_not_compressed_as_it_says_is_told_as_damaged(monkeypatch):
    data = hidden(b"x" * 60, "stealth_pngcomp", bits=8 * 10)  # cut off within gzip's own header
    assert sentences(data).count("generator") == 1
    plain = hidden(b"no gzip at all" * 9, "stealth_pnginfo")
    image = np.array(Image.open(io.BytesIO(plain)))
    comp = np.unpackbits(np.frombuffer(b"stealth_pngcomp", np.uint8))
    rows = image[:96, 0, 3], image[:24, 1, 3]
    for row, part in zip(rows, (comp[:96], comp[96:])):
        row[:] = row & 0xFE | part
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    assert "they are damaged" in sentences(stream.getvalue())


def test_a_bomb_in_the_pixels_is_unpacked_only_at_its_beginning():
    data = hidden(bytes(30_000_000), side=512)
    tracemalloc.start()
    try:
        (piece,) = read_photo(data).evidence
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert piece.kind == "generator" and peak < 10_000_000


def test_deeply_nested_hidden_words_are_no_bug():
    assert "[[[" in sentences(hidden(b"[" * 100_000))


def test_a_jpeg_cannot_hide_anything_there():
    pixels = Image.open(io.BytesIO(hidden(_SETTINGS, "stealth_rgbinfo"))).convert("RGB")
    stream = io.BytesIO()
    pixels.save(stream, "JPEG", quality=100, subsampling=0)
    assert sentences(stream.getvalue()) == ""


# --- Content Credentials ---


@pytest.fixture(scope="module")
def credentialed() -> tuple[bytes, bytes]:
    return signed(photo())


@pytest.fixture
def trust(tmp_path, monkeypatch):
    """Name a trust list with this content; it is dated the 2nd of May 2026."""

    def name(content: bytes) -> None:
        file = tmp_path / "list.pem"
        file.write_bytes(content)
        day = datetime.datetime(2026, 5, 2, 12).timestamp()
        os.utime(file, (day, day))
        monkeypatch.setenv(credentials.TRUST_LIST, str(file))

    credentials._read_trust_list.cache_clear()
    yield name
    credentials._read_trust_list.cache_clear()


def test_content_credentials_are_read_and_checked(credentialed):
    said = sentences(credentialed[0])
    assert "signed in the name of “Example Newsroom”" in said and "signature is intact" in said
    assert "call it made by a generative AI model" in said


def test_without_a_trust_list_no_signer_is_called_trusted(credentialed):
    said = sentences(credentialed[0])
    assert "was not checked, since no trust list was named" in said and "is on the" not in said


def test_a_signer_on_the_trust_list_is_said_to_be_there_with_the_date_of_the_list(
    credentialed, trust
):
    data, root = credentialed
    trust(b"# my own\n" + root)
    assert "its signer is on the trust list (list.pem of 2026-05-02)" in sentences(data)


def test_a_signer_that_the_trust_list_does_not_know_is_said_not_to_be_there(credentialed, trust):
    _, root = signed(photo())
    trust(root)
    said = sentences(credentialed[0])
    assert "is NOT on the trust list (list.pem of 2026-05-02)" in said and "was not" not in said


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"\xff" * 9],
)
def test_a_trust_list_without_a_whole_certificate_is_refused(credentialed, trust, content):
    trust(content)
    with pytest.raises(UserError, match=r"list\.pem is no PEM file of whole certificates"):
        read_photo(credentialed[0])


def test_a_trust_list_that_is_not_there_is_refused_before_any_photo(capsys, monkeypatch, tmp_path):
    from deepfake_lab.cli import main

    monkeypatch.setenv(credentials.TRUST_LIST, "")  # so that the command's own leaves with the test
    missing = tmp_path / "none.pem"
    assert main(["predict", "photo.jpg", "--trust-list", str(missing)]) == 2
    assert capsys.readouterr().err.startswith(f"deepfake-lab: The trust list {missing} cannot be")


def test_a_trust_list_without_the_package_that_reads_credentials_is_refused(trust, monkeypatch):
    trust(b"")
    monkeypatch.setattr("deepfake_lab.extras.find_spec", lambda name: None)
    with pytest.raises(UserError, match="The package 'c2pa' is missing"):
        credentials.trust_list()


def test_content_credentials_of_a_changed_file_do_not_fit(credentialed):
    data = bytearray(credentialed[0])
    data[-300] ^= 0x55
    assert "do NOT fit this file" in sentences(bytes(data))


def test_credentials_that_do_not_hold_are_not_blamed_on_the_photo():
    codes = ["signingCredential.untrusted", "signingCredential.expired"]
    report = {"validation_state": "Invalid", "validation_status": [{"code": c} for c in codes]}
    said = credentials._state(report, None)
    assert said == "But they do NOT hold (signingCredential.expired)."


def test_content_credentials_without_the_extra_are_at_least_mentioned(credentialed, monkeypatch):
    monkeypatch.setattr(credentials, "find_spec", lambda name: None)
    assert "install the extra “provenance”" in sentences(credentialed[0])


def test_content_credentials_elsewhere_are_not_fetched():
    """A file must not make the server call an address of its choice."""
    import socketserver
    import threading

    calls = []

    class Listener(socketserver.BaseRequestHandler):
        def handle(self):
            calls.append(self.client_address)

    with socketserver.TCPServer(("127.0.0.1", 0), Listener) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{listener.server_address[1]}/manifest.c2pa"
        read_photo(with_xmp(f'<a dcterms:provenance="{address}" note="c2pa jumb"/>'))
        listener.shutdown()
    assert calls == []
