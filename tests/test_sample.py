"""The embedded sample is what `data/README.md` says it is."""

import csv
import hashlib
import re
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

DATA = Path(__file__).resolve().parents[1] / "data"
SPLITS = ("train", "valid", "test")
PEOPLE = re.compile(r"people_(p\d\d(?:_p\d\d)*)")


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    with (DATA / "sample" / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def images() -> list[Path]:
    return sorted((DATA / "sample").rglob("*.jpg"))


def test_the_manifest_has_the_promised_columns(rows):
    assert list(rows[0]) == ["path", "label", "source", "family", "group", "split"]


def test_every_row_has_a_file_and_every_file_a_row(rows, images):
    listed = sorted(row["path"] for row in rows)
    assert listed == sorted(path.relative_to(DATA / "sample").as_posix() for path in images)


def test_no_row_is_listed_twice(rows):
    assert len({row["path"] for row in rows}) == len(rows)


def test_the_folder_of_an_image_is_its_label(rows):
    assert all(row["path"].split("/")[0] == row["label"] for row in rows)


def test_counts_match_the_readme(rows):
    counts = Counter((row["source"], row["label"], row["split"]) for row in rows)
    table = re.findall(
        r"^\| (\w+) \| (real|fake) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$",
        (DATA / "README.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    told = {
        (source, label, split): int(number)
        for source, label, *numbers in table
        for split, number in zip(SPLITS, numbers, strict=False)
    }
    assert told == dict(counts)


def test_every_source_is_in_every_split(rows):
    sources = {row["source"] for row in rows}
    assert {(row["source"], row["split"]) for row in rows} == {
        (source, split) for source in sources for split in SPLITS
    }


def test_real_and_fake_are_equally_many_in_each_split(rows):
    counts = Counter((row["label"], row["split"]) for row in rows)
    assert all(counts["real", split] == counts["fake", split] for split in SPLITS)


def test_groups_never_straddle_splits(rows):
    splits = {row["group"]: set() for row in rows}
    for row in rows:
        splits[row["group"]].add(row["split"])
    assert [group for group, seen in splits.items() if len(seen) > 1] == []


def test_people_never_straddle_groups(rows):
    groups = {row["group"] for row in rows if row["group"].startswith("people_")}
    people = [person for group in groups for person in PEOPLE.fullmatch(group)[1].split("_")]
    assert len(people) == len(set(people))


def test_a_forgery_shares_the_group_of_every_photo_it_was_made_from(rows):
    group_of = {row["path"][-8:-4]: row["group"] for row in rows if row["label"] == "real"}
    for row in rows:
        if row["family"] in ("blend", "swap"):
            for number in re.findall(r"\d{4}", row["path"]):
                assert group_of.get(number, row["group"]) == row["group"], row["path"]


def test_every_image_is_a_224_px_rgb_jpeg(images):
    for path in images:
        with Image.open(path) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (224, 224)), path.name


def test_all_images_share_one_jpeg_setting(images):
    settings = set()
    for path in images:
        with Image.open(path) as image:
            tables = {number: tuple(table) for number, table in image.quantization.items()}
            sampling = tuple((h, v) for _, h, v, _ in image.layer)
            settings.add((tuple(sorted(tables.items())), sampling, "progressive" in image.info))
    assert len(settings) == 1


def test_no_image_carries_metadata(images):
    for path in images:
        with Image.open(path) as image:
            carried = set(image.info) - {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
            assert not carried and not image.getexif(), path.name


def test_no_two_files_share_the_same_bytes(images):
    digests = Counter(hashlib.sha256(path.read_bytes()).hexdigest() for path in images)
    assert [count for count in digests.values() if count > 1] == []


def test_the_sample_stays_small(images):
    assert sum(path.stat().st_size for path in images) < 6 * 2**20
