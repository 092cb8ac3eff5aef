"""Train the two detectors that the project ships; measure them, what helped, what they never saw.

    make models                       both detectors, from your data folder (DEEPFAKE_LAB_DATA)
    python tools/make_models.py train efficientnet --seed 1 --name efficientnet_seed1
    python tools/make_models.py train efficientnet --start models/efficientnet   go on learning
    python tools/make_models.py calibrate efficientnet
    python tools/make_models.py leave-out efficientnet
    python tools/make_models.py ablate efficientnet
    python tools/make_models.py audit efficientnet
    python tools/make_models.py measure efficientnet

The recipe in a paragraph: one training from ImageNet's weights (`cnn`: from random numbers), each
picture a window at a random place of a face's frame, changed as photos change on their way, real
and fake drawn alike within each class of resolution (`even_shares`), some of the fakes forged on
the fly from real photos; the learning rate rises, then falls along a cosine; what is kept is the
moving average of the weights. With `--start` a trained detector's weights take the place of
ImageNet's, the training is shorter and sees whole frames (`CONTINUED`), and what comes out lies
between those weights and the new ones. An interrupted training
goes on after its last whole epoch when the same command is given again.

The data folder holds `140k/` (Kaggle's "140k real and fake faces" or a part of it), `faces/`,
`more/` and `collected/` (each a manifest.csv with several sources of photos and of fakes; those of
`collected/` come from tools/collect_faces.py), and `reconstructed/` (see tools/reconstruct.py); the
sample set joins them.
"""

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from deepfake_lab import auditing, evaluation, paths
from deepfake_lab.data import seen
from deepfake_lab.data.datasets import Dataset, join, read_dataset
from deepfake_lab.detection.detector import Detector
from deepfake_lab.errors import UserError
from deepfake_lab.evaluation.assessment import assess
from deepfake_lab.evaluation.record import record, rewrite_card
from deepfake_lab.training import batches, fitting, models, runs

DATA = ("140k", "faces", "more", "collected", "reconstructed", "sample")

#: Photos whose shorter side is below this are crops of small or far faces, video frames most of
#: them; the others are portraits. Each class has real photos and fakes of its own.
PORTRAIT = 230

#: Photos of each data set, at most, that are damaged in every way to be asked about again.
DAMAGED = 1000

#: The last epoch is kept, whatever it is worth; so many validation photos are enough to watch it.
WATCHED = 1000

#: More photos than this of one source add nothing to its weight.
CAP = 3000

#: No photo of a small source is drawn more often than this many times what is drawn of an average
#: one: it would be learned by heart.
OFTEN = 4

#: Sources that weigh more, or less, than the number of their photos says. More: what most people
#: bring, and what the detector knows hardly better among its training photos than among others, so
#: that there is something left to learn. Less: GANs of 2017, which took more than they taught. What
#: is known by heart (`ciplab`'s training photos: AUC 1.000, others: .720) has no need of it.
EMPHASIS = {
    "140k": 2, "140k_more": 4, "dfdc": 1.5, "openforensics": 1.5, "stylegan3_pool": 2,
    "stylegan_code": 2, "stylegan2_avatars": 2, "gpt4o_nano": 2, "today_gpt": 2, "today_nano": 2,
    "makeup": 1.5, "ffhq_1024": 2, "hq_photos_1024": 1.5, "web_portraits": 1.5,
    "students_gans": 1 / 4, "students_stargan": 1 / 2,
}  # fmt: skip

RECIPES = {
    "cnn": {
        "model": "cnn", "image_size": 240, "dropout": 0.3, "epochs": 16, "photos": 24_000,
        "learning_rate": 1e-3, "augment": "light", "forged": 0.05, "warmup": 0.03,
        "average": 0.999, "keep": "epoch",
    },
    "efficientnet": {
        "model": "efficientnet_lite0", "image_size": 240, "window": 160, "dropout": 0.3,
        "epochs": 21, "photos": 24_000, "learning_rate": 1e-3, "augment": "mixed", "forged": 0.1,
        "warmup": 0.03, "average": 0.999, "keep": "epoch",
    },
}  # fmt: skip

#: What is different where a trained detector goes on learning, from more photos than it knew. It
#: sees whole frames, as it is asked: windows of 160 px go through twice as fast, and in the same
#: time they made it worse (validation, macro AUC .942 against .955; before, .951). Two cores take
#: about 18 minutes for an epoch. Of the weights that it began with, `kept` is the share that stays:
#: what they knew of other sources is not all overwritten, see :func:`interpolated`.
CONTINUED = {
    "window": None, "epochs": 4, "learning_rate": 5e-4, "warmup": 0.05, "kept": 0.5,
}  # fmt: skip

#: Share of any source's real photos, worn or not, that may be called fake.
MAX_FALSE_ALARMS = 0.1

#: What a source teaches about the others, and what helps, shorter trainings tell as well.
SHORT = {"epochs": 1, "photos": 9600, "augment": "light", "warmup": 0.1, "average": 0.98,
         "top_blocks": 13}  # fmt: skip

#: Families of fakes that :mod:`deepfake_lab.training.forge` imitates.
FORGED = ("swap", "edit", "blend")

#: What is changed about a shorter training, each with these seeds.
ABLATION: dict[str, dict] = {
    "nothing": {},
    "no forgeries made on the fly": {"forged": 0.0},
    "no reconstructions": {"without": "reconstructed"},
    "neither": {"forged": 0.0, "without": "reconstructed"},
    "whole frames instead of windows": {"window": None},
    "worn pictures among the others": {"augment": "mixed"},
    "each photo drawn as often as any": {"even": False},
    "largest centred square instead of the face's frame": {"framing": "whole"},
}
SEEDS = (0, 1, 2)


def main() -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    train = commands.add_parser("train", help="train a detector and write its run folder")
    train.add_argument("recipe", choices=RECIPES)
    train.add_argument("--name", help="of the run folder; by default the recipe's")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument(
        "--start", type=Path, metavar="RUN", help="folder of a detector to go on from"
    )
    train.set_defaults(command=_train)
    calibrate = commands.add_parser(
        "calibrate", help="choose a trained detector's calibration and prior by today's rule"
    )
    calibrate.add_argument("name")
    calibrate.set_defaults(command=_calibrate)
    leave_out = commands.add_parser("leave-out", help="train without each source of fakes in turn")
    leave_out.add_argument("recipe", choices=RECIPES)
    leave_out.set_defaults(command=_leave_out)
    ablate = commands.add_parser("ablate", help="train without each of the things that may help")
    ablate.add_argument("recipe", choices=RECIPES)
    ablate.set_defaults(command=_ablate)
    audit = commands.add_parser("audit", help="say what tells its photos apart without a face")
    audit.add_argument("name", help="of the detector whose card is to show it")
    audit.set_defaults(command=_audit)
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
    return join([read_dataset(name, both_labels=False) for name in DATA])


def _frames() -> Path:
    """Return where frames are kept from one start to the next: cutting them takes a while."""
    return paths.home() / "logs" / "frames"


def even_shares(manifest: pd.DataFrame) -> dict[str, float]:
    """Return `label/source` -> its share of what an epoch draws.

    Within each class of resolution real and fake weigh the same, so that sharpness and size argue
    for no label; the classes weigh as much as their photos. Within a class and label, a source
    weighs as much as the square root of its photos, of :data:`CAP` at most, times its
    :data:`EMPHASIS`, and a family of sources as the square root of their weights: what is large
    does not drown what is small, and what is small is not learned by heart (:data:`OFTEN`).

    Args:
        manifest: of the training photos, with ``width`` and ``height``.
    """
    side = manifest[["width", "height"]].min(axis=1)
    rows = manifest.assign(key=manifest["label"] + "/" + manifest["source"], side=side)
    sources = rows.groupby("key").agg(label=("label", "first"), source=("source", "first"),
                                      family=("family", "first"), side=("side", "median"),
                                      photos=("key", "size"))  # fmt: skip
    sources["portrait"] = sources["side"] >= PORTRAIT
    sources["weight"] = np.sqrt(sources["photos"].clip(upper=CAP))
    sources["weight"] *= sources["source"].map(lambda name: EMPHASIS.get(name, 1))
    of_family = sources.groupby(["portrait", "label", "family"])["weight"].transform("sum")
    sources["weight"] /= np.sqrt(of_family)
    of_label = sources.groupby(["portrait", "label"])["weight"].transform("sum")
    of_class = sources.groupby("portrait")["photos"].transform("sum")
    # A class without one of the labels would teach that its resolution is the other one's.
    both = sources.groupby("portrait")["label"].transform("nunique") == 2
    shares = sources["weight"] / of_label * of_class * (both | ~both.any())
    shares /= shares.sum()
    capped = np.minimum(shares, OFTEN * sources["photos"] / len(rows))
    # The others of the same class and label get what the small ones leave.
    side = [sources["portrait"], sources["label"]]
    shares = capped * shares.groupby(side).transform("sum") / capped.groupby(side).transform("sum")
    return shares.fillna(0.0).to_dict()


def _fit(
    recipe: dict, splits: dict[str, batches.Split], seed: int, run: str,
    shares: dict[str, float] | None = None,
):  # fmt: skip
    """Train one model; return it, for whole frames, with its history.

    Without `shares`, an epoch draws as :func:`even_shares` says.
    """
    settings = dict(recipe)
    name, size, dropout = (settings.pop(key) for key in ("model", "image_size", "dropout"))
    window = settings.pop("window", None) or size
    top_blocks = settings.pop("top_blocks", None)
    start, kept = settings.pop("start", None), settings.pop("kept", 0.0)
    model = models.build_model(name, size if window == size else None, dropout=dropout, seed=seed)
    if start is not None:
        model.set_weights(start.get_weights())
    if top_blocks is not None and name != "cnn":  # which has no blocks to keep as they are
        models.set_trainable(model, top_blocks)
    train = replace(splits["train"], image_size=window)
    shares = even_shares(train.manifest) if shares is None else shares
    mix = batches.Mix(settings.pop("photos"), shares, settings.pop("forged"))
    checkpoint = paths.home() / "logs" / run / "training.npz"
    history = fitting.fit(
        model, train, _some(splits["valid"]), mix=mix, seed=seed, checkpoint=checkpoint, **settings
    )
    whole = models.build_model(name, size, dropout=dropout, seed=seed)
    weights = model.get_weights()
    if start is not None:
        weights = interpolated(start.get_weights(), weights, kept)
    whole.set_weights(weights)
    return whole, history


def interpolated(old: list[np.ndarray], new: list[np.ndarray], kept: float) -> list[np.ndarray]:
    """Return weights between those that a training began with and those that it ended with.

    Args:
        old: those that it began with.
        new: those that it ended with, in the same order.
        kept: the share of the old ones, in [0, 1].

    Source: M. Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022,
        arXiv:2109.01903.
    """
    return [kept * before + (1 - kept) * after for before, after in zip(old, new)]


def _some(split: batches.Split) -> batches.Split:
    """Return :data:`WATCHED` of a split's photos, drawn at random, always the same."""
    number = min(WATCHED, len(split.manifest))
    rows = np.sort(np.random.default_rng(0).permutation(len(split.manifest))[:number])
    return _of(split, rows)


def _of(split: batches.Split, rows: np.ndarray) -> batches.Split:
    """Return a split's photos at these places, or where this is true."""
    manifest = split.manifest[rows] if rows.dtype == bool else split.manifest.iloc[rows]
    return replace(
        split, manifest=manifest.reset_index(drop=True),
        frames=split.frames[rows], keypoints=split.keypoints[rows],
    )  # fmt: skip


def _train(options: argparse.Namespace) -> None:
    recipe, name = RECIPES[options.recipe], options.name or options.recipe
    paths.new_model_folder(name, ship=True)  # a name that cannot be used is refused at once
    start, known = None, {}
    if options.start:
        start, known = _start(options.start, recipe)
        recipe = recipe | CONTINUED
    data = _read()
    splits = batches.load_splits(data.manifest, recipe["image_size"], cache=_frames())
    begun = f"{name}-seed{options.seed}"  # what an interrupted training goes on from
    if known:
        begun += f"-from-{known['start']['sha256'][:8]}"
    model, history = _fit(recipe | {"start": start}, splits, options.seed, begun)
    shares = {key: round(share, 4) for key, share in even_shares(splits["train"].manifest).items()}
    runs.save_run(
        name, model, data, splits, history,
        framing="face", recipe=recipe | known | {"shares": shares}, seed=options.seed,
        max_false_alarms=MAX_FALSE_ALARMS, ship=True,
    )  # fmt: skip


def _start(folder: Path, recipe: dict) -> tuple[keras.Model, dict]:
    """Return the model of a run folder, and what says later which one it was."""
    detector = Detector.load(folder)
    kind = detector.config["architecture"], detector.config["image_size"]
    if kind != (recipe["model"], recipe["image_size"]):
        raise UserError(
            f"{folder} holds a {kind[0]} of {kind[1]} px: this recipe goes on from a "
            f"{recipe['model']} of {recipe['image_size']} px alone."
        )
    keys = ("name", "created", "git_commit")
    known = {key: detector.config.get(key) for key in keys}
    known["sha256"] = detector.config["sha256"]["model.keras"]
    return keras.models.load_model(folder / "model.keras", compile=False), {"start": known}


def _calibrate(options: argparse.Namespace) -> None:
    detector = Detector.load(options.name)
    config, folder = detector.config, detector.folder
    data = _read()
    if data.fingerprint() != config["data"]["fingerprint"]:
        raise UserError(
            f"{folder} was trained with other photos than your data folder holds now: other "
            "validation photos cannot calibrate it."
        )
    recipe = {"trained": {key: config[key] for key in ("created", "git_commit")}}
    runs.save_run(
        options.name, keras.models.load_model(folder / "model.keras", compile=False), data,
        batches.load_splits(data.manifest, config["image_size"], config["framing"], _frames()),
        pd.read_csv(folder / "history.csv"),
        framing=config["framing"], recipe=recipe | config["recipe"], seed=config["seed"],
        max_false_alarms=MAX_FALSE_ALARMS, ship=True,
    )  # fmt: skip


def _measure(options: argparse.Namespace) -> None:
    detector = Detector.load(options.name)
    found = assess(detector, DATA)
    # Two dozen kinds of damage to every photo would take hours.
    damaged = assess(detector, DATA, degrade=True, max_photos=DAMAGED)
    found = replace(
        found,
        tables=found.tables | {"degradations": damaged.tables["degradations"]},
        degraded=damaged.degraded,
        notes=(
            *found.notes,
            f"Damaged were at most {DAMAGED:,} photos of each data set, drawn at random, both "
            "labels alike.",
        ),
    )
    baseline = options.baseline and assess(Detector.load(options.baseline), DATA)
    record(detector.folder, found, baseline or None)
    # Thumbnails of photos that cannot be passed on; hashes of the files know them again.
    if (detector.folder / seen.FILE).is_file():
        seen.leave_out_pictures(detector.folder)
    print(found.summary())


def _audit(options: argparse.Namespace) -> None:
    folder = paths.model_folder(options.name)
    table = auditing.audit(_read()).shortcuts
    table.to_csv(folder / "shortcuts.csv", index=False, float_format="%.4f")
    rewrite_card(folder)


def _leave_out(options: argparse.Namespace) -> None:
    table = paths.model_folder(options.recipe) / "leave_one_out.csv"
    recipe = RECIPES[options.recipe] | SHORT
    splits = batches.load_splits(_read().manifest, recipe["image_size"], cache=_frames())
    rows = pd.read_csv(table).to_dict("records") if table.is_file() else []
    done = {(row["kind"], row["left_out"]) for row in rows}
    for kind, name in _to_leave_out(splits["test"].manifest):
        if (kind, name) in done:
            continue
        print(f"without the {kind} {name}", flush=True)
        # Of the training photos, the shares leave out what is gone: a copy of the others would stay
        # in memory, run after run.
        rest = splits | {"valid": _without(splits["valid"], kind, name)}
        shares = _shares(splits["train"], kind, name)
        model, _ = _fit(recipe, rest, 0, f"{options.recipe}-without-{name}", shares)
        rows.append({"left_out": name, "kind": kind, **_auc(model, splits["test"], kind, name)})
        pd.DataFrame(rows).to_csv(table, index=False, float_format="%.4f")
    rewrite_card(table.parent)


def _ablate(options: argparse.Namespace) -> None:
    table = paths.model_folder(options.recipe) / "ablation.csv"
    manifest = _read().manifest
    rows = pd.read_csv(table).to_dict("records") if table.is_file() else []
    done = {(row["changed"], row["seed"]) for row in rows}
    loaded, splits = None, {}
    for number, (what, change) in enumerate(ABLATION.items()):
        recipe = RECIPES[options.recipe] | SHORT | {"photos": 6400} | change
        framing, even = recipe.pop("framing", "face"), recipe.pop("even", True)
        without = recipe.pop("without", None)
        for seed in SEEDS:
            if (what, seed) in done:
                continue
            print(f"changed: {what}, seed {seed}", flush=True)
            if framing != loaded:
                loaded = framing
                of_use = manifest[manifest["split"] != "test"]
                splits = batches.load_splits(of_use, recipe["image_size"], framing, _frames())
            keys = _keys(splits["train"])
            shares = even_shares(splits["train"].manifest)
            if not even:
                shares = keys.value_counts(normalize=True).to_dict()
            if without:
                shares |= {key: 0.0 for key in shares if key.endswith(f"/{without}")}
            model, _ = _fit(
                recipe, splits, seed, f"{options.recipe}-ablation{number}-seed{seed}", shares
            )
            rows.append({"changed": what, "seed": seed, **_validation_aucs(model, splits["valid"])})
            pd.DataFrame(rows).to_csv(table, index=False, float_format="%.4f")
    rewrite_card(table.parent)


def _keys(split: batches.Split) -> pd.Series:
    return split.manifest["label"] + "/" + split.manifest["source"]


def _validation_aucs(model, valid: batches.Split) -> dict[str, float]:
    """Return the AUC of each kind of fakes in each data set, as they are and worn."""
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
    shares = even_shares(split.manifest) | dict.fromkeys("fake/" + gone["source"], 0.0)
    for source, family in gone.groupby("source")["family"].first().items():
        if f"real/{source}" in shares and family in FORGED:
            shares[f"forged/{source}"] = shares[f"real/{source}"]
        elif f"real/{source}" in shares:
            shares[f"real/{source}"] = 0.0
    return shares


def _without(split: batches.Split, kind: str, name: str) -> batches.Split:
    """Return the split without the fakes of a source or family; the real photos all stay."""
    return _of(split, ~_fakes_of(split, kind, name))


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
