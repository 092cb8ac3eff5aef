"""The controls in JupyterLab, in a real browser: sliders are moved, photos are uploaded."""

import io
import os
import re
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from benchmarks.web import photo

pytest.importorskip("jupyterlab", reason="JupyterLab is not installed")

PATIENCE = 120_000  # milliseconds: a kernel starts, a machine may be busy

START = """
import numpy as np, pandas as pd
from deepfake_lab import Detector, read_dataset
from deepfake_lab.course import controls_trust
detector = Detector.load({folder!r})
manifest = read_dataset("sample").manifest
test = manifest[manifest["split"] == "test"].reset_index(drop=True)
rows = pd.DataFrame({{"label": ["real", "fake"] * 20, "source": "made", "group": range(40),
                      "p_fake": np.linspace(0.05, 0.95, 40)}})
rows["verdict"] = np.where(rows["p_fake"] >= 0.5, "FAKE", "REAL")
pixels = controls_trust.images.read_image(test["path"][0])
"""
CELLS = (
    "controls_trust.Thresholds(rows)",
    "controls_trust.Wear(detector, pixels)",
    "controls_trust.RealOrFake(detector, test, 2)",
    "controls_trust.Upload(detector)",
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def lab(run_folder, tmp_path_factory):
    """JupyterLab on a notebook that shows each control; returns the address of the notebook."""
    folder = tmp_path_factory.mktemp("lab")
    cells = [new_code_cell(source) for source in (START.format(folder=str(run_folder)), *CELLS)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernel}  # else JupyterLab asks which one
    nbformat.write(new_notebook(cells=cells, metadata=metadata), folder / "controls.ipynb")
    port, token = free_port(), secrets.token_hex(16)
    settings = {
        "IdentityProvider.token": token, "ServerApp.port": port, "ServerApp.ip": "127.0.0.1",
        "ServerApp.root_dir": folder, "ServerApp.open_browser": False,
    }  # fmt: skip
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(folder / "config"), "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "user"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"), "PYTHONPATH": os.getcwd(),
    }  # fmt: skip
    root = [] if not hasattr(os, "geteuid") or os.geteuid() else ["--allow-root"]
    with (folder / "lab.log").open("w") as log:
        options = [*root, *(f"--{name}={value}" for name, value in settings.items())]
        command = [sys.executable, "-m", "jupyterlab", *options]
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_for(f"{address}/api/status?token={token}", server, folder / "lab.log")
            yield f"{address}/doc/tree/controls.ipynb?token={token}"
        finally:
            server.terminate()
            server.wait(30)


def _wait_for(address: str, server: subprocess.Popen, log: Path) -> None:
    for _ in range(PATIENCE // 500):
        assert server.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(log.read_text())


@pytest.fixture(scope="module")
def page(browser, lab):
    page = browser.new_page(viewport={"width": 1280, "height": 3000})
    page.set_default_timeout(PATIENCE)
    page.goto(lab)
    page.locator(".jp-Notebook").wait_for()
    page.get_by_text("| Idle").wait_for()  # before, JupyterLab asks which kernel is meant
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
    page.get_by_role("button", name="Judge a photo").wait_for()  # the last cell has run
    return page


def words(page, pattern: str) -> str:
    return page.locator(".widget-html", has_text=re.compile(pattern)).last.inner_text()


def press(page, label: str, key: str, times: int) -> None:
    """Move the slider with this label by its handle."""
    slider = page.locator(".widget-slider", has=page.get_by_text(label, exact=True))
    handle = slider.locator(".noUi-handle")
    handle.focus()
    for _ in range(times):
        handle.press(key)


def changed(page, pattern: str, before: str, gone: str = "") -> str:
    """Wait until the words of a control are others, and without those; return them.

    Answers to the keys pressed before may still come in.
    """
    for _ in range(PATIENCE // 100):
        now = words(page, pattern)
        if now != before and not (gone and gone in now):
            return now
        page.wait_for_timeout(100)
    raise AssertionError(f"still: {before}")


def test_the_threshold_moves_the_numbers(page):
    before = words(page, "At a threshold")
    assert "At a threshold of 0.50" in before
    press(page, "threshold", "ArrowRight", 3)
    assert "of the real photos are called fake" in changed(page, "At a threshold", before)


def test_the_share_of_fakes_moves_the_precision(page):
    before = words(page, "At a threshold")
    press(page, "share of fakes", "ArrowLeft", 2)
    assert "photos fake" in changed(page, "At a threshold", before, gone="1 in 2 ")
    picture = page.locator("img[alt^='Three panels']").last
    assert picture.evaluate("image => image.naturalWidth") > 600


def test_jpeg_quality_moves_p_fake(page):
    before = words(page, r"P\(fake\) = ")
    press(page, "JPEG quality", "ArrowLeft", 10)
    assert "Classification" in changed(page, r"P\(fake\) = ", before)


def test_the_game_counts(page):
    before = words(page, "After 0 of 2")
    assert "you 0, detector 0" in before
    page.get_by_role("button", name="FAKE", exact=True).click()
    page.get_by_text(re.compile("After 1 of 2")).wait_for()
    page.get_by_role("button", name="REAL", exact=True).click()
    page.get_by_text(re.compile("After 2 of 2")).wait_for()
    assert page.get_by_role("button", name="REAL", exact=True).is_disabled()


def test_a_broken_photo_among_good_ones_is_named_and_the_others_are_judged(page):
    good = {"name": "good.jpg", "mimeType": "image/jpeg", "buffer": photo(side=200)}
    broken = {"name": "broken.jpg", "mimeType": "image/jpeg", "buffer": b"no picture at all"}
    other = io.BytesIO(photo(side=240)).getvalue()
    more = {"name": "other.jpg", "mimeType": "image/jpeg", "buffer": other}
    with page.expect_file_chooser() as chosen:
        page.get_by_role("button", name="Judge a photo").click()
    chosen.value.set_files([good, broken, more])
    answers = page.locator(".widget-html", has_text="broken.jpg").last
    answers.wait_for()
    said = answers.inner_text()
    assert said.count("Classification:") == 2 and "good.jpg" in said and "other.jpg" in said
