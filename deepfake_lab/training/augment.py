"""Change a training picture as photos change on their way from the camera to the reader.

Both labels get the same changes, so that none of them can stand for a label: what a detector may
still use afterwards is what survives a crop, another size, another colour and a messenger's
recompression. Only NumPy and Pillow, so that every training backend sees the same pictures.
"""

import io

import numpy as np
from PIL import Image, ImageFilter

from deepfake_lab.errors import UserError
from deepfake_lab.photos import squares
from deepfake_lab.photos.faces import UPRIGHT, turned_points
from deepfake_lab.photos.images import frame_size
from deepfake_lab.photos.squares import Square

#: How much a training picture is changed.
STRENGTHS = ("none", "light", "strong", "mixed")

#: Share of the pictures that are tilted. A head tilted by less than
#: :data:`deepfake_lab.photos.faces.UPRIGHT` degrees is judged as it is; and a face that was set
#: straight has been resampled once more, which must not tell real from fake either.
TILTED = 0.4

#: Share of the tilted ones that are tilted by up to so many degrees and set straight again, as the
#: face of a tilted head is: what a detector looks for has then lain askew.
SET_STRAIGHT, ASKEW = 0.7, 45

#: Share of the ``mixed`` pictures that lie inside a larger one, and how much of its side they take:
#: a face in a screenshot, on a page or in a frame has a margin that is no part of the photo.
MOUNTED, MOUNTED_SIDE = 0.1, (0.6, 0.95)

_FILTERS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)


def check_strength(strength: str) -> None:
    """Raise a :class:`UserError` unless `strength` is one of :data:`STRENGTHS`."""
    if strength not in STRENGTHS:
        raise UserError(f"Unknown augmentation '{strength}'; known: {', '.join(STRENGTHS)}.")


def augment(frame: np.ndarray, size: int, strength: str, rng: np.random.Generator) -> np.ndarray:
    """Return one random variant of a picture.

    ``none`` cuts the center. ``light`` crops, tilts some a little, flips, recolors a little and
    recompresses half of the pictures once. ``strong`` crops wider, recolors more, and sends most
    pictures through a random journey of rescaling, blur or sharpening, noise and up to three
    recompressions, or through a messenger; two of five then lose sight of a rectangle. ``mixed`` is
    light for two pictures of five, strong for the others; one of ten lies inside a larger picture.

    Args:
        frame: (S, S, 3) uint8 RGB with S >= `size`. A frame larger than
            :func:`deepfake_lab.photos.images.frame_size` says gives a window at a random place.
        size: side of the model's input in pixels.
        strength: one of :data:`STRENGTHS`.
        rng: where every random choice comes from.

    Returns:
        (size, size, 3) uint8.
    """
    side = frame.shape[0]
    if strength == "mixed":
        strength = "light" if rng.random() < 0.4 else "strong"
        if rng.random() < MOUNTED:
            frame = _mount(Image.fromarray(frame), rng)
    if strength == "none":
        start = (side - size) // 2
        return frame[start : start + size, start : start + size]
    if strength == "light":
        picture = _crop(Image.fromarray(frame), size, size, rng)
        picture = _recolor(_flip(picture, rng), 0.1, rng)
        return np.asarray(_jpeg(picture, rng, 60, 100) if rng.random() < 0.5 else picture)
    # Of a window into a larger frame, as much as of the whole of one made for this input.
    cut = round(min(side, frame_size(size)) * rng.uniform(0.8, 1.0))
    picture = _flip(_crop(Image.fromarray(frame), cut, size, rng), rng)
    picture = _recolor(picture, 0.25, rng)
    if rng.random() < 0.05:
        picture = picture.convert("L").convert("RGB")
    way = (None, _journey, _send)[rng.choice(3, p=(0.2, 0.55, 0.25))]
    picture = way(picture, rng) if way else picture
    return _hide(picture, rng) if rng.random() < 0.4 else np.asarray(picture)


def _mount(picture: Image.Image, rng: np.random.Generator) -> np.ndarray:
    """Lay a picture, made smaller, on a plain ground, its own mirror image or a blur of itself."""
    side = picture.width
    inner = round(side * rng.uniform(*MOUNTED_SIDE))
    left, top = (int(start) for start in rng.integers(side - inner + 1, size=2))
    small = picture.resize((inner, inner), _filter(rng))
    ground = rng.choice(4, p=(0.3, 0.3, 0.2, 0.2))
    if ground == 3:
        margins = ((top, side - inner - top), (left, side - inner - left), (0, 0))
        return np.pad(np.asarray(small), margins, "symmetric")
    if ground == 2:
        whole = picture.filter(ImageFilter.GaussianBlur(side / 12))
    else:  # grey, white and black among them; or any colour
        levels = [int(rng.choice((0, 128, 255)))] * 3 if ground else rng.integers(256, size=3)
        whole = Image.new("RGB", picture.size, tuple(map(int, levels)))
    whole.paste(small, (left, top))
    return np.asarray(whole)


def _crop(picture: Image.Image, cut: int, size: int, rng: np.random.Generator) -> Image.Image:
    """Cut a random square of `cut` pixels, some of them tilted a little, and bring it to `size`."""
    left, top = (int(rng.integers(side - cut + 1)) for side in picture.size)
    if rng.random() < TILTED:
        tilted = Square(left, top, cut, turn=rng.uniform(-UPRIGHT, UPRIGHT))
        if rng.random() < SET_STRAIGHT:
            picture, tilted = _askew(picture, tilted, rng.uniform(-ASKEW, ASKEW))
        return Image.fromarray(squares.cut(np.asarray(picture), tilted, size))
    box = (left, top, left + cut, top + cut)
    if cut == size:
        return picture.crop(box)
    return picture.resize((size, size), _filter(rng), box=box)


def _askew(picture: Image.Image, square: Square, degrees: float) -> tuple[Image.Image, Square]:
    """Tilt a picture clockwise, all of it, and return it with the square that shows the same."""
    whole = picture.rotate(-degrees, Image.Resampling.BICUBIC, expand=True)
    middle = (picture.width / 2, picture.height / 2)
    x, y = turned_points(np.array(square.center), middle, degrees) - middle
    x, y, half = x + whole.width / 2, y + whole.height / 2, square.side / 2
    return whole, Square(x - half, y - half, square.side, square.turn + degrees)


def _flip(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    if rng.random() < 0.5:
        return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return picture


def _recolor(picture: Image.Image, amount: float, rng: np.random.Generator) -> Image.Image:
    """Change brightness, contrast, colour balance and saturation, each by up to `amount`."""
    gain = 1 + rng.uniform(-amount, amount) + rng.uniform(-amount, amount, 3) / 4  # (3,) per colour
    shift = rng.uniform(-amount, amount) * 128
    levels = (np.arange(256)[None] - 128) * gain[:, None] + 128 + shift  # (3, 256)
    picture = picture.point(levels.clip(0, 255).astype(np.uint8).ravel().tolist())
    grey = picture.convert("L").convert("RGB")
    return Image.blend(grey, picture, 1 + rng.uniform(-1.5, 1.5) * amount)


def _journey(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Rescale, blur or sharpen, add noise, recompress: each at random, in random order."""
    steps = [_rescale] * (rng.random() < 0.5) + [_focus] * (rng.random() < 0.35)
    steps += [_noise] * (rng.random() < 0.25)
    steps += [_recompress] * int(rng.choice(4, p=(0.15, 0.4, 0.25, 0.2)))
    for step in rng.permutation(np.array(steps, dtype=object)):
        picture = step(picture, rng)
    return picture


def _send(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Scale down and recompress as messengers do, and show it large again."""
    side = max(16, round(picture.width / rng.uniform(1.5, 4)))
    small = _jpeg(picture.resize((side, side), _filter(rng)), rng, 30, 75)
    return small.resize(picture.size, Image.Resampling.BICUBIC)  # as the framing scales


def _hide(picture: Image.Image, rng: np.random.Generator) -> np.ndarray:
    """Cover a rectangle of a tenth to a half of the picture's side with one colour.

    No single place, and no face learned by heart, shall decide alone.
    Source: T. DeVries and G. Taylor, "Improved Regularization of CNNs with Cutout",
    arXiv:1708.04552; for fakes S. Das et al., "Towards Solving the DeepFake Problem", ICCVW 2021.
    """
    pixels = np.array(picture)
    height, width = (round(side * rng.uniform(0.1, 0.5)) for side in pixels.shape[:2])
    top, left = rng.integers(pixels.shape[0] - height), rng.integers(pixels.shape[1] - width)
    pixels[top : top + height, left : left + width] = rng.integers(256, size=3)
    return pixels


def _rescale(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Scale down by up to four, and up again; half of the pictures are recompressed while small."""
    side = max(16, round(picture.width * 2 ** -rng.uniform(0, 2)))
    small = picture.resize((side, side), _filter(rng))
    if rng.random() < 0.5:
        small = _recompress(small, rng)
    return small.resize(picture.size, _filter(rng))


def _focus(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    if rng.random() < 0.3:
        return picture.filter(ImageFilter.UnsharpMask(1 + rng.random(), int(rng.uniform(30, 150))))
    return picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 2)))


def _noise(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    pixels = np.asarray(picture, np.float32)
    colours = 3 if rng.random() < 0.5 else 1  # of the sensor, or of its brightness alone
    noise = rng.standard_normal((*pixels.shape[:2], colours), np.float32) * rng.uniform(1, 10)
    return Image.fromarray((pixels + noise).round().clip(0, 255).astype(np.uint8))


def _recompress(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    if rng.random() < 0.15:
        return _encoded(picture, "WEBP", quality=int(rng.integers(30, 96)), method=0)
    return _jpeg(picture, rng, 30, 100)


def _jpeg(picture: Image.Image, rng: np.random.Generator, low: int, high: int) -> Image.Image:
    quality = int(rng.integers(low, high + 1))
    return _encoded(picture, "JPEG", quality=quality, subsampling=int(rng.choice((0, 2))))


def _encoded(picture: Image.Image, kind: str, **settings: int) -> Image.Image:
    stream = io.BytesIO()
    picture.save(stream, kind, **settings)
    return Image.open(stream).convert("RGB")


def _filter(rng: np.random.Generator) -> Image.Resampling:
    return _FILTERS[rng.integers(len(_FILTERS))]
