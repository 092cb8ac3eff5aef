"""What every test needs: runs are written to a folder of their own, never into the checkout."""

import os
import tempfile

_home = tempfile.TemporaryDirectory(prefix="deepfake-lab-test-")


def pytest_configure(config):
    """Give tests, and the kernels that the notebooks run in, their own home."""
    os.environ["DEEPFAKE_LAB_HOME"] = _home.name


def pytest_unconfigure(config):
    """Remove that home."""
    _home.cleanup()


def pytest_collectstart(collector):
    """Leave what notebooks print on standard error (progress, remarks) out of the comparison."""
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("stderr",)
