"""A working course folder, for a person who has no checkout: `deepfake-lab init`."""

import shutil
from pathlib import Path

from deepfake_lab import paths
from deepfake_lab.errors import UserError

_README = """\
# Deepfake Lab: your course folder

Notebooks, parameter files and the sample set, yours to change. What they write lands here.

    pip install "deepfake-lab[course]"      what the notebooks need (3 GB, most of it TensorFlow)
    jupyter lab notebooks                   step through them, beginning with 01
    deepfake-lab run                        or run them all, into runs/
    deepfake-lab run --params params/140k.yaml -p data_dir=path/to/140k
    deepfake-lab predict photo.jpg          ask about a photo
    deepfake-lab serve                      the web page
"""

#: What is copied: folder -> its parts, or all of it.
_PARTS = {
    "notebooks": ["*.ipynb"],
    "docs": ["glossary.md"],  # the notebooks link to it
    "params": ["*.yaml"],
    "data": ["README.md", "sample"],
}


def start_course(folder: str | Path) -> Path:
    """Write a course folder: notebooks, parameter files, the sample set and ten lines of help.

    Args:
        folder: a new or empty folder.

    Returns:
        The folder. Inside it, commands take its notebooks and write into it; see
        :func:`deepfake_lab.paths.home`.

    Raises:
        UserError: the folder is not empty, or cannot be written.
    """
    target = paths.expanded(folder).absolute()
    if target.is_dir() and any(target.iterdir()):
        raise UserError(f"{target} is not empty: name a new folder.")
    if target.exists() and not target.is_dir():
        raise UserError(f"{target} is a file: name a new folder.")
    try:
        for part, patterns in _PARTS.items():
            (target / part).mkdir(parents=True)
            shipped = paths.project() / part
            for source in (found for pattern in patterns for found in shipped.glob(pattern)):
                copy = shutil.copytree if source.is_dir() else shutil.copyfile
                copy(source, target / part / source.name)
        (target / "README.md").write_text(_README, encoding="utf-8")
        (target / paths.COURSE_MARK).touch()  # the last: half a course folder is none
    except OSError as error:
        raise UserError(f"{target} cannot be written: {error.strerror or error}.") from error
    return target
