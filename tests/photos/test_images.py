"""From a file to pixels: every kind of picture that people have, and every kind of broken one."""

import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageOps

from deepfake_lab import paths
from deepfake_lab.errors import UserError
from deepfake_lab.photos import images, squares
from deepfake_lab.photos.faces import Face
from deepfake_lab.photos.images import degrade, frame_face, load_face, read_image, read_photo

# The library silences Pillow's remarks on odd metadata; pytest starts each test with fresh filters.
pytestmark = pytest.mark.filterwarnings(r"ignore:::PIL\.")

PHOTOS = sorted((paths.project() / "data" / "sample" / "real").glob("*.jpg"))


@pytest.fixture
def photo() -> np.ndarray:
    """A smooth picture without symmetry, (48, 64, 3): every corner has its own color."""
    y, x = np.mgrid[:48, :64]
    return np.stack([x * 4, y * 5, (x + y) * 2], axis=-1).astype(np.uint8)


def _encoded(picture: Image.Image | np.ndarray, kind: str, **options) -> bytes:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def _png_claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims any size."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def _message(source) -> str:
    with pytest.raises(UserError) as caught:
        read_image(source)
    return str(caught.value)


# --- formats and modes ---


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}), ("BMP", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {"lossless": True}),
    ],
)  # fmt: skip
def test_a_lossless_file_comes_back_pixel_by_pixel(photo, kind, options):
    np.testing.assert_array_equal(read_image(_encoded(photo, kind, **options)), photo)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF", "MPO"])
def test_a_lossy_file_comes_back_nearly_the_same(photo, kind):
    read = read_image(_encoded(photo, kind, quality=95))
    assert read.shape == photo.shape and read.dtype == np.uint8
    assert np.abs(read.astype(int) - photo).mean() < 4


def test_a_palette_picture_gets_its_colors():
    palette = Image.new("P", (20, 20), 1)
    palette.putpalette([0, 0, 0, 10, 200, 30])
    assert (read_image(_encoded(palette, "PNG")) == [10, 200, 30]).all()


def test_a_transparent_palette_entry_becomes_white():
    palette = Image.new("P", (20, 20), 1)
    palette.putpalette([0, 0, 0, 10, 200, 30])
    assert (read_image(_encoded(palette, "PNG", transparency=1)) == 255).all()


@pytest.mark.parametrize("mode", ["1", "L"])
def test_a_grey_picture_becomes_three_equal_channels(mode):
    read = read_image(_encoded(Image.new(mode, (20, 30), 255), "PNG"))
    assert read.shape == (30, 20, 3) and (read == 255).all()


@pytest.mark.parametrize(
    ("mode", "color", "expected"),
    [
        ("RGBA", (255, 0, 0, 0), (255, 255, 255)),
        ("RGBA", (255, 0, 0, 255), (255, 0, 0)),
        ("RGBA", (255, 0, 0, 51), (255, 204, 204)),  # a fifth of red on white
        ("LA", (0, 0), (255, 255, 255)),
        ("LA", (100, 255), (100, 100, 100)),
    ],
)
def test_transparency_is_laid_on_white(mode, color, expected):
    read = read_image(_encoded(Image.new(mode, (20, 20), color), "PNG"))
    assert (np.abs(read.astype(int) - expected) <= 1).all()


def test_a_cmyk_jpeg_becomes_rgb():
    cyan = Image.new("CMYK", (20, 20), (255, 0, 0, 0))
    assert read_image(_encoded(cyan, "JPEG"))[5, 5] == pytest.approx([0, 255, 255], abs=8)


@pytest.mark.parametrize("level", [0, 50, 128, 255])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_a_16_bit_picture_keeps_its_brightness(kind, level):
    deep = np.full((20, 20), level * 257, np.uint16)
    assert (read_image(_encoded(deep, kind)) == level).all()


def test_a_nearly_black_16_bit_picture_stays_nearly_black():
    assert read_image(_encoded(np.full((20, 20), 200, np.uint16), "PNG")).max() <= 1


@pytest.mark.parametrize(("value", "expected"), [(0.5, 127), (200.0, 200)])
def test_a_floating_point_picture_may_go_to_1_or_to_255(value, expected):
    read = read_image(_encoded(np.full((20, 20), value, np.float32), "TIFF"))
    assert (read == expected).all()


def test_a_photo_that_was_held_sideways_is_turned_upright(photo):
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn right by 90 degrees to see it upright"
    turned = read_image(_encoded(np.rot90(photo), "PNG", exif=exif))
    np.testing.assert_array_equal(turned, photo)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "WEBP"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_each_way_in_which_pixels_may_lie_is_set_upright_as_pillow_does(photo, turn, kind):
    exif = Image.Exif()
    exif[0x0112] = turn
    content = _encoded(photo[:40, :70], kind, exif=exif)
    with Image.open(io.BytesIO(content)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(read_image(content), expected)


def test_a_photo_is_turned_upright_whatever_else_its_exif_holds():
    # A resolution (282) that is text, not a ratio: some phones' editors write such things.
    entries = [(274, 3, 1, struct.pack("<HH", 6, 0)), (282, 2, 2, b"x\0\0\0")]
    listed = b"".join(struct.pack("<HHI4s", *entry) for entry in entries)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + listed + struct.pack("<I", 0)
    wide = _encoded(Image.new("RGB", (40, 20)), "JPEG", exif=exif)
    assert read_image(wide).shape == (40, 20, 3)


def test_of_an_animation_the_first_picture_is_taken():
    red, blue = Image.new("RGB", (20, 20), "red"), Image.new("RGB", (20, 20), "blue")
    moving = _encoded(red, "GIF", save_all=True, append_images=[blue])
    assert (read_image(moving) == [255, 0, 0]).all()


# --- ways to hand over a picture ---


def test_every_way_to_hand_over_a_picture_gives_the_same_pixels(tmp_path, photo):
    file = tmp_path / "photo.png"
    file.write_bytes(_encoded(photo, "PNG"))
    with file.open("rb") as stream, Image.open(file) as image:
        sources = [file, str(file), file.read_bytes(), stream, image, photo]
        for source in sources:
            np.testing.assert_array_equal(read_image(source), photo)


def test_a_grey_and_a_transparent_array_are_pictures_too(photo):
    assert read_image(photo[..., 0]).shape == photo.shape
    clear = np.concatenate([photo, np.zeros_like(photo[..., :1])], axis=-1)
    assert (read_image(clear) == 255).all()


@pytest.mark.parametrize(
    "array",
    [np.zeros((20, 20, 3)), np.zeros((20, 20, 2), np.uint8), np.zeros((4, 20, 20, 3), np.uint8)],
)
def test_an_array_that_is_no_picture_is_refused_with_its_shape(array):
    assert str(array.shape) in _message(array)


# --- what cannot be read ---


NO_IMAGE = "not an image in a format that can be read here"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "an empty file"),
        (b"Dear diary, this is no photo.", NO_IMAGE),
        (b"<svg xmlns='http://www.w3.org/2000/svg' width='64' height='64'/>", NO_IMAGE),
        (b"<!doctype html><title>404</title>", NO_IMAGE),
        (b"%PDF-1.7\n%", NO_IMAGE),
        (b"\xff\xd8\xff\xe0", "damaged image (it begins as JPEG, but cannot be opened)"),
    ],
    ids=["empty", "text", "svg", "html", "pdf", "four bytes of a JPEG"],
)
def test_a_file_that_is_no_photo_is_refused_in_one_line(tmp_path, content, reason):
    file = tmp_path / "photo.jpg"
    file.write_bytes(content)
    message = _message(file)
    assert message == f"{file}: {reason}."


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP"])
def test_a_truncated_file_is_refused_instead_of_half_shown(photo, kind):
    whole = _encoded(photo, kind)
    message = _message(whole[: len(whole) // 2])
    assert "damaged" in message or "not an image" in message


def test_a_picture_that_breaks_while_it_is_decoded_is_refused_too(photo):
    with Image.open(io.BytesIO(_encoded(photo, "BMP")[:-2000])) as image:
        assert "damaged" in _message(image)


def test_files_damaged_at_random_are_read_or_refused_and_nothing_else(photo):
    rng = np.random.default_rng(0)
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "AVIF", "BMP"):
        whole = np.frombuffer(_encoded(photo, kind), np.uint8)
        for _ in range(60):
            damaged = whole.copy()
            damaged[rng.integers(len(whole), size=4)] = rng.integers(256, size=4)
            damaged[rng.integers(min(len(whole), 200), size=2)] = rng.integers(256, size=2)
            try:
                assert read_image(damaged.tobytes()).shape[2] == 3
            except UserError as error:
                assert "\n" not in str(error)


@pytest.mark.parametrize(("width", "height"), [(50_000, 50_000), (11_000, 10_000)])
def test_a_header_that_claims_absurd_sizes_is_refused_before_decoding(width, height):
    assert "scale it down" in _message(_png_claiming(width, height))


@pytest.mark.parametrize("size", [(0, 0, 3), (15, 200, 3), (200, 1, 3)])
def test_a_picture_too_small_to_judge_is_refused(size):
    assert "too small" in _message(np.zeros(size, np.uint8))


def test_an_array_of_absurd_size_is_refused():
    assert "megapixels" in _message(np.broadcast_to(np.uint8(0), (20_000, 20_000)))


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("no/such/photo.jpg", "no such file"),
        (".", "a folder"),
        ("nul\0byte.jpg", "cannot be read"),
        ("~nobody-of-that-name/photo.jpg", "no such file"),
        (io.StringIO("text"), "mode 'rb'"),
        (None, "NoneType"),
    ],
)
def test_a_source_that_cannot_be_opened_is_refused_with_the_reason(source, reason):
    assert reason in _message(source)


def test_reading_in_threads_leaves_warnings_as_they_were():
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(read_image, PHOTOS * 2))
    assert warnings.filters == before


# --- the frame ---


@pytest.fixture
def pretend(monkeypatch):
    """Make the face finder find the given boxes (left, top, width, height)."""

    def finding(*boxes: tuple[float, float, float, float]) -> None:
        found = [Face(*box, keypoints=np.zeros((6, 2)), score=0.9) for box in boxes]
        found.sort(key=lambda face: -face.width * face.height)
        monkeypatch.setattr(images, "find_faces", lambda _: found)

    return finding


def test_the_frame_never_leaves_the_photo(pretend):
    rng = np.random.default_rng(0)
    for _ in range(300):
        height, width = rng.integers(squares.MIN_SIDE, 300, size=2)
        image = np.full((height, width, 3), 255, np.uint8)
        # Also boxes that hang over the border, as the face finder returns them.
        left, top = rng.uniform(-0.5, 1.2, size=2) * (width, height)
        pretend((left, top, *rng.uniform(1, 400, size=2)))
        framed = frame_face(image, 32)
        box = framed.box
        assert 0 <= box[0] < box[2] <= width and 0 <= box[1] < box[3] <= height
        assert box[2] - box[0] == box[3] - box[1]
        assert framed.pixels.shape == (32, 32, 3) and (framed.pixels == 255).all()


def test_the_frame_is_drawn_around_the_face(pretend):
    pretend((400, 300, 100, 100))
    left, top, right, bottom = frame_face(np.zeros((800, 1000, 3), np.uint8), 32).box
    assert right - left == 100 * squares.FACE_MARGIN
    assert (left + right) / 2 == 450
    assert top < 300 and bottom > 400


def test_the_largest_of_several_faces_is_framed(pretend):
    pretend((10, 10, 40, 40), (600, 300, 90, 90), (200, 500, 60, 60))
    framed = frame_face(np.zeros((800, 1000, 3), np.uint8), 32)
    assert framed.face.left == 600 and framed.faces_found == 3
    assert framed.box[0] > 500


def test_a_tight_crop_is_used_whole(pretend, photo):
    pretend((5, 5, 50, 40))
    framed = frame_face(photo[:, :48], 48)
    assert framed.box == (0, 0, 48, 48)
    np.testing.assert_array_equal(framed.pixels, photo[:, :48])


def test_without_a_face_the_largest_centered_square_is_taken(pretend, photo):
    pretend()
    framed = frame_face(photo, 48)
    assert framed.face is None and framed.box == (8, 0, 56, 48)


def test_whole_framing_does_not_follow_the_face_but_reports_it(pretend, photo):
    pretend((0, 0, 16, 16))
    framed = frame_face(photo, 48, "whole")
    assert framed.box == (8, 0, 56, 48) and framed.face is not None


def test_an_unknown_framing_lists_the_known_ones(photo):
    with pytest.raises(UserError, match="known: face, whole"):
        load_face(photo, 32, "wide")


@pytest.mark.parametrize("framing", images.FRAMINGS)
def test_the_same_photo_is_always_cut_alike(framing):
    first, second = (load_face(PHOTOS[0], 100, framing) for _ in range(2))
    assert first.box == second.box
    np.testing.assert_array_equal(first.pixels, second.pixels)


def test_the_center_crop_takes_the_center():
    frames = np.zeros((2, 9, 9, 3), np.uint8)
    frames[:, 4, 4] = 7
    crops = images.center_crop(frames, 5)
    assert crops.shape == (2, 5, 5, 3) and (crops[:, 2, 2] == 7).all()


# --- degradations ---


@pytest.mark.parametrize(
    ("kind", "mild", "strong"), [("jpeg", 90, 10), ("blur", 1, 5), ("downscale", 2, 8)]
)
def test_a_stronger_degradation_changes_more(kind, mild, strong):
    picture = read_image(PHOTOS[0])
    changes = []
    for level in (mild, strong):
        damaged = degrade(picture, kind, level)
        assert damaged.shape == picture.shape and damaged.dtype == np.uint8
        changes.append(np.abs(damaged.astype(int) - picture).mean())
    assert 0 < changes[0] < changes[1]


def test_no_degradation_changes_nothing(photo):
    np.testing.assert_array_equal(degrade(photo, "none", 0), photo)


def test_downscaling_further_than_one_pixel_works(photo):
    assert degrade(photo, "downscale", 1000).shape == photo.shape


def test_an_unknown_degradation_lists_the_known_ones(photo):
    with pytest.raises(UserError, match="known: none, jpeg, blur, downscale"):
        degrade(photo, "rain", 1)


def _jpeg_bytes(**options) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 48, 3), np.uint8)).save(
        stream, "JPEG", **options
    )
    return stream.getvalue()


@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["baseline", "progressive"])
def test_a_jpeg_without_its_end_marker_is_read_and_marked_as_damaged(options):
    whole = _jpeg_bytes(**options)
    photo = read_photo(whole[:-2])
    assert photo.lacks_end
    assert (photo.pixels == read_image(whole)).all()
    assert not read_photo(whole).lacks_end


@pytest.mark.parametrize("cut", [20, 200, 1500])
def test_a_jpeg_that_lacks_pixels_is_refused(cut):
    with pytest.raises(UserError, match="damaged image"):
        read_photo(_jpeg_bytes()[:-cut])


@pytest.mark.parametrize(
    ("content", "name"),
    [(b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40), "JPEG 2000"), (b"\xff\x0a" + bytes(40), "JPEG XL"),
     (b"8BPS" + bytes(40), "Photoshop")],
)  # fmt: skip
def test_a_format_that_is_not_read_is_named_with_those_that_are(content, name):
    with pytest.raises(UserError, match=f"{name} is not read here; convert it to one of JPEG, PNG"):
        read_image(content)


# --- cameras' raw files ---


def _tiff(photo: np.ndarray, tags: dict[int, int]) -> bytes:
    return _encoded(photo, "TIFF", tiffinfo=tags)


@pytest.mark.parametrize(
    ("name", "tags"),
    [("a.NEF", {}), ("a.dng", {254: 1}), ("a.tif", {254: 1, 330: 8})],
)
def test_the_preview_in_a_raw_file_is_not_taken_for_the_photo(photo, tmp_path, name, tags):
    (tmp_path / name).write_bytes(_tiff(photo, tags))
    assert f"{name}: a camera's raw file is not read here" in _message(tmp_path / name)


@pytest.mark.parametrize("tags", [{}, {254: 1}, {254: 0, 330: 8}])
def test_a_tiff_whose_first_picture_is_the_whole_one_is_read(photo, tags):
    np.testing.assert_array_equal(read_image(_tiff(photo, tags)), photo)


def test_a_raw_file_in_no_known_form_is_named_as_one(tmp_path):
    (tmp_path / "a.orf").write_bytes(b"IIRO\x08" + bytes(60))
    assert "convert it to JPEG" in _message(tmp_path / "a.orf")


def test_a_jpeg_that_is_called_a_raw_file_is_read(photo, tmp_path):
    (tmp_path / "a.dng").write_bytes(_encoded(photo, "JPEG"))
    assert read_image(tmp_path / "a.dng").shape == photo.shape
