"""Names that other people chose, on their way to a terminal or into a file."""

import os
import shutil

import pandas as pd
import pytest

from deepfake_lab import paths
from deepfake_lab.cli import main
from deepfake_lab.data.datasets import read_dataset
from deepfake_lab.evaluation.views import aligned
from deepfake_lab.printing import printable, unicode_name

SAMPLE = paths.project() / "data" / "sample"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("new\nline.jpg", r"new\nline.jpg"),
        ("esc\x1b[31mred.jpg", r"esc\x1b[31mred.jpg"),
        ("title\x1b]0;x\x07.jpg", r"title\x1b]0;x\x07.jpg"),
        ("csi\x9b31m.jpg", r"csi\x9b31m.jpg"),
        ("back\u202egpj.exe", r"back\u202egpj.exe"),
        ("line\u2028break", r"line\u2028break"),
        ("tab\tcr\r.jpg", r"tab\tcr\r.jpg"),
        (os.fsdecode(b"lat\xe9.jpg") if os.name != "nt" else "lat\udce9.jpg", r"lat\xe9.jpg"),
    ],
)
def test_what_a_terminal_would_obey_is_written_out(name, shown):
    assert printable(name) == shown


@pytest.mark.parametrize(
    "name", ["é ü 漢字 عربى.jpg", "10:00\u202fAM.png", "a\\b.jpg", "👩\u200d🔬.png"]
)
def test_letters_of_any_script_stay(name):
    assert printable(name) == unicode_name(name) == name


def test_a_name_that_is_no_unicode_can_be_written_as_utf8():
    assert unicode_name("lat\udce9 é.jpg") == r"lat\xe9 é.jpg"
    assert unicode_name("new\nline") == "new\nline"


@pytest.mark.skipif(os.name == "nt", reason="no such names there")
def test_no_summary_obeys_a_name(tmp_path, capsys):
    for label in ("real", "fake"):
        (tmp_path / label).mkdir()
        for photo in sorted((SAMPLE / label).glob("*.jpg"))[:8]:
            shutil.copy(photo, tmp_path / label)
    (tmp_path / "real" / "x\x1b]0;mine\x07\ny.jpg").write_bytes(b"no photo")
    said = read_dataset(tmp_path).summary()
    assert r"x\x1b]0;mine\x07\ny.jpg: not a readable image" in said and "\x1b" not in said
    assert main(["audit", str(tmp_path)]) == 0
    assert "\x1b" not in capsys.readouterr().out
    assert aligned(pd.DataFrame({"run": ["a\x1b[31m"]})).splitlines()[1].strip() == r"a\x1b[31m"
