"""Install the wheel into an empty environment, away from the checkout, and use it as a person does.

    python tools/smoke_wheel.py              the core: predict, serve, init
    python tools/smoke_wheel.py --course     with the extra `course`: audit, evaluate, run as well

Prints what each step said, the size of the installation and its time. Exit status 1 where a step
does not do what README promises, or where something was written into the installed package.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PHOTO = sorted((ROOT / "data" / "sample" / "fake").glob("gan_test*.jpg"))[0]

#: What an answer must not import, whatever is installed.
HEAVY = ("tensorflow", "keras", "pandas", "matplotlib", "sklearn", "IPython", "jupyter_core")


class Installed:
    """The package in an environment of its own, used from a folder of its own."""

    def __init__(self, work: Path, extra: str):
        self.bin = work / "env" / ("Scripts" if os.name == "nt" else "bin")
        self.here = work / "somewhere"
        self.here.mkdir()
        kept = ("DEEPFAKE_LAB_", "PYTHON", "VIRTUAL_ENV")
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(kept)}
        self.env |= {"HOME": str(work / "home"), "PYTHONDONTWRITEBYTECODE": "1"}
        run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", str(ROOT), "-w", str(work)])
        (self.wheel,) = work.glob("*.whl")
        start = time.perf_counter()
        run([sys.executable, "-m", "venv", str(work / "env")])
        run([
            str(self.bin / "python"), "-m", "pip", "install", "-q", f"{self.wheel}{extra}",
            "-c", str(ROOT / "requirements.txt"),
        ])  # fmt: skip
        self.seconds = time.perf_counter() - start
        ask = "import deepfake_lab; print(deepfake_lab.__path__[0])"
        self.package = Path(self.say("python", "-c", ask).strip())

    def say(self, program: str, *arguments: str, status: int = 0, cwd: Path | None = None) -> str:
        """Run a program of the environment; return what it said on both channels."""
        ended = subprocess.run(
            [str(self.bin / program), *arguments], cwd=cwd or self.here, env=self.env,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        print(f"$ {program} {' '.join(arguments)}\n{ended.stdout.rstrip()}\n")
        check(ended.returncode == status, f"exit status {ended.returncode}, not {status}")
        return ended.stdout

    def files(self) -> dict[str, str]:
        """Return the installed package's files with their checksums."""
        return {
            str(path): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in self.package.rglob("*")
            if path.is_file()
        }

    def megabytes(self) -> float:
        """Return what the environment takes on disk, without pip itself."""
        packages = self.package.parent
        there = (path for path in packages.rglob("*") if path.is_file() and not path.is_symlink())
        mine = (path for path in there if path.relative_to(packages).parts[0][:3] != "pip")
        return sum(path.stat().st_size for path in mine) / 1e6


def main() -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--course", action="store_true", help="install the extra `course`, too")
    options = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="deepfake-lab-wheel-"))
    try:
        installed = Installed(work, "[course]" if options.course else "")
        before = installed.files()
        answers(installed)
        with_course(installed) if options.course else without_course(installed)
        check(installed.files() == before, "something was written into the installed package")
        print(
            f"{installed.wheel.name}: {installed.wheel.stat().st_size / 1e6:.0f} MB; installed "
            f"{installed.megabytes():,.0f} MB in {installed.seconds:.0f} s; every step passed."
        )
        return 0
    except AssertionError as error:
        print(f"smoke_wheel: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(work, ignore_errors=True)


def answers(installed: Installed) -> None:
    """Ask as a person does who only wants a verdict."""
    check(re.search(r"deepfake-lab \d", installed.say("deepfake-lab", "--version")), "no version")
    verdict(installed.say("deepfake-lab", "predict", str(PHOTO)))
    command = ("-X", "importtime", "-m", "deepfake_lab.cli", "predict", str(PHOTO))
    traced = subprocess.run(
        [str(installed.bin / "python"), *command], cwd=installed.here, env=installed.env,
        capture_output=True, text=True,
    ).stderr  # fmt: skip
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in traced.splitlines()}
    check("deepfake_lab" in imported, "the imports were not traced")
    check(not imported & set(HEAVY), f"predict imports {imported & set(HEAVY)}")
    asked = "import deepfake_lab as dl; print(dl.Detector.load('cnn').predict(r'{}'))"
    verdict(installed.say("python", "-c", asked.format(PHOTO)))
    page(installed)


def page(installed: Installed) -> None:
    """Start the web page, look at its gallery and upload a photo."""
    server = subprocess.Popen(
        [str(installed.bin / "deepfake-lab"), "serve", "--port", "0"], cwd=installed.here,
        env=installed.env | {"PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        said = ""
        while not (found := re.search(r"http://127\.0\.0\.1:\d+", said)):
            line = server.stdout.readline()
            check(line, f"the page did not start: {said}")
            said += line
        address = found.group()
        print(f"$ deepfake-lab serve --port 0\n{said}")
        with urllib.request.urlopen(address) as response:
            start = response.read().decode()
        check(re.search(r"<img[^>]+sample", start), "no gallery on the page")
        edge = uuid.uuid4().hex
        head = (
            f'--{edge}\r\nContent-Disposition: form-data; name="photos"; filename="a.jpg"\r\n\r\n'
        )
        body = head.encode() + PHOTO.read_bytes() + f"\r\n--{edge}--\r\n".encode()
        kind = {"Content-Type": f"multipart/form-data; boundary={edge}", "Origin": address}
        request = urllib.request.Request(f"{address}/", body, kind)
        with urllib.request.urlopen(request) as response:
            text = re.sub(r"<[^>]+>", " ", response.read().decode())
        verdict(" ".join(text.split()))
    finally:
        server.terminate()
        server.wait(20)


def without_course(installed: Installed) -> None:
    """Commands whose extra is missing say what to install, in one line."""
    installed.say("python", "-c", "import tensorflow", status=1)
    for command in (("audit", "sample"), ("evaluate", "sample"), ("run",)):
        said = installed.say("deepfake-lab", *command, status=2)
        check('pip install "deepfake-lab[course]"' in said, "the extra is not named")
        check(said.count("\n") == 1, "more than one line")
    installed.say("deepfake-lab", "init", "course")


def with_course(installed: Installed) -> None:
    """Audit, evaluate and run out of the installed package and in a course folder."""
    installed.say("deepfake-lab", "audit", "sample")
    installed.say("deepfake-lab", "evaluate", "sample")
    installed.say("deepfake-lab", "init", "course")
    said = installed.say("deepfake-lab", "run", "--only", "05", cwd=installed.here / "course")
    verdict(said)
    check(str(installed.here / "course" / "runs") in said, "the run lies elsewhere")


def run(command: list[str]) -> None:
    """Run a command that must succeed."""
    subprocess.run(command, check=True)


def verdict(text: str) -> None:
    """Find the promised line in a text and print it."""
    found = re.search(r"Classification: (FAKE|REAL)\s+Confidence: \d+\.\d\d%", text)
    check(found, f"no verdict in: {text[:500]}")
    print(found.group(), "\n")


def check(good: object, complaint: str) -> None:
    """Stop with a complaint unless all is well."""
    if not good:
        raise AssertionError(complaint)


if __name__ == "__main__":
    sys.exit(main())
