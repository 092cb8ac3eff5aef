"""Train the two detectors that the project ships; measure them, what helped, what they never saw.

    make models                       both detectors, from your data folder (DEEPFAKE_LAB_DATA)
    python tools/make_models.py train efficientnet --seed 1 --name efficientnet_seed1
    python tools/make_models.py leave-out efficientnet
    python tools/make_models.py ablate efficientnet
    python tools/make_models.py measure efficientnet

The data folder holds `140k/` (Kaggle's "140k real and fake faces" or a part of it) and `faces/`
(a manifest.csv with several sources of photos and of fakes); the sample set joins them. A training
that is interrupted goes on after its last whole epoch when the same command is given again.
"""

import argparse
import os
import sys
from dataclasses import replace

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from deepfake_lab import evaluation, paths
from deepfake_lab.data.datasets import Dataset, join, read_dataset
from deepfake_lab.detection.detector import Detector
from deepfake_lab.errors import UserError
from deepfake_lab.evaluation.assessment import assess
from deepfake_lab.evaluation.record import record, rewrite_card
from deepfake_lab.training import batches, fitting, models, runs

DATA = ("140k", "faces", "sample")

#: What an epoch draws. Within a resolution and framing, real and fake weigh about the same: sharp
#: portraits (140k, ciplab, generators) on both sides, small and soft crops (celeba, utkface, dfdc)
#: on both sides. The forgeries come on top, from all real sources.
EVEN = {
    "real/140k": 24, "real/ciplab": 24, "real/celeba": 16, "real/utkface": 14, "real/dfdc": 24,
    "real/caltech101": 4,
    "fake/140k": 15, "fake/stylegan2": 7, "fake/generated_photos": 7, "fake/mobilestylegan": 3,
    "fake/stable_diffusion_21": 8, "fake/sfhq_t2i": 10, "fake/dfdc": 24, "fake/ciplab": 12,
    "fake/self_blended": 1, "fake/face_swap": 1,
}  # fmt: skip

#: The same with more of what validation photos showed to be learned last: StyleGAN's traces and
#: retouched parts, less of the studio portraits that are told at a glance.
HARD = {
    "real/140k": 34, "real/ciplab": 22, "real/celeba": 12, "real/utkface": 10, "real/dfdc": 20,
    "real/caltech101": 3,
    "fake/140k": 34, "fake/stylegan2": 6, "fake/generated_photos": 4, "fake/mobilestylegan": 3,
    "fake/stable_diffusion_21": 6, "fake/sfhq_t2i": 8, "fake/dfdc": 20, "fake/ciplab": 16,
    "fake/self_blended": 1, "fake/face_swap": 1,
}  # fmt: skip

#: The same with fewer draws of 140k's few photos, which are soon learned by heart.
RARER = HARD | {"real/140k": 20, "fake/140k": 20}

#: The same with as many sharp portraits among the real photos as among the fakes, forgeries
#: included: with fewer, sharpness itself argues for fake.
FAIR = HARD | {
    "real/140k": 34, "real/ciplab": 28, "real/celeba": 8, "real/utkface": 6, "real/dfdc": 24,
    "fake/140k": 18, "fake/ciplab": 14,
}  # fmt: skip

#: Most draws for the face swaps, which are learned last.
SWAPS = {
    "real/140k": 26, "real/ciplab": 22, "real/celeba": 10, "real/utkface": 8, "real/dfdc": 30,
    "real/caltech101": 3,
    "fake/140k": 22, "fake/stylegan2": 5, "fake/generated_photos": 3, "fake/mobilestylegan": 2,
    "fake/stable_diffusion_21": 5, "fake/sfhq_t2i": 7, "fake/dfdc": 30, "fake/ciplab": 14,
    "fake/self_blended": 1, "fake/face_swap": 1,
}  # fmt: skip

#: The same with forgeries of each source's own photos, most of those of which there are no fakes:
#: else their camera would mean "real".
OWN = SWAPS | {
    "real/140k": 32, "real/ciplab": 26, "real/celeba": 12, "real/utkface": 10, "real/dfdc": 34,
    "forged/140k": 4, "forged/ciplab": 4, "forged/celeba": 8, "forged/utkface": 7,
    "forged/dfdc": 8, "forged/caltech101": 1,
}  # fmt: skip

#: The same as SWAPS with more sharp portraits on both sides, and fewer edits, which a small window
#: often misses.
PORTRAITS = SWAPS | {
    "real/140k": 40, "real/ciplab": 30, "real/celeba": 12, "real/utkface": 10,
    "fake/140k": 38, "fake/stable_diffusion_21": 6, "fake/sfhq_t2i": 8, "fake/ciplab": 12,
}  # fmt: skip

#: A stage is one call of :func:`deepfake_lab.training.fitting.fit`; `photos` are those of an epoch,
#: and another `draw` makes two stages with the same mix see different pictures. A stage may have an
#: `image_size` of its own, learn from a `window` of so many pixels at a random place of the frame,
#: and leave all but the `top_blocks` of a backbone as they are. It begins with the weights of the
#: stage before, or with the mean of those of all stages before it, each as heavy as `start` says;
#: `blend` says the same of the weights that are kept in the end
#: (M. Wortsman et al., "Model soups", ICML 2022, arXiv:2203.05482).
RECIPES = {
    "cnn": {
        "model": "cnn", "image_size": 240, "dropout": 0.5, "blend": (0, 0.5, 0.5), "stages": [
            {"epochs": 12, "photos": 6400, "learning_rate": 1e-3, "augment": "light",
             "shares": HARD, "forged": 0.05, "warmup": 0.05, "average": 0.99, "keep": "val_auc"},
            {"epochs": 14, "photos": 6400, "learning_rate": 1e-3, "augment": "light",
             "shares": FAIR | {"real/140k": 56, "fake/140k": 48}, "forged": 0.05,
             "warmup": 0.02, "average": 0.995, "keep": "val_auc", "draw": 1},
            {"epochs": 10, "photos": 6400, "learning_rate": 1e-3, "augment": "mixed",
             "shares": FAIR, "forged": 0.05, "warmup": 0.02, "average": 0.995,
             "keep": "val_auc", "draw": 2},
        ],
    },
    "efficientnet": {
        "model": "efficientnet_lite0", "image_size": 224, "dropout": 0.3,
        "blend": (0, 0, 0, 0.065625, 0, 0.065625, 0.13125, 0.2625, 0.175, 0.3),
        "stages": [
            {"epochs": 14, "stop_after": 8, "photos": 4800, "learning_rate": 1e-3,
             "augment": "strong", "shares": EVEN, "forged": 0.12, "warmup": 0.05, "average": 0.99},
            {"epochs": 12, "stop_after": 3, "photos": 4800, "learning_rate": 7e-4,
             "augment": "mixed", "shares": HARD, "forged": 0.08, "warmup": 0.02, "average": 0.99},
            {"epochs": 7, "photos": 4800, "learning_rate": 5e-4, "augment": "mixed",
             "shares": HARD, "forged": 0.08, "warmup": 0.02, "average": 0.99, "keep": "val_auc",
             "draw": 1},
            {"epochs": 18, "photos": 9600, "learning_rate": 7e-4, "augment": "mixed",
             "shares": HARD, "forged": 0.08, "warmup": 0.03, "average": 0.995, "keep": "val_auc",
             "draw": 2, "image_size": 240, "top_blocks": 13},
            {"epochs": 12, "stop_after": 3, "photos": 9600, "learning_rate": 7e-4,
             "augment": "mixed", "shares": RARER, "forged": 0.08, "warmup": 0.03,
             "average": 0.999, "keep": "val_auc", "draw": 3, "image_size": 240, "top_blocks": 13},
            {"epochs": 9, "photos": 9600, "learning_rate": 7e-4, "augment": "mixed",
             "shares": FAIR, "forged": 0.08, "warmup": 0.02, "average": 0.999, "keep": "val_auc",
             "draw": 4, "image_size": 240, "top_blocks": 13},
            {"epochs": 5, "photos": 9600, "learning_rate": 5e-4, "augment": "mixed",
             "shares": FAIR, "forged": 0.08, "warmup": 0.03, "average": 0.995, "keep": "val_auc",
             "draw": 5, "image_size": 240, "top_blocks": 13},
            {"epochs": 28, "photos": 9600, "learning_rate": 1e-3, "augment": "mixed",
             "shares": SWAPS, "forged": 0.08, "warmup": 0.03, "average": 0.99, "keep": "val_auc",
             "draw": 8, "image_size": 240, "window": 160, "top_blocks": 13,
             "start": (0, 0, 0, 0.25, 0, 0.25, 0.5)},
            {"epochs": 16, "photos": 9600, "learning_rate": 1e-3, "augment": "mixed",
             "shares": OWN, "forged": 0.0, "warmup": 0.03, "average": 0.99, "keep": "epoch",
             "draw": 9, "image_size": 240, "window": 160, "top_blocks": 13,
             "start": (0, 0, 0, 0.125, 0, 0.125, 0.25, 0.5)},
            {"epochs": 5, "photos": 24000, "learning_rate": 5e-4, "augment": "mixed",
             "shares": PORTRAITS, "forged": 0.06, "warmup": 0.03, "average": 0.995,
             "keep": "epoch", "draw": 10, "image_size": 240, "window": 96, "top_blocks": 13,
             "start": (0, 0, 0, 0.09375, 0, 0.09375, 0.1875, 0.375, 0.25)},
        ],
    },
}  # fmt: skip

#: Share of any source's real photos, worn or not, that may be called fake.
MAX_FALSE_ALARMS = 0.1

#: What a source teaches about the others, and what helps, shorter trainings tell as well.
SHORT = {
    "epochs": 1, "photos": 9600, "learning_rate": 1e-3, "augment": "light", "shares": EVEN,
    "forged": 0.12, "warmup": 0.1, "average": 0.98, "image_size": 160, "top_blocks": 13,
}  # fmt: skip

#: What is changed about it to learn from windows of 160 pixels and be asked with whole frames.
WINDOWS = {"image_size": 240, "window": 160}

#: Families of fakes that :mod:`deepfake_lab.training.forge` imitates.
FORGED = ("swap", "edit", "blend")

ONLY_140K = {key: EVEN[key] * key.endswith("/140k") for key in EVEN}

#: What is changed about a shorter training still, and the seeds of each.
ABLATION = {
    "nothing": ({}, (0, 1, 2)),
    "worn pictures among the others": ({"augment": "mixed"}, (0, 1, 2)),
    "no forgeries made on the fly": ({"forged": 0.0}, (0,)),
    "each photo drawn as often as any": ({"shares": None}, (0,)),
    "140k's photos alone": ({"shares": ONLY_140K}, (0,)),
    "largest centred square instead of the face's frame": ({"framing": "whole"}, (0,)),
    "lowest three blocks learn, too": ({"top_blocks": None}, (0,)),
    "no moving average of the weights": ({"average": None}, (0,)),
    "140k's photos alone, 16,800 draws": ({"shares": ONLY_140K, "photos": 16800}, (0,)),
    "140k's photos alone, 16,800 draws, windows": (
        {"shares": ONLY_140K, "photos": 16800} | WINDOWS, (0,)
    ),
    "half the photos, each light and worn, asked to agree": (
        {"consistency": 4.0, "photos": 3200}, (0, 1, 2)
    ),
    "140k's photos alone, as many pixels in 46,700 windows of 96": (
        {"shares": ONLY_140K, "photos": 46700} | WINDOWS | {"window": 96}, (0,)
    ),
}  # fmt: skip


def main() -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    train = commands.add_parser("train", help="train a detector and write its run folder")
    train.add_argument("recipe", choices=RECIPES)
    train.add_argument("--name", help="of the run folder; by default the recipe's")
    train.add_argument("--seed", type=int, default=0)
    train.set_defaults(command=_train)
    leave_out = commands.add_parser("leave-out", help="train without each source of fakes in turn")
    leave_out.add_argument("recipe", choices=RECIPES)
    leave_out.set_defaults(command=_leave_out)
    ablate = commands.add_parser("ablate", help="train without each of the things that may help")
    ablate.add_argument("recipe", choices=RECIPES)
    ablate.set_defaults(command=_ablate)
    measure = commands.add_parser(
        "measure", help="ask a detector about the test photos; tables and card into its run folder"
    )
    measure.add_argument("name")
    measure.add_argument("--baseline", help="another detector, to stand beside it in the card")
    measure.set_defaults(command=_measure)
    options = parser.parse_args()
    try:
        options.command(options)
    except UserError as error:
        print(f"make_models: {error}", file=sys.stderr)
        return 2
    return 0


def _read() -> Dataset:
    return join([read_dataset(name) for name in DATA])


def _fit(recipe: dict, load, seed: int, run: str):
    """Train one model, stage after stage; return it with its history and the last stage's photos.

    `load` takes an image size and returns the splits.
    """
    size, histories, kept = None, [], []
    for number, stage in enumerate(recipe["stages"], start=1):
        settings = dict(stage)
        if (wanted := settings.pop("image_size", recipe["image_size"])) != size:
            size, splits = wanted, load(wanted)
        window, start = settings.pop("window", size), settings.pop("start", None)
        model = _model(recipe, size if window == size else None, seed, _mean(kept, start))
        if (top_blocks := settings.pop("top_blocks", None)) is not None:
            models.set_trainable(model, top_blocks)
        train = replace(splits["train"], image_size=window)
        present = set(_keys(train))
        shares = settings.pop("shares") or train.manifest["source"].groupby(_keys(train)).size()
        shares = {key: float(share) for key, share in shares.items()}
        mix = batches.Mix(
            settings.pop("photos"),
            {key: shares[key] for key in shares if key.replace("forged", "real") in present},
            settings.pop("forged"),
        )
        checkpoint = paths.home() / "logs" / run / f"stage{number}.npz"
        history = fitting.fit(
            model,
            train,
            splits["valid"],
            mix=mix,
            seed=seed + 1000 * settings.pop("draw", 0),
            checkpoint=checkpoint,
            **settings,
        )
        histories.append(history.assign(stage=number))
        kept.append(model.get_weights())
    # Anew, for whole frames and nothing else, whatever the last stage learned from.
    model = _model(recipe, size, seed, _mean(kept, recipe.get("blend")))
    return model, pd.concat(histories, ignore_index=True), splits


def _mean(kept: list[list], shares: tuple[float, ...] | None) -> list | None:
    """Return the mean of the weights of all stages so far; without shares, the last ones."""
    if shares is None:
        return kept[-1] if kept else None
    weighted = zip(shares, kept, strict=True)
    return [sum(part) for part in zip(*([share * w for w in ws] for share, ws in weighted))]


def _keys(split: batches.Split) -> pd.Series:
    return split.manifest["label"] + "/" + split.manifest["source"]


def _model(recipe: dict, size: int | None, seed: int, weights: list | None):
    """Return a new model, with these weights if there are any."""
    model = models.build_model(recipe["model"], size, dropout=recipe["dropout"], seed=seed)
    if weights is not None:
        model.set_weights(weights)
    return model


def _train(options: argparse.Namespace) -> None:
    recipe, name = RECIPES[options.recipe], options.name or options.recipe
    paths.new_model_folder(name, ship=True)  # a name that cannot be used is refused at once
    data = _read()
    run = f"{name}-seed{options.seed}"
    model, history, splits = _fit(
        recipe, lambda size: batches.load_splits(data.manifest, size), options.seed, run
    )
    runs.save_run(
        name, model, data, splits, history,
        framing="face", recipe=recipe, seed=options.seed,
        max_false_alarms=MAX_FALSE_ALARMS, ship=True,
    )  # fmt: skip


def _measure(options: argparse.Namespace) -> None:
    detector = Detector.load(options.name)
    found = assess(detector, DATA, degrade=True)
    baseline = options.baseline and assess(Detector.load(options.baseline), DATA)
    record(detector.folder, found, baseline or None)
    print(found.summary())


def _leave_out(options: argparse.Namespace) -> None:
    table = paths.model_folder(options.recipe) / "leave_one_out.csv"
    splits = batches.load_splits(_read().manifest, WINDOWS["image_size"])
    rows = pd.read_csv(table).to_dict("records") if table.is_file() else []
    done = {(row["kind"], row["left_out"]) for row in rows}
    for kind, name in _to_leave_out(splits["test"].manifest):
        if (kind, name) in done:
            continue
        print(f"without the {kind} {name}", flush=True)
        # Of the training photos, the shares leave out what is gone: a copy of the others would stay
        # in memory, run after run.
        rest = splits | {"valid": _without(splits["valid"], kind, name)}
        recipe = RECIPES[options.recipe] | {
            "stages": [SHORT | WINDOWS | {"shares": _shares(splits["train"], kind, name)}],
            "blend": None,
        }
        model, *_ = _fit(recipe, lambda _, rest=rest: rest, 0, f"without-{name}")
        rows.append({"left_out": name, "kind": kind, **_auc(model, splits["test"], kind, name)})
        pd.DataFrame(rows).to_csv(table, index=False, float_format="%.4f")
    rewrite_card(table.parent)


def _ablate(options: argparse.Namespace) -> None:
    table = paths.model_folder(options.recipe) / "ablation.csv"
    manifest = _read().manifest
    rows = pd.read_csv(table).to_dict("records") if table.is_file() else []
    done = {(row["changed"], row["seed"]) for row in rows}
    loaded, splits = None, {}
    for number, (what, (change, seeds)) in enumerate(ABLATION.items()):
        stage = SHORT | {"photos": 6400} | change
        wanted = (stage["image_size"], stage.pop("framing", "face"))
        for seed in seeds:
            if (what, seed) in done:
                continue
            print(f"changed: {what}, seed {seed}", flush=True)
            if wanted != loaded:
                loaded = wanted
                splits = batches.load_splits(manifest[manifest["split"] != "test"], *wanted)
            recipe = RECIPES[options.recipe] | {"stages": [stage], "blend": None}
            model, *_ = _fit(
                recipe, lambda _, splits=splits: splits, seed, f"ablation{number}-seed{seed}"
            )
            rows.append({"changed": what, "seed": seed, **_validation_aucs(model, splits["valid"])})
            pd.DataFrame(rows).to_csv(table, index=False, float_format="%.4f")
    rewrite_card(table.parent)


def _validation_aucs(model, valid: batches.Split) -> dict[str, float]:
    """Return the AUC of each kind of fakes in 140k and faces, as they are and worn."""
    rows, found = valid.manifest, {}
    for state, photos in (("", valid.centered()), (", worn", valid.worn(0))):
        logits = _logits(model, photos)
        for (data, family), _ in rows[rows["label"] == "fake"].groupby(["data", "family"]):
            if data != "sample":
                of_data = rows["data"] == data
                chosen = (of_data & ((rows["family"] == family) | (rows["label"] == "real"))).values
                found[f"{data} {family}{state}"] = roc_auc_score(
                    valid.labels[chosen], logits[chosen]
                )
    return found


def _logits(model, photos: np.ndarray) -> np.ndarray:
    """Return the raw scores (N,) of photos (N, H, W, 3)."""
    return np.concatenate([
        model.predict_on_batch(photos[start : start + 64].astype(np.float32))[:, 0]
        for start in range(0, len(photos), 64)
    ]).astype(float)  # fmt: skip


def _to_leave_out(manifest: pd.DataFrame) -> list[tuple[str, str]]:
    """Return (kind, name): every source of fakes, and every family that has several."""
    fakes = manifest[(manifest["label"] == "fake") & (manifest["data"] != "sample")]
    sources = fakes.groupby("family")["source"].unique()
    several = [("family", family) for family, names in sources.items() if len(names) > 1]
    return [("source", source) for names in sources for source in names] + several


def _shares(split: batches.Split, kind: str, name: str) -> dict[str, float]:
    """Return what an epoch draws when the fakes of a source or family are left out.

    Real photos of which no fakes are left would teach that their camera means "real". Where the
    fakes were swaps or edits, forgeries stand in for them; nothing here stands in for generated
    faces, so then the real photos leave as well.
    """
    gone = split.manifest[_fakes_of(split, kind, name)]
    shares = EVEN | dict.fromkeys("fake/" + gone["source"], 0)
    for source, family in gone.groupby("source")["family"].first().items():
        if f"real/{source}" in shares and family in FORGED:
            shares[f"forged/{source}"] = shares[f"real/{source}"]
        elif f"real/{source}" in shares:
            shares[f"real/{source}"] = 0
    return shares


def _without(split: batches.Split, kind: str, name: str) -> batches.Split:
    """Return the split without the fakes of a source or family; the real photos all stay."""
    keep = ~_fakes_of(split, kind, name)
    return replace(
        split, manifest=split.manifest[keep].reset_index(drop=True),
        frames=split.frames[keep], keypoints=split.keypoints[keep],
    )  # fmt: skip


def _auc(model, split: batches.Split, kind: str, name: str) -> dict:
    """Return the AUC of the fakes that were left out against all real photos, with interval."""
    chosen = _fakes_of(split, kind, name) | (split.labels == 0)
    logits = _logits(model, split.centered())
    answers = split.manifest.assign(
        p_fake=1 / (1 + np.exp(-logits)), verdict=np.where(logits > 0, "FAKE", "REAL")
    )[chosen]
    auc = evaluation.evaluate(answers, metrics=("roc_auc",))["metrics"]["roc_auc"]
    photos = int(_fakes_of(split, kind, name).sum())
    return {"auc": auc["value"], "low": auc["low"], "high": auc["high"], "photos": photos}


def _fakes_of(split: batches.Split, kind: str, name: str) -> np.ndarray:
    return ((split.manifest["label"] == "fake") & (split.manifest[kind] == name)).to_numpy()


if __name__ == "__main__":
    sys.exit(main())
