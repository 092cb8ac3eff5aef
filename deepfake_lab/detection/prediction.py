"""The answer about one photo: the same for the notebook, the command and the page."""

from dataclasses import dataclass

from deepfake_lab.detection.judgement import Judgement


@dataclass(frozen=True, eq=False)
class Prediction(Judgement):
    """The answer about one photo; on the last line of a notebook cell it shows itself."""

    def _repr_html_(self) -> str:
        from deepfake_lab.detection.display import prediction_html  # drawing waits for a reader

        return prediction_html(self)
