"""A trained detector on disk: which parts it has, and whether they are what was written."""

import hashlib
import json
from pathlib import Path

from deepfake_lab import paths
from deepfake_lab.detection.prior import checked_prior, from_threshold
from deepfake_lab.errors import UserError

#: What a run folder holds; one that lacks a part is refused.
PARTS = (paths.DETECTOR_FILE, "model.keras", "model.tflite", "history.csv", "predictions.csv",
         "metrics.json", "README.md")  # fmt: skip

#: What answering can do without: the installed package leaves it out of the shipped detectors.
FOR_TRAINING = "model.keras"

#: Parts whose checksums the config holds.
HASHED = ("model.keras", "model.tflite")

#: The quantised model, where :mod:`deepfake_lab.training.quantize` has written one.
QUANTISED = "model.quantised.tflite"


def checksums(folder: Path) -> dict[str, str]:
    """Return file name -> SHA-256 of the models in a run folder, for ``config["sha256"]``."""
    return {part: checksum((folder / part).read_bytes()) for part in HASHED}


def checksum(content: bytes) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def read_checked(file: Path, expected: str) -> bytes:
    """Return the content of a model file.

    Args:
        file: in a run folder.
        expected: its SHA-256 as ``detector.json`` says.

    Raises:
        UserError: the file is not the one that was written.
    """
    if file.name == FOR_TRAINING and not file.is_file():
        raise UserError(
            f"{file} is missing: the installed package leaves it out, to stay small. It is part of "
            "the project's source: get that with `pip download --no-deps --no-binary :all: "
            "deepfake-lab` or git, and name its folder models/NAME."
        )
    content = file.read_bytes()
    if checksum(content) != expected:
        raise UserError(
            f"{file} is damaged or was exchanged (its checksum is not the recorded one): copy "
            "the run folder anew or train this detector again."
        )
    return content


def read_run(folder: Path, quantised: bool = False) -> tuple[dict, bytes]:
    """Return the config of a run folder and the content of the model that answers.

    Args:
        folder: the run folder.
        quantised: take the quantised model, and in the config its own calibration.

    Raises:
        UserError: a part is missing or damaged, or there is no quantised model.
    """
    described = paths.detector_file(folder)
    there = {FOR_TRAINING, paths.DETECTOR_FILE if described.is_file() else ""}
    missing = [part for part in PARTS if part not in there and not (folder / part).is_file()]
    if missing:
        raise UserError(f"{folder} is not a whole run folder: {', '.join(missing)} missing.")
    config = _read_config(described)
    if not quantised:
        return config, read_checked(folder / "model.tflite", config["sha256"]["model.tflite"])
    if "quantised" not in config:
        raise UserError(
            f"The detector '{config['name']}' has no quantised model; make one with "
            f"`deepfake-lab export {config['name']} --quantise int8 --data DATA`."
        )
    record = config["quantised"]
    return config | record["answers"], read_checked(folder / QUANTISED, record["sha256"])


def _read_config(file: Path) -> dict:
    """Return the config; what every answer needs is looked up here, so that it is there later."""
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
        if "sha256" not in config:
            raise UserError(
                f"{file.parent} is not a whole run folder: {file.name} has no checksums (an older "
                "version wrote it): train this detector again."
            )
        _ = [config["sha256"][part] for part in HASHED]
        _ = [config["calibration"][part] for part in ("temperature", "bias")]
        for part in (config, config.get("quantised", {}).get("answers", {})):
            if "threshold" in part:  # an older version wrote it
                part |= from_threshold(part.pop("threshold"), part["uncertain_band"])
        _ = [config[part] for part in ("name", "image_size", "framing")]
        _low, _high = config["uncertain_band"]
        checked_prior(config["prior"])
        _ = config["data"]["name"], config["data"]["train"]
        if "sharpness" in config:
            _ = [config["sharpness"][part] for part in ("center", "spread", "slope", "zero")]
            _low, _high = config["sharpness"]["sharpness"]
    except (ValueError, LookupError, TypeError, OSError) as error:
        raise UserError(f"{file} is damaged: train this detector again.") from error
    return config
