"""Every path of the project, once.

Two roots. The *project* holds what is shipped: sample data, detectors, notebooks, parameter files;
it is only read. It is the checkout, or ``shipped/`` inside an installed package. The *home* is
where runs are written (``models/``, ``figures/``, ``logs/``, ``runs/``). Nothing is created on
import.
"""

import os
import re
import tempfile
from pathlib import Path

from platformdirs import user_data_path

from deepfake_lab.errors import UserError

#: A folder with this file in it is a course folder; `deepfake-lab init` makes one.
COURSE_MARK = ".deepfake-lab-course"

#: What makes a folder a run folder: all that is to be known of its detector. Versions before 0.2
#: called it ``config.json``, the name that Keras has for something else.
DETECTOR_FILE, OLDER_DETECTOR_FILE = "detector.json", "config.json"

#: Detectors that the project ships in ``models/``; a training run may not take their names there.
SHIPPED = ("cnn", "efficientnet")


def project() -> Path:
    """Return the folder of what is shipped: the checkout, or a part of the installed package."""
    package = Path(__file__).resolve().parent
    return package.parent if is_checkout() else package / "shipped"


def is_checkout() -> bool:
    """Return whether the package is used out of its source, and not as it was installed."""
    root = Path(__file__).resolve().parent.parent
    return (root / "pyproject.toml").is_file() and (root / "notebooks").is_dir()


def course_folder() -> Path | None:
    """Return the course folder that the current folder lies in, where it lies in one."""
    here = Path.cwd()
    return next((path for path in (here, *here.parents) if (path / COURSE_MARK).is_file()), None)


def home(out_dir: str | Path = "") -> Path:
    """Return the folder that receives models, figures and logs; never one inside site-packages.

    The first that there is: `out_dir`, the folder named by ``DEEPFAKE_LAB_HOME``, the course folder
    around the current one, the checkout, a folder of the user's own.

    Args:
        out_dir: a folder given by the person, or empty.
    """
    chosen = str(out_dir) or os.environ.get("DEEPFAKE_LAB_HOME", "")
    if chosen:
        return expanded(chosen).resolve()
    course = course_folder()
    if course is not None:
        return course
    return project() if is_checkout() else user_data_path("deepfake-lab", appauthor=False)


def data_folder(name: str | Path) -> Path:
    """Return the folder of a data set, given as a path or as a short name such as ``140k``.

    An absolute path is taken as it is. Anything else is looked for in the current folder, then in
    the folder named by the environment variable ``DEEPFAKE_LAB_DATA``, then in the ``data/`` of the
    home and of the project; the first that exists is taken.

    Raises:
        UserError: no such folder; the message lists the places where it was looked for.
    """
    name = str(name)  # papermill takes a folder called 2024 for a number
    if not name.strip():
        raise UserError("No data folder given: set data_dir to a folder, for example 'sample'.")
    wanted = expanded(name)
    roots = [Path.cwd(), home() / "data", project() / "data"]
    if os.environ.get("DEEPFAKE_LAB_DATA"):
        roots.insert(1, expanded(os.environ["DEEPFAKE_LAB_DATA"]))
    named = [wanted] if wanted.is_absolute() else [root / wanted for root in roots]
    candidates = list(dict.fromkeys(named))
    for candidate in candidates:
        if os.path.isdir(candidate):  # unlike pathlib, it takes a name that is too long
            return candidate.resolve()
        if os.path.exists(candidate):
            raise UserError(f"{candidate} is a file; data_dir must be a folder of images.")
    places = ", ".join(str(candidate) for candidate in candidates)
    raise UserError(f"Data folder '{name}' not found. Looked for: {places}.")


def model_folder(name: str | Path, out_dir: str | Path = "") -> Path:
    """Return the run folder of a trained detector, given as a path or as a name.

    A name is looked for in ``<home>/models`` and then among the detectors that the project ships.

    Raises:
        UserError: no such run folder; the message lists the names that exist.
    """
    name = str(name)
    as_path = expanded(name)
    if os.path.isfile(detector_file(as_path)):
        return as_path.resolve()
    roots = _model_roots(out_dir)
    for root in roots:
        if os.path.isfile(detector_file(root / name)):
            return root / name
    for folder in (as_path, *(root / name for root in roots)):
        if name.strip() and os.path.isdir(folder):
            raise UserError(f"{folder} is not a whole run folder: {DETECTOR_FILE} missing.")
    known = sorted({folder.name for root in roots for folder in _run_folders(root)})
    listed = ", ".join(known) if known else "none yet: run notebook 02 or 03, or `make run`"
    places = " or ".join(str(root) for root in roots)
    raise UserError(f"No detector '{name}' in {places}. Known detectors: {listed}.")


def has_model(name: str, out_dir: str | Path = "") -> bool:
    """Return whether :func:`model_folder` would find a run folder of that name."""
    return any(os.path.isfile(detector_file(root / name)) for root in _model_roots(out_dir))


def detector_file(folder: Path) -> Path:
    """Return where a run folder keeps what is to be known of its detector, JSON.

    That is ``detector.json``, or the ``config.json`` of a run folder that an older version wrote.
    """
    file, older = folder / DETECTOR_FILE, folder / OLDER_DETECTOR_FILE
    return older if os.path.isfile(older) and not os.path.isfile(file) else file


def new_model_folder(name: str, out_dir: str | Path = "", ship: bool = False) -> Path:
    """Return where the run folder of a detector of that name is to be written.

    Ask before a training, not after it.

    Args:
        name: of the detector; the folder is ``<out_dir>/models/<name>``.
        out_dir: see :func:`home`.
        ship: allow the name of a detector that the project ships.

    Raises:
        UserError: a name that is no folder name, or that belongs to a detector the project ships.
    """
    if not re.fullmatch(r"[\w-][\w.-]*", name):
        raise UserError(f"'{name}' cannot name a detector: use letters, digits, - and _.")
    folder = home(out_dir) / "models" / name
    if not ship and name.lower() in SHIPPED and folder.parent == project() / "models":
        raise UserError(f"'{name}' is a detector that the project ships; choose another name.")
    return folder


def default_model() -> Path:
    """Return the run folder that answers where nobody names one.

    The shipped ``efficientnet``; in a checkout without it, the detector that was trained last.

    Raises:
        UserError: there is none yet.
    """
    shipped = project() / "models" / "efficientnet"
    if detector_file(shipped).is_file():
        return shipped
    roots = [home() / "models", *home().glob("runs/*/models")]
    trained = [folder for root in roots for folder in _run_folders(root)]
    if not trained:
        raise UserError("There is no trained detector yet: run `make run` first, or give --model.")
    return max(trained, key=lambda folder: detector_file(folder).stat().st_mtime)


def backbone_weights() -> Path:
    """Return the ImageNet weights of EfficientNet-Lite0 that the project ships."""
    return project() / "models" / "efficientnet_lite0.imagenet.weights.h5"


def expanded(path: str | Path) -> Path:
    """Return the path with `~` replaced; unlike `Path.expanduser`, `~nobody` is left as it is."""
    return Path(os.path.expanduser(path))


def _run_folders(root: Path) -> list[Path]:
    """Return the run folders in a folder; hidden ones are being written at this moment."""
    return [folder for folder in root.glob("[!.]*") if detector_file(folder).is_file()]


def _model_roots(out_dir: str | Path) -> list[Path]:
    return list(dict.fromkeys([home(out_dir) / "models", project() / "models"]))


def check_writable(folder: Path) -> Path:
    """Make a folder, write a few bytes into it and remove them; return the folder.

    Ask before long work, not after it.

    Raises:
        UserError: it cannot be made or written, or its disk is full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(1 << 16))
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}.") from error
    return folder


def notebooks() -> Path:
    """Return the folder of the notebooks: a course folder's own, else those that are shipped."""
    course = course_folder()
    own = course / "notebooks" if course else None
    return own if own is not None and own.is_dir() else project() / "notebooks"
