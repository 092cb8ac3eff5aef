"""Somebody who wants to break the page should fail."""

import contextlib
import io
import json
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zipfile
import zlib

import psutil
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from benchmarks.web import Client, form, huge_png, mutants, photo
from deepfake_lab import paths
from deepfake_lab.web import create_app, limits, screening, uploads
from deepfake_lab.web.desk import Desk
from deepfake_lab.web.problems import Problem
from deepfake_lab.web.server import bind


def send(port, *files: tuple[str, bytes], path: str = "/api/predict") -> tuple[int, dict]:
    status, content = Client(port).ask(*form(*files), path)
    return status, json.loads(content)


@pytest.fixture
def port(served) -> int:
    return int(served.effective_port)


@pytest.fixture
def rss():
    """How many megabytes this process has gained since."""
    memory = psutil.Process().memory_info
    before = memory().rss
    return lambda: (memory().rss - before) / 1e6


class Slow:
    """A detector that answers only when it is allowed to."""

    def __init__(self, detector):
        self._detector = detector
        self.asked = threading.Semaphore(0)
        self.allowed = threading.Event()

    def __getattr__(self, name):
        return getattr(self._detector, name)

    def predict(self, photo, name=""):
        if name.startswith("slow"):
            self.asked.release()
            assert self.allowed.wait(20)
        return self._detector.predict(photo, name)


@contextlib.contextmanager
def running(detector, **options):
    """Serve in a thread; stopped at the end."""
    server = bind(create_app(detector, **options), "127.0.0.1", 0)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield server, int(server.effective_port), thread
    finally:
        server.stop()
        thread.join(20)


def later(work):
    """Start work in a thread; return a function that waits for its result."""
    results = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()

    def result():
        thread.join(30)
        return results[0]

    return result


def rest_of(client: socket.socket) -> bytes:
    """Return what a server sends until it hangs up."""
    parts = []
    with contextlib.suppress(ConnectionError):
        while part := client.recv(65536):
            parts.append(part)
    return b"".join(parts)


# --- files that lie ---


def test_damaged_images_never_break_the_server(port):
    client, statuses, slowest = Client(port), set(), 0.0
    for _, data in mutants(400, seed=1):
        start = time.perf_counter()
        statuses.add(client.ask(*form(("a.jpg", data)))[0])
        slowest = max(slowest, time.perf_counter() - start)
    assert statuses <= {200, 400, 413} and slowest < 2
    assert send(port, ("a.jpg", photo()))[0] == 200


def test_damaged_images_never_break_the_page(port):
    client = Client(port)
    statuses = {client.ask(*form(("a", data)), "/answer")[0] for _, data in mutants(60, seed=2)}
    assert statuses <= {200, 400, 413}


def test_a_png_that_claims_to_be_huge_is_refused_before_it_is_decoded(port, rss):
    start = time.perf_counter()
    status, told = send(port, ("a.png", huge_png()))
    assert (status, told["error"]["code"]) == (413, "too_many_pixels")
    assert time.perf_counter() - start < 1 and rss() < 20


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "GIF", "TIFF", "BMP"])
def test_any_format_that_claims_to_be_huge_is_refused(kind):
    data = photo(kind, 64)
    for number, form_ in ((64, "<H"), (64, ">H"), (64, "<I"), (63, "<H")):
        high = struct.pack(form_, number), struct.pack(form_, 16_000)
        lying = data.replace(high[0] * 2, high[1] * 2, 1)
        if lying != data:
            with pytest.raises(Problem, match="megapixels"):
                uploads.check_photo(lying)
            return
    # The sides stand in two separate fields.
    lying = re.sub(
        rb"(\x00\x01|\x01\x01)(\x04|\x03)\x00\x01\x00\x00\x00\x40\x00\x00\x00",
        lambda m: m[0][:-4] + struct.pack("<I", 16_000),
        data,
    )
    assert lying != data
    with pytest.raises(Problem, match="megapixels"):
        uploads.check_photo(lying)


@pytest.mark.parametrize("name", ["iCCP", "zTXt", "iTXt"])
def test_a_zip_bomb_in_a_png_chunk_takes_no_memory(port, rss, name):
    packer = zlib.compressobj(9)  # piece by piece: the making shall take no memory either
    bomb = b"".join(packer.compress(bytes(1_000_000)) for _ in range(200)) + packer.flush()
    heads = {"iCCP": b"x\0\0", "zTXt": b"x\0\0", "iTXt": b"x\0\1\0\0\0"}
    content = name.encode() + heads[name] + bomb
    chunk = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    data = photo("PNG", 64)
    start = time.perf_counter()
    status, _ = send(port, ("a.png", data[:33] + chunk + data[33:]))
    assert status in (200, 400) and time.perf_counter() - start < 2 and rss() < 60


def test_a_jpeg_with_hundreds_of_scans_is_refused_before_it_is_decoded():
    stream = io.BytesIO()
    Image.new("RGB", (2048, 2048)).save(stream, "JPEG", progressive=True)
    data = stream.getvalue()
    scans = screening.jpeg_scans(data)
    assert 5 < scans < 15 and screening.jpeg_scans(photo()) == 1
    last = data.rindex(b"\xff\xda")
    bomb = data[:last] + data[last:-2] * 1000 + data[-2:]
    assert screening.jpeg_scans(bomb) == scans + 999
    with pytest.raises(Problem, match="too long to decode"):
        uploads.check_photo(bomb)


def test_a_film_after_the_photo_is_not_taken_for_scans():
    assert screening.jpeg_scans(photo() + b"\xff\xda\0\4ab" * 5000) == 1


@pytest.mark.parametrize(
    "content",
    [
        b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        b"<!doctype html><script>alert(1)</script>",
        b"%PDF-1.4", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n", b"GIF89a", b"\x89PNG",
        b"P6 99 99 255 " + bytes(99 * 99 * 3), b"\0" * 5000,
    ],
)  # fmt: skip
def test_what_only_poses_as_an_image_is_refused(port, content):
    status, told = send(port, ("a.jpg", content))
    assert status == 400 and told["error"]["code"] in ("not_an_image", "damaged_image")


def test_what_is_hidden_behind_an_image_never_comes_back(port):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("x.html", "<script>stolen()</script>")
    both = photo() + archive.getvalue() + b"<script>stolen()</script>"
    status, page = Client(port).ask(*form(("a.jpg", both)), "/")
    assert status == 200 and b"stolen" not in page


def test_transparent_and_animated_pictures_are_judged_by_what_is_seen_first(port):
    first, second = (Image.open(io.BytesIO(photo(seed=s))).convert("RGBA") for s in (0, 9))
    stream = io.BytesIO()
    first.save(stream, "WEBP", save_all=True, append_images=[second] * 30, lossless=True)
    moving, still = stream.getvalue(), io.BytesIO()
    first.save(still, "WEBP", lossless=True)
    answers = [send(port, ("a", d))[1]["predictions"][0] for d in (moving, still.getvalue())]
    assert answers[0]["p_fake"] == answers[1]["p_fake"]


def test_a_text_chunk_of_a_thousand_lines_is_told_in_one(port):
    info = PngInfo()
    for _ in range(200):
        info.add_text("parameters", "Steps: 1, Sampler: x\n" * 1000)
    status, told = send(port, ("a.png", photo("PNG", pnginfo=info)))
    evidence = told["predictions"][0]["evidence"]
    assert status == 200 and len(evidence) == 1 and len(evidence[0]["quote"]) <= 200


# --- files of millions of parts ---


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    """Return a chunk of a PNG file."""
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def segment(marker: int, content: bytes = b"") -> bytes:
    """Return a segment of a JPEG file."""
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def tiff(*entries: tuple[int, int, int, int], tail: bytes = b"") -> bytes:
    """Return a TIFF file of one directory: EXIF data is built like that, too."""
    head = b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries))
    return head + b"".join(struct.pack("<HHII", *e) for e in entries) + bytes(4) + tail


def in_segments(exif: bytes) -> bytes:
    """Return EXIF data as the segments of a JPEG file."""
    pieces = [exif[i : i + 65_000] for i in range(0, len(exif), 65_000)]
    return b"".join(segment(0xE1, b"Exif\0\0" + piece) for piece in pieces)


_JPEG, _PNG, _GIF = photo(side=64), photo("PNG", 64), photo("GIF", 64)
_GIF_HEAD = 13 + (3 << (_GIF[10] & 7) + 1)
_NUMBERS = tiff((0x112, 3, 1, 6), (0x11A, 5, 500_000, 8), tail=bytes(5_000_000))
_MANY = 2_000_000
_LONG = {
    "jpeg filling": _JPEG[:2] + b"\xff" * _MANY + _JPEG[2:],
    "jpeg junk": _JPEG[:2] + b"\xff\0" * _MANY + _JPEG[2:],
    "jpeg comments": _JPEG[:2] + segment(0xFE) * _MANY + _JPEG[2:],
    "jpeg restarts": _JPEG[:2] + b"\xff\xd0" * _MANY + _JPEG[2:],
    "jpeg tables": _JPEG[:2] + segment(0xDB, bytes(65_000)) * 100 + _JPEG[2:],
    "jpeg resources": _JPEG[:2] + segment(0xED, b"8BIM" * 16_000) * 100 + _JPEG[2:],
    "jpeg between scans": _JPEG[:-2] + segment(0xFE) * _MANY + _JPEG[-2:],
    "jpeg numbers": _JPEG[:2] + in_segments(_NUMBERS) + _JPEG[2:],
    "png chunks": _PNG[:33] + chunk(b"teXt") * (_MANY // 2) + _PNG[33:],
    "png chunks behind": _PNG[:-12] + chunk(b"IDAT") * (_MANY // 2) + _PNG[-12:],
    "png numbers": _PNG[:33] + chunk(b"eXIf", _NUMBERS) + _PNG[33:],
    "png numbers behind": _PNG[:-12] + chunk(b"eXIf", _NUMBERS) + _PNG[-12:],
    "png packed texts": _PNG[:33]
    + chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1_000_000))) * 60
    + _PNG[33:],
    "gif comments": _GIF[:_GIF_HEAD] + b"!\xfe" + b"\1a" * _MANY + b"\0" + _GIF[_GIF_HEAD:],
    "gif zeros": _GIF[:_GIF_HEAD] + bytes(_MANY) + _GIF[_GIF_HEAD:],
    "tiff strips": tiff(
        (256, 4, 1, 16), (257, 4, 1, 500_000), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1),
        (273, 4, 500_000, 8), (278, 4, 1, 1), (279, 4, 500_000, 8), tail=bytes(2_000_000),
    ),
    "tiff loop": tiff((0x8769, 4, 1, 8), *[(1, 3, 1, 1)] * 9_999, tail=bytes(8)),
    "webp numbers": photo("WEBP", 64, exif=b"Exif\0\0" + _NUMBERS),
}  # fmt: skip


@pytest.mark.parametrize("name", _LONG)
def test_a_file_of_millions_of_parts_is_refused_at_once(name):
    start = time.perf_counter()
    with pytest.raises(Problem, match="more parts than a photo"):
        uploads.check_photo(_LONG[name])
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP"])
def test_a_photo_with_its_metadata_is_not_taken_for_such_a_file(kind):
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "NIKON", 6
    exif.get_ifd(0x8769)[0x9003] = "2026:11:22 12:00:00"
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)
    options = {} if kind in ("GIF", "BMP") else {"exif": exif}
    if kind == "JPEG":
        options |= {"progressive": True, "comment": b"x" * 60_000, "icc_profile": bytes(3_000_000)}
    assert uploads.check_photo(photo(kind, 1000, **options)) == 1_000_000


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about what is missing
@pytest.mark.parametrize("kind", ["jpeg", "png", "gif", "tiff"])
def test_a_file_cut_off_anywhere_in_its_header_is_no_bug(kind):
    data = {"jpeg": _JPEG, "png": _PNG, "gif": _GIF, "tiff": photo("TIFF", 20)}[kind]
    for end in range(400):
        with contextlib.suppress(Problem):
            uploads.check_photo(data[:end])


def test_of_metadata_without_end_only_the_beginning_is_told(port):
    tools = b" ".join(b"CreatorTool>%d<" % i for i in range(200_000))
    start = time.perf_counter()
    status, told = send(port, ("a.webp", photo("WEBP", 64, xmp=tools)))
    evidence = told["predictions"][0]["evidence"]
    assert status == 200 and 1 < len(evidence) < 20 and time.perf_counter() - start < 2


# --- too much ---


@pytest.mark.parametrize("how", ["plain", "chunked", "expect"])
def test_a_body_of_100_megabytes_is_refused_while_it_comes(port, rss, how):
    header = {
        "plain": "Content-Length: 100000000",
        "chunked": "Transfer-Encoding: chunked",
        "expect": "Content-Length: 100000000\r\nExpect: 100-continue",
    }[how]
    piece = bytes(1_000_000)
    piece = b"F4240\r\n" + piece + b"\r\n" if how == "chunked" else piece
    start = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), 5) as client:
        client.sendall(
            f"POST /api/predict HTTP/1.1\r\nHost: localhost\r\n{header}\r\n\r\n".encode()
        )
        with contextlib.suppress(ConnectionError):  # the server may have hung up by now
            for _ in range(0 if how == "expect" else 100):
                client.sendall(piece)
            client.shutdown(socket.SHUT_WR)
        answer = rest_of(client)
    assert answer.startswith(b"HTTP/1.1 413 ") and b'"code": "too_large"' in answer
    assert b"Content-Security-Policy" in answer
    assert time.perf_counter() - start < 1 and rss() < 70


def test_a_browser_is_told_on_a_page_that_a_file_is_too_large(port):
    with socket.create_connection(("127.0.0.1", port), 5) as client:
        client.sendall(
            b"POST / HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\n"
            b"Content-Length: 100000000\r\n\r\n"
        )
        client.shutdown(socket.SHUT_WR)
        answer = rest_of(client)
    assert b"text/html" in answer and b"<p>Too much data" in answer


def test_hundreds_of_files_are_refused(port):
    status, told = send(port, *[("a.jpg", photo(side=32))] * 300)
    assert (status, told["error"]["code"]) == (400, "too_many_files")


def test_hundreds_of_other_fields_are_refused(port):
    body, headers = form(*[("a.jpg", b"x")] * 300)
    status, content = Client(port).ask(body.replace(b'name="photos"', b'name="other"'), headers)
    assert (status, json.loads(content)["error"]["code"]) == (400, "too_many_files")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 40_000 + b"\r\n\r\n", 431),
        (b"nonsense\r\n\r\n", 400),
        (b"GET /\xff%zz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n", 400),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(port, request_, status):
    with socket.create_connection(("127.0.0.1", port), 5) as client:
        client.sendall(request_)
        assert client.recv(65536).split(b" ", 2)[1] == str(status).encode()


# --- slow clients, many clients ---


def test_a_client_that_sends_slowly_holds_nobody_up(port):
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), 5))
            client.sendall(b"POST /api/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9")
        start = time.perf_counter()
        assert send(port, ("a.jpg", photo()))[0] == 200
        assert time.perf_counter() - start < 2


def test_a_client_that_never_ends_its_request_is_dropped(detector, monkeypatch):
    monkeypatch.setattr(limits, "SEND_SECONDS", 0.5)
    with running(detector) as (_, port, _), socket.create_connection(("127.0.0.1", port), 5) as s:
        s.sendall(b"POST /api/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n")
        start = time.perf_counter()
        with contextlib.suppress(ConnectionError):
            while time.perf_counter() - start < 5:
                s.sendall(b"x")  # a byte now and then keeps no connection alive
                s.settimeout(0.2)
                with contextlib.suppress(TimeoutError):
                    if s.recv(10) == b"":
                        break
        assert 0.4 < time.perf_counter() - start < 4


def test_idle_connections_do_not_lock_newcomers_out(port):
    with contextlib.ExitStack() as stack:
        for _ in range(2 * limits.MAX_CONNECTIONS):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), 5))
        assert send(port, ("a.jpg", photo()))[0] == 200


def test_one_slow_photo_does_not_block_the_others(detector):
    slow = Slow(detector)
    with running(slow, desk=Desk(running=2)) as (_, port, _):
        pending = later(lambda: send(port, ("slow.jpg", photo())))
        assert slow.asked.acquire(timeout=10)
        start = time.perf_counter()
        assert send(port, ("a.jpg", photo()))[0] == 200
        assert time.perf_counter() - start < 2
        slow.allowed.set()
        assert pending()[0] == 200


def test_who_finds_all_places_taken_is_told_at_once_to_come_back(detector):
    slow = Slow(detector)
    with running(slow, desk=Desk(running=1, waiting=1)) as (_, port, _):
        pending = [later(lambda: send(port, ("slow.jpg", photo()))) for _ in range(2)]
        assert slow.asked.acquire(timeout=10)
        time.sleep(0.3)  # until the second one waits
        start = time.perf_counter()
        client = Client(port)
        client._connection.request("POST", "/api/predict", *form(("a.jpg", photo())))
        response = client._connection.getresponse()
        assert (response.status, response.headers["Retry-After"]) == (503, "2")
        assert json.loads(response.read())["error"]["code"] == "busy"
        client._connection.request("GET", "/healthz")
        assert client._connection.getresponse().status == 200
        assert time.perf_counter() - start < 1
        slow.allowed.set()
        assert [result()[0] for result in pending] == [200, 200]


def test_who_waits_too_long_is_told_to_come_back(detector):
    slow = Slow(detector)
    with running(slow, desk=Desk(running=1, waiting=5, patience=0.3)) as (_, port, _):
        pending = later(lambda: send(port, ("slow.jpg", photo())))
        assert slow.asked.acquire(timeout=10)
        start = time.perf_counter()
        assert send(port, ("a.jpg", photo()))[0] == 503
        assert time.perf_counter() - start < 2
        slow.allowed.set()
        assert pending()[0] == 200  # its turn had come: patience is for the queue only


def test_eight_clients_get_the_answers_of_one(port):
    files = [("a.jpg", photo(side=side, seed=side)) for side in (100, 224, 300, 500)]
    alone = [send(port, file) for file in files]
    crowd = [later(lambda: [send(port, file) for file in files * 3]) for _ in range(8)]
    assert [result() for result in crowd] == [alone * 3] * 8


# --- nothing is kept ---

_written: list[str] = []
_watching = threading.Event()


def _watch(event, arguments):
    if _watching.is_set():
        if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
            _written.append(str(arguments[0]))
        elif event.startswith(("tempfile.", "shutil.", "sqlite3.")):
            _written.append(event)


def test_photos_are_never_written_to_disk(port):
    sys.addaudithook(_watch)  # hooks cannot be removed: the switch turns this one off
    big = photo("PNG", 1200)
    assert len(big) > 2_000_000  # more than any library keeps in memory by itself
    _watching.set()
    try:
        statuses = [Client(port).ask(*form(("a.png", big)), path)[0] for path in ("/", "/answer")]
        statuses.append(send(port, ("a.png", big), ("b.png", big))[0])
    finally:
        _watching.clear()
    assert statuses == [200, 200, 200] and _written == []


def test_the_hook_of_the_test_above_sees_a_written_file(tmp_path):
    sys.addaudithook(_watch)
    _watching.set()
    (tmp_path / "seen.txt").write_text("x")
    _watching.clear()
    assert any("seen.txt" in name for name in _written)
    _written.clear()


def test_photos_are_never_logged(port, capfd, caplog):
    caplog.set_level("DEBUG")
    send(port, ("my-secret-name.jpg", photo()))
    send(port, ("my-secret-name.jpg", b"broken"))
    out, err = capfd.readouterr()
    assert "my-secret-name" not in out + err + caplog.text


def test_a_bug_is_logged_and_told_without_details(detector, caplog):
    class Broken(Slow):
        def predict(self, photo, name=""):
            raise ZeroDivisionError("inner details")

    with running(Broken(detector)) as (_, port, _):
        status, told = send(port, ("my-secret-name.jpg", photo()))
    assert (status, told["error"]["code"]) == (500, "internal_error")
    assert "details" not in told["error"]["message"]
    assert "ZeroDivisionError" in caplog.text and "my-secret-name" not in caplog.text


@pytest.mark.skipif(sys.platform != "linux", reason="the C library of Linux is meant")
def test_large_uploads_leave_no_memory_behind(run_folder):
    command = [sys.executable, str(paths.project() / "run.py"), "--port", "0", "--model"]
    process = subprocess.Popen([*command, str(run_folder)], stdout=subprocess.PIPE, text=True)
    try:
        port = int(re.search(r"127\.0\.0\.1:(\d+)/", process.stdout.readline())[1])
        assert send(port, ("a.jpg", photo()))[0] == 200
        memory = psutil.Process(process.pid).memory_info
        before, large = memory().rss, photo() + bytes(17_000_000)
        for _ in range(20):
            assert send(port, ("a.jpg", large))[0] == 200
        assert (memory().rss - before) / 1e6 < 200  # 600, were it not given back
    finally:
        process.terminate()
        process.communicate(timeout=20)


# --- the end ---


def test_a_stop_finishes_what_is_in_flight(detector):
    slow = Slow(detector)
    with running(slow) as (server, port, thread):
        pending = later(lambda: send(port, ("slow.jpg", photo())))
        assert slow.asked.acquire(timeout=10)
        server.stop()
        time.sleep(0.3)
        with pytest.raises(ConnectionError):
            send(port, ("a.jpg", photo()))
        assert thread.is_alive()
        slow.allowed.set()
        assert pending()[0] == 200
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to catch")
def test_the_process_ends_cleanly_when_it_is_asked_to(run_folder):
    command = [sys.executable, str(paths.project() / "run.py"), "--port", "0", "--model"]
    process = subprocess.Popen(
        [*command, str(run_folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    address = process.stdout.readline()
    port = int(re.search(r"http://127\.0\.0\.1:(\d+)/", address)[1])
    assert send(port, ("a.jpg", photo()))[0] == 200
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0 and "Traceback" not in errors
