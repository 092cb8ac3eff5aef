"""What can be moved in notebooks 03 to 06: sliders that redraw a figure, or ask the detector.

Each control is a widget to put on the last line of a cell. A figure is drawn once; what moves is
drawn over it, which takes a tenth of the time. Pictures are shown as HTML, which holds words for
those who cannot see them.
"""

import base64
import io
from html import escape

import ipywidgets as widgets
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image
from sklearn import metrics as sk

from deepfake_lab.colors import COLORS
from deepfake_lab.course.checks_trust import worn
from deepfake_lab.detection.detector import Detector
from deepfake_lab.detection.display import draw_heat
from deepfake_lab.detection.explain import heat_map, occlusion_map
from deepfake_lab.detection.judgement import Judgement
from deepfake_lab.errors import UserError
from deepfake_lab.evaluation.predictions import answered, worst_mistakes
from deepfake_lab.photos import images

#: Shares of fakes to choose from, as people say them.
SHARES = {
    "1 in 1,000": 0.001, "1 in 300": 1 / 300, "1 in 100": 0.01, "1 in 30": 1 / 30,
    "1 in 10": 0.1, "1 in 5": 0.2, "1 in 3": 1 / 3, "1 in 2": 0.5,
}  # fmt: skip

#: Photos in the confusion matrix of :class:`Thresholds`.
PHOTOS = 1000

#: Pixels of a photo that is shown.
SIDE = 224


def picture_html(picture: Image.Image, alt: str) -> str:
    """Return a picture as HTML that needs no file, with its words."""
    stream = io.BytesIO()
    picture.save(stream, "PNG", compress_level=1)
    data = base64.b64encode(stream.getvalue()).decode("ascii")
    return f'<img src="data:image/png;base64,{data}" alt="{escape(alt)}" style="max-width:100%">'


class _Canvas:
    """A figure of which only some parts are drawn anew."""

    def __init__(self, figure: Figure, moving: list[Artist]):
        self.figure, self.moving = figure, moving
        self.canvas = FigureCanvasAgg(figure)
        for artist in moving:
            artist.set_animated(True)  # left out when the figure is drawn, not when it is saved
        self._still: object = None
        self._renderer: object = None

    def draw(self) -> Image.Image:
        """Return the figure as it is now."""
        if self._renderer is not self.canvas.get_renderer():  # saving leaves another one behind
            self.canvas.draw()
            self.figure.set_layout_engine("none")  # where its parts lie now, they stay
            self._renderer = self.canvas.get_renderer()
            self._still = self.canvas.copy_from_bbox(self.figure.bbox)
        self.canvas.restore_region(self._still)
        for artist in self.moving:
            (artist.axes or self.figure).draw_artist(artist)
        return Image.fromarray(np.asarray(self.canvas.buffer_rgba())).convert("RGB")


class Control(widgets.VBox):
    """A widget that says, where there is no kernel, what a reader misses."""

    def _repr_mimebundle_(self, **settings: object) -> dict:
        shown = dict(super()._repr_mimebundle_(**settings))
        return shown | {"text/plain": "Run this cell to move its controls."}


class Thresholds(Control):
    """A threshold and a share of fakes; the confusion matrix, ROC and precision follow.

    Args:
        predictions: of one detector, with both labels.

    Attributes:
        threshold, share: the sliders.
        numbers: the same in words.
        figure: as it stands now, to be saved.
    """

    def __init__(self, predictions: pd.DataFrame):
        rows = answered(predictions)
        self._real, self._fake = (
            np.sort(rows.loc[rows["label"] == label, "p_fake"].to_numpy(float))
            for label in ("real", "fake")
        )
        wide = {"description_width": "8em"}
        self.threshold = widgets.FloatSlider(
            0.5, min=0, max=1, step=0.01, description="threshold", style=wide
        )
        self.share = widgets.SelectionSlider(
            options=list(SHARES.items()), value=0.5, description="share of fakes", style=wide
        )
        self.numbers, self.picture = widgets.HTML(), widgets.HTML()
        self.figure = Figure(figsize=(9.6, 3.4), dpi=90, layout="constrained")
        self._canvas = _Canvas(self.figure, self._drawn(rows))
        self._show()
        for slider in (self.threshold, self.share):
            slider.observe(self._show, names="value")
        super().__init__([self.threshold, self.share, self.numbers, self.picture])

    def rates(self) -> tuple[float, float, float]:
        """Return false alarms, fakes found and precision, as the sliders stand."""
        false_alarms, found = (
            1 - np.searchsorted(scores, self.threshold.value) / len(scores)
            for scores in (self._real, self._fake)
        )
        right = self.share.value * found
        called = right + (1 - self.share.value) * false_alarms
        return float(false_alarms), float(found), float(right / called) if called else float("nan")

    def _drawn(self, rows: pd.DataFrame) -> list[Artist]:
        matrix, roc, precision = self.figure.subplots(1, 3)
        matrix.set(
            title=f"Of {PHOTOS:,} photos", xlim=(0, 2), ylim=(2, 0), xlabel="verdict",
            ylabel="truth", aspect="equal",
        )  # fmt: skip
        matrix.set_xticks([0.5, 1.5], ["REAL", "FAKE"])
        matrix.set_yticks([0.5, 1.5], ["real", "fake"])
        places = [(x, y) for y in (0, 1) for x in (0, 1)]
        self._cells = [matrix.add_patch(Rectangle(place, 1, 1)) for place in places]
        self._counts = [
            matrix.text(x + 0.5, y + 0.5, "", ha="center", va="center", fontsize=12)
            for x, y in places
        ]
        alarms, found, _ = sk.roc_curve(rows["label"] == "fake", rows["p_fake"])
        roc.plot(alarms, found, color="black", lw=1.2)
        roc.plot([0, 1], [0, 1], ":", color="grey")
        roc.set(
            xlabel="real photos called fake", ylabel="fakes found", aspect="equal",
            title="The point on the ROC curve", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03),
        )  # fmt: skip
        (self._point,) = roc.plot([], [], "o", ms=9, color=COLORS["fake"])
        precision.set(
            xscale="log", xlim=(0.001, 0.6), ylim=(0, 1.03), xlabel="share of fakes",
            ylabel="precision: FAKE is right", title="Precision",
        )  # fmt: skip
        precision.set_xticks([0.001, 0.01, 0.1, 0.5], ["0.1%", "1%", "10%", "50%"])
        self._shares = np.geomspace(0.001, 0.6, 60)
        (self._curve,) = precision.plot([], [], color="black", lw=1.2)
        (self._precision,) = precision.plot([], [], "o", ms=9, color=COLORS["fake"])
        return [*self._cells, *self._counts, self._point, self._curve, self._precision]

    def _show(self, _: object = None) -> None:
        alarms, found, right = self.rates()
        fakes = PHOTOS * self.share.value
        reals = PHOTOS - fakes
        counts = [reals * (1 - alarms), reals * alarms, fakes * (1 - found), fakes * found]
        colors = [COLORS[name] for name in ("real", "fake", "fake", "real")]  # wrong is orange
        for cell, text, count, color in zip(self._cells, self._counts, counts, colors):
            cell.set(facecolor=color, alpha=0.08 + 0.6 * count / PHOTOS)
            text.set_text(f"{count:,.0f}")
        self._point.set_data([alarms], [found])
        called = self._shares * found + (1 - self._shares) * alarms
        curve = np.divide(self._shares * found, called, out=called * np.nan, where=called > 0)
        self._curve.set_data(self._shares, curve)
        self._precision.set_data([self.share.value], [right])
        said = "never said" if np.isnan(right) else f"right in {right:.1%} of its uses"
        self.said = (
            f"At a threshold of {self.threshold.value:.2f}: {alarms:.1%} of the real photos are "
            f"called fake, {found:.1%} of the fakes are found. "
            f"With {self.share.label} photos fake, FAKE is {said}."
        )
        self.numbers.value = f"<p><strong>{self.said}</strong></p>"
        self.picture.value = picture_html(self._canvas.draw(), f"Three panels. {self.said}")


class Mistakes(Control):
    """The wrong verdicts, the surest first, a source at a time.

    Args:
        predictions: of one detector.
        most: so many of each source.
    """

    def __init__(self, predictions: pd.DataFrame, most: int = 30):
        wrong = worst_mistakes(predictions, len(predictions))
        self._rows = {
            f"{label}: {source} ({len(part)} wrong)": part.head(most).to_dict("records")
            for (label, source), part in wrong.groupby(["label", "source"], sort=True)
        }
        self.source = widgets.Dropdown(options=list(self._rows), description="source")
        self.number = widgets.IntSlider(1, min=1, max=1, description="mistake")
        self.picture = widgets.HTML("No verdict is wrong here.")
        self.source.observe(self._other_source, names="value")
        self.number.observe(self._show, names="value")
        self._other_source()
        super().__init__([self.source, self.number, self.picture])

    def _other_source(self, _: object = None) -> None:
        self.number.value = 1
        self.number.max = max(1, len(self._rows.get(self.source.value, [])))
        self._show()

    def _show(self, _: object = None) -> None:
        rows = self._rows.get(self.source.value)
        if not rows:
            return
        row = rows[self.number.value - 1]
        said = f"{row['file']} is {row['label']}; the verdict is {row['verdict']}, "
        said += f"{row['confidence']:.0%} sure."
        photo = images.load_face(row["path"], SIDE).pixels
        self.picture.value = picture_html(Image.fromarray(photo), said) + f"<p>{escape(said)}</p>"


class Wear(Control):
    """JPEG quality and size of one photo; the verdict and its heat map follow.

    Args:
        detector: who is asked.
        pixels: (H, W, 3) uint8.
        name: of the photo.

    Attributes:
        quality, factor: the sliders.
        numbers: what the detector says, in words.
        answer: the last one.
    """

    def __init__(self, detector: Detector, pixels: np.ndarray, name: str = "photo"):
        self._detector, self._pixels, self._name = detector, pixels, name
        wide = {"description_width": "8em"}
        self.quality = widgets.IntSlider(
            95, min=5, max=95, step=5, description="JPEG quality", style=wide
        )
        self.factor = widgets.FloatSlider(
            1, min=1, max=6, step=0.5, description="smaller by", style=wide
        )
        self.numbers, self.picture = widgets.HTML(), widgets.HTML()
        self._show()
        for slider in (self.quality, self.factor):
            slider.observe(self._show, names="value")
        super().__init__([self.quality, self.factor, self.numbers, self.picture])

    def _show(self, _: object = None) -> None:
        damaged = worn(self._pixels, self.quality.value, self.factor.value)
        self.answer = self._detector.predict(damaged, name=self._name)
        said = f"{self.answer}. P(fake) = {self.answer.p_fake:.3f}"
        self.numbers.value = f"<p><strong>{said}</strong></p>"
        self.picture.value = picture_html(_beside_its_map(self._detector, self.answer), said)


class RealOrFake(Control):
    """Twenty photos; the reader says real or fake, and so does the detector.

    Args:
        detector: who plays against the reader.
        rows: manifest to draw from; photos that the detector has not learned from.
        count: how many photos, half of them real, if there are so many.
        seed: of the choice.

    Attributes:
        real, fake: the buttons.
        score: how it stands.
        answers: a row a photo: what it is, and what each of the two said.
    """

    def __init__(self, detector: Detector, rows: pd.DataFrame, count: int = 20, seed: int = 0):
        chosen = drawn(rows, count, seed)
        self.answers = detector.predict_many(chosen).assign(you="")
        self._number = 0
        self.real, self.fake = (
            widgets.Button(description=word, button_style="") for word in ("REAL", "FAKE")
        )
        self.score, self.picture = widgets.HTML(), widgets.HTML()
        for button in (self.real, self.fake):
            button.on_click(self._said)
        self._show("Is this person real?")
        super().__init__([self.picture, widgets.HBox([self.real, self.fake]), self.score])

    def scores(self) -> tuple[int, int]:
        """Return how many photos the reader and the detector had right so far."""
        done = self.answers.iloc[: self._number]
        truth = done["label"].str.upper()
        return int((done["you"] == truth).sum()), int((done["verdict"] == truth).sum())

    def _said(self, button: widgets.Button) -> None:
        self.answers.loc[self._number, "you"] = button.description
        row = self.answers.iloc[self._number]
        self._number += 1
        named = "" if row["source"] == row["label"] else f" ({row['source']})"
        self._show(
            f"It was {row['label']}{named}. You said {button.description}, the detector "
            f"{row['verdict']} ({row['confidence']:.0%} sure)."
        )

    def _show(self, said: str) -> None:
        count = len(self.answers)
        you, detector = self.scores()
        self.score.value = (
            f"<p>{escape(said)}</p><p><strong>After {self._number} of {count}: you {you}, "
            f"detector {detector}.</strong></p>"
        )
        if self._number == count:
            self.real.disabled = self.fake.disabled = True
            return
        photo = images.load_face(self.answers["path"].iloc[self._number], SIDE).pixels
        alt = f"Photo {self._number + 1} of {count}: a face. Is it real?"
        self.picture.value = picture_html(Image.fromarray(photo), alt)


class FeatureMaps(Control):
    """The feature maps of a layer to choose, the liveliest first.

    Args:
        maps: layer -> (h, w, C) of one photo; see
            :func:`deepfake_lab.course.pictures_trust.feature_maps`.
        count: so many maps of a layer.
    """

    def __init__(self, maps: dict[str, np.ndarray], count: int = 16):
        self._maps, self._count = maps, count
        self.layer = widgets.SelectionSlider(options=list(maps), description="block")
        self.picture = widgets.HTML()
        self.layer.observe(self._show, names="value")
        self._show()
        super().__init__([self.layer, self.picture])

    def _show(self, _: object = None) -> None:
        found = self._maps[self.layer.value]
        high, wide, channels = found.shape
        tiles = [
            Image.fromarray(tile).resize((96, 96), Image.Resampling.NEAREST)
            for tile in liveliest(found, self._count)
        ]
        columns = 8
        sheet = Image.new("L", (100 * columns - 4, 100 * -(-len(tiles) // columns) - 4), 255)
        for i, tile in enumerate(tiles):
            sheet.paste(tile, (100 * (i % columns), 100 * (i // columns)))
        said = f"{self.layer.value}: {channels} maps of {wide} x {high}; {len(tiles)} are shown."
        self.picture.value = f"<p>{said}</p>" + picture_html(sheet, f"Feature maps of {said}")


class Upload(Control):
    """A button for one's own photos; each gets its answer or the reason why it has none.

    Args:
        detector: who answers.
    """

    def __init__(self, detector: Detector):
        self._detector = detector
        self.button = widgets.FileUpload(
            accept="image/*", multiple=True, description="Judge a photo"
        )
        self.answers = widgets.HTML()
        self.button.observe(lambda change: self.show(change["new"]), names="value")
        super().__init__([self.button, self.answers])

    def show(self, files: tuple) -> None:
        """Judge what was chosen: a broken file is named, and the others are judged."""
        told = []
        for file in files:
            try:
                answer = self._detector.predict(file["content"].tobytes(), name=file["name"])
            except UserError as error:
                told.append(f"<p><strong>{escape(str(error))}</strong></p>")
                continue
            told.append(answer._repr_html_())
        self.answers.value = "<hr>".join(told)


def drawn(rows: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """Return so many photos in random order, half of them real as far as there are enough."""
    parts = [rows[rows["label"] == label] for label in ("real", "fake")]
    half = [part.sample(min(len(part), count // 2), random_state=seed) for part in parts]
    return pd.concat(half).sample(frac=1, random_state=seed).reset_index(drop=True)


def liveliest(maps: np.ndarray, count: int) -> np.ndarray:
    """Return the maps that differ most from place to place, (count, h, w) uint8, of (h, w, C)."""
    order = np.argsort(-maps.std(axis=(0, 1)), kind="stable")[:count]
    chosen = maps[:, :, order].astype(float)
    low, high = chosen.min(axis=(0, 1)), chosen.max(axis=(0, 1))
    shades = (chosen - low) / np.maximum(high - low, 1e-9)
    return np.moveaxis((255 * shades).astype(np.uint8), -1, 0)


def _beside_its_map(detector: Detector, answer: Judgement) -> Image.Image:
    pixels = answer.framed.pixels
    if answer.activation_map is None:  # fewer patches than elsewhere: a slider must not wait
        evidence = occlusion_map(detector, pixels, steps=5)
    else:
        evidence = heat_map(detector, answer)
    sheet = Image.new("RGB", (2 * pixels.shape[1] + 8, pixels.shape[0]), "white")
    sheet.paste(Image.fromarray(pixels), (0, 0))
    sheet.paste(draw_heat(pixels, evidence), (pixels.shape[1] + 8, 0))
    return sheet
