"""What a file says about itself, and what speaks against an answer: the same for all who ask."""

import io
import json

import numpy as np
import pytest
from PIL import Image, ImageFilter

from benchmarks.web import form, photo
from deepfake_lab.cli import main
from deepfake_lab.detection.detector import Detector
from deepfake_lab.web import create_app


@pytest.fixture(scope="module")
def telling() -> bytes:
    """A strongly compressed JPEG that names a camera."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "NIKON", "D90"
    return photo(quality=20, exif=exif)


def test_command_python_api_and_page_say_the_same(detector, telling, tmp_path, capsys):
    file = tmp_path / "a.jpg"
    file.write_bytes(telling)
    said = detector.predict(file)
    pieces = [vars(piece) for piece in said.evidence]
    assert any("JPEG quality" in caveat for caveat in said.caveats) and len(pieces) == 1

    def command(*options: str) -> str:
        assert main(["predict", str(file), "--model", str(detector.folder), *options]) == 0
        return capsys.readouterr().out

    (row,) = json.loads(command("--format", "json"))
    assert (row["caveats"], row["evidence"]) == (list(said.caveats), pieces)
    table = command("--format", "csv")
    text = command()
    client = create_app(detector).test_client()
    body, headers = form(("a.jpg", telling))
    (told,) = client.post("/api/predict", data=body, headers=headers).json["predictions"]
    assert (told["caveats"], told["evidence"]) == (list(said.caveats), pieces)
    page = client.post("/answer", data=body, headers=headers).text
    frame = detector.predict(tmp_path)
    for sentence in (pieces[0]["sentence"], said.caveats[-1]):
        assert sentence in table and sentence in text
        assert sentence in frame["evidence"][0] + frame["caveats"][0]
    assert pieces[0]["sentence"] in page and pieces[0]["sentence"] in said._repr_html_()


def test_a_photo_without_a_file_has_no_evidence(detector, telling):
    image = Image.open(io.BytesIO(telling))
    assert detector.predict(image).evidence == ()
    assert detector.predict(np.asarray(image)).evidence == ()


def test_a_photo_softer_than_those_of_the_calibration_is_called_blurred():
    detector = Detector.load("cnn")
    sharp = Image.open(io.BytesIO(photo()))
    blurred = sharp.filter(ImageFilter.GaussianBlur(8))
    told = [" ".join(detector.predict(image).caveats) for image in (sharp, blurred)]
    assert ["is blurred" in caveats for caveats in told] == [False, True]
