"""Work on a Dask cluster: real worker processes, which are killed, starved and lied to."""

import csv
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deepfake_lab import paths
from deepfake_lab.errors import UserError

cloudpickle = pytest.importorskip("cloudpickle", reason="needs the extra `cluster`")
pytest.importorskip("distributed", reason="needs the extra `cluster`")

from deepfake_lab import cluster as clusters, workers  # noqa: E402
from deepfake_lab.cluster import AHEAD, CHUNK, Recipe, connected, spread  # noqa: E402

# Workers cannot import a test module: its functions travel with their code.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")

FILES = sorted((paths.project() / "data" / "sample").rglob("*.jpg"))


@pytest.fixture(scope="module")
def client():
    with connected("local") as lent:
        yield lent


def double(items: list[int]) -> list[int]:
    return [2 * item for item in items]


def lost(item: int, reason: str) -> str:
    return f"{item}: {reason}"


# --- the planner ---


@pytest.mark.parametrize("count", [0, 1, 40, 1500])
def test_results_come_in_the_order_of_the_items(client, count):
    assert list(spread(client, double, range(count), lost)) == [2 * i for i in range(count)]


def test_items_are_drawn_only_as_they_are_needed(client):
    drawn = []

    def endless():
        while True:
            drawn.append(len(drawn))
            yield drawn[-1]

    results = spread(client, double, endless(), lost)
    assert [next(results) for _ in range(100)] == [2 * i for i in range(100)]
    results.close()
    threads = sum(client.nthreads().values())
    assert len(drawn) <= 100 + (AHEAD * threads + 1) * CHUNK


def raises_at_7(items: list[int]) -> list[int]:
    if 7 in items:
        raise ValueError("seven is odd")
    return double(items)


def test_one_item_that_cannot_be_done_costs_one_result_with_its_reason(client):
    found = list(spread(client, raises_at_7, range(60), lost))
    assert found.pop(7) == "7: it could not be done (seven is odd)"
    assert found == [2 * i for i in range(60) if i != 7]


def refuses(items: list[int]) -> list[int]:
    raise UserError("not with me")


def test_what_a_person_must_put_right_ends_the_job(client):
    with pytest.raises(UserError, match="not with me"):
        list(spread(client, refuses, range(60), lost))


def tagged(made: str, items: list[int]) -> list[str]:
    return [f"{made} {item}" for item in items]


def made_here(name: str) -> str:
    made_here.times = getattr(made_here, "times", 0) + 1
    return f"{name}{made_here.times}"


def test_what_is_dear_is_made_once_in_each_worker(client):
    found = list(spread(client, tagged, range(600), lost, Recipe(made_here, ("m",))))
    assert found == [f"m1 {i}" for i in range(600)]


def test_what_was_damaged_on_its_way_is_refused(monkeypatch):
    monkeypatch.setattr(workers, "_brought", {"k": b"other bytes"})
    monkeypatch.setattr(workers, "_here", lambda: "tcp://w")
    with pytest.raises(UserError, match="What the worker tcp://w got is damaged"):
        workers.made("k")


def test_a_worker_of_another_version_is_refused_by_name(client, monkeypatch):
    other = workers.versions() | {"pillow": "1.0"}
    monkeypatch.setattr(workers, "versions", lambda: other)
    with pytest.raises(UserError, match=r"The worker tcp://\S+ has pillow .*, but here it is 1\.0"):
        list(spread(client, double, range(3), lost))


def test_a_worker_of_another_version_that_comes_later_refuses_by_its_name(client, monkeypatch):
    monkeypatch.setattr(clusters, "check_workers", lambda client: client.nthreads())
    other = workers.versions() | {"deepfake-lab": "0.0"}
    monkeypatch.setattr(workers, "versions", lambda: other)
    with pytest.raises(UserError, match=r"The worker tcp://\S+ has deepfake-lab .* here it is 0"):
        list(spread(client, double, range(3), lost))


@pytest.mark.parametrize("where", ["tcp:/typo", "no-such-file.json"])
def test_a_cluster_that_is_not_there_is_named(where):
    with pytest.raises(UserError, match="give local, a scheduler's address"), connected(where):
        pass


def test_an_address_where_nobody_answers_is_named(monkeypatch):
    monkeypatch.setattr(clusters, "PATIENCE", 0.3)
    with (
        pytest.raises(UserError, match="no scheduler answers there"),
        connected("tcp://127.0.0.1:9"),
    ):
        pass


def test_workers_of_this_machine_keep_their_memory_and_the_scheduler_no_old_messages(client):
    def kept() -> tuple:
        import dask

        return dask.config.get("distributed.admin.low-level-log-length"), os.environ.get(
            "MALLOC_TRIM_THRESHOLD_"
        )

    lengths = client.run_on_scheduler(kept)
    assert lengths[0] == 10
    assert {trim for _, trim in client.run(kept).values()} == {
        os.environ.get("MALLOC_TRIM_THRESHOLD_")
    }


# --- photos ---


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Forty photos, one of them not readable."""
    folder = tmp_path_factory.mktemp("photos")
    for i, file in enumerate(FILES[::10]):
        (folder / f"{i:02d}.jpg").write_bytes(file.read_bytes())
    (folder / "05.jpg").write_bytes(b"no photo")
    return folder


def test_predict_many_gives_the_same_frame_as_this_machine(client, detector, folder):
    here, there = detector.predict_many(folder), detector.predict_many(folder, cluster=client)
    pd.testing.assert_frame_equal(here, there, check_exact=True)
    assert here["error"].astype(bool).sum() == 1


def test_paths_from_here_are_understood_there(client, detector, folder, monkeypatch):
    monkeypatch.chdir(folder)
    names = ["04.jpg", "05.jpg"]
    here, there = detector.predict_many(names), detector.predict_many(names, cluster=client)
    pd.testing.assert_frame_equal(here, there, check_exact=True)


def fill(files: dict[str, bytes]) -> None:
    import fsspec

    for name, content in files.items():
        fsspec.filesystem("memory").pipe_file(name, content)


def test_photos_at_an_address_are_read_by_the_workers(client, detector):
    files = {f"/shelf/{i}.jpg": FILES[i].read_bytes() for i in range(3)}
    fill(files)
    client.run(fill, files)
    found = detector.predict_many("memory://shelf", cluster=client)
    assert list(found["path"]) == [f"memory:///shelf/{i}.jpg" for i in range(3)]
    assert not found["error"].any()
    assert list(found["p_fake"]) == list(detector.predict_many(FILES[:3])["p_fake"])


def test_at_an_address_a_photo_is_what_it_is_in_a_folder():
    from deepfake_lab.photos.listing import find_photos

    photo = FILES[0].read_bytes()
    film = b"\0\0\0\x14ftypqt  " + bytes(60)
    fill({"/mixed/IMG_1": photo, "/mixed/b.jxl": b"\xff\x0a" + bytes(60), "/mixed/c.jpg": photo})
    fill({"/mixed/film.mov": film, "/mixed/notes.txt": b"x"})
    beside: list[str] = []
    found = [one.name for one in find_photos(["memory://mixed"], beside)]
    assert found == ["IMG_1", "b.jxl", "c.jpg"]
    assert beside == ["film.mov: no image by its ending (.mov) nor by its content"]


def test_an_audit_on_a_cluster_finds_what_one_here_finds(client, monkeypatch, tmp_path):
    from deepfake_lab.auditing.survey import audit

    found = []
    for home, there in ((tmp_path / "a", None), (tmp_path / "b", client)):
        monkeypatch.setenv("DEEPFAKE_LAB_HOME", str(home))
        found.append(audit("sample", faces=20, cluster=there).summary())
    assert found[0] == found[1]


def test_an_evaluation_on_a_cluster_finds_what_one_here_finds(client, detector):
    from deepfake_lab.evaluation.assessment import assess

    here, there = (assess(detector, "sample", cluster=where) for where in (None, client))
    pd.testing.assert_frame_equal(here.predictions, there.predictions, check_exact=True)


def dies_of_black(pixels: np.ndarray) -> np.ndarray:
    if not pixels.any():
        os.kill(os.getpid(), 9)
    return pixels


@posix_only
def test_a_poisonous_and_an_unreadable_photo_cost_a_row_each(client, detector, folder, tmp_path):
    from PIL import Image

    Image.new("RGB", (64, 64)).save(tmp_path / "black.png")
    photos = [*sorted(folder.iterdir()), tmp_path / "black.png"]
    found = detector.predict_many(photos, dies_of_black, client)
    here = detector.predict_many(photos[:-1])
    pd.testing.assert_frame_equal(found[:-1], here, check_exact=True)
    assert found["error"].iloc[-1].endswith("the worker that took it died, again and again.")
    assert np.isnan(found["p_fake"].iloc[-1])


# --- the command, against processes of `dask` ---


class Farm:
    """A scheduler and its workers as processes of their own, as on a real cluster."""

    def __init__(self, folder: Path):
        self.file, self._folder = folder / "scheduler.json", folder
        self.processes: list[subprocess.Popen] = []
        self.scheduler = self.start_scheduler()

    def dask(self, *arguments: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *arguments], cwd=self._folder,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.processes.append(process)
        return process

    def start_scheduler(self, port: int = 0) -> subprocess.Popen:
        return self.dask(
            "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard",
            "--scheduler-file", str(self.file),
        )  # fmt: skip

    def start_worker(self, *more: str) -> subprocess.Popen:
        deadline = time.monotonic() + 60
        while not self.file.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return self.dask(
            "worker", "--scheduler-file", str(self.file), "--nthreads", "1", "--no-dashboard",
            "--no-nanny", *more,
        )  # fmt: skip

    @property
    def address(self) -> str:
        import json

        return json.loads(self.file.read_text())["address"]

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def farm(tmp_path):
    """A cluster whose processes a test may kill; it has no worker yet."""
    folder = tmp_path / "farm"
    folder.mkdir()
    farm = Farm(folder)
    yield farm
    farm.close()


@pytest.fixture(scope="module")
def steady(tmp_path_factory):
    """A cluster of one worker that is left alone."""
    farm = Farm(tmp_path_factory.mktemp("steady"))
    farm.start_worker()
    yield farm
    farm.close()


@pytest.fixture(scope="module")
def many(tmp_path_factory, run_folder) -> tuple[Path, bytes]:
    """Five hundred photos, and the file of answers that this machine gives about them."""
    folder = tmp_path_factory.mktemp("many")
    for i in range(500):
        os.link(FILES[i % len(FILES)], folder / f"{i:03d}.jpg")
    (folder / "400.jpg").unlink()
    (folder / "400.jpg").write_bytes(b"no photo")
    output = tmp_path_factory.mktemp("answers") / "a.csv"
    subprocess.run(command(folder, run_folder, output), capture_output=True)
    return folder, output.read_bytes()


def command(folder: Path, run_folder: Path, output: Path, *more: str) -> list[str]:
    start = [sys.executable, "-m", "deepfake_lab.cli", "predict", str(folder)]
    return [*start, "--model", str(run_folder), "--out", str(output), *more]


def begun(arguments: list[str], output: Path) -> subprocess.Popen:
    """Start a command and return when its first answers are on file."""
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    part = output.with_name(f"{output.name}.part")
    deadline = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size):
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()
        time.sleep(0.005)
    return process


def ended(process: subprocess.Popen) -> str:
    """Return what a command said; one photo of the folder cannot be read, hence status 1."""
    out, err = process.communicate(timeout=120)
    assert "Traceback" not in err
    assert process.returncode == 1, err
    return out + err


@posix_only
def test_a_killed_worker_a_killed_scheduler_and_a_killed_client_lose_nothing(
    farm, many, run_folder, tmp_path
):
    folder, expected = many
    doomed, output = farm.start_worker(), tmp_path / "r.csv"
    farm.start_worker()
    arguments = command(folder, run_folder, output, "--cluster", str(farm.file))

    killed = begun(arguments, output)
    killed.kill()  # the client
    killed.communicate()
    kept = output.with_name("r.csv.part").read_bytes().count(b"\n")
    assert 0 < kept < 500 and not output.exists()

    process = begun(arguments, output)
    doomed.kill()  # a worker
    farm.scheduler.kill()
    farm.scheduler.wait()
    port = int(farm.address.rpartition(":")[2])
    farm.start_scheduler(port)  # as whoever watches over the cluster does
    farm.start_worker()
    said = ended(process)
    assert "answered before" in said
    assert output.read_bytes() == expected


@posix_only
def test_two_clients_with_one_output_do_not_mix(steady, many, run_folder, tmp_path):
    folder, expected = many
    output = tmp_path / "r.csv"
    arguments = command(folder, run_folder, output, "--cluster", str(steady.file))
    first = begun(arguments, output)
    second = subprocess.run(arguments, capture_output=True, text=True)
    assert second.returncode == 2 and "Another run is writing" in second.stderr
    assert second.stderr.count("\n") == 1
    ended(first)
    assert output.read_bytes() == expected


#: The command, which presses Ctrl-C itself when 40 rows are on file: from outside, on a busy one,
#: it may come when all is over. Where Python forgets an interruption, the command must not.
PRESSES = """
import os, signal, sys

from deepfake_lab.cli import main
from deepfake_lab.scoring.scorefile import ScoreFile


class Finalised:
    def __del__(self):
        press()


def press():
    os.kill(os.getpid(), signal.SIGINT)
    sum(range(100))  # the signal comes in before this is done


def add(self, rows):
    plain(self, rows)
    rows_on_file.extend(rows)
    if len(rows_on_file) == 40:
        Finalised() if sys.argv[1] == "in a finaliser" else press()


signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background ignores it
rows_on_file = []
plain, ScoreFile.add = ScoreFile.add, add
sys.exit(main(sys.argv[2:]))
"""


@posix_only
@pytest.mark.parametrize("cluster", [True, False], ids=["cluster", "threads"])
@pytest.mark.parametrize("where", ["anywhere", "in a finaliser"])
def test_ctrl_c_leaves_what_is_done(where, cluster, steady, many, run_folder, tmp_path):
    folder, expected = many
    output = tmp_path / "r.csv"
    more = ["--cluster", str(steady.file)] if cluster else []
    arguments = command(folder, run_folder, output, *more)
    pressing = [sys.executable, "-c", PRESSES, where, *arguments[3:]]
    done = subprocess.run(pressing, capture_output=True, text=True, timeout=120)
    assert done.returncode == 130, done.stderr
    assert done.stderr.count("Traceback") == (where == "in a finaliser"), done.stderr
    assert "What was answered is kept: the same command goes on." in done.stderr
    assert output.with_name("r.csv.part").read_bytes().count(b"\n") == 40
    assert "answered before" in ended(begun(arguments, output))
    assert output.read_bytes() == expected


@posix_only
def test_a_worker_whose_disk_is_full_answers_all_the_same(farm, many, run_folder, tmp_path):
    folder, expected = many
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)]
    if (
        not sys.platform.startswith("linux")
        or subprocess.run(mount, capture_output=True).returncode
    ):
        pytest.skip("a small file system can be mounted by root on Linux only")
    try:
        farm.start_worker("--local-directory", str(disk))
        output = tmp_path / "r.csv"
        process = begun(command(folder, run_folder, output, "--cluster", str(farm.file)), output)
        with pytest.raises(OSError, match="No space left"), (disk / "fill").open("wb") as fill:
            while True:
                fill.write(bytes(1024))
                fill.flush()
        ended(process)
        assert output.read_bytes() == expected
    finally:
        farm.close()
        subprocess.run(["umount", "--lazy", str(disk)])


def test_without_the_extra_one_line_says_what_to_install(tmp_path):
    hidden = (
        "import sys; sys.modules['distributed'] = None\n"
        "from deepfake_lab.cli import main\n"
        f"sys.exit(main(['predict', {str(FILES[0])!r}, '--cluster', 'local']))"
    )
    done = subprocess.run([sys.executable, "-c", hidden], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.strip().endswith('pip install "deepfake-lab[cluster]"')
    assert done.stderr.count("\n") == 1


def test_rows_of_a_cluster_are_in_the_order_of_the_folder(many):
    _, expected = many
    rows = list(csv.DictReader(expected.decode().splitlines()))
    names = [Path(row["path"]).name for row in rows]
    assert names == [f"{i:03d}.jpg" for i in range(500)]
