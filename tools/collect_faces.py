"""Collect photos of faces, real and fake, from the public repositories that hold them.

    python tools/collect_faces.py --out data/collected
    python tools/collect_faces.py --table tools/unseen_faces.csv --out data/unseen

`collected_faces.csv` lists photos to train with and to test on, `unseen_faces.csv` those of sources
that no shipped detector learns from, for `benchmarks/unseen.py`. Each repository is cloned (`git
clone --depth 1`) into --clones, or used as it lies there as `owner+name`; each photo is checked by
its md5, and left out and counted where it has changed since. Of a file that shows several pictures
side by side, `box` (left, top, right and bottom in pixels) says which; it is cut out. Then
`manifest.csv` is written, which `read_dataset` reads. What is there already stays.
"""

import argparse
import hashlib
import io
import subprocess
import sys
from pathlib import Path

import pandas as pd
from PIL import Image

TABLE = Path(__file__).parent / "collected_faces.csv"
COLUMNS = ["path", "label", "source", "family", "group", "split"]


def repository(name: str, clones: Path) -> Path | None:
    """Return the git directory of a repository, cloned if need be; None if that fails."""
    folder = clones / name.replace("/", "+")
    if not folder.exists():
        address = f"https://github.com/{name}"
        clone = ["git", "clone", "--quiet", "--bare", "--depth", "1", address, str(folder)]
        if subprocess.run(clone, check=False).returncode:
            return None
    found = [place for place in (folder, *folder.glob("*"), *folder.glob("*/.git"))
             if (place / "HEAD").is_file()]  # fmt: skip
    return found[0] if found else None


def cut_out(data: bytes, box: str) -> bytes:
    """Return a part of an image, "left top right bottom" in pixels, as a PNG: as it is."""
    stream = io.BytesIO()
    Image.open(io.BytesIO(data)).crop([int(edge) for edge in box.split()]).save(stream, "PNG")
    return stream.getvalue()


def main() -> int:
    """Collect the photos; return 1 where none was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--table", type=Path, default=TABLE, help="which photos")
    parser.add_argument("--clones", type=Path, help="of the repositories; by default below --out")
    options = parser.parse_args()
    table = pd.read_csv(options.table, dtype=str)
    table = table.assign(box=table.get("box"))
    for name, photos in table.groupby("repo"):
        left = [row for row in photos.itertuples() if not (options.out / row.path).is_file()]
        git = repository(name, options.clones or options.out / "clones") if left else None
        for row in left if git else ():
            show = ["git", "--git-dir", str(git), "show", f"HEAD:{row.original_path}"]
            data = subprocess.run(show, capture_output=True, check=False).stdout
            if hashlib.md5(data).hexdigest() == row.md5:
                file = options.out / row.path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data if pd.isna(row.box) else cut_out(data, row.box))
        there = sum((options.out / path).is_file() for path in photos["path"])
        print(f"{name}: {there} of {len(photos)}", flush=True)
    taken = table[[(options.out / path).is_file() for path in table["path"]]]
    if taken.empty:
        print("collect_faces: none of the photos was found", file=sys.stderr)
        return 1
    taken[COLUMNS].sort_values("path").to_csv(options.out / "manifest.csv", index=False)
    print(f"{len(taken)} of {len(table)} photos in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
