"""How well the labels can be told apart by a model that never looks at a face.

The model is a scorecard, as small as a model can be: each signal is cut into bins, each bin has the
log odds of FAKE among the training photos in it, and for all signals together a linear model weighs
these. It is cross-validated by group, so an AUC above one half was not learned by heart; the
interval comes from a bootstrap over groups.

Source: Torralba and Efros, "Unbiased Look at Dataset Bias", CVPR 2011 (naming the data set a photo
comes from); Grommelt et al., "Fake or JPEG?", 2024, arXiv:2403.17608 (JPEG quality and size as
shortcuts in data sets of generated images).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import coo_array

#: An AUC above this is called a shortcut.
THRESHOLD = 0.65

#: ... if the lower end of its interval is above this: in a small folder, one of so many signals
#: passes the threshold by chance. Of pairs of sources there are more, so more is asked for.
SURE, SURE_OF_PAIR = 0.55, 0.60

#: Photos that the model is fitted to and tested on, at most; drawn by content where there are more.
AT_MOST = 20_000

#: Photos that each side of a pair of sources needs, and how many pairs are looked at.
PAIR_AT_LEAST, PAIRS_AT_MOST = 40, 60

RESAMPLES = 200
FOLDS = 5
_LEVELS = 100


@dataclass(frozen=True)
class Signal:
    """Something that a model could go by instead of the face.

    Attributes:
        name: in plain words.
        columns: the facts that it consists of.
        advice: what to do where it gives the label away.
        counts: whether the trivial model may use it; the others are reported on their own.
    """

    name: str
    columns: tuple[str, ...]
    advice: str
    counts: bool = True


_RESAVE = "write a neutral copy with `deepfake-lab prepare`: one size and one JPEG setting for all"
_ROUGHEN = (
    "no neutral copy can undo it: train with blur, rescaling and recompression of both labels, and "
    "report each source on its own"
)
SIGNALS = (
    Signal("size", ("width", "height", "aspect"), _RESAVE),
    Signal("file format", ("format", "mode"), _RESAVE),
    Signal("JPEG quality", ("quality", "tables"), _RESAVE),
    Signal("chroma subsampling", ("sampling",), _RESAVE),
    Signal("bytes per pixel", ("bytes_per_pixel",), f"{_RESAVE}; what remains is detail"),
    Signal("metadata", ("metadata",), _RESAVE),
    Signal("sharpness", ("sharpness",), _ROUGHEN),
    Signal("brightness", ("brightness",),
           "vary brightness in training, and bring photos of both labels from the same scenes"),
    Signal("border colour", ("border_red", "border_green", "border_blue", "border_spread"),
           "cut to the face with `deepfake-lab prepare`, so that the background goes"),
    Signal("spectrum slope", ("slope",), _ROUGHEN),
    Signal("source", ("source",),
           "bring real and fake photos from each source, and leave whole sources out in the "
           "evaluation", counts=False),
    Signal("framing", ("face_size", "face_x", "face_y"),
           "train and answer with framing='face', or `deepfake-lab prepare` with it", counts=False),
)  # fmt: skip

#: The name of the row in which all signals of the trivial model work together.
TOGETHER = "all together"

_CATEGORIES = {"format", "mode", "tables", "sampling", "metadata", "source"}


def measure(table: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Return how far each signal gives the label away, overall and for each pair of sources.

    Args:
        table: one row a photo: `label, source, group, fingerprint`, and the facts of
            :data:`SIGNALS`.
        seed: of the folds and of the bootstrap.

    Returns:
        Columns `signal, pair, real, fake, images, auc, low, high, shortcut`: `pair` is "all" or
        "<real source> / <fake source>", `real` and `fake` are the two sources or "all", and
        `low, high` are a 95% interval. A signal that is the same for all photos has no row. An AUC
        below one half, as small sets have, means that nothing was learned.
    """
    columns = ["signal", "pair", "real", "fake", "images", "auc", "low", "high", "shortcut"]
    rows = _rows(_at_most(table), "all", "all", seed)
    if table["source"].nunique() > 2:
        for real, fake in _pairs(table):
            mine = (table["label"] == "real") & (table["source"] == real)
            other = (table["label"] == "fake") & (table["source"] == fake)
            rows += _rows(_at_most(table[mine | other]), real, fake, seed)
    return pd.DataFrame(rows, columns=columns).astype({"images": int, "shortcut": bool})


def advice(signal: str) -> str:
    """Return what to do about a signal."""
    known = {one.name: one.advice for one in SIGNALS}
    return known.get(signal, f"{_RESAVE}; what is left after that must be trained away")


def draws(groups: int, seed: int) -> np.ndarray:
    """Return how often each group is drawn in each bootstrap sample, (groups, RESAMPLES + 1).

    Column 0 is the data as it is: each group once.
    """
    rng = np.random.default_rng(seed)
    weights = np.ones((RESAMPLES + 1, groups), np.float32)
    for row in weights[1:]:
        row[:] = np.bincount(rng.integers(groups, size=groups), minlength=groups)
    return np.ascontiguousarray(weights.T)


def auc_with_interval(
    fake: np.ndarray, scores: np.ndarray, group: np.ndarray, weights: np.ndarray
) -> tuple[float, float, float]:
    """Return the area under the ROC curve and a 95% interval from a bootstrap over groups.

    Args:
        fake: (N,) bool, the positive class.
        scores: (N,) float, higher for FAKE.
        group: (N,) int, what is drawn together, numbered from 0.
        weights: how often each group is drawn, see :func:`draws`.
    """
    # Only the order of scores counts: 100 levels of it are enough for two digits.
    ranked = np.unique(scores, return_inverse=True)[1]
    if ranked.max() >= _LEVELS:
        edges = np.quantile(scores, np.linspace(0, 1, _LEVELS + 1)[1:-1])
        ranked = np.searchsorted(edges, scores, side="right")
    shape = (int(ranked.max()) + 1, len(weights))
    ones = np.ones(len(fake), np.float32)
    fakes, reals = (
        coo_array((ones[side], (ranked[side], group[side])), shape).tocsr() @ weights
        for side in (fake, ~fake)
    )  # (levels, RESAMPLES + 1): photos of each level in each sample
    below = np.cumsum(reals, axis=0, dtype=np.float64) - reals
    wins = (fakes * (below + reals / 2)).sum(axis=0)
    total = fakes.sum(axis=0, dtype=np.float64) * reals.sum(axis=0, dtype=np.float64)
    aucs = wins[total > 0] / total[total > 0]
    low, high = np.quantile(aucs[1:], [0.025, 0.975]) if len(aucs) > 1 else (0.0, 1.0)
    return float(aucs[0]), float(low), float(high)


def _rows(table: pd.DataFrame, real: str, fake: str, seed: int) -> list[tuple]:
    """Return the rows of one pair, or of all photos, for the frame that :func:`measure` gives."""
    pair = "all" if real == "all" else f"{real} / {fake}"
    rows: list[tuple] = []
    log_odds: list[np.ndarray] = []

    def add(name: str, rows_used: np.ndarray, scores: np.ndarray) -> None:
        auc, low, high = auc_with_interval(is_fake[rows_used], scores, group[rows_used], weights)
        found = auc > THRESHOLD and low > (SURE if pair == "all" else SURE_OF_PAIR)
        rows.append((name, pair, real, fake, int(rows_used.sum()), auc, low, high, found))

    is_fake = (table["label"] == "fake").to_numpy(bool)
    group = pd.factorize(table["group"], sort=True)[0]
    fold = _folds(group, is_fake, seed)
    if fold is None:
        return []
    weights = draws(int(group.max()) + 1, seed)
    everything = np.ones(len(table), bool)
    for signal in SIGNALS:
        if signal.name == "source" and (real != "all" or not _several_sources(table)):
            continue
        used = table[list(signal.columns)].notna().all(axis="columns").to_numpy()
        fold_used = fold if used.all() else _folds(group[used], is_fake[used], seed)
        if fold_used is None:
            continue
        scored = [
            _log_odds(bins, is_fake[used], fold_used)
            for bins in (_bins(table.loc[used, column]) for column in signal.columns)
            if bins is not None
        ]
        if not scored:
            continue
        own = sum(odds[fold_used, np.arange(odds.shape[1])] for odds in scored)
        add(signal.name, used, own)
        if signal.counts and used.all():
            log_odds += scored
    if len(log_odds) > 1:
        add(TOGETHER, everything, _together(np.stack(log_odds), is_fake, fold))
    return rows


def _several_sources(table: pd.DataFrame) -> bool:
    """Return whether each label has more than one source; else the source is the label."""
    return bool((table.groupby("label")["source"].nunique() > 1).all())


def _at_most(table: pd.DataFrame) -> pd.DataFrame:
    """Return so many photos, drawn by content: the same ones on every machine."""
    if len(table) <= AT_MOST:
        return table
    return table.loc[table["fingerprint"].sort_values(kind="stable").index[:AT_MOST]]


def _pairs(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Return the pairs of a real and a fake source with enough photos, the largest first."""
    counts = {
        label: rows["source"].value_counts() for label, rows in table.groupby("label", sort=True)
    }
    if len(counts) < 2:
        return []
    enough = {label: count[count >= PAIR_AT_LEAST] for label, count in counts.items()}
    pairs = [
        (min(real_count, fake_count), str(real), str(fake))
        for real, real_count in enough["real"].items()
        for fake, fake_count in enough["fake"].items()
    ]
    pairs.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
    return [(real, fake) for _, real, fake in pairs[:PAIRS_AT_MOST]]


def _folds(group: np.ndarray, fake: np.ndarray, seed: int) -> np.ndarray | None:
    """Return the fold of each photo, (N,); groups whole, each label in each; None if too few."""
    codes = np.unique(group, return_inverse=True)[1]
    if not len(codes):
        return None
    share = np.bincount(codes, fake) / np.bincount(codes)
    mostly_fake = share > 0.5
    folds = min(FOLDS, int(mostly_fake.sum()), int((~mostly_fake).sum()))
    if folds < 2:
        # Groups that hold both labels alike: only their number counts.
        folds = min(FOLDS, len(share))
        if folds < 2 or not 0 < fake.sum() < len(fake) or ((share == 0) | (share == 1)).any():
            return None
    shuffled = np.random.default_rng(seed).permutation(len(share))
    order = shuffled[np.argsort(mostly_fake[shuffled], kind="stable")]
    fold = np.empty(len(share), np.int64)
    fold[order] = np.arange(len(share)) % folds
    return fold[codes]


def _bins(column: pd.Series) -> np.ndarray | None:
    """Return the bin of each photo, (N,); None where all photos are alike."""
    values, codes = np.unique(column.to_numpy(), return_inverse=True)
    if len(values) < 2:
        return None
    most = int(np.clip(len(column) // 25, 4, 16))
    if column.name in _CATEGORIES:
        # The most frequent have a bin each, the others share one.
        rank = np.argsort(np.argsort(-np.bincount(codes), kind="stable"), kind="stable")
        return np.minimum(rank, 60)[codes]
    if len(values) <= most:
        return codes
    edges = np.unique(np.quantile(column, np.linspace(0, 1, most + 1)[1:-1]))
    return np.searchsorted(edges, column.to_numpy(), side="right")


def _log_odds(bins: np.ndarray, fake: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Return the log odds of FAKE that each photo's bin has outside each fold, (folds, N)."""
    size = int(bins.max()) + 1
    cells = fold * size + bins
    folds = int(fold.max()) + 1
    tables = [np.bincount(cells[side], minlength=folds * size).reshape(folds, size)
              for side in (fake, ~fake)]  # fmt: skip
    fakes, reals = (table.sum(axis=0) - table for table in tables)  # (folds, bins): the others
    # A bin starts with one photo that is split as all photos are: an empty one says nothing.
    prior = fakes.sum(axis=1, keepdims=True) / (fakes + reals).sum(axis=1, keepdims=True)
    odds = np.log((fakes + prior) / (reals + 1 - prior)) - np.log(prior / (1 - prior))
    return odds[:, bins]


def _together(log_odds: np.ndarray, fake: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Return the scores of a linear model on all signals, each photo's from outside its fold.

    Least squares on two classes gives the direction of Fisher's discriminant.

    Args:
        log_odds: (signals, folds, N).
        fake: (N,) bool.
        fold: (N,).
    """
    scores = np.zeros(len(fake))
    for k in range(log_odds.shape[1]):
        mine = fold == k
        seen = log_odds[:, k, ~mine]  # (signals, n)
        seen = seen - seen.mean(axis=1, keepdims=True)
        wanted = fake[~mine] - fake[~mine].mean()
        # The ridge holds signals apart that say the same (width and height of square photos).
        spread = seen @ seen.T / seen.shape[1] + 1e-3 * np.eye(len(seen))
        weights = np.linalg.solve(spread, seen @ wanted / seen.shape[1])
        scores[mine] = weights @ log_odds[:, k, mine]
    return scores
