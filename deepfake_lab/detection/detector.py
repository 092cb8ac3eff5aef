"""A run folder -> a Detector that answers about photos.

Answers come from LiteRT: TensorFlow and Keras are never imported here.
"""

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, overload

import numpy as np
from PIL import Image

from deepfake_lab import paths
from deepfake_lab.detection import caveats
from deepfake_lab.detection.judgement import ANSWER_COLUMNS, JudgedFace, small_copy
from deepfake_lab.detection.prediction import Prediction
from deepfake_lab.detection.prior import at_prior, checked_prior
from deepfake_lab.detection.runfolder import checksum, read_run
from deepfake_lab.errors import UserError
from deepfake_lab.extras import require
from deepfake_lab.litert import Graph, cores
from deepfake_lab.overlap import GROUP, overlapped
from deepfake_lab.photos import images
from deepfake_lab.photos.addresses import is_address
from deepfake_lab.photos.evidence import Evidence
from deepfake_lab.photos.framing import frame_center, frame_centers
from deepfake_lab.photos.images import FramedFace, ImageSource, Photo
from deepfake_lab.photos.listing import find_photos, tell_passed_over
from deepfake_lab.photos.sharpness import measure_sharpness, scaled
from deepfake_lab.printing import unicode_name

if TYPE_CHECKING:  # pandas takes longer to import than a photo takes to judge
    import pandas as pd
    from distributed import Client


#: So many faces of one photo are judged, the largest: a crowd must not take minutes.
MOST_FACES = 64


@dataclass(frozen=True)
class _Seen:
    """What is kept of a photo: not its pixels, of which a group of photos has too many.

    Attributes:
        framed: what is judged, the largest face first.
        size: width and height of the photo.
        preview: a copy to show, or None.
        evidence, jpeg_quality, lacks_end: see :class:`deepfake_lab.photos.images.Photo`.
    """

    framed: list[FramedFace]
    size: tuple[int, int]
    preview: np.ndarray | None
    evidence: tuple[Evidence, ...]
    jpeg_quality: int | None
    lacks_end: bool


class Detector:
    """A trained model with its calibration; make one with :meth:`load`. Threads may share it.

    Attributes:
        name: what it is called in tables.
        folder: its run folder.
        config: the content of ``detector.json``.
        quantised: what is known of the quantised model, where that one answers; else None.
        prior: the share of fakes among the photos asked about, which P(fake) takes for granted.
    """

    def __init__(
        self, folder: Path, config: dict, model: bytes, quantised: dict | None = None,
        prior: float | None = None,
    ):  # fmt: skip
        self.name: str = config["name"]
        self.folder = folder
        self.config = config
        self.quantised = quantised
        self.prior: float = config["prior"] if prior is None else checked_prior(prior)
        self._graph = Graph(model)
        # Pillow gives each image's memory back to the system and asks for it anew for the next,
        # which takes as long as decoding a small photo.
        Image.core.set_blocks_max(max(Image.core.get_blocks_max(), 4 * cores()))

    @classmethod
    def load(
        cls, name: str | Path, out_dir: str | Path = "", quantised: bool = False,
        prior: float | None = None,
    ) -> "Detector":  # fmt: skip
        """Load a detector by name or from its run folder.

        The model that answers is checked against its checksum; ``model.keras`` by who reads it.

        Args:
            name: a name such as ``my_cnn`` or the path of a run folder.
            out_dir: where the run was written; see :func:`deepfake_lab.paths.home`.
            quantised: answer with the smaller model that `deepfake-lab export` made. What that
                costs was measured there and is said in :attr:`about`.
            prior: the share of fakes among the photos that will be asked about, in (0, 1); None for
                the one that was chosen on validation photos so that few real photos of any source
                are called fake. A larger one finds more fakes and has more false alarms.

        Raises:
            UserError: no such detector, a run folder that lacks a part or holds a damaged one,
                no quantised model, or a prior that is no share.
        """
        prior = None if prior is None else checked_prior(prior)
        folder = paths.model_folder(name, out_dir)
        config, model = read_run(folder, quantised)
        return cls(folder, config, model, config["quantised"] if quantised else None, prior)

    def __reduce__(self) -> tuple[Callable[..., "Detector"], tuple[Path, str, bool, float]]:
        # A copy in another process reads the run folder itself: interpreters cannot travel.
        return type(self).load, (self.folder, "", self.quantised is not None, self.prior)

    def at(self, prior: float) -> "Detector":
        """Return the same detector, asked about photos of which another share is fake.

        Raises:
            UserError: a prior that is no share.
        """
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, prior=checked_prior(prior))
        return other

    @property
    def weights(self) -> str:
        """Return the first digits of the checksum of the model that answers."""
        record = self.quantised or {"sha256": self.config["sha256"]["model.tflite"]}
        return record["sha256"][:12]

    @property
    def about(self) -> str:
        """Return what this detector learned from, to go beside its answers."""
        data = self.config["data"]
        learned = (
            f"The detector '{self.name}' learned from {data['train']:,} photos of "
            f"{data_words(data['name'])}; on other cameras and other generators it is less "
            "reliable than its test says."
        )
        if self.quantised is None:
            return learned
        loss, photos = self.quantised["auc_loss"], self.quantised["photos"]
        return (
            f"{learned} Its weights are quantised ({self.quantised['kind']}): on {photos:,} photos "
            f"that took {loss['value']:.4f} from its AUC (95% interval {loss['low']:.4f} to "
            f"{loss['high']:.4f})."
        )

    @property
    def image_size(self) -> int:
        """Return the side of the model's input in pixels."""
        return self.config["image_size"]

    def frame(self, photo: ImageSource) -> FramedFace:
        """Read a photo and cut it as this detector was trained: pixels (image_size, same, 3)."""
        return frame_center(images.read_image(photo), self.image_size, self.config["framing"])

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        """Return the scores of square pictures; the higher, the more they look fake.

        Where the detector knows how scores depend on sharpness, they are on that scale; see
        :func:`deepfake_lab.photos.sharpness.scaled`.

        Args:
            pixels: (N, S, S, 3) uint8 with S at least the model's input, whose center is taken.

        Returns:
            (N,) float32 logits, before calibration.
        """
        pixels = images.center_crop(pixels, self.image_size)
        if len(pixels) == 1:
            outputs = [self._run(pixels[0])]
        else:
            outputs = list(overlapped(self._run_all, pixels))
        return np.array([output["logit"].item() for output in outputs], np.float32)

    @property
    def band(self) -> tuple[float, float]:
        """Return the uncertain band, [low, high] of P(fake): in between, the answer is not known.

        It was found on validation photos at the detector's own prior. At another one the same
        scores are uncertain, with the P(fake) that they have there, and whatever lies between them
        and one half, where the verdict changes.
        """
        own = np.array(self.config["uncertain_band"], float)
        if self.prior == self.config["prior"]:
            return own[0].item(), own[1].item()
        low, high = at_prior(own, self.config["prior"], self.prior).tolist()
        return min(low, 0.5), max(high, 0.5)

    def probability(self, logits: float | np.ndarray, faces: int | np.ndarray = 1) -> np.ndarray:
        """Return P(fake) in [0, 1], calibrated on validation photos; same shape as given.

        It holds where a share :attr:`prior` of the photos is fake: after Bayes, its odds are those
        of photos half of which are fake, times the odds of the prior.

        Each face of a photo is one more chance of a false alarm. So that a photo of n real faces
        is called fake no more often than a photo of one, the prior odds of each are an n-th: after
        Bonferroni, each face may be called fake by mistake an n-th as often, and of a calibrated
        score the share of real faces above it falls as its odds rise. ``benchmarks/groups.py``
        measures what comes of it.

        Args:
            logits: raw scores.
            faces: how many faces of each photo are judged.

        Source: M. Saerens et al., "Adjusting the Outputs of a Classifier to New a Priori
            Probabilities", Neural Computation 14(1), 2002.
        """
        calibration = self.config["calibration"]
        even = np.asarray(logits, np.float64) / calibration["temperature"] + calibration["bias"]
        scaled = even + np.log(self.prior / (1 - self.prior)) - np.log(np.maximum(faces, 1))
        return 1 / (1 + np.exp(-np.clip(scaled, -80, 80)))

    @overload
    def predict(
        self, photo: bytes | BinaryIO | Image.Image | np.ndarray | Photo, name: str = ""
    ) -> Prediction: ...

    @overload
    def predict(self, photo: str | Path, name: str = "") -> "Prediction | pd.DataFrame": ...

    def predict(self, photo: ImageSource | Photo, name: str = "") -> "Prediction | pd.DataFrame":
        """Answer about one photo, or about a folder of them.

        Args:
            photo: a path, bytes, an open binary file, a Pillow image, a uint8 array, or what
                :func:`deepfake_lab.photos.images.read_photo` returns. The path of a folder is
                handed to :meth:`predict_many`, which returns a frame.
            name: what to call the photo; by default the file's name.

        Raises:
            UserError: the photo cannot be read.
        """
        if isinstance(photo, str | Path) and os.path.isdir(os.path.expanduser(photo)):
            return self.predict_many(photo)
        (answer,) = self.judge([photo], [name], alone=True, preview=True)
        if isinstance(answer, UserError):
            raise answer
        return answer

    def predict_many(
        self,
        photos: "pd.DataFrame | str | Path | Iterable[ImageSource]",
        change: Callable[[np.ndarray], np.ndarray] | None = None,
        cluster: "Client | None" = None,
    ) -> "pd.DataFrame":
        """Answer about many photos.

        Args:
            photos: a frame with the column `path`, a folder (read with all folders below it), or
                photos, each as for :meth:`predict`. What is no path is called `photo 1`, ... by its
                place, and its `path` is empty.
            change: what to do to each photo, (H, W, 3) uint8, before it is looked at.
            cluster: a ``distributed.Client``, whose workers do it; None for this machine's cores.

        Returns:
            The predictions frame: the manifest's columns (``path, file`` for a folder or paths)
            and ``p_fake, verdict, confidence, uncertain, face_found, prior, model, error``; of a
            folder
            or paths also how many ``faces`` were judged, and the texts ``caveats`` and
            ``evidence``. A photo that cannot be read keeps its row: the reason stands in ``error``
            and p_fake is missing. Of a frame, as of labelled data, the largest face is judged; else
            every face, and the answer is that of the most suspicious one.

        Raises:
            UserError: a folder that is not there or holds no images, a frame without `path`, or
                something that is not several photos.
        """
        require("pandas")
        import pandas as pd

        from deepfake_lab.progress import progress

        manifest, sources = _listed(photos)
        labelled = manifest is photos  # who brings a frame measures, and reads no words
        logits, faces, counts, errors, told = [], [], [], [], []
        answers = self.stream(sources, change, cluster, 1 if labelled else MOST_FACES)
        for answer in progress(answers, f"{self.name}, photos", len(manifest)):
            given = answer if isinstance(answer, Prediction) else None
            logits.append(given.logit if given else np.nan)
            faces.append(given.face_found if given else False)
            errors.append("" if given else str(answer))
            counts.append(len(given.faces) if given else 0)
            told.append(given.texts if given else {"caveats": "", "evidence": ""})
        manifest = manifest.assign(face_found=faces, error=errors)
        if labelled:
            return self.answers(manifest, np.array(logits))
        frame = self.answers(manifest, np.array(logits), np.array(counts))
        frame["faces"] = counts
        texts = ["caveats", "evidence"]
        frame[texts] = pd.DataFrame(told, frame.index, texts, str)
        return frame

    def stream(
        self,
        photos: Iterable[ImageSource | Photo],
        change: Callable[[np.ndarray], np.ndarray] | None = None,
        cluster: "Client | None" = None,
        most_faces: int = MOST_FACES,
    ) -> Iterator[Prediction | UserError]:
        """Answer about any number of photos in constant memory, on all cores, in their order.

        Args:
            photos: drawn as they are needed; paths and addresses alone where a cluster does it.
            change: as for :meth:`predict_many`; a cluster must be able to pickle it.
            cluster: as for :meth:`predict_many`. Its workers read the photos by their names, and
                their answers come without pixels.
            most_faces: so many faces of a photo are judged, the largest.

        Yields:
            For each photo the answer, or why it could not be read.
        """
        if cluster is not None:
            require("distributed")
            from deepfake_lab.cluster import Recipe, spread

            parts = (self.folder, self.config, self._graph.model, self.quantised, self.prior)
            recipe = Recipe(_arrived, parts)
            work = partial(_judge_there, change, most_faces, os.getcwd())
            return spread(cluster, work, map(_named, photos), _not_judged, recipe)
        return overlapped(
            lambda group: self.judge(group, change=change, most_faces=most_faces), photos
        )

    def judge(
        self,
        photos: Sequence[ImageSource | Photo],
        names: Sequence[str] = (),
        *,
        change: Callable[[np.ndarray], np.ndarray] | None = None,
        alone: bool = False,
        preview: bool = False,
        most_faces: int = MOST_FACES,
    ) -> list[Prediction | UserError]:
        """Answer about a few photos, for programs that ask from several threads.

        Args:
            photos: as for :meth:`predict`, but no folders.
            names: what to call them, in answers and in reasons why there is none; empty for the
                file's name.
            change: as for :meth:`predict_many`.
            alone: use all cores; False leaves the others to the other threads.
            preview: keep the photos in their answers, to be shown.
            most_faces: as for :meth:`stream`.

        Returns:
            For each photo the answer, or why it could not be read.

        Raises:
            UserError: one photo in place of several, or another number of names than of photos.
        """
        if isinstance(photos, str | Path | bytes):
            raise UserError("Give a sequence of photos; for a single one there is predict().")
        if len(names) not in (0, len(photos)):
            raise UserError(f"{len(photos)} photos, but {len(names)} names: give each its own.")
        names = list(names) or [""] * len(photos)
        seen = [
            self._look(photo, name, change, preview, most_faces)
            for photo, name in zip(photos, names)
        ]
        good = [one for one in seen if not isinstance(one, UserError)]
        outputs = iter([self._run(part.pixels, alone) for one in good for part in one.framed])
        return [
            one if isinstance(one, UserError)
            else self._prediction(name or _name(photo), one, [next(outputs) for _ in one.framed])
            for photo, name, one in zip(photos, names, seen)
        ]  # fmt: skip

    def answers(
        self, manifest: "pd.DataFrame", logits: np.ndarray, faces: int | np.ndarray = 1
    ) -> "pd.DataFrame":
        """Return the predictions frame: a manifest and what this detector says of its photos.

        Args:
            manifest: N rows, with ``face_found`` and, where a photo could not be read, ``error``.
            logits: (N,) raw scores, NaN for a photo that could not be read.
            faces: (N,) how many faces of each photo were judged.
        """
        import pandas as pd

        p_fake = self.probability(logits, faces)
        low, high = self.band
        fake = p_fake >= 0.5
        answered = pd.Series(~np.isnan(p_fake), index=manifest.index)
        answers = manifest.assign(
            p_fake=p_fake,
            verdict=pd.Series(np.where(fake, "FAKE", "REAL"), manifest.index).where(answered),
            confidence=np.where(fake, p_fake, 1 - p_fake),
            uncertain=((low < p_fake) & (p_fake < high))
            | (answered & ~manifest["face_found"].astype(bool)),
            prior=self.prior,
            model=self.name,
            error=manifest["error"] if "error" in manifest else "",
        )
        others = [column for column in answers.columns if column not in ANSWER_COLUMNS]
        return answers[others + ANSWER_COLUMNS]

    def _look(
        self,
        photo: ImageSource | Photo,
        name: str,
        change: Callable[[np.ndarray], np.ndarray] | None,
        preview: bool,
        most_faces: int,
    ) -> "_Seen | UserError":
        try:
            photo = images.read_photo(photo, name)
            pixels = photo.pixels
            pixels = pixels if change is None else images.read_image(change(pixels))
        except UserError as error:
            return error
        framed = frame_centers(pixels, self.image_size, self.config["framing"], most_faces)
        shown = small_copy(pixels) if preview else None
        return _Seen(framed, pixels.shape[1::-1], shown, photo.evidence, photo.jpeg_quality,
                     photo.lacks_end)  # fmt: skip

    def _run_all(self, group: list[np.ndarray]) -> list[dict[str, np.ndarray]]:
        return [self._run(picture, alone=False) for picture in group]

    def _run(self, picture: np.ndarray, alone: bool = True) -> dict[str, np.ndarray]:
        """Return logit and activation map of one picture, on the scale of photos as sharp.

        Where that scale is known, the picture's sharpness stands beside them.
        """
        outputs = self._graph.run(picture, alone)
        scale = self.config.get("sharpness")
        if scale is None:
            return outputs
        sharpness = measure_sharpness(picture)
        outputs = {name: scaled(output, sharpness, scale) for name, output in outputs.items()}
        return {**outputs, "sharpness": np.array(sharpness)}

    def _prediction(
        self, name: str, seen: "_Seen", outputs: list[dict[str, np.ndarray]]
    ) -> Prediction:
        judged = [
            self._judged(framed, output, len(seen.framed))
            for framed, output in zip(seen.framed, outputs)
        ]
        worst = max(judged, key=lambda face: face.p_fake)  # of equals the first, the largest
        framed = worst.framed
        verdicts = [face.verdict for face in judged]
        against = caveats.of_photo(verdicts, framed.faces_found, seen.jpeg_quality, seen.lacks_end)
        return Prediction(
            name, worst.p_fake, worst.verdict, worst.confidence,
            worst.uncertain or framed.face is None, framed, self.name,
            caveats=(*against, *worst.caveats),
            evidence=seen.evidence,
            logit=worst.logit,
            activation_map=worst.activation_map,
            detector=self,
            photo_size=seen.size,
            preview=seen.preview,
            prior=self.prior,
            faces=tuple(judged) if framed.face is not None else (),
        )  # fmt: skip

    def _judged(self, framed: FramedFace, output: dict[str, np.ndarray], faces: int) -> JudgedFace:
        logit = output["logit"].item()
        p_fake = self.probability(logit, faces).item()
        verdict = "FAKE" if p_fake >= 0.5 else "REAL"
        low, high = self.band
        sharpness = output["sharpness"].item() if "sharpness" in output else None
        return JudgedFace(
            p_fake, verdict, p_fake if verdict == "FAKE" else 1 - p_fake, low < p_fake < high,
            framed,
            caveats=tuple(caveats.of_face(framed, p_fake, self.config, sharpness, self.band)),
            logit=logit,
            activation_map=output.get("activation_map"),  # (h, w): its mean is the logit
        )  # fmt: skip


def _arrived(
    folder: Path, config: dict, model: bytes, quantised: dict | None, prior: float
) -> Detector:
    """Return the detector that has come to a worker of a cluster; no file is read there."""
    record = quantised or {"sha256": config["sha256"]["model.tflite"]}
    if checksum(model) != record["sha256"]:
        raise UserError(f"The detector '{config['name']}' was damaged on its way to a worker.")
    return Detector(folder, config, model, quantised, prior)


def _judge_there(
    change: Callable[[np.ndarray], np.ndarray] | None,
    most_faces: int,
    base: str,
    detector: Detector,
    photos: list[str],
) -> list[Prediction | UserError]:
    """Judge photos on a worker; what goes back are numbers and words.

    Args:
        change: as for :meth:`Detector.predict_many`.
        most_faces: as for :meth:`Detector.stream`.
        base: the folder that paths begin in, which is the asker's.
        detector: that has come here.
        photos: paths and addresses.
    """
    there = [photo if is_address(photo) else os.path.join(base, photo) for photo in photos]
    answers: list[Prediction | UserError] = []
    for start in range(0, len(photos), GROUP):
        group = there[start : start + GROUP]
        answers += detector.judge(group, change=change, most_faces=most_faces)
    return [
        UserError(str(answer).replace(path, photo, 1)) if isinstance(answer, UserError)
        else answer.without_pixels()
        for answer, path, photo in zip(answers, there, photos)
    ]  # fmt: skip


def _named(photo: ImageSource | Photo) -> str:
    if not isinstance(photo, str | Path):
        raise UserError("A cluster reads photos by their names: give paths or addresses.")
    return str(photo)


def _not_judged(photo: str, reason: str) -> UserError:
    return UserError(f"{photo}: {reason}.")


#: What data sets that others know, too, are called in words.
_DATA_WORDS = {
    "140k": "Kaggle's “140k real and fake faces”",
    "sample": "the project's own sample set",
}


def data_words(name: str) -> str:
    """Return the name of a data set as words; of one that was joined of several, each of them.

    Of many that only their owner knows by name, the number.
    """
    parts = name.split("+")
    unnamed = [f"'{part}'" for part in parts if part not in _DATA_WORDS]
    words = [_DATA_WORDS[part] for part in parts if part in _DATA_WORDS]
    if len(unnamed) > 2:
        words.append(f"{len(unnamed)} {'further ' * bool(words)}data sets")
    elif unnamed:
        words.append(f"the data set{'s' * (len(unnamed) > 1)} {_and(unnamed)}")
    return _and(words)


def _and(words: Sequence[str]) -> str:
    return ", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else words[0]


def _name(photo: ImageSource | Photo) -> str:
    """Return what to call a photo: the file's name, where there is one."""
    name = photo if isinstance(photo, str | Path) else getattr(photo, "name", None)
    return Path(name).name if isinstance(name, str | Path) else "photo"


def _listed(
    photos: "pd.DataFrame | str | Path | Iterable[ImageSource]",
) -> "tuple[pd.DataFrame, Sequence[ImageSource]]":
    """Return a row a photo, and the photos."""
    import pandas as pd

    if isinstance(photos, pd.DataFrame):
        if "path" not in photos:
            have = ", ".join(map(str, photos.columns)) or "none"
            raise UserError(f"A frame of photos needs the column 'path'; it has: {have}.")
        return photos, list(photos["path"])
    if isinstance(photos, str | Path):
        folder = photos if is_address(photos) else paths.data_folder(photos)
        beside: list[str] = []
        found = list(find_photos([folder], beside))
        if all(one.error for one in found):
            raise UserError(found[0].error)
        if beside:
            warnings.warn(tell_passed_over(beside), stacklevel=3)
        # What cannot be listed gets a row as well: nothing is passed over in silence.
        files, names = [one.path for one in found], [one.name for one in found]
        return _rows(files, names), files
    one_photo = isinstance(photos, bytes | Image.Image) or hasattr(photos, "read")
    if isinstance(photos, np.ndarray) and photos.dtype.kind in "uif":
        one_photo = photos.ndim != 4
    if one_photo or not isinstance(photos, Iterable):
        raise UserError("predict_many takes a folder, a frame or a list of photos; see predict.")
    sources = list(photos)
    files = [str(one) if isinstance(one, str | Path) else "" for one in sources]
    names = [
        Path(file).name if file else f"photo {number}" for number, file in enumerate(files, start=1)
    ]
    return _rows(files, names), sources


def _rows(files: list[str], names: list[str]) -> "pd.DataFrame":
    import pandas as pd

    # The text columns of pandas hold Unicode only; a name on disk need not be that.
    texts = {"path": map(unicode_name, files), "file": map(unicode_name, names)}
    return pd.DataFrame({column: list(values) for column, values in texts.items()}, dtype=str)
