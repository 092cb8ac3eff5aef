"""Take the picture of the page that README and the site show.

    python tools/page_picture.py [--photo data/sample/fake/....jpg]     docs/page.png

Starts the page on a free port with a home in a temporary folder, asks it about a photo of the
sample set (others must not be shown, see `data/README.md`) and photographs the answer in
the Chromium that is installed.
"""

import argparse
import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "page.png"
#: From the test split: a face that a generator has drawn, of nobody.
PHOTO = ROOT / "data" / "sample" / "fake" / "gan_test_0036.jpg"
MOST = 200_000  # bytes
HIGHEST = 728  # pixels: what comes first on the page is what a reader needs
PORT = 5077


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photo", type=Path, default=PHOTO)
    photo = parser.parse_args().photo.resolve()
    if not photo.is_relative_to(ROOT / "data" / "sample"):
        raise SystemExit("Only photos of data/sample may be shown.")
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "DEEPFAKE_LAB_HOME": home}
        command = [sys.executable, str(ROOT / "run.py"), "--port", str(PORT)]
        server = subprocess.Popen(command, env=environment)
        try:
            TARGET.write_bytes(_small(_photograph(f"http://127.0.0.1:{PORT}/", photo)))
        finally:
            server.terminate()
            server.wait()
    print(f"{TARGET.relative_to(ROOT)}: {TARGET.stat().st_size:,} bytes")


def _photograph(address: str, photo: Path) -> bytes:
    _wait_for(address)
    browser_file = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=browser_file)
        page = browser.new_page(viewport={"width": 900, "height": 1000}, device_scale_factor=1)
        page.goto(address)
        page.set_input_files("#photos", str(photo))  # the page asks at once
        answer = page.locator("article.answer").first
        answer.wait_for()
        page.wait_for_timeout(1500)  # heat map and pictures are drawn
        picture = answer.screenshot()
        browser.close()
    return picture


def _wait_for(address: str) -> None:
    for _ in range(100):
        try:
            urllib.request.urlopen(address, timeout=2)
            return
        except OSError:
            time.sleep(0.2)
    raise SystemExit("The page did not start.")


def _small(data: bytes) -> bytes:
    """Return the picture as a PNG below `MOST` bytes, with fewer colours where it must be."""
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    picture = picture.crop((0, 0, picture.width, min(picture.height, HIGHEST)))
    for colors in (256, 128, 64):
        buffer = io.BytesIO()
        picture.quantize(colors).save(buffer, "PNG", optimize=True)
        if buffer.tell() < MOST:
            break
    return buffer.getvalue()


if __name__ == "__main__":
    main()
