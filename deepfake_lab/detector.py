"""A run folder -> a Detector that answers about photos.

Answers come from LiteRT: TensorFlow and Keras are never imported here.
"""

import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deepfake_lab import images, paths
from deepfake_lab.errors import UserError
from deepfake_lab.images import FramedFace, ImageSource
from deepfake_lab.litert import make_interpreter
from deepfake_lab.progress import progress

if TYPE_CHECKING:  # pandas takes longer to import than a photo takes to judge
    import pandas as pd

#: What a run folder holds; one that lacks a part is refused.
PARTS = ("config.json", "model.keras", "model.tflite", "history.csv", "predictions.csv",
         "metrics.json", "README.md")  # fmt: skip

#: Photos that go through the model together.
BATCH = 32

#: What a manifest gets added; see :meth:`Detector.predict_many`.
ANSWER_COLUMNS = ["p_fake", "verdict", "confidence", "uncertain", "face_found", "model", "error"]


@dataclass(frozen=True)
class Prediction:
    """The answer about one photo.

    Attributes:
        name: the photo's name, for people.
        p_fake: calibrated probability in [0, 1] that the photo is fake.
        verdict: ``FAKE`` or ``REAL``.
        confidence: calibrated probability in [0, 1] of that verdict.
        uncertain: whether p_fake lies in the band in which the detector errs too often.
        framed: the square that was judged, and the face in it.
        model: name of the detector.
        caveats: what speaks against relying on this answer, one sentence each.
        activation_map: (h, w) float32 shares of the logit by place; None where the model has none
            (see :func:`deepfake_lab.explain.heat_map`).
    """

    name: str
    p_fake: float
    verdict: str
    confidence: float
    uncertain: bool
    framed: FramedFace
    model: str
    caveats: tuple[str, ...]
    activation_map: np.ndarray | None = None

    @property
    def face_found(self) -> bool:
        """Return whether a face was found in the photo."""
        return self.framed.face is not None

    def __str__(self) -> str:
        return verdict_line(self.verdict, self.confidence)


def verdict_line(verdict: str, confidence: float) -> str:
    """Return the one line that every way of asking prints.

    No finite test supports "100.00%", so more than 99.99% is never printed.
    """
    return f"Classification: {verdict}  Confidence: {min(confidence, 0.9999):.2%}"


class Detector:
    """A trained model with its calibration; make one with :meth:`load`.

    Attributes:
        name: what it is called in tables.
        folder: its run folder.
        config: the content of ``config.json``.
    """

    def __init__(self, folder: Path, config: dict, model: bytes):
        self.name: str = config["name"]
        self.folder = folder
        self.config = config
        self._model = model
        self._lock = threading.Lock()
        self._runners: dict[int, _Runner] = {}

    @classmethod
    def load(cls, name: str | Path, out_dir: str | Path = "") -> "Detector":
        """Load a detector by name or from its run folder.

        Args:
            name: a name such as ``my_cnn`` or the path of a run folder.
            out_dir: where the run was written; see :func:`deepfake_lab.paths.home`.

        Raises:
            UserError: no such detector, or a run folder that lacks a part or holds a damaged one.
        """
        folder = paths.model_folder(name, out_dir)
        missing = [part for part in PARTS if not (folder / part).is_file()]
        if missing:
            raise UserError(f"{folder} is not a whole run folder: {', '.join(missing)} missing.")
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            return cls(folder, config, (folder / "model.tflite").read_bytes())
        except (ValueError, LookupError, TypeError) as error:
            raise UserError(
                f"{folder / 'config.json'} is damaged: train this detector again."
            ) from error

    @property
    def about(self) -> str:
        """Return one sentence on what this detector learned from, to go beside its answers."""
        data = self.config["data"]
        return (
            f"The detector '{self.name}' learned from {data['train']:,} photos of the data set "
            f"'{data['name']}'; on other cameras and other generators it is less reliable than "
            "its test says."
        )

    @property
    def image_size(self) -> int:
        """Return the side of the model's input in pixels."""
        return self.config["image_size"]

    def frame(self, photo: ImageSource) -> FramedFace:
        """Read a photo and cut it as this detector was trained: pixels (image_size, same, 3)."""
        framed = images.load_face(photo, images.frame_size(self.image_size), self.config["framing"])
        pixels = np.ascontiguousarray(images.center_crop(framed.pixels, self.image_size))
        # The box goes with the pixels: what the center crop leaves over is not judged.
        left, top, right, bottom = framed.box
        edge = round((right - left) * (1 - self.image_size / framed.pixels.shape[0]) / 2)
        box = (left + edge, top + edge, right - edge, bottom - edge)
        return FramedFace(pixels, box, framed.face, framed.faces_found)

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        """Return the raw scores of square pictures; positive says fake.

        Args:
            pixels: (N, S, S, 3) uint8 with S at least the model's input, whose center is taken.

        Returns:
            (N,) float32 logits, before calibration.
        """
        return self._run(pixels)["logit"]

    def probability(self, logits: np.ndarray) -> np.ndarray:
        """Return P(fake) in [0, 1], calibrated on validation photos; same shape as given."""
        calibration = self.config["calibration"]
        scaled = np.asarray(logits) / calibration["temperature"] + calibration["bias"]
        return 1 / (1 + np.exp(-np.clip(scaled, -80, 80)))

    def predict(self, photo: ImageSource, name: str = "") -> Prediction:
        """Answer about one photo.

        Args:
            photo: a path, bytes, an open file, a Pillow image or a uint8 array.
            name: what to call it; by default the file's name.

        Raises:
            UserError: the photo cannot be read.
        """
        framed = self.frame(photo)
        outputs = self._run(framed.pixels[None])
        p_fake = float(self.probability(outputs["logit"])[0])
        maps = outputs.get("activation_map")  # (1, h, w): its mean is the logit
        if not name:
            name = Path(photo).name if isinstance(photo, str | Path) else "photo"
        verdict, confidence, uncertain = self._verdict(p_fake)
        caveats = tuple(self._caveats(framed, p_fake, uncertain))
        return Prediction(
            name, p_fake, verdict, confidence, uncertain, framed, self.name, caveats,
            activation_map=None if maps is None else maps[0],
        )  # fmt: skip

    def predict_many(
        self,
        photos: "pd.DataFrame | str | Path | Iterable[str | Path]",
        change: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> "pd.DataFrame":
        """Answer about many photos.

        Args:
            photos: a manifest frame, a folder (read with all folders below it), or paths.
            change: what to do to each photo, (H, W, 3) uint8, before it is looked at.

        Returns:
            The predictions frame: the manifest's columns (``path, file`` for a folder or paths)
            and ``p_fake, verdict, confidence, uncertain, face_found, model, error``. A photo that
            cannot be read keeps its row: the reason stands in ``error`` and p_fake is missing.

        Raises:
            UserError: a folder that is not there or holds no images.
        """
        import pandas as pd

        manifest = photos if isinstance(photos, pd.DataFrame) else _listed(photos)
        logits, faces, errors = [], [], []
        for framed in self._framed(list(manifest["path"]), change):
            good = [f for f in framed if isinstance(f, FramedFace)]
            scores = iter(self.logits(np.stack([f.pixels for f in good])) if good else ())
            logits += [next(scores) if isinstance(f, FramedFace) else np.nan for f in framed]
            faces += [isinstance(f, FramedFace) and f.face is not None for f in framed]
            errors += [str(f) if isinstance(f, UserError) else "" for f in framed]
        return self.answers(manifest.assign(face_found=faces, error=errors), np.array(logits))

    def answers(self, manifest: "pd.DataFrame", logits: np.ndarray) -> "pd.DataFrame":
        """Return the predictions frame: a manifest and what this detector says of its photos.

        Args:
            manifest: N rows, with ``face_found`` and, where a photo could not be read, ``error``.
            logits: (N,) raw scores, NaN for a photo that could not be read.
        """
        import pandas as pd

        p_fake = self.probability(logits)
        low, high = self.config["uncertain_band"]
        fake = p_fake >= self.config["threshold"]
        answered = pd.Series(~np.isnan(p_fake), index=manifest.index)
        answers = manifest.assign(
            p_fake=p_fake,
            verdict=pd.Series(np.where(fake, "FAKE", "REAL"), manifest.index).where(answered),
            confidence=np.where(fake, p_fake, 1 - p_fake),
            uncertain=(low < p_fake) & (p_fake < high),
            model=self.name,
            error=manifest["error"] if "error" in manifest else "",
        )
        others = [column for column in answers.columns if column not in ANSWER_COLUMNS]
        return answers[others + ANSWER_COLUMNS]

    def _framed(
        self, files: list[str], change: Callable[[np.ndarray], np.ndarray] | None
    ) -> Iterator[list[FramedFace | UserError]]:
        def frame(path: str) -> FramedFace | UserError:
            try:
                return self.frame(path if change is None else change(images.read_image(path)))
            except UserError as error:
                return error

        starts = range(0, len(files), BATCH)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for start in progress(starts, f"{self.name}, batches of {BATCH}"):
                yield list(pool.map(frame, files[start : start + BATCH]))

    def _verdict(self, p_fake: float) -> tuple[str, float, bool]:
        verdict = "FAKE" if p_fake >= self.config["threshold"] else "REAL"
        low, high = self.config["uncertain_band"]
        return verdict, (p_fake if verdict == "FAKE" else 1 - p_fake), low < p_fake < high

    def _caveats(self, framed: FramedFace, p_fake: float, uncertain: bool) -> Iterator[str]:
        if framed.face is None:
            yield "No face was found in this photo: the answer is unreliable."
        if framed.faces_found > 1:
            yield f"{framed.faces_found} faces were found; the answer is about the largest."
        side = framed.box[2] - framed.box[0]
        if side < self.image_size / 2:
            yield f"The face is small ({side} px): the traces that give a fake away may be lost."
        if uncertain:
            low, high = self.config["uncertain_band"]
            yield (
                f"P(fake) = {p_fake:.0%} lies in the uncertain band {low:.0%} to {high:.0%}: "
                "read the answer as 'do not know'."
            )

    def _run(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        results: dict[str, list[np.ndarray]] = {}
        for start in range(0, len(pixels), BATCH):
            batch = images.center_crop(pixels[start : start + BATCH], self.image_size)
            with self._lock:
                outputs = self._runner(1 if len(batch) == 1 else BATCH).run(batch)
            for key, value in outputs.items():
                results.setdefault(key, []).append(value)
        return {key: np.concatenate(values) for key, values in results.items()}

    def _runner(self, batch: int) -> "_Runner":
        if batch not in self._runners:
            self._runners[batch] = _Runner(self._model, batch)
        return self._runners[batch]


class _Runner:
    """The LiteRT model set up for one batch size. Not thread-safe."""

    def __init__(self, model: bytes, batch: int):
        interpreter = make_interpreter(model, threads=os.cpu_count() or 1)
        self._runner = interpreter.get_signature_runner()
        ((self._input, details),) = self._runner.get_input_details().items()
        self._shape = (batch, *details["shape"][1:])

    def run(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        padded = np.zeros(self._shape, np.float32)
        padded[: len(pixels)] = pixels
        outputs = self._runner(**{self._input: padded})
        outputs["logit"] = outputs["logit"].reshape(-1)
        return {name: value[: len(pixels)].copy() for name, value in outputs.items()}


def _listed(photos: "str | Path | Iterable[str | Path]") -> "pd.DataFrame":
    import pandas as pd

    if isinstance(photos, str | Path):
        folder = paths.data_folder(photos)
        files = [p for p in sorted(folder.rglob("*")) if p.suffix.lower() in images.EXTENSIONS]
        if not files:
            raise UserError(f"{folder} holds no images.")
        names = [path.relative_to(folder).as_posix() for path in files]
    else:
        files = [Path(path) for path in photos]
        names = [path.name for path in files]
    return pd.DataFrame({"path": [str(path) for path in files], "file": names})
