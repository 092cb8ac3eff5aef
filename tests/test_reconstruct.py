"""tools/reconstruct.py: photos sent through an auto-encoder, stored as their originals were."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from deepfake_lab import paths

sys.path.insert(0, str(paths.project() / "tools"))
import reconstruct

PORTRAIT = sorted((paths.project() / "data" / "sample" / "real").glob("*.jpg"))[0]


@pytest.fixture(scope="module")
def halves():
    return (
        reconstruct.network(reconstruct.ENCODER, 3),
        reconstruct.network(reconstruct.DECODER, reconstruct.LATENT),
    )


def test_the_latents_are_an_eighth_of_the_picture_which_comes_back_at_its_size(halves):
    encoder, decoder = halves
    latents = encoder(np.zeros((1, 64, 96, 3), np.float32))
    assert latents.shape == (1, 8, 12, 32)
    assert decoder(latents).shape == (1, 64, 96, 3)


def test_weights_without_a_layer_are_refused(halves, monkeypatch):
    arrays = {
        f"{layer.name.removeprefix('at_').replace('_', '.')}.{part}": value
        for layer in halves[0].layers
        for part, value in zip(("weight", "bias"), layer.get_weights())
    }
    turned = {k: v.transpose(3, 2, 0, 1) if v.ndim == 4 else v for k, v in arrays.items()}
    monkeypatch.setattr(reconstruct, "read_pth", lambda _: dict(turned))
    assert reconstruct.load(halves[0], Path("x.pth")) is halves[0]
    monkeypatch.setattr(reconstruct, "read_pth", lambda _: turned | {"99.weight": np.zeros(3)})
    with pytest.raises(SystemExit, match=r"no layer for 99\.weight"):
        reconstruct.load(halves[0], Path("x.pth"))


@pytest.mark.parametrize("quality", [40, 75, 95])
def test_a_reconstruction_is_stored_with_the_tables_of_its_original(tmp_path, quality):
    original = tmp_path / "a.jpg"
    Image.open(PORTRAIT).save(original, quality=quality)
    pixels = np.asarray(Image.open(PORTRAIT))[::-1]
    reconstruct.save_as(pixels, tmp_path / "out" / "b.jpg", original)
    with Image.open(original) as before, Image.open(tmp_path / "out" / "b.jpg") as after:
        assert after.quantization == before.quantization
        assert after.layer == before.layer and after.size == before.size
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.jpg"]


def test_a_photo_without_loss_stays_without_loss(tmp_path):
    original = tmp_path / "a"
    Image.open(PORTRAIT).save(original, "PNG")
    pixels = np.asarray(Image.open(PORTRAIT))
    reconstruct.save_as(pixels, tmp_path / "b", original)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "b")), pixels)


def test_a_mixture_lies_between_the_photo_and_its_reconstruction():
    photo, back = np.full((40, 60, 3), 50, np.uint8), np.full((40, 60, 3), 150, np.uint8)
    assert np.array_equal(reconstruct.mixed(photo, back, "whole", 1), back)
    pixels = reconstruct.mixed(photo, back, "pixels", 1)
    assert pixels.min() == pixels.max() and 90 <= pixels.min() <= 140
    region = reconstruct.mixed(photo, back, "region", 1)
    assert region.min() == 50 and region.max() == 150 and 80 < region.mean() < 120


def test_so_many_real_photos_of_each_source_are_chosen_and_no_fakes():
    rows = [
        {"label": label, "source": source, "split": split, "file": str(i)}
        for label in ("real", "fake") for source in "ab"
        for split in ("train", "test") for i in range(20)
    ]  # fmt: skip
    chosen = reconstruct.choose(pd.DataFrame(rows), per_source=5, held_out=2, seed=0)
    assert set(chosen["label"]) == {"real"}
    counts = chosen.groupby(["source", "split"]).size()
    assert counts["a", "train"] == counts["b", "train"] == 5 and counts["a", "test"] == 2
