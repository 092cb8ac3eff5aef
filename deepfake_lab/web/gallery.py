"""A few photos of the sample set, to try the page without a photo of one's own."""

import csv
from dataclasses import dataclass
from pathlib import Path

from deepfake_lab import paths

#: How many photos of each family are offered, and what each family really is.
FAMILIES = {
    "photo": (4, "a real photo"),
    "gan": (2, "a fake: no such person exists, a generative network (GAN) drew the face"),
    "blend": (1, "a fake: the face was blended into its own photo anew"),
    "swap": (1, "a fake: the face of another person was put in"),
}


@dataclass(frozen=True)
class Sample:
    """A photo of the gallery.

    Attributes:
        path: of the file.
        truth: what it really is.
    """

    path: Path
    truth: str


def read_gallery() -> dict[str, Sample]:
    """Return samples by number: test photos, spread over the set; none where the set is missing."""
    folder = paths.project() / "data" / "sample"
    if not (folder / "manifest.csv").is_file():
        return {}
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    samples = []
    for family, (number, truth) in FAMILIES.items():
        files = sorted(row["path"] for row in rows if row["family"] == family)
        step = len(files) / number
        chosen = [files[int(step * (i + 0.5))] for i in range(number)] if files else []
        samples += [Sample(folder / file, truth) for file in chosen]
    # Neither the order nor the address gives the answer away.
    samples.sort(key=lambda sample: sample.path.stem[::-1])
    return {str(number): sample for number, sample in enumerate(samples, start=1)}
