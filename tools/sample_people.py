"""Who is who among the Caltech-101 "Faces" photos, for `build_sample.py`.

Source: Li, Andreetto, Ranzato & Perona, "Caltech 101", CaltechDATA, doi 10.22002/D1.20086. The
photos carry no names and none are given here: a person is a number.
"""

from __future__ import annotations

import io
import zipfile

import numpy as np
from PIL import Image
from sample_faces import FaceFinder, Photo, framed, package_file

# Person -> first and last photo number. Photos are numbered in unbroken runs, one per person: the
# boundaries were read off contact sheets of all 435 photos, where clothes, hair and place change at
# once. All runs were then compared with one another for a person who comes back. Only 113-132 and
# 346-365 (young women in the same house) were in doubt: they are counted as one person. 174-193 was
# taken in that house too and therefore shares their circle.
PEOPLE = {
    "p01": [(1, 21)], "p02": [(22, 41)], "p03": [(42, 46)], "p04": [(47, 68)], "p05": [(69, 89)],
    "p06": [(90, 112)], "p07": [(113, 132), (346, 365)], "p08": [(133, 137)], "p09": [(138, 158)],
    "p10": [(159, 163)], "p11": [(164, 168)], "p12": [(169, 173)], "p13": [(174, 193)],
    "p14": [(194, 214)], "p15": [(215, 239)], "p16": [(240, 261)], "p17": [(262, 266)],
    "p18": [(267, 285)], "p19": [(286, 305)], "p20": [(306, 325)], "p21": [(326, 345)],
    "p23": [(366, 387)], "p24": [(388, 388)], "p25": [(390, 390)], "p26": [(393, 397)],
    "p27": [(398, 417)], "p28": [(418, 435)],
}  # fmt: skip
# 389, 391 and 392 are drawings (in no run above). Left out as well: 193 (a grimace, turned away),
# 319, 320 and 325 (arm or hand before the face) and photos too dark to judge a face by.
UNUSABLE = {193, 319, 320, 325} | {3, 15, 16, 21, 135, 263, 296, 297, 310, 315, 323}

# Faces are swapped only inside a circle, and the circle is the manifest's `group`: whoever splits
# the sample again by group can never have one person on both sides, not even as a face's donor.
CIRCLES = {
    "train": [["p01", "p04"], ["p02", "p16"], ["p08", "p09", "p25"], ["p14", "p15"], ["p07", "p13"],
              ["p03", "p10"], ["p27", "p28"]],
    "valid": [["p21", "p11"], ["p23", "p26"], ["p05", "p24"]],
    "test": [["p06", "p20"], ["p17", "p19"], ["p18", "p12"]],
}  # fmt: skip


def load_photos(finder: FaceFinder) -> tuple[dict[str, list[Photo]], dict[int, list[int]]]:
    """Return each person's usable photos, and the JPEG tables that all of them were saved with."""
    photos: dict[str, list[Photo]] = {}
    with zipfile.ZipFile(package_file("clustimage", "faces_images.zip")) as archive:
        for person, runs in PEOPLE.items():
            numbers = {n for first, last in runs for n in range(first, last + 1)} - UNUSABLE
            photos[person] = []
            for number in sorted(numbers):
                picture = Image.open(
                    io.BytesIO(archive.read(f"faces_images/image_{number:04d}.jpg"))
                )
                tables, rgb = picture.quantization, np.asarray(picture.convert("RGB"))
                face = finder.find(rgb)
                if face is None:
                    raise SystemExit(
                        f"no face found in photo {number}: are the packages the pinned ones?"
                    )
                if framed(rgb, face):
                    photos[person].append(
                        Photo(number, person, rgb, face, finder.landmarks(rgb, face))
                    )
    return photos, tables
