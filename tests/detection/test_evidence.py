"""What a file says about itself, and what speaks against an answer: the same for all who ask."""

import html
import io
import json

import numpy as np
import pytest
from PIL import Image, ImageFilter
from PIL.PngImagePlugin import PngInfo

from benchmarks.web import form, photo
from deepfake_lab.cli import main
from deepfake_lab.detection.detector import Detector
from deepfake_lab.web import create_app
from tests.telling import hidden


def _compressed() -> bytes:
    """Return a strongly compressed JPEG that names a camera."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "NIKON", "D90"
    return photo(quality=20, exif=exif)


def _talkative() -> bytes:
    """Return a PNG with hidden settings, China's label, a source type and a program."""
    address = "http://www.tc260.org.cn/ns/AIGC/1.0/"
    info = PngInfo()
    info.add_itxt(
        "XML:com.adobe.xmp",
        f"""<a xmlns:x="{address}" x:AIGC='{{"Label": "1", "ContentProducer": "X"}}'"""
        """ DigitalSourceType="trainedAlgorithmicMedia"/>""",
    )
    info.add_text("Software", "GIMP 2.10")
    out = io.BytesIO()
    Image.open(io.BytesIO(hidden(b"a <sailor>"))).save(out, "PNG", pnginfo=info)
    return out.getvalue()


@pytest.mark.parametrize(
    ("make", "kinds"),
    [
        (_compressed, ["camera"]),
        (_talkative, ["generator", "software", "source_type", "ai_label"]),
    ],
    ids=["compressed JPEG", "talkative PNG"],
)
def test_command_python_api_and_page_say_the_same(detector, make, kinds, tmp_path, capsys):
    file = tmp_path / "a.jpg"
    file.write_bytes(make())
    said = detector.predict(file)
    pieces = [vars(piece) for piece in said.evidence]
    assert [piece["kind"] for piece in pieces] == kinds and said.caveats

    def command(*options: str) -> str:
        assert main(["predict", str(file), "--model", str(detector.folder), *options]) == 0
        return capsys.readouterr().out

    (row,) = json.loads(command("--format", "json"))
    assert (row["caveats"], row["evidence"]) == (list(said.caveats), pieces)
    table = command("--format", "csv")
    text = command()
    client = create_app(detector).test_client()
    body, headers = form(("a.jpg", file.read_bytes()))
    (told,) = client.post("/api/predict", data=body, headers=headers).json["predictions"]
    assert (told["caveats"], told["evidence"]) == (list(said.caveats), pieces)
    page = html.unescape(client.post("/answer", data=body, headers=headers).text)
    cell = html.unescape(said._repr_html_())
    frame = detector.predict(tmp_path)
    assert frame["caveats"][0] == " ".join(said.caveats)
    for piece in said.evidence:
        assert all(str(piece) in told for told in (text, frame["evidence"][0], cell))
        assert str(piece) in table.replace('""', '"')
        assert piece.sentence in page and piece.quote in page


def test_a_strongly_compressed_photo_has_a_caveat_in_python_too(detector):
    assert any("JPEG quality about 20" in said for said in detector.predict(_compressed()).caveats)


def test_a_photo_without_a_file_has_no_evidence(detector):
    image = Image.open(io.BytesIO(_compressed()))
    assert detector.predict(image).evidence == ()
    assert detector.predict(np.asarray(image)).evidence == ()


def test_a_photo_softer_than_those_of_the_calibration_is_called_blurred():
    detector = Detector.load("cnn")
    sharp = Image.open(io.BytesIO(photo()))
    blurred = sharp.filter(ImageFilter.GaussianBlur(8))
    told = [" ".join(detector.predict(image).caveats) for image in (sharp, blurred)]
    assert ["is blurred" in caveats for caveats in told] == [False, True]
