"""Command lines at random, of parts that are right and parts that are broken: none may crash.

    python benchmarks/fuzz.py [--lines 300] [--seed 0] [--only predict]

Each line runs in a process of its own, in a folder made for it. It must end with status 0, 1, 2 or
130, without a traceback and with few lines on standard error. The same seed makes the same lines;
the suite runs some of them (`tests/test_fuzz.py`). Notebooks are not executed, no server is left
listening and nothing is downloaded: these lines get a part that is refused.
"""

import argparse
import os
import random
import shlex
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from deepfake_lab import paths

#: Statuses that a command may end with.
STATUSES = (0, 1, 2, 130)

#: Most lines on standard error: the usage of the longest command, or a line for each broken photo.
MOST_LINES = 16

#: Seconds for one line.
LIMIT = 240

SAMPLE = paths.project() / "data" / "sample"

#: Values that stand where a number belongs.
NUMBERS = ("0", "1", "7", "-1", "1.5", "x", "", " 3 ", "1_0", "9" * 30, "-0", "0x10", "nan", "٣")

#: Words that stand where any word belongs.
WORDS = ("", " ", "x", "sample", "no such", "--", "-", "a" * 300, "ä\u202e漢", "*", "~nobody/x")


def make_parts(folder: Path) -> dict[str, list[str]]:
    """Write right and broken files into a new folder; return kind of part -> parts.

    Paths are relative to the folder, where the commands run.
    """
    folder.mkdir(parents=True)
    faces = [sorted((SAMPLE / label).glob("*.jpg"))[:20] for label in ("real", "fake")]
    good = faces[0][0].read_bytes()
    photos = folder / "photos"
    photos.mkdir()
    contents: dict[bytes, bytes] = {
        b"good.jpg": good, b"empty.jpg": b"", b"text.jpg": b"no photo", b"cut.jpg": good[:2000],
        b"no_end.jpg": good[:-2], b"head.png": b"\x89PNG\r\n\x1a\n", b"-x.jpg": good,
        "漢 é.jpg".encode(): good, b"IMG_0001": good, b"a.jp2": b"\x00\x00\x00\x0cjP  \r\n\x87\n",
    }  # fmt: skip
    if sys.platform == "linux":
        contents |= {b"lat\xe9.jpg": good, b"new\nline.jpg": good, b"esc\x1b[31m.jpg": good[:99]}
    for name, content in contents.items():
        with open(os.path.join(os.fsencode(photos), name), "wb") as file:
            file.write(content)
    for name, size in (("tiny.png", (5, 5)), ("ribbon.png", (9000, 20)), ("grey.png", (99, 99))):
        Image.new("RGB", size, "grey").save(photos / name)
    Image.new("1", (200, 100)).save(photos / "bits.tif")
    (folder / "empty").mkdir()
    (folder / "few").mkdir()
    for name in ("good.jpg", "cut.jpg", "grey.png"):
        (folder / "few" / name).write_bytes((photos / name).read_bytes())
    if os.name == "posix":
        (photos / "dangling.jpg").symlink_to("nowhere.jpg")
        (folder / "few" / "circle").symlink_to(".")
    data = _make_data(folder / "data", faces)
    (folder / "table.csv").write_text("name,phone\nx,1\n")
    (folder / "old.csv.part").write_text("[1, 2]\n")
    (folder / "file.zip").write_bytes(b"PK\x03\x04broken")
    (folder / "report.md").write_text("# mine\n")
    for name, content in {
        "good.yaml": b"seed: 1\nmax_photos: 9\n", "list.yaml": b"- a\n", "bad.yaml": b"a: [1\n",
        "bytes.yaml": b"\xff\xfe\x00", "typo.yaml": b"epoch: 3\n", "type.yaml": b"epochs: ten\n",
        "empty.yaml": b"", "keys.yaml": b"1: 2\n? [a]\n: 3\n",
    }.items():  # fmt: skip
        (folder / name).write_bytes(content)
    named = [f"photos/{os.fsdecode(name)}" for name in os.listdir(os.fsencode(photos))]
    return {
        "photo": [*sorted(named), "few", "empty", "nowhere.jpg", "photos/nowhere.jpg"],
        "data": [*data, "empty", "few", "nowhere", "table.csv", "file.zip", "", "data/none"],
        "out": [
            "r.csv", "r.parquet", "R.CSV", "r.txt", "no/r.csv", "data", "table.csv", "old.csv",
            "x.csv/", "", "photos", "new", "new/deep", "report.md", "/dev/full", "/proc/x/r.csv",
        ],
        "yaml": [*sorted(path.name for path in folder.glob("*.yaml")), "no.yaml", "few", ""],
        "zip": ["file.zip", "no.zip", "few", "photos/good.jpg", ""],
    }  # fmt: skip


def _make_data(root: Path, faces: Sequence[Sequence[Path]]) -> list[str]:
    """Write small data sets, right and broken ones; return their paths."""
    labels = ("real", "fake")

    def put(name: str, count: int, labels: Sequence[str] = labels, **files: bytes) -> None:
        for label, found in zip(labels, faces):
            (root / name / label).mkdir(parents=True)
            for i, file in enumerate(found[:count]):
                (root / name / label / f"{label}{i}.jpg").write_bytes(file.read_bytes())
        for file_name, content in files.items():
            (root / name / file_name.replace("_csv", ".csv")).write_bytes(content)

    rows = b"path,label\nreal/real0.jpg,real\nfake/fake0.jpg,fake\n"
    put("plain", 12)
    put("one", 1)
    put("reals", 5, labels[:1])
    put("others", 4, ("cats", "dogs"))
    put("not", 4, ("not_fake", "fake"))
    put("header", 4, manifest_csv=b"path,label\n")
    put("empty_table", 4, manifest_csv=b"")
    put("rows", 4, manifest_csv=rows)
    put("misses", 4, manifest_csv=rows.replace(b"/", b"_"))
    put("semicolons", 4, manifest_csv=rows.replace(b",", b";"))
    put("utf16", 4, manifest_csv=rows.decode().encode("utf-16"))
    put("columns", 4, manifest_csv=b"a,b\n1,2\n")
    put("bytes", 4, manifest_csv=bytes(range(256)))
    put("quotes", 4, manifest_csv=b'path,label\n"real/real0.jpg,real\n')
    put("contradicts", 4, manifest_csv=rows.replace(b",fake", b",real"))
    (root / "rows" / "fake" / "fake1.jpg").write_bytes(b"broken")
    (root / "rows" / "fake" / "fake2.jpg").write_bytes(b"")
    return sorted(f"data/{path.name}" for path in root.iterdir())


def command_line(rng: random.Random, parts: dict[str, list[str]], command: str) -> list[str]:
    """Return one command line at random; in some nothing is broken, in others half of it."""
    share = rng.choice([0, 0.1, 0.5])

    def maybe(chance: float, *words: str) -> list[str]:
        return list(words) if rng.random() < chance else []

    def pick(good: Sequence[str], broken: Sequence[str]) -> str:
        return rng.choice(broken if rng.random() < share else good)

    def data() -> str:
        return pick(("data/plain", "data/rows", "data/utf16", "data/one"), parts["data"])

    def number(*good: str) -> str:
        return pick(good, NUMBERS)

    def word(*good: str) -> str:
        return pick(good, WORDS)

    layout = maybe(0.2, "--layout", word("plain", "auto", "manifest", "140k"))
    model = maybe(0.2, "--model", word("efficientnet", "cnn"))
    if command == "predict":
        photos = ("photos/good.jpg", "photos/grey.png", "few", "photos/-x.jpg", "photos/ribbon.png")
        words = [pick(photos, parts["photo"]) for _ in range(rng.randint(share == 0, 3))] + model
        words += maybe(0.3, "--format", word("text", "csv", "json"))
        words += maybe(0.4, rng.choice(["--out", "--output"]), pick(("r.csv",), parts["out"]))
        words += maybe(0.3, "--explain", pick(("new",), parts["out"]))
        words += maybe(0.05, "--quantised")
    elif command == "audit":
        words = [data(), *layout, *maybe(0.4, "--faces", number("0", "5"))]
        words += maybe(0.3, "--html", pick(("new.html",), parts["out"]))
    elif command == "prepare":
        words = [data(), "--out", pick(("new", "new/deep"), parts["out"]), *layout]
        words += ["--size", number("64"), *maybe(0.3, "--framing", word("face", "whole"))]
        words += maybe(0.3, "--quality", number("80"))
    elif command == "evaluate":
        words = [data() for _ in range(rng.randint(1, 2))] + model + layout
        words += ["--split", word("all", "all", "test")]
        words += maybe(0.4, "--max-photos", number("3")) + maybe(0.3, "--seed", number("1"))
        words += maybe(0.4, "--out", pick(("new",), parts["out"]))
    elif command == "run":
        words = maybe(0.6, "--params", pick(("good.yaml",), parts["yaml"]))
        words += maybe(0.5, "--only", word("01", "02"))
        words += maybe(0.5, "--out", pick(("new",), parts["out"]))
        settings = [
            "epochs", "=", "seed=x", f"seed={number('1')}", f"photo={word('x')}", "out_dir=x",
            "names=[1", f"data_dir={data()}", "cnn_epochs=1", "learning_rate=1e-3",
        ]  # fmt: skip
        for _ in range(rng.randint(0, 2)):
            words += ["-p", rng.choice(settings)]
        words += ["-p", "no_such_parameter=1"]  # no notebook is to be executed
    elif command == "sweep":
        words = ["-p", f"seed={number('0,1')},{word('2')}", "-p", "no_such_parameter=1,2"]
        words += maybe(0.5, "--jobs", number("1")) + maybe(0.3, "--search", number("2"))
        words += maybe(0.3, "--params", pick(("good.yaml",), parts["yaml"]))
    elif command == "runs":
        words = [pick(("few", "data"), parts["out"]) for _ in range(rng.randint(0, 2))]
        words += maybe(0.5, "--out", pick(("r.csv", "r.html"), parts["out"]))
    elif command == "compare":
        words = [word("cnn", "efficientnet") for _ in range(rng.randint(1, 3))]
        words += maybe(0.3, "--metric", word("roc_auc", "accuracy"))
        words += maybe(0.3, "--seed", number("1"))
        words += maybe(0.4, "--out", pick(("new",), parts["out"]))
    elif command == "init":
        words = [pick(("new", "new/deep"), parts["out"])]
    elif command == "export":
        words = [word("cnn"), "--quantise", word("int8", "float16"), "--data", data(), *layout]
    elif command == "serve":
        words = ["--host", rng.choice(["999.1.1.1", "no such host", "256.0.0.1:80"])]
        words += model + maybe(0.5, "--port", number("80", "99999"))
    elif command == "download":
        words = [word("140k", "hardfake"), "--zip", pick(("file.zip",), parts["zip"]) or "no.zip"]
    else:
        words = [rng.choice(WORDS), *maybe(0.5, rng.choice(NUMBERS))]
    if rng.random() < share / 3:
        words.insert(rng.randrange(len(words) + 1), rng.choice([*WORDS, "--no-such-option"]))
    return [command, *words] if command != "other" else words


COMMANDS = ("predict", "audit", "prepare", "evaluate", "run", "sweep", "runs", "compare", "init",
            "export", "serve", "download", "other")  # fmt: skip


def command_lines(
    count: int, seed: int, parts: dict[str, list[str]], commands: Sequence[str] = COMMANDS
) -> list[list[str]]:
    """Return command lines at random; more than half of them `predict`."""
    rng = random.Random(seed)
    return [
        command_line(rng, parts, rng.choice([commands[0], rng.choice(commands)]))
        for _ in range(count)
    ]


def fault(status: int, errors: str) -> str:
    """Return what is wrong with the end of a command, or nothing."""
    if "Traceback" in errors or "Exception ignored" in errors:
        return "traceback"
    if status not in STATUSES:
        return f"status {status}"
    lines = errors.splitlines()
    return f"{len(lines)} lines on standard error" if len(lines) > MOST_LINES else ""


def environment(folder: Path) -> dict[str, str]:
    """Return the variables under which a line writes nothing outside of its folder."""
    return os.environ | {
        "DEEPFAKE_LAB_HOME": str(folder / "home"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "PYTHONPATH": str(Path(__file__).resolve().parent.parent),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


def _run(folder: Path, words: list[str]) -> tuple[int, str]:
    try:
        done = subprocess.run(
            [sys.executable, "-m", "deepfake_lab", *words], cwd=folder, env=environment(folder),
            capture_output=True, timeout=LIMIT, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return 124, "it did not end"
    return done.returncode, done.stderr.decode("utf-8", "replace")


def main() -> int:
    """Run the lines, print what failed and a summary; 1 if one failed."""
    import tempfile

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--lines", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", choices=COMMANDS)
    options = parser.parse_args()
    commands = tuple(options.only or COMMANDS)
    started, statuses, failed = time.monotonic(), Counter(), 0
    with tempfile.TemporaryDirectory() as place:

        def one(number: int) -> tuple[list[str], int, str]:
            folder = Path(place) / str(number)  # its own: no line meets what another has written
            parts = make_parts(folder)
            words = command_lines(number + 1, options.seed, parts, commands)[number]
            return words, *_run(folder, words)

        with ThreadPoolExecutor(2) as pool:
            for words, status, errors in pool.map(one, range(options.lines)):
                statuses[status] += 1
                if wrong := fault(status, errors):
                    failed += 1
                    print(f"{wrong}: deepfake-lab {shlex.join(words)}\n{errors[-1500:]}\n")
    ends = ", ".join(f"{count} with status {status}" for status, count in sorted(statuses.items()))
    print(
        f"{options.lines} command lines, seed {options.seed}: {ends}; {failed} failed; "
        f"{time.monotonic() - started:.0f} s"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
