"""The model card that lies in every run folder, made of the files in that folder."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from deepfake_lab.data.sources import dataset_name, with_origin
from deepfake_lab.data.tables import read_written
from deepfake_lab.detection.detector import data_words
from deepfake_lab.evaluation import views
from deepfake_lab.evaluation.appendix import source_facts, table_sections
from deepfake_lab.evaluation.failures import known_failures
from deepfake_lab.evaluation.frontmatter import front_matter
from deepfake_lab.evaluation.metrics import TITLES

#: Tables that a card shows where they lie beside it.
TABLES = (
    "families", "sources", "same_source", "cross_source", "coverage", "degradations", "subgroups",
    "leave_one_out", "ablation", "shortcuts", "baseline", "unseen",
)  # fmt: skip

_USES = """\
## Intended use

Research and teaching: to see what such a detector can and cannot do, to compare others with it, and
as one reason among several to look closer at a photo. It judges faces in still photos, each by
itself.

## Misuse

- **No evidence about a person.** Neither "fake" nor "real" from this detector may decide on
  somebody's honesty, job, account, claim or publication.
- **No filter that acts alone.** Where fakes are rare, much of what it calls fake is real: with one
  fake among a hundred photos, a detector that errs on {alarms} of the real ones and finds {found}
  of the fakes is right in {right} of its alarms.
- No proof that a photo is genuine: whoever forges can ask it, too, and try until it says REAL.
- No commercial use without the consent of those who hold rights in the photos that it learned from.

## What these numbers do not say

They hold for photos like the test photos: the same cameras, the same kinds of fakes, the same
recompression. On another generator or another source a detector like this may do no better than a
coin. Do not use a verdict as evidence about a person.
"""


def write_card(path: Path, config: dict, metrics: dict) -> None:
    """Write a model card in Markdown, made of what a run folder records.

    Args:
        path: the file to write; the tables that lie beside it are shown.
        config: as in ``detector.json``.
        metrics: as in ``metrics.json``.

    Source: M. Mitchell et al., "Model Cards for Model Reporting", 2019, arXiv:1810.03993.
    """
    there = [name for name in (*TABLES, "predictions") if (path.parent / f"{name}.csv").is_file()]
    tables = {name: read_written(path.parent / f"{name}.csv") for name in there}
    path.write_text(model_card(config, metrics, tables), encoding="utf-8")


def model_card(config: dict, metrics: dict, tables: dict[str, pd.DataFrame] | None = None) -> str:
    """Return the text of the card, its head for programs first.

    Args:
        config: as in ``detector.json``.
        metrics: as in ``metrics.json``.
        tables: name -> frame, of :data:`TABLES` and ``predictions``; see
            :func:`deepfake_lab.evaluation.record.record`.
    """
    tables = tables or {}
    parts = [
        front_matter(config, metrics, tables) + f"\n\n# {config['name']}",
        f"The network {config['architecture']}. It judges a face in a photo, cut to "
        f"{config['image_size']} x {config['image_size']} pixels, as REAL or FAKE.",
        *_data(config, tables),
        *_measured(metrics, tables),
        *_unseen(tables),
        *_without_a_face(tables),
        *_left_out(config, tables),
        *_known_failures(tables),
        *_doubt(config, tables),
        _USES.format(**_rare_fakes(metrics["test"]["metrics"])).rstrip(),
        *_recipe(config, tables),
    ]
    return "\n\n".join(parts) + "\n"


def _data(config: dict, tables: dict[str, pd.DataFrame]) -> Iterator[str]:
    data = config["data"]
    yield "## Trained on"
    yield (
        f"{data['train']:,} training and {data['valid']:,} validation photos of "
        f"{data_words(data['name'])} (`{data['name']}`, {data['layout']} layout, fingerprint "
        f"{data['fingerprint']})."
    )
    rows = tables.get("predictions")
    if rows is not None and "source" in rows:
        if "data" not in rows:
            rows = with_origin(rows, dataset_name(data["layout"], data["name"]))
        yield "The sources of its validation and test photos, and what is known about them:"
        yield source_facts(rows)
        yield (
            "The photos are not part of the run folder. Their terms differ and some allow no "
            "commercial use: this detector is for research and teaching."
        )


def _measured(metrics: dict, tables: dict[str, pd.DataFrame]) -> Iterator[str]:
    test = metrics["test"]
    photos = f"{test['photos']['real']:,} real and {test['photos']['fake']:,} fake photos"
    yield "## Measured"
    if not test["metrics"]:
        yield test["note"]
        return
    yield (
        f"On the test split ({photos}), which chose nothing. Intervals: 95%, bootstrap over groups."
    )
    yield _markdown([
        {"metric": TITLES[name], "value": views.score(m["value"]),
         "interval": "-" if pd.isna(m["low"]) else f"{m['low']:.3f} to {m['high']:.3f}"}
        for name, m in test["metrics"].items()
    ])  # fmt: skip
    if "assessment" in metrics:
        found = metrics["assessment"]
        names = ", ".join(record["name"] for record in found["data"])
        asked = sum(record["real"] + record["fake"] for record in found["data"])
        more = sum(test["photos"].values()) - asked
        if more > 0 and found["split"] == "test" and len(found["data"]) > 1:
            yield (
                f"{more:,} of these photos are test photos because another data set's test split "
                "has their like. The tables below, each data set by itself, leave them out."
            )
        yield (
            f"More closely, on the split `{found['split']}` of {names}. Real and fake photos weigh "
            "the same in AUC, accuracy, EER and ECE below, so that kinds with few and with many "
            "fakes can be compared; *macro* is the mean over kinds."
        )
        yield "\n".join(table_sections(tables, "###", short=True)).rstrip()
        if found["notes"]:
            yield "\n".join(f"- {note}" for note in found["notes"])


def _unseen(tables: dict[str, pd.DataFrame]) -> Iterator[str]:
    if "unseen" not in tables:
        return
    rows = tables["unseen"]
    shares = rows[rows["measure"] != "AUC"].set_index("what")
    said = {
        what: views.share(row["value"], row["low"], row["high"]) for what, row in shares.iterrows()
    }
    photos = shares["photos"]
    yield "## Sources that it never learned from"
    yield (
        f"Of {photos['real']:,} real and {photos['fake']:,} fake photos of other sources than all "
        f"above, it called {said['real']} of the real ones FAKE and {said['fake']} of the fakes "
        "REAL. That, and not the rates above, is what to expect of photos from elsewhere. Each "
        "kind of fake against the real photos, *worn* after half the size and JPEG 40:"
    )
    yield _markdown([
        {"fakes": row["what"], "AUC": views.score(row["value"], row["low"], row["high"]),
         "worn": views.score(row["worn"], row["worn_low"], row["worn_high"]),
         "photos": f"{int(row['photos']):,}"}
        for row in rows[rows["measure"] == "AUC"].to_dict("records")
    ])  # fmt: skip


def _left_out(config: dict, tables: dict[str, pd.DataFrame]) -> Iterator[str]:
    earlier = ""
    if "start" in config["recipe"]:
        earlier = (
            " This detector went on from an earlier one: the table was made for that one, from "
            "the photos that it had, and not anew."
        )
    if "leave_one_out" in tables:
        rows = tables["leave_one_out"]
        yield "## Fakes that it had never seen"
        yield (
            "The same network, in a shorter training without one source or one whole kind of "
            "fakes, then asked about what was left out, against the real photos. Real photos of "
            'which no fakes are left would teach that their camera means "real": where swaps or '
            "edits are left out, forgeries made of those photos stand in for them in training; "
            "where generated faces are, the photos leave as well. That rule was found on three of "
            "these sources (140k, ciplab, dfdc), so their rows may flatter it a little. A shorter "
            f"training makes a weaker detector.{earlier}"
        )
        yield _markdown([
            {"left out": row["left_out"], "what": row["kind"],
             "AUC": views.score(row["auc"], row["low"], row["high"]),
             "photos": f"{int(row['photos']):,}"}
            for row in rows.to_dict("records")
        ])  # fmt: skip
        for kind, part in rows.groupby("kind", sort=False):
            yield f"Mean over {len(part)} left out ({kind}): AUC {part['auc'].mean():.3f}."
    if "baseline" in tables and "families" in tables:
        for name, rows in tables["baseline"].groupby("detector", sort=False):
            yield f"## Beside `{name}`"
            yield "Another detector, asked about the same photos:"
            yield _markdown(_beside(tables["families"], rows, str(name)))
    if "ablation" in tables:
        yield "## What helped"
        yield (
            "AUC on validation photos, as they are and worn (recompressed, rescaled, blurred), "
            "after shorter trainings that differ in what the first column says. How far the rows "
            f"in which nothing is changed but the seed lie apart is chance.{earlier}"
        )
        yield _markdown(tables["ablation"].astype(object).map(_plain).to_dict("records"))


def _without_a_face(tables: dict[str, pd.DataFrame]) -> Iterator[str]:
    if "shortcuts" not in tables:
        return
    yield "## What tells its photos apart without a face"
    yield (
        "What `audit` says about the photos that it learned from: how well a small model that is "
        "shown one thing about a file, and no face, tells real from fake (AUC; 0.5 is a coin's), "
        "for all photos together and for pairs of a real and a fake source. A detector may have "
        "learned some of this instead of faces. Training draws real and fake alike in each class "
        "of resolution and saves, scales and crops both anew at random, against most of it."
    )
    rows = []
    for signal, part in tables["shortcuts"].groupby("signal", sort=False):
        pairs = part[part["pair"] != "all"].sort_values("auc", ascending=False)
        row = {"what": signal}
        for auc in part.loc[part["pair"] == "all", "auc"]:
            row["AUC, all photos"] = f"{auc:.2f}"
        if len(pairs):
            row["pairs that it gives away"] = f"{int(pairs['shortcut'].sum())} of {len(pairs)}"
            row["most of all"] = f"{pairs['pair'].iloc[0]} ({pairs['auc'].iloc[0]:.2f})"
        rows.append(row)
    yield views.markdown(pd.DataFrame(rows).fillna(""))


def _known_failures(tables: dict[str, pd.DataFrame]) -> Iterator[str]:
    failures = known_failures({name: tables[name] for name in TABLES if name in tables})
    if failures:
        yield "## Known failures"
        yield "The worst rows of the tables above, however good the others are:"
        yield "\n".join(f"- {line}" for line in failures)


def _doubt(config: dict, tables: dict[str, pd.DataFrame]) -> Iterator[str]:
    low, high = config["uncertain_band"]
    yield "## Calibration and doubt"
    if scale := config.get("sharpness"):
        yield (
            f"logit = (the network's score {-scale['center']:+.4g}) / ({scale['spread']:.4g} "
            f"{scale['slope']:+.4g} x sharpness) {-scale['zero']:+.4g}, where sharpness is the "
            "logarithm of the mean absolute Laplacian, taken as "
            f"{' to '.join(f'{end:.2f}' for end in scale['sharpness'])} at the least and the most. "
            "Sharp real photos score higher, and spread wider, than soft ones; divided so, real "
            "validation photos of any sharpness spread alike, and one prior serves for all."
        )
    yield (
        f"{views.calibration(config, config['prior'])}, "
        f"fitted on validation photos, for photos of which a share of {config['prior']:g} is fake "
        "(the prior): the same score means less where fakes are rare. The verdict is what is "
        "likelier. Whoever knows the share among her own photos names it (`--prior`), and finds "
        "more fakes, or has fewer false alarms."
    )
    if promise := config.get("false_alarms"):
        yield (
            f"By the validation photos it is {promise['confidence']:.0%} sure, for each source of "
            "real photos that has enough of them, and for the small ones together, that no more "
            f"than {promise['at_most']:.0%} of them are called "
            "FAKE at that prior, if each photo speaks for itself: where many photos show the same "
            "few people, that is too bold. Of a camera that is none of these sources it says "
            "nothing."
        )
    yield (
        "That holds for a photo of one face. Of a photo with n faces each has an n-th of the odds "
        "of the prior, since each is one more chance of a false alarm; the photo's verdict is "
        "that of the most suspicious face. Tilted heads are set upright first. All tests here are "
        "of the largest face of each photo."
    )
    yield (
        f'P(fake) between {low:.2f} and {high:.2f} means "do not know": outside that band at most '
        "5% of the\n*validation* verdicts were wrong."
    )
    if "coverage" in tables:
        rows = tables["coverage"][tables["coverage"]["shipped"].astype(bool)]
        for row in rows[rows["data"] != "all"].to_dict("records"):
            answered, wrong = (
                views.share(*(row[column + end] for end in ("", "_low", "_high")))
                for column in ("coverage", "error")
            )
            yield (
                f"On {row['data']}, {answered} of the photos get an answer outside the band, and "
                f"{wrong} of those answers are wrong."
            )


def _recipe(config: dict, tables: dict[str, pd.DataFrame]) -> Iterator[str]:
    versions = ", ".join(f"{name} {number}" for name, number in config["versions"].items())
    seeds = config.get("seeds", [config["seed"]])
    lines = [f"- {key}: {value}" for key, value in config["recipe"].items()]
    lines.append(f"- seed{'s' * (len(seeds) > 1)}: {', '.join(map(str, seeds))}")
    lines.append(f"- made {config['created']} with {versions}")
    yield "## Recipe"
    yield "\n".join(lines)


def _beside(ours: pd.DataFrame, theirs: pd.DataFrame, name: str) -> list[dict]:
    """Return the AUC of each kind of fake by this detector and by the other one."""
    both = ours.merge(theirs, on=["data", "family"], suffixes=("", "_other"))
    both = both[(both["data"] != "all") & (both["family"] != "all")]
    return [
        {"data": row["data"], "fakes": row["family"], f"AUC of {name}": views.score(
            row["roc_auc_other"], row["roc_auc_low_other"], row["roc_auc_high_other"]),
         "AUC of this one": views.score(
             row["roc_auc"], row["roc_auc_low"], row["roc_auc_high"])}
        for row in both.to_dict("records")
    ]  # fmt: skip


def _rare_fakes(test: dict) -> dict[str, str]:
    """Return how often FAKE is right where one photo of a hundred is fake."""
    if not test:
        return dict.fromkeys(("alarms", "found", "right"), "an unknown share")
    alarms, found = test["false_alarm_rate"]["value"], 1 - test["miss_rate"]["value"]
    calls = 0.01 * found + 0.99 * alarms
    right = f"{0.01 * found / calls:.0%}" if calls else "none"
    return {"alarms": f"{alarms:.1%}", "found": f"{found:.1%}", "right": right}


def _markdown(rows: list[dict]) -> str:
    return views.markdown(pd.DataFrame(rows))


def _plain(cell: object) -> str:
    if isinstance(cell, float):
        return "-" if pd.isna(cell) else f"{cell:.3f}"
    return str(cell)
