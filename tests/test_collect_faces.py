"""Photos that a table lists are taken from git repositories, each checked by its md5."""

import hashlib
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from deepfake_lab import paths
from deepfake_lab.data.datasets import read_dataset

sys.path.insert(0, str(paths.project() / "tools"))
import collect_faces


def _jpeg(color: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (80, 80), color).save(stream, "JPEG")
    return stream.getvalue()


FACES = {"a.jpg": _jpeg("tan"), "b.jpg": _jpeg("teal"), "c.jpg": _jpeg("pink")}


@pytest.fixture
def collect(tmp_path, monkeypatch):
    """Return a function that collects, and the folder into which it does."""
    clone = tmp_path / "clones" / "owner+name"
    clone.mkdir(parents=True)
    for name, content in FACES.items():
        (clone / name).write_bytes(content)
    identity = ["-c", "user.name=nobody", "-c", "user.email=nobody@localhost"]
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "faces"]):
        subprocess.run(["git", *identity, *command], cwd=clone, check=True)
    rows = [
        {
            "path": f"web/real/{name}", "label": "real", "source": "web", "family": "photo",
            "group": f"web:{name}", "split": split, "repo": "owner/name", "original_path": name,
            "md5": hashlib.md5(content).hexdigest(),
        }
        for (name, content), split in zip(FACES.items(), ("train", "valid", "test"))
    ]  # fmt: skip
    table = tmp_path / "table.csv"
    out = tmp_path / "collected"

    def run(**changed: str) -> int:
        pd.DataFrame([row | changed for row in rows]).to_csv(table, index=False)
        options = {"--table": table, "--out": out, "--clones": clone.parent}
        command = [str(part) for option in options.items() for part in option]
        monkeypatch.setattr(sys, "argv", ["collect_faces.py", *command])
        return collect_faces.main()

    return run, out


def test_every_photo_of_the_table_is_collected_and_can_be_read(collect, capsys):
    run, out = collect
    assert run() == 0
    assert {path.name: path.read_bytes() for path in out.rglob("*.jpg")} == FACES
    assert "3 of 3 photos" in capsys.readouterr().out
    manifest = read_dataset(out, both_labels=False).manifest
    assert manifest["split"].tolist() == ["train", "valid", "test"]
    assert set(manifest["source"]) == {"web"}


def test_a_photo_that_has_changed_since_is_left_out_and_counted(collect, capsys):
    run, out = collect
    assert run(md5="0" * 32) == 1
    assert not list(out.rglob("*.jpg"))
    said = capsys.readouterr()
    assert "owner/name: 0 of 3" in said.out and "none of the photos was found" in said.err


def test_one_of_several_pictures_in_a_file_is_cut_out(collect):
    run, out = collect
    md5 = hashlib.md5(FACES["a.jpg"]).hexdigest()
    assert run(path="web/real/a.png", original_path="a.jpg", md5=md5, box="40 0 80 30") == 0
    cut = Image.open(out / "web" / "real" / "a.png")
    assert cut.size == (40, 30)
    whole = Image.open(io.BytesIO(FACES["a.jpg"]))
    assert cut.tobytes() == whole.crop((40, 0, 80, 30)).tobytes()


TABLES = [collect_faces.TABLE, collect_faces.TABLE.with_name("unseen_faces.csv")]


@pytest.mark.parametrize("file", TABLES, ids=lambda file: file.stem)
def test_the_tables_are_whole(file):
    table = pd.read_csv(file, dtype=str)
    table = table.assign(box=table.get("box"))
    assert table["path"].is_unique and not table.duplicated(["md5", "box"]).any()
    assert set(table["label"]) == {"real", "fake"}
    # Nobody is in two splits, and no path leads out of the folder.
    assert (table.groupby("group")["split"].nunique() == 1).all()
    assert not [path for path in table["path"] if Path(path).is_absolute() or ".." in path]


def test_no_shipped_detector_has_learned_from_unseen_sources():
    unseen = set(pd.read_csv(TABLES[1], dtype=str)["source"])
    collected = set(pd.read_csv(TABLES[0], dtype=str)["source"])
    assert not unseen & collected
    for name in paths.SHIPPED:
        recipe = json.loads(paths.detector_file(paths.model_folder(name)).read_text())["recipe"]
        learned = set(re.findall(r'"(?:real|fake)/([^"]+)"', json.dumps(recipe)))
        assert learned and not unseen & learned
