"""What every test needs: runs are written to a folder of their own, never into the checkout."""

import os
import tempfile

import pytest

#: Run by tests/course/test_solutions.py, which also reads what their checks say.
collect_ignore = ["notebooks/solutions"]

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


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Keep in one process what shares fixtures, a file, and what builds on another, the notebooks.

    (This is what `--dist loadgroup` is for; xdist 3.8 forgets the groups under pytest 9.)
    """
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file = nodeid.partition("::")[0]
            return "notebooks" if file.endswith(".ipynb") else file

    return Scheduling(config, log)
