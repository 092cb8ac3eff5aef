"""What every test needs: runs are written to a folder of their own, never into the checkout."""

import os
import tempfile

import pytest

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


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Tell pytest-xdist what must run in one process.

    A file's tests share fixtures that take time; notebooks build on one another.
    """
    for item in items:
        group = "notebooks" if item.path.suffix == ".ipynb" else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))
