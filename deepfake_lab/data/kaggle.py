"""Bring a public data set into the folder where the notebooks look for it.

Kaggle's terms are the person's to accept: the download runs under her own account, and the images
are never part of this project.

Source: https://github.com/Kaggle/kagglehub (dataset_download).
"""

import lzma
import os
import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path

from deepfake_lab import paths
from deepfake_lab.data.folders import scan
from deepfake_lab.errors import UserError

#: Short name -> name on Kaggle, and how much it is.
DATASETS = {
    "140k": ("xhlulu/140k-real-and-fake-faces", "140,000 photos, about 4 GB"),
    "hardfake": ("hamzaboulahia/hardfakevsrealfaces", "1,289 photos"),
}


def download(name: str, archive: str | Path = "") -> Path:
    """Return the folder of a data set, after bringing it there.

    Args:
        name: one of :data:`DATASETS`.
        archive: a zip that was downloaded by hand; empty to ask Kaggle.

    Raises:
        UserError: an unknown name, an unusable zip, or no way to Kaggle; the line says what to do.
    """
    if name not in DATASETS:
        raise UserError(f"Unknown data set '{name}'; known: {', '.join(DATASETS)}.")
    folder = folder_for(name)
    if folder.is_dir() and any(folder.iterdir()):
        if archive:
            raise UserError(
                f"{folder} is there already, and {archive} was not opened: remove or rename the "
                "folder first."
            )
        print(f"{folder} is there already.")
        return folder
    part = folder.with_name(f"{folder.name}.part")
    try:
        if archive:
            part = _unpack(paths.expanded(archive), folder)
        else:
            _fetch(name, part)
        # The folder gets its name when all is in it: half a data set is never taken for one.
        if folder.is_dir():
            folder.rmdir()  # empty, as was seen above
        part.rename(folder)
    except OSError as error:
        raise UserError(f"{error.filename or folder}: {error.strerror or error}.") from error
    return folder


def folder_for(name: str) -> Path:
    """Return where a data set belongs, so that `data_dir` can be its short name.

    In the folder named by the environment variable ``DEEPFAKE_LAB_DATA``, else in ``data/`` of the
    home.
    """
    base = os.environ.get("DEEPFAKE_LAB_DATA")
    return (paths.expanded(base) if base else paths.home() / "data") / name


def by_hand(name: str) -> str:
    """Return how to get a data set with a browser."""
    return (
        f"By hand: download the zip from https://www.kaggle.com/datasets/{DATASETS[name][0]} and "
        f"run `deepfake-lab download {name} --zip FILE.zip`, or unpack it into {folder_for(name)}."
    )


def _fetch(name: str, folder: Path) -> None:
    handle, size = DATASETS[name]
    try:
        import kagglehub
    except ImportError as error:
        raise UserError(
            "The package kagglehub is missing: run `pip install kagglehub`. " + by_hand(name)
        ) from error
    folder.mkdir(parents=True, exist_ok=True)
    print(f"Downloading {handle} ({size}) from Kaggle into {folder}.")
    try:
        kagglehub.dataset_download(handle, output_dir=str(folder))
    except Exception as error:
        # Its errors are those of several libraries; all that matters here is which kind it is.
        raise UserError(f"{_reason(error)} {by_hand(name)}") from error
    # Its own notes on what is complete are of no use to a reader of images.
    shutil.rmtree(folder / ".complete", ignore_errors=True)


def _reason(error: Exception) -> str:
    """Say in one sentence why Kaggle gave nothing."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if status in (401, 403) or "UnauthenticatedError" in kinds or "CredentialError" in kinds:
        return (
            "Kaggle did not permit the download: create a token under "
            "https://www.kaggle.com/settings, put it where kagglehub looks for it "
            "(KAGGLE_API_TOKEN, or ~/.kaggle), and accept the data set's terms on its page."
        )
    if status == 404:
        return "Kaggle knows no such data set any more."
    if kinds & {"ConnectionError", "Timeout", "TimeoutError", "URLError", "ProxyError"}:
        return "Kaggle cannot be reached: this computer is offline, or a firewall is between."
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return f"The download failed ({first})."


def _unpack(archive: Path, folder: Path) -> Path:
    """Unpack a zip into a new folder beside the one named, and return it.

    Nothing stays of a zip that fails. Python's zipfile lets no entry out of the folder.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            folder.parent.mkdir(parents=True, exist_ok=True)
            need = sum(entry.file_size for entry in opened.infolist())
            if need > shutil.disk_usage(folder.parent).free:
                raise UserError(
                    f"{archive} unpacks to {need / 1e9:.1f} GB; the disk has less left."
                )
            part = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
            try:
                opened.extractall(part)
                if not scan(part).images:
                    raise UserError(f"{archive} holds no images: it is another zip.")
            except BaseException:
                shutil.rmtree(part, ignore_errors=True)
                raise
            part.chmod(0o755)  # temporary folders are private
            return part
    except FileNotFoundError as error:
        raise UserError(f"{archive}: no such file.") from error
    except IsADirectoryError as error:
        raise UserError(
            f"{archive} is a folder; give the zip, or move the folder there."
        ) from error
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError) as error:
        raise UserError(f"{archive} is no whole zip file: download it again.") from error
    except OSError as error:
        if error.errno is not None:
            raise
        # How bz2 says that its data are damaged.
        raise UserError(f"{archive} is no whole zip file: download it again.") from error
    except NotImplementedError as error:
        raise UserError(
            f"{archive} is packed in a way that Python cannot unpack ({error}): unpack it with "
            f"another program into {folder}."
        ) from error
    except RuntimeError as error:  # how zipfile says that a password is needed
        raise UserError(
            f"{archive} is encrypted: unpack it with its password into {folder}."
        ) from error
