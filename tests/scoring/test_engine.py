"""The engine below the Detector: graph, overlap, framing, photos in folders, files of answers."""

import csv
import errno
import json
import os
import pickle
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from deepfake_lab import paths
from deepfake_lab.errors import UserError
from deepfake_lab.litert import Graph, cores
from deepfake_lab.overlap import AHEAD, GROUP, overlapped
from deepfake_lab.photos import images
from deepfake_lab.photos.boxes import distinct
from deepfake_lab.photos.framing import frame_center
from deepfake_lab.photos.listing import find_photos
from deepfake_lab.scoring.scorefile import COLUMNS, FACE_COLUMNS, ScoreFile, place, stamp

FILES = sorted((paths.project() / "data" / "sample").rglob("*.jpg"))


# --- one graph, many threads ---


def test_all_cores_or_one_the_graph_gives_the_same_bits(run_folder):
    graph = Graph((run_folder / "model.tflite").read_bytes())
    pictures = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), np.uint8)
    alone = [graph.run(picture)["logit"].item() for picture in pictures]
    together = [graph.run(picture, alone=False)["logit"].item() for picture in pictures]
    assert alone == together and len(set(alone)) == 5


def test_a_later_picture_does_not_change_an_earlier_answer(run_folder):
    graph = Graph((run_folder / "model.tflite").read_bytes())
    black = graph.run(np.zeros((64, 64, 3), np.uint8))
    kept = black["logit"].copy()
    graph.run(np.full((64, 64, 3), 255, np.uint8))
    np.testing.assert_array_equal(black["logit"], kept)


# --- overlap ---


def _slowly(group: list[int]) -> list[int]:
    time.sleep(0.01 if group[0] % 3 else 0)
    return [2 * item for item in group]


@pytest.mark.parametrize("count", [0, 1, 7, 500])
def test_results_come_in_the_order_of_the_items(count):
    assert list(overlapped(_slowly, range(count))) == [2 * i for i in range(count)]


def test_items_are_drawn_only_as_they_are_needed():
    drawn = []

    def endless():
        while True:
            drawn.append(len(drawn))
            yield drawn[-1]

    results = overlapped(_slowly, endless())
    first = [next(results) for _ in range(100)]
    results.close()
    assert first == [2 * i for i in range(100)]
    assert len(drawn) <= 100 + (AHEAD * cores() + 1) * GROUP


def test_a_few_items_are_shared_among_all_cores():
    groups = []
    list(overlapped(lambda group: groups.append(len(group)) or group, range(4 * cores())))
    assert set(groups) == {1}


def test_an_exception_in_a_thread_reaches_the_caller():
    def fails(group):
        raise ValueError("why")

    with pytest.raises(ValueError, match="why"):
        list(overlapped(fails, range(3)))


# --- the square that is judged ---


@pytest.mark.parametrize("framing", images.FRAMINGS)
@pytest.mark.parametrize("image_size", [64, 224, 240])
def test_the_short_way_to_the_square_gives_the_pixels_of_the_long_way(image_size, framing):
    sizes = [(224, 224), (300, 500), (901, 640), (256, 256), (90, 70)]
    for file, (width, height) in zip(FILES[::70], sizes):
        image = np.asarray(images.Image.open(file).convert("RGB").resize((width, height)))
        long = images.frame_face(image, images.frame_size(image_size), framing)
        short = frame_center(image, image_size, framing)
        np.testing.assert_array_equal(
            short.pixels, images.center_crop(long.pixels, image_size), strict=True
        )
        assert short.faces_found == long.faces_found
        assert (short.face is None) == (long.face is None)
        left, top, right, bottom = long.box
        inside = short.box
        assert inside[0] - left == inside[1] - top == right - inside[2] == bottom - inside[3]


def test_of_boxes_that_overlap_the_best_is_kept():
    centers = np.array([[10, 10], [11, 10], [50, 50], [12, 10]], np.float32)
    sizes = np.full((4, 2), 10, np.float32)
    assert distinct(centers, sizes, np.array([0.7, 0.9, 0.6, 0.8], np.float32)) == [1, 2]
    assert distinct(centers[:0], sizes[:0], np.array([], np.float32)) == []


# --- photos in folders ---


@pytest.fixture
def tree(tmp_path) -> Path:
    for name in ("b.jpg", "a.PNG", "sub/c.jpeg", "sub/deeper/d.webp", ".hidden.jpg", "notes.txt"):
        file = tmp_path / "tree" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
    return tmp_path / "tree"


def _names(*arguments) -> list[str]:
    return [found.name for found in find_photos(arguments)]


def test_a_folder_is_walked_in_order_and_hidden_files_are_passed_over(tree):
    assert _names(tree) == ["a.PNG", "b.jpg", "sub/c.jpeg", "sub/deeper/d.webp"]


def test_a_photo_named_twice_comes_once(tree):
    assert _names(tree, tree / "b.jpg", tree / "sub").count("b.jpg") == 0
    assert len(_names(tree, tree / "b.jpg", tree / "sub")) == 4


def test_a_folder_named_by_a_link_too_gives_its_photos_once(tree, tmp_path):
    (tmp_path / "link").symlink_to("tree")
    assert len(_names(tree, tmp_path / "link", f"{tree}/./sub/", tree / "sub" / "c.jpeg")) == 4


def test_a_photo_without_a_name_is_one_among_others(tree):
    assert "b.jpg" in [name.rpartition("/")[2] for name in _names("", tree / "b.jpg")]


def test_photos_of_several_folders_have_different_names(tree):
    (tree / "sub" / "b.jpg").write_bytes(b"")
    assert _names(tree / "b.jpg", tree / "sub" / "b.jpg") == ["b.jpg", "sub/b.jpg"]


def test_photos_of_several_drives_are_named_whole(tree, monkeypatch):
    def of_windows(_):
        raise ValueError("Paths don't have the same drive")

    monkeypatch.setattr(os.path, "commonpath", of_windows)
    whole = [place.as_posix().lstrip("/") for place in (tree / "b.jpg", tree / "a.PNG")]
    assert _names(tree / "b.jpg", tree / "a.PNG") == whole


def test_links_that_go_round_in_a_circle_end(tree):
    (tree / "sub" / "again").symlink_to(tree)
    assert len(_names(tree)) == 4


def test_a_folder_that_vanishes_while_it_is_read_is_named(tree):
    found = find_photos([tree])
    assert next(found).name == "a.PNG"
    for file in sorted((tree / "sub").rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    (tree / "sub").rmdir()
    rest = list(found)
    assert [one.name for one in rest] == ["b.jpg", "sub/"]
    assert "cannot be read" in rest[1].error


def test_an_empty_folder_is_named(tmp_path):
    (found,) = find_photos([tmp_path])
    assert "holds no images" in found.error


# --- files of answers ---


@pytest.fixture
def photo(tmp_path):
    """Make a file that stands for a photo: its name -> its path."""
    (tmp_path / "in").mkdir()

    def make(name: str | bytes, content: bytes = b"photo") -> str:
        path = os.path.join(os.fsencode(tmp_path / "in"), os.fsencode(name))
        with open(path, "wb") as file:
            file.write(content)
        return os.fsdecode(path)

    return make


def _row(photo: str, error: str = "", p_fake: float = 0.75) -> dict:
    size, modified = stamp(photo)
    verdict = "FAKE" if p_fake > 0.5 else "REAL"
    return {
        "path": place(photo), "bytes": size, "modified": modified,
        "verdict": None if error else verdict, "confidence": None if error else 0.75,
        "p_fake": None if error else p_fake, "uncertain": False, "face_found": not error,
        "faces": 1, "prior": 0.5, "model": "m", "weights": "w", "caveats": 'a, "b"\nc',
        "evidence": "", "error": error,
    }  # fmt: skip


def _endings() -> list:
    missing = pytest.mark.skipif(
        not any(Path(place, "pyarrow").is_dir() for place in sys.path), reason="needs pyarrow"
    )
    return [".csv", pytest.param(".parquet", marks=missing)]


@pytest.fixture(params=_endings())
def output(request, tmp_path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / f"r{request.param}"


def _written(file: Path, *rows: dict, finish: bool = True) -> None:
    scores = ScoreFile(file, "m", "w", 0.5)
    for row in rows:
        scores.add([row])
    if finish:
        scores.finish()
    scores.close()


def _has(file: Path, *photos: str) -> list[bool]:
    scores = ScoreFile(file, "m", "w", 0.5)
    try:
        return [scores.has(photo) for photo in photos]
    finally:
        scores.close()


def _read(file: Path) -> list[dict]:
    import pandas as pd

    table = pd.read_csv(file) if file.suffix == ".csv" else pd.read_parquet(file)
    assert list(table.columns) == list(COLUMNS)
    return table.to_dict("records")


def _names_in(file: Path) -> list[str]:
    return [row["path"].rpartition(os.sep)[2] for row in _read(file)]


def test_a_finished_file_holds_every_row_and_nothing_lies_beside_it(output, photo):
    _written(output, _row(photo("a")), _row(photo("b"), "why"))
    first, second = _read(output)
    assert (first["verdict"], first["p_fake"], first["bytes"]) == ("FAKE", 0.75, 5)
    assert first["caveats"] == 'a, "b"\nc' and first["face_found"]
    assert second["error"] == "why" and second["p_fake"] != second["p_fake"]  # missing
    assert os.listdir(output.parent) == [output.name]


def test_an_interrupted_file_is_gone_on_with_and_errors_are_tried_again(output, photo):
    a, b, c = map(photo, "abc")
    _written(output, _row(a), _row(b, "why"), finish=False)
    assert not output.exists()
    again = ScoreFile(output, "m", "w", 0.5)
    assert [again.has(a), again.has(b), again.has(c)] == [True, False, False]
    assert again.counts == {"FAKE": 1, "": 1}
    again.add([_row(c)])
    again.add([_row(b)])
    assert again.counts == {"FAKE": 3, "": 0}
    again.finish()
    again.close()
    assert _names_in(output) == ["a", "c", "b"] and not any(map(_is_text, _read(output)))


def _is_text(row: dict) -> bool:
    return isinstance(row["error"], str) and row["error"] != ""


def test_a_finished_file_grows_by_what_is_new(output, photo):
    a, b = map(photo, "ab")
    _written(output, _row(a))
    assert _has(output, a, b) == [True, False]
    _written(output, _row(b))
    assert _names_in(output) == ["a", "b"]


@pytest.mark.parametrize("content", [b"other, longer", b"other"], ids=["size", "time"])
def test_a_photo_replaced_under_the_same_name_is_asked_about_again(output, photo, content):
    a, b = map(photo, "ab")
    _written(output, _row(a), _row(b))
    os.utime(photo("a", content), (1, 1))
    assert _has(output, a, b) == [False, True]
    _written(output, _row(a, p_fake=0.25))
    assert [(row["verdict"], row["p_fake"]) for row in _read(output)] == [
        ("FAKE", 0.75), ("REAL", 0.25)
    ]  # fmt: skip
    assert _has(output, a) == [True]


def test_a_photo_that_is_gone_keeps_its_answer_on_file(output, photo):
    a, b = map(photo, "ab")
    _written(output, _row(a))
    os.unlink(a)
    _written(output, _row(b))
    assert _names_in(output) == ["a", "b"]


def test_however_a_folder_is_named_a_photo_is_the_same(output, photo, tmp_path, monkeypatch):
    a = photo("a")
    _written(output, _row(a))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to("in")
    for named in ("in/a", "./in/a", "in/../in/a", str(tmp_path / "link" / "a"), "link/a"):
        assert _has(output, named) == [True], named


def test_two_names_of_one_file_are_two_photos(output, photo, tmp_path):
    a = photo("a")
    (tmp_path / "in" / "b").symlink_to("a")
    _written(output, _row(a))
    assert _has(output, str(tmp_path / "in" / "b")) == [False]


def test_a_line_that_a_kill_has_cut_is_dropped(tmp_path, photo):
    file = tmp_path / "r.csv"
    a, b = map(photo, "ab")
    _written(file, _row(a), finish=False)
    with (tmp_path / "r.csv.part").open("a") as part:
        part.write('["b", "FA')
    assert _has(file, a, b) == [True, False]
    _written(file, _row(b))
    assert _names_in(file) == ["a", "b"]


def test_a_kill_right_after_the_end_leaves_no_row_twice(tmp_path, photo):
    file = tmp_path / "r.csv"
    a, b, c = map(photo, "abc")
    _written(file, _row(a), _row(b), finish=False)
    part = (tmp_path / "r.csv.part").read_bytes()
    _written(file)
    (tmp_path / "r.csv.part").write_bytes(part)
    assert _has(file, a, b) == [True, True]
    _written(file, _row(c))
    assert _names_in(file) == ["a", "b", "c"]


def test_what_was_answered_before_a_kill_gets_into_a_file_that_was_there(tmp_path, photo):
    file = tmp_path / "r.csv"
    a, b = map(photo, "ab")
    _written(file, _row(a))
    _written(file, _row(b), finish=False)
    _written(file)  # nothing is left to be answered
    assert _names_in(file) == ["a", "b"]


def test_a_file_of_another_detector_is_refused_and_left_alone(tmp_path, photo):
    file = tmp_path / "out.csv"
    _written(file, _row(photo("a")))
    before = file.read_bytes()
    with pytest.raises(UserError, match=r"holds answers of the detector 'm' \(w\), not of 'm' \(x"):
        ScoreFile(file, "m", "x", 0.5)
    assert file.read_bytes() == before and sorted(os.listdir(tmp_path)) == ["in", "out.csv"]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("r.txt", None, "must end in .csv or .parquet"),
        ("", None, "must end in .csv or .parquet"),
        (".csv", None, "must end in .csv or .parquet"),
        ("nowhere/r.csv", None, "make it first"),
        ("r.csv", b"name,phone\nx,1\n", "is no file of answers"),
        ("r.csv", b"", "is no file of answers"),
        ("r.csv", b"\xff\xfe\x00", "is no file of answers"),
        ("r.csv", ",".join(COLUMNS).encode() + b"\na,b,c\n", "is no file of answers"),
        ("r.parquet", b"PAR1", "is no file of answers"),
    ],
)
def test_an_output_that_cannot_be_is_refused(tmp_path, name, content, reason):
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match=reason):
        ScoreFile(file, "m", "w", 0.5)
    assert content is None or file.read_bytes() == content


def _faces_written(file: Path, *photos: str) -> None:
    """Write two rows for each photo, a row a face."""
    scores = ScoreFile(file, "m", "w", 0.5, FACE_COLUMNS)
    try:
        for one in photos:
            row = _row(one) | {"faces": 2, "box": "0 0 9 9", "roll": 0.0}
            scores.add([row | {"face": face} for face in (1, 2)])
        scores.finish()
    finally:
        scores.close()


@pytest.mark.parametrize("order", [[0, 2, 1, 3], [1, 0, 2, 3], [0, 1, 2]])
def test_rows_of_faces_that_were_sorted_or_removed_are_not_taken_for_answers(output, photo, order):
    import pandas as pd

    a, b, c = map(photo, "abc")
    _faces_written(output, a, b)
    csv_file = output.suffix == ".csv"
    table = pd.read_csv(output) if csv_file else pd.read_parquet(output)
    table = table.iloc[order]
    table.to_csv(output, index=False) if csv_file else table.to_parquet(output, index=False)
    before = output.read_bytes()
    with pytest.raises(UserError, match="do not stand together, in order"):
        _faces_written(output, c)
    assert output.read_bytes() == before


def test_rows_of_faces_are_gone_on_with(output, photo):
    import pandas as pd

    a, b, empty = map(photo, ("a", "b", "empty"))
    _faces_written(output, a)
    scores = ScoreFile(output, "m", "w", 0.5, FACE_COLUMNS)
    scores.add([_row(empty) | {"faces": 0, "face": None, "box": "", "roll": None}])
    scores.finish()
    scores.close()
    _faces_written(output, b)
    table = pd.read_csv(output) if output.suffix == ".csv" else pd.read_parquet(output)
    assert list(table["face"].fillna(0)) == [1, 2, 0, 1, 2]


def test_what_a_spreadsheet_writes_for_true_and_false_is_read_so(tmp_path, photo):
    file = tmp_path / "r.csv"
    a, b = map(photo, "ab")
    _written(file, _row(a))
    file.write_text(file.read_text().replace("True", "TRUE").replace("False", "FALSE"))
    _written(file, _row(b))
    assert [(row["face_found"], row["uncertain"]) for row in _read(file)] == [(True, False)] * 2
    file.write_text(file.read_text().replace("True", "ja"))
    with pytest.raises(UserError, match="is no file of answers"):
        _has(file, a)


def test_a_table_that_was_cut_off_is_not_gone_on_with(tmp_path, photo):
    file = tmp_path / "r.csv"
    a, b = map(photo, "ab")
    _written(file, _row(a), _row(b))
    whole = file.read_text()
    start = whole.index(place(b))
    # In a number, in a quoted cell (once right behind a line's end in it), before the last end.
    for end in (whole.index("0.75", start) + 3, whole.index('""', start), len(whole) - 1):
        file.write_text(whole[:end])
        with pytest.raises(UserError, match="was cut off in its last row: remove that row"):
            _has(file, a)
    file.write_text(whole[: whole.index("\nc", start) + 1])
    with pytest.raises(UserError, match="is no file of answers"):
        _has(file, a)
    file.write_text(whole[:start])
    assert _has(file, a, b) == [True, False]


def test_a_folder_is_no_output(tmp_path):
    (tmp_path / "r.csv").mkdir()
    with pytest.raises(UserError, match="this is a folder"):
        ScoreFile(tmp_path / "r.csv", "m", "w", 0.5)


def test_a_damaged_journal_is_named(tmp_path):
    (tmp_path / "r.csv.part").write_text("[1, 2]\n")
    with pytest.raises(UserError, match=r"r\.csv\.part is damaged: remove it"):
        ScoreFile(tmp_path / "r.csv", "m", "w", 0.5)


@pytest.mark.skipif(sys.platform == "win32", reason="files are not locked there")
def test_two_runs_do_not_write_the_same_file(tmp_path):
    first = ScoreFile(tmp_path / "r.csv", "m", "w", 0.5)
    with pytest.raises(UserError, match="Another run is writing"):
        ScoreFile(tmp_path / "r.csv", "m", "w", 0.5)
    first.close()


@pytest.mark.skipif(sys.platform == "win32", reason="files are not locked there")
def test_storage_without_locks_takes_answers_all_the_same(tmp_path, photo, monkeypatch):
    import fcntl

    def refused(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refused)
    _written(tmp_path / "r.csv", _row(photo("a")))
    assert _names_in(tmp_path / "r.csv") == ["a"]


def test_what_lies_at_an_address_is_asked_about_once(output):
    shelf = "s3://shelf/a.jpg"
    _written(output, _row(shelf) | {"bytes": None, "modified": None})
    assert _has(output, shelf, "s3://shelf/b.jpg") == [True, False]


def test_without_pyarrow_a_parquet_file_is_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"pip install pyarrow.*\.csv"):
        ScoreFile(tmp_path / "r.parquet", "m", "w", 0.5)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(sys.platform != "linux", reason="names are Unicode there")
@pytest.mark.parametrize(
    "name", [b"lat\xe9.jpg", b"\xff\xfe.jpg", b"new\nline.jpg", b"cr\r.jpg", b'q"uote,.jpg',
             "é 漢.jpg".encode(), b"esc\x1b[31m.jpg", b" NA"],
)  # fmt: skip
def test_any_name_is_written_as_utf8_and_known_again(output, photo, name):
    path = photo(name)
    for _ in range(2):
        if not _has(output, path)[0]:
            _written(output, _row(path))
    (row,) = _read(output)
    assert row["path"].encode().decode("utf-8") == place(path)
    assert row["path"].startswith(os.path.dirname(path))


def test_a_full_disk_is_one_line(tmp_path, photo, monkeypatch):
    scores = ScoreFile(tmp_path / "r.csv", "m", "w", 0.5)
    row = _row(photo("a"))

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(UserError, match=r"r\.csv\.part: cannot be written \(No space left"):
            scores.add([row])
    scores.add([row])
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(UserError, match=r"r\.csv: cannot be written \(No space left"):
            scores.finish()
    scores.close()
    assert (tmp_path / "r.csv.part").exists() and not (tmp_path / ".r.csv.new").exists()


# --- the whole of it ---


def test_a_killed_run_goes_on_and_scores_nothing_twice(run_folder, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(400):
        (folder / f"{i:03d}.jpg").write_bytes(FILES[i % len(FILES)].read_bytes())
    output, part = tmp_path / "r.csv", tmp_path / "r.csv.part"
    command = [sys.executable, "-m", "deepfake_lab.cli", "predict", str(folder)]
    command += ["--model", str(run_folder), "--out", str(output)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (part.exists() and part.read_bytes().count(b"\n") >= 20):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.kill()
    process.wait()
    kept = [json.loads(line)[0] for line in part.read_bytes().splitlines(keepends=True)
            if line.endswith(b"\n")]  # fmt: skip
    assert 0 < len(kept) < 400 and not output.exists()
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and f"({len(kept)} of them answered before)" in done.stdout
    with output.open(newline="") as stream:
        found = [row["path"] for row in csv.DictReader(stream)]
    assert found == [str(folder / f"{i:03d}.jpg") for i in range(400)]


def test_a_detector_travels_to_another_process(detector):
    copy = pickle.loads(pickle.dumps(detector))
    assert copy.folder == detector.folder
    assert copy.predict(FILES[0]).p_fake == detector.predict(FILES[0]).p_fake


def test_photos_that_are_streamed_are_not_all_held(detector):
    """Ten times as many photos take no more memory: answers are handed on, not kept."""
    alive, most = set(), [0]
    lock = threading.Lock()

    class Photo(bytes):
        def __del__(self):
            with lock:
                alive.discard(id(self))

    def photos():
        content = FILES[0].read_bytes()
        for _ in range(300):
            photo = Photo(content)
            with lock:
                alive.add(id(photo))
                most[0] = max(most[0], len(alive))
            yield photo

    assert sum(1 for _ in detector.stream(photos())) == 300
    assert most[0] <= (AHEAD * cores() + 2) * GROUP
