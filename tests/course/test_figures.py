"""Figures of the notebooks: each with words for those who cannot see it."""

import matplotlib.pyplot as plt

from deepfake_lab import plots


def test_a_figure_is_saved_shown_with_its_alternative_text_and_closed(tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    figure = plt.figure()
    plots.show_figure(figure, "dots", tmp_path, 'two "dots"')
    assert shown[0]["text/plain"] == 'two "dots"'
    assert 'alt="two &quot;dots&quot;"' in shown[0]["text/html"]
    assert '<img src="data:image/' in shown[0]["text/html"]
    assert (tmp_path / "figures" / "dots.png").stat().st_size > 0
    assert not plt.fignum_exists(figure.number)
