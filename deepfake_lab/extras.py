"""Optional packages: which extra brings which, said in one line where one is missing."""

from importlib.util import find_spec

from deepfake_lab.errors import UserError

#: Importable module -> the extra of `pip install "deepfake-lab[...]"` that brings it.
EXTRAS = dict.fromkeys(
    (
        "IPython", "ipywidgets", "joblib", "jupyterlab", "keras", "matplotlib", "nbclient",
        "nbformat", "pandas", "papermill", "pyarrow", "scipy", "seaborn", "sklearn", "tensorboard",
        "tensorflow",
    ),
    "course",
) | {
    "kagglehub": "download", "pillow_heif": "heic", "c2pa": "provenance",
    "onnxruntime": "export", "tf2onnx": "export",
} | dict.fromkeys(
    ("dask", "distributed", "filelock", "fsspec", "optuna", "psutil"), "cluster"
)  # fmt: skip


def require(module: str) -> None:
    """Raise a :class:`UserError` that says what to install, unless the module is there."""
    if find_spec(module) is None:
        raise UserError(how_to_install(module))


def how_to_install(module: str) -> str:
    """Return one line on how to get a module of :data:`EXTRAS`."""
    return f"The package '{module}' is missing: pip install \"deepfake-lab[{EXTRAS[module]}]\""
