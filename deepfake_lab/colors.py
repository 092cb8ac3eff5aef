"""The colours of REAL and FAKE, the same in every figure, heat map and page."""

#: One colour per label; told apart by people who see red and green alike.
COLORS = {"real": "#0072B2", "fake": "#D55E00"}

#: The same as RGB in [0, 255]: blue argues for REAL and vermilion for FAKE.
REAL_COLOR = (0, 114, 178)
FAKE_COLOR = (213, 94, 0)
