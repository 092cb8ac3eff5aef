"""The model card that lies in every run folder."""

from pathlib import Path

_METRIC_NAMES = {
    "balanced_accuracy": "Balanced accuracy",
    "roc_auc": "ROC AUC",
    "average_precision": "Average precision",
    "false_alarm_rate": "Real photos called fake",
    "miss_rate": "Fake photos called real",
    "brier_score": "Brier score",
    "calibration_error": "Calibration error (ECE)",
}


def write_card(path: Path, config: dict, metrics: dict) -> None:
    """Write a model card in Markdown, made of what a run folder records.

    Args:
        path: the file to write.
        config: as in ``config.json``.
        metrics: as in ``metrics.json``.

    Source: M. Mitchell et al., "Model Cards for Model Reporting", 2019, arXiv:1810.03993.
    """
    path.write_text(model_card(config, metrics), encoding="utf-8")


def model_card(config: dict, metrics: dict) -> str:
    """Return the text of the card; arguments as :func:`write_card`."""
    data, test = config["data"], metrics["test"]
    low, high = config["uncertain_band"]
    photos = f"{test['photos']['real']:,} real and {test['photos']['fake']:,} fake photos"
    table = "\n".join(
        f"| {_METRIC_NAMES[name]} | {m['value']:.3f} | {m['low']:.3f} to {m['high']:.3f} |"
        for name, m in test["metrics"].items()
    )
    recipe = "\n".join(f"- {key}: {value}" for key, value in config["recipe"].items())
    versions = ", ".join(f"{name} {number}" for name, number in config["versions"].items())
    return f"""# {config["name"]}

A {config["architecture"]} that judges one face in a photo, cut to {config["image_size"]} x \
{config["image_size"]} pixels, as REAL or FAKE.

## Trained on

{data["train"]:,} training and {data["valid"]:,} validation photos of `{data["name"]}` \
({data["layout"]} layout, fingerprint {data["fingerprint"]}).

## Measured

On the test split ({photos}), which chose nothing. Intervals: 95%, bootstrap over groups.

| metric | value | interval |
|---|---|---|
{table}

P(fake) between {low:.2f} and {high:.2f} means "do not know": outside that band at most 5% of the
*validation* verdicts were wrong.

## What these numbers do not say

They hold for photos like the test photos: the same cameras, the same kinds of fakes, the same
recompression. On another generator or another source a detector like this may do no better than a
coin. Do not use a verdict as evidence about a person.

## Recipe

{recipe}
- seed: {config["seed"]}
- made {config["created"]} with {versions}
"""
