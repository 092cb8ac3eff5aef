"""Command lines and calls at random: what is broken is told in a sentence; nothing crashes."""

import io
import signal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from PIL import Image

from benchmarks.fuzz import COMMANDS, command_lines, environment, fault, make_parts
from deepfake_lab import cli, paths
from deepfake_lab.detection.prediction import Prediction
from deepfake_lab.errors import UserError

FILE = min((paths.project() / "data" / "sample" / "real").glob("*.jpg"))

#: Those that answer in a moment; `python benchmarks/fuzz.py` runs the others as well.
QUICK = tuple(
    command for command in COMMANDS if command not in ("prepare", "evaluate", "compare", "export")
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz") / "here"
    return folder, make_parts(folder)


@pytest.fixture
def clock():
    """Fail, rather than wait for ever."""
    if not hasattr(signal, "SIGALRM"):
        yield
        return
    before = signal.signal(signal.SIGALRM, lambda *_: pytest.fail("it did not end"))
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("seed", range(6))
def test_no_command_line_at_random_crashes(seed, place, run_folder, clock, capfd, monkeypatch):
    folder, parts = place
    for name, value in environment(folder).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(paths, "default_model", lambda: run_folder)
    for words in command_lines(15, seed, parts, QUICK):
        try:
            status = cli.main(words)
        except SystemExit as stopped:  # argparse ends so
            status = stopped.code
        assert not fault(status, capfd.readouterr().err), words


THINGS = [
    str(FILE), FILE, FILE.parent / "no.jpg", FILE.parent.parent / "none", "\0", "a" * 5000, "~x",
    FILE.read_bytes(), FILE.read_bytes()[:999], io.BytesIO(b"x"), io.StringIO("x"), object(),
    Image.new("RGB", (0, 0)), Image.new("P", (40, 40)), Image.new("1", (40, 40)), [], {}, Path,
    np.zeros((0, 0, 3), np.uint8), np.zeros((40, 40), np.uint8), np.zeros((40, 40, 3)),
    np.zeros((40, 40, 2), np.uint8), np.zeros(3), np.full((20, 900, 4), 7, np.uint8), np.str_("x"),
    np.zeros((2, 40, 40, 3), np.uint8), np.zeros((1, 40, 40, 9), np.float32), ["x"], float("nan"),
]  # fmt: skip
WORDS = st.text("aé\n\0 ☃\ud800", max_size=9)  # no name of a folder that there is
#: By number: arrays and pictures would fill pages of a report.
NUMBERS = st.integers(0, len(THINGS) - 1)
PHOTOS = st.one_of(st.none(), st.integers(), WORDS, st.binary(max_size=99), NUMBERS.map(
    lambda number: _Thing(number)
))  # fmt: skip


class _Thing(int):
    """Stands for one of THINGS until it is used."""


def _real(photo):
    if isinstance(photo, list):
        return [_real(one) for one in photo]
    return THINGS[photo] if isinstance(photo, _Thing) else photo


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(PHOTOS)
def test_whatever_is_handed_to_predict_it_answers_or_says_why_not(detector, photo):
    try:
        answer = detector.predict(_real(photo))
    except UserError as error:
        assert str(error) and "\n" not in str(error)
    else:
        assert isinstance(answer, Prediction) and answer == answer and answer._repr_html_()


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.one_of(
        PHOTOS.filter(lambda photo: photo not in (FILE.parent,)), st.lists(PHOTOS, max_size=4)
    )
)
def test_whatever_is_handed_to_predict_many_it_has_a_row_for_each_or_says_why_not(detector, photos):
    photos = _real(photos)
    try:
        rows = detector.predict_many(photos)
    except UserError as error:
        assert str(error) and "\n" not in str(error)
    else:
        assert len(rows) == len(photos)
        assert ((rows["error"] == "") == rows["p_fake"].notna()).all()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    folder=st.one_of(st.none(), st.integers(), WORDS, st.just(Path("."))),
    layout=st.one_of(st.just("auto"), st.none(), WORDS),
)
def test_whatever_is_handed_to_read_dataset_it_says_why_not(tmp_path, monkeypatch, folder, layout):
    from deepfake_lab import read_dataset

    monkeypatch.chdir(tmp_path)
    try:
        read_dataset(folder, layout)
    except UserError as error:
        assert "\n" not in str(error)
