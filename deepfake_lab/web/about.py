"""What the page says about its detector: from the run folder, never from memory."""

import csv
import json
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from deepfake_lab.detection.detector import Detector
from deepfake_lab.detection.prior import at_prior
from deepfake_lab.errors import UserError

#: Test photos of the same verdict whose P(fake) differs from an answer's by at most this much are
#: "scored like it".
NEAR = 0.1

#: Fewer such photos than this support no statement.
ENOUGH = 10

#: Of a detector whose test photos lack a label.
_UNKNOWN = dict.fromkeys(("value", "low", "high"), float("nan"))


@dataclass(frozen=True)
class Rate:
    """A share with its 95% interval, all in [0, 1]; nothing may show how wide that is."""

    value: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        if np.isnan(self.value):
            return "an unknown share (its test has none)"
        if self.low is None or self.high is None:
            return f"{self.value:.1%}"
        return f"{self.value:.1%} (95% interval {self.low:.1%} to {self.high:.1%})"


class ModelFacts:
    """Facts about a detector, read from its run folder.

    Args:
        detector: the one that answers.
    """

    def __init__(self, detector: Detector):
        self.name = detector.name
        self.about = detector.about
        self.config = detector.config
        self.prior, self.band = detector.prior, detector.band
        self._folder = detector.folder
        file = detector.folder / "metrics.json"
        try:
            test = json.loads(file.read_text(encoding="utf-8"))["test"]
            self.metrics: dict[str, dict[str, float]] = test["metrics"]
            self.photos: dict[str, int] = test["photos"]
        except (LookupError, OSError, TypeError, ValueError) as error:
            raise UserError(
                f"{file} does not say how the detector did in its test: the page needs that; train "
                "it again, or name another detector with --model."
            ) from error

    @property
    def false_alarms(self) -> Rate:
        """Return the share of real test photos that were called fake."""
        return self._wrong("false_alarm_rate", fake=False, prior=self.prior)

    @property
    def misses(self) -> Rate:
        """Return the share of fake test photos that were called real."""
        return self._wrong("miss_rate", fake=True, prior=self.prior)

    @cached_property
    def unseen(self) -> dict[str, tuple[int, Rate]]:
        """Return label -> photos and how many of them were judged wrongly, of unseen sources.

        Empty where that was not measured, or for another prior than that of the answers.
        """
        file = self._folder / "unseen.csv"
        if not file.is_file() or self.prior != self.config["prior"]:
            return {}
        with file.open(newline="", encoding="utf-8") as table:
            rows = [row for row in csv.DictReader(table) if row["measure"] != "AUC"]
        return {
            row["what"]: (
                int(row["photos"]), Rate(*(float(row[part]) for part in ("value", "low", "high")))
            )
            for row in rows
        }  # fmt: skip

    def _wrong(self, name: str, fake: bool, prior: float) -> Rate:
        recorded = Rate(**self.metrics.get(name, _UNKNOWN))
        if prior == self.config["prior"] or np.isnan(recorded.value):
            return recorded
        from deepfake_lab.evaluation.metrics import wilson_interval

        scores, is_fake = np.asarray(self._test_scores).T  # (N,), (N,)
        scores = at_prior(scores, self.prior, prior)
        wrong = ((scores >= 0.5) != fake)[is_fake == fake].mean()
        # As many trials as there are groups: photos of one person fail together.
        groups = len({row["group"] for row in self._test_rows if (row["label"] == "fake") == fake})
        return Rate(float(wrong), *map(float, wilson_interval(wrong * groups, groups)))

    def track_record(self, p_fake: float, prior: float) -> str:
        """Return how often test photos with such a score were fake.

        Args:
            p_fake: of the answer.
            prior: for which it was stated.
        """
        scores, fake = np.asarray(self._test_scores).T  # (N,), (N,)
        scores = at_prior(scores, self.prior, prior)
        near = fake[(abs(scores - p_fake) <= NEAR) & ((scores >= 0.5) == (p_fake >= 0.5))]
        if len(near) < ENOUGH:
            return (
                f"In its test only {len(near)} photos had a score like this one: too few to say "
                "how often it is right there."
            )
        fakes, share = int(near.sum()), fake.mean()
        return (
            f"In its test {len(near):,} photos had a score like this one: {fakes:,} fake, "
            f"{len(near) - fakes:,} real. Of all photos of that test {share:.0%} were fake; where "
            "fakes are rarer, fewer of such photos are fake."
        )

    def errors_at(self, prior: float) -> str:
        """Return how often it errs where another share of fakes was chosen; else nothing."""
        if prior == self.prior:
            return ""
        alarms = self._wrong("false_alarm_rate", fake=False, prior=prior)
        misses = self._wrong("miss_rate", fake=True, prior=prior)
        return (
            f"Asked for this share of fakes, it called {alarms} of the real photos of its test "
            f"fake, and {misses} of the fakes real."
        )

    def card(self) -> str:
        """Return the model card, Markdown, without the head that programs read."""
        text = (self._folder / "README.md").read_text(encoding="utf-8")
        if text.startswith("---\n"):
            _, _, text = text.removeprefix("---\n").partition("\n---\n")
        return text

    def to_json(self) -> dict:
        """Return what the API says about the detector."""
        config = self.config
        return {
            "name": self.name,
            "architecture": config["architecture"],
            "image_size": config["image_size"],
            "prior": self.prior,
            "uncertain_band": list(self.band),
            "trained_on": config["data"]["name"],
            "training_photos": config["data"]["train"],
            "about": self.about,
            "test": {
                "photos": self.photos,
                "metrics": self.metrics,
                "prior": config["prior"],
            },
        }

    @cached_property
    def _test_rows(self) -> list[dict[str, str]]:
        with (self._folder / "predictions.csv").open(newline="", encoding="utf-8") as file:
            return [row for row in csv.DictReader(file) if row["split"] == "test" and row["p_fake"]]

    @cached_property
    def _test_scores(self) -> np.ndarray:
        """(N, 2): P(fake) at this prior and 1 for a fake, of every test photo that was read."""
        rows = self._test_rows
        # An older version stated it for one half, and did not say so.
        priors = np.array([float(row.get("prior") or 0.5) for row in rows])
        scores = at_prior(np.array([float(row["p_fake"]) for row in rows]), priors, self.prior)
        return np.stack([scores, [row["label"] == "fake" for row in rows]], axis=1)
