"""What several test files share."""

import os
import shutil
from pathlib import Path

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run folder: a small CNN that saw the sample set once; it answers, knowing nothing."""
    from deepfake_lab.data.datasets import read_dataset
    from deepfake_lab.training.batches import load_splits
    from deepfake_lab.training.fitting import fit
    from deepfake_lab.training.models import build_model
    from deepfake_lab.training.runs import save_run

    data = read_dataset("sample")
    splits = load_splits(data.manifest, image_size=64)
    model = build_model("cnn", image_size=64)
    history = fit(model, splits["train"], splits["valid"], epochs=1, learning_rate=1e-3, verbose=0)
    detector = save_run(
        "tiny", model, data, splits, history,
        framing="face", recipe={"epochs": 1}, seed=0, out_dir=tmp_path_factory.mktemp("home"),
    )  # fmt: skip
    return detector.folder


@pytest.fixture(scope="session")
def detector(run_folder: Path):
    """The detector of that run folder; it has answered once."""
    from deepfake_lab.web.server import load_detector

    return load_detector(str(run_folder))


@pytest.fixture(scope="session")
def served(detector):
    """The web page as a real server in this process, on a free port."""
    import threading

    from deepfake_lab.web.app import create_app
    from deepfake_lab.web.server import bind

    server = bind(create_app(detector), "127.0.0.1", 0)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield server
    server.stop()
    thread.join(20)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium that is installed here; none is downloaded."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip("no Chromium or Chrome is installed (or name one in CHROMIUM)")
    with playwright.sync_playwright() as driver:
        # As root Chromium starts without its sandbox only; it visits only what the tests serve.
        sandbox = [] if hasattr(os, "geteuid") and os.geteuid() else ["--no-sandbox"]
        started = driver.chromium.launch(executable_path=program, args=sandbox)
        yield started
        started.close()
