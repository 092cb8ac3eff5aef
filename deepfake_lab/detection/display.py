"""An answer to look at: the photo with its face, the heat map, the verdict and its caveats."""

import base64
import io
import textwrap
from html import escape

import numpy as np
from PIL import Image, ImageDraw

from deepfake_lab.colors import FAKE_COLOR, REAL_COLOR
from deepfake_lab.detection.explain import PALE, heat_map, resize_map
from deepfake_lab.detection.judgement import JudgedFace, Judgement, Scorer, verdict_line

#: The strongest place is covered by this share.
COVER = 0.8

#: Height of both pictures in pixels.
SHOWN = 280

#: Most width of the photo; one that is wider for its height is drawn lower.
WIDEST = 1400

#: So many faces of a group are listed one by one.
LISTED = 12

LEGEND = "Heat map: blue places argued for REAL, orange ones for FAKE. It shows where, not why."


def draw_heat(pixels: np.ndarray, evidence: np.ndarray) -> Image.Image:
    """Return the judged square in grey, on which colors show, with its heat map over it.

    Args:
        pixels: (S, S, 3) uint8.
        evidence: (h, w) in units of the logit, positive for FAKE; see
            :func:`deepfake_lab.detection.explain.heat_map`.
    """
    values = resize_map(evidence, pixels.shape[0])  # (S, S) float32
    share = values * (255 * COVER / max(PALE, float(np.abs(evidence).max())))
    picture = Image.fromarray(pixels).convert("L").convert("RGB")
    for color, covered in ((FAKE_COLOR, share), (REAL_COLOR, -share)):
        mask = np.clip(np.rint(covered), 0, 255 * COVER).astype(np.uint8)
        picture.paste(color, mask=Image.fromarray(mask))
    return picture


def draw_photo(prediction: Judgement) -> Image.Image:
    """Return the photo with a box around each face, and a thinner one around what was judged.

    Several faces are numbered, the largest first; the one that the verdict is about has the thick
    box.

    An answer that kept no photo gives the judged square alone.
    """
    if prediction.preview is None:
        return Image.fromarray(prediction.framed.pixels)
    image = Image.fromarray(prediction.preview)
    scale = min(SHOWN / image.height, WIDEST / image.width)
    size = [max(1, round(side * scale)) for side in image.size]
    image = image.resize(size, Image.Resampling.BILINEAR)
    scale = min(SHOWN / prediction.photo_size[1], WIDEST / prediction.photo_size[0])
    draw = ImageDraw.Draw(image)
    _outline(draw, scale * prediction.framed.square.corners, 1)
    for number, judged in enumerate(prediction.faces, start=1):
        corners = scale * judged.face.corners
        about = judged.face is prediction.framed.face
        _outline(draw, corners, 3 if about else 1)
        if len(prediction.faces) > 1:
            place = tuple(corners.min(axis=0) + np.array([4, 1]))
            draw.text(
                place, str(number), "white", font_size=14, stroke_width=2, stroke_fill="black"
            )
    if not prediction.faces and prediction.framed.face is not None:  # judged whole
        _outline(draw, scale * prediction.framed.face.corners, 3)
    return image


def explain_picture(prediction: Judgement) -> Image.Image:
    """Return photo and heat map side by side, with the verdict below, as one picture."""
    left, right = draw_photo(prediction), _heat(prediction)
    width = max(left.width + 8 + right.width, 560)
    said = (str(prediction), *prediction.caveats, *map(str, prediction.evidence), LEGEND)
    lines = [line for sentence in said for line in textwrap.wrap(sentence, width // 7)]
    sheet = Image.new("RGB", (width, SHOWN + 12 + 18 * len(lines)), "white")
    sheet.paste(left, (0, 0))
    sheet.paste(right, (left.width + 8, 0))
    draw = ImageDraw.Draw(sheet)
    for i, line in enumerate(lines):
        draw.text((4, SHOWN + 6 + 18 * i), line, "black", font_size=13)
    return sheet


def prediction_html(prediction: Judgement) -> str:
    """Return an answer as HTML that needs nothing else: for a notebook's output."""
    color = "#{:02x}{:02x}{:02x}".format(*(FAKE_COLOR, REAL_COLOR)[prediction.verdict == "REAL"])
    remarks = (*prediction.caveats, *map(str, prediction.evidence))
    listed = "".join(f"<li>{escape(remark)}</li>" for remark in remarks)
    name = escape(prediction.name)
    about = escape(prediction.detector.about) if prediction.detector else ""
    pictures = "".join(
        f'<img src="{_uri(image)}" alt="{alt}" style="height:{image.height}px;margin:0 8px 4px 0">'
        for image, alt in (
            (draw_photo(prediction), f"{name}, with a box around the face"),
            (_heat(prediction), "the judged square with its heat map"),
        )
    )
    headline = f"{escape(prediction.headline)}<br>" if prediction.headline else ""
    rows = _face_rows(prediction) if len(prediction.faces) > 1 else ""
    return (
        f'<div><p style="margin:0 0 4px"><strong>{name}</strong></p>{pictures}'
        f'<p style="margin:4px 0;font-size:130%"><strong>{headline}'
        f'<span style="color:{color}">{escape(str(prediction))}</span></strong></p>'
        f'<p style="margin:4px 0">P(fake) = {prediction.p_fake:.4f}, detector '
        f"'{escape(prediction.model)}'. {LEGEND}</p>"
        f'<ul style="margin:4px 0">{listed}</ul>{rows}<p style="margin:4px 0">{about}</p></div>'
    )


def _face_rows(prediction: Judgement) -> str:
    """Return a table with a row a face: its heat map and its answer."""
    rows = []
    for number, face in enumerate(prediction.faces[:LISTED], start=1):
        heat = _heat_of(prediction.detector, face).resize((96, 96), Image.Resampling.BILINEAR)
        said = [verdict_line(face.verdict, face.confidence), *face.caveats]
        rows.append(
            f'<tr><td><strong>{number}</strong></td><td><img src="{_uri(heat)}" '
            f'alt="face {number} with its heat map" style="height:96px"></td>'
            f'<td style="text-align:left">{"<br>".join(map(escape, said))}</td></tr>'
        )
    return f"<table>{''.join(rows)}</table>"


def _heat(prediction: Judgement) -> Image.Image:
    image = _heat_of(prediction.detector, prediction)
    return image.resize((SHOWN, SHOWN), Image.Resampling.BILINEAR)


def _heat_of(detector: Scorer | None, judged: Judgement | JudgedFace) -> Image.Image:
    pixels = judged.framed.pixels
    heat = judged.activation_map if detector is None else heat_map(detector, judged)
    # Without either, nobody is there to ask what the answer rests on.
    return Image.fromarray(pixels) if heat is None else draw_heat(pixels, heat)


def _outline(draw: ImageDraw.ImageDraw, corners: np.ndarray, width: int) -> None:
    """Draw a white line with a dark rim, around (4, 2) corners: it shows on every photo."""
    places = [tuple(corner) for corner in (*corners, *corners[:2])]
    draw.line(places, "black", width + 2, joint="curve")
    draw.line(places, "white", width, joint="curve")


def _uri(image: Image.Image) -> str:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
