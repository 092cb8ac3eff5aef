"""The command `deepfake-lab`. Subcommands import what they need: asking for help stays quick."""

import argparse
import contextlib
import os
import sys
from pathlib import Path
from typing import Any

from deepfake_lab import __version__, extras, interrupts
from deepfake_lab.errors import UserError
from deepfake_lab.printing import printable


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status.

    0: all went well. 1: some photos could not be read, the others were answered; or the reader of
    standard output went away. 2: nothing could be done; one line on standard error says why.
    130: interrupted.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed, as by `>&-`
            setattr(sys, name, open(os.devnull, "w"))
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a name need not fit the terminal's alphabet
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            options = _parser().parse_args(arguments)
            with interrupts.remembered():
                return options.command(options)
        finally:
            sys.stdout.flush()  # what cannot be written shows here, not after the last line
    except UserError as error:
        _complain(error)
        return 2
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in extras.EXTRAS:
            raise
        _complain(extras.how_to_install(module))
        return 2
    except BrokenPipeError:  # as in `deepfake-lab predict photos | head`
        _drop_output()
        return 1
    except OSError as error:
        _drop_output()
        reason = error.strerror or error
        if error.filename is None:
            _complain(f"the output cannot be written ({reason}).")
        else:
            _complain(f"{error.filename}: cannot be read or written ({reason}).")
        return 2
    except KeyboardInterrupt:
        _complain("interrupted.")
        return 130


def _complain(what: object) -> None:
    try:
        print(f"deepfake-lab: {printable(what)}", file=sys.stderr, flush=True)
    except OSError:  # nobody is left to be told; the exit status still says it
        pass


def _drop_output() -> None:
    """Let what is still to be printed go nowhere: Python writes it once more at its own end."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # standard output is no file of the system
        pass


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="deepfake-lab", description="Classify face photos as REAL or FAKE, honestly."
    )
    parser.add_argument("--version", action="version", version=f"deepfake-lab {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    init = commands.add_parser("init", help="write a course folder: notebooks, sample, parameters")
    init.add_argument("folder", metavar="DIR", help="a new folder")
    init.set_defaults(command=_init)

    run = commands.add_parser("run", help="run the six notebooks in order, without a screen")
    run.add_argument("--params", type=_path, metavar="FILE", help="a YAML file, see params/")
    run.add_argument(
        "-p", dest="values", action="append", default=[], metavar="NAME=VALUE",
        help="set one parameter; may be given several times and goes before --params",
    )  # fmt: skip
    run.add_argument(
        "--only", action="append", metavar="NN",
        help="run only the notebooks whose names begin so; may be given several times",
    )  # fmt: skip
    run.add_argument(
        "--out", default="", metavar="DIR",
        help="a new folder for everything (default runs/<data>-<time>); with --only also an "
        "earlier run's, to go on with it",
    )  # fmt: skip
    run.set_defaults(command=_run)

    sweep = commands.add_parser("sweep", help="run the notebooks once per combination of values")
    sweep.add_argument(
        "--params", type=_path, metavar="FILE", help="a YAML file; a list stands for alternatives"
    )
    sweep.add_argument(
        "-p", dest="values", action="append", default=[], metavar="NAME=A,B,...",
        help="values of one parameter, or LOW..HIGH with --search; goes before --params",
    )  # fmt: skip
    sweep.add_argument(
        "--only", action="append", metavar="NN",
        help="run only the notebooks whose names begin so; may be given several times",
    )  # fmt: skip
    sweep.add_argument(
        "--jobs", type=_count, default=0, metavar="N",
        help="runs at a time, at most as many as memory and cores allow (default: so many)",
    )  # fmt: skip
    sweep.add_argument(
        "--search", type=_count, default=0, metavar="N",
        help="try N combinations that look promising instead of all",
    )  # fmt: skip
    sweep.add_argument(
        "--metric", default="roc_auc", metavar="NAME",
        help="what a search improves, on validation photos (default %(default)s)",
    )  # fmt: skip
    sweep.add_argument(
        "--out", default="", metavar="DIR",
        help="the sweep's folder (default runs/sweep-<checksum>); the same command goes on there",
    )  # fmt: skip
    _add_cluster(sweep, "run them, on workers that share this disk")
    sweep.set_defaults(command=_sweep)

    runs = commands.add_parser("runs", help="list all runs")
    runs.add_argument(
        "places", nargs="*", metavar="DIR", help="runs, sweeps or folders of them (default runs/)"
    )
    runs.add_argument(
        "--out", type=_path, metavar="FILE", help="a .csv, .parquet or .html file with all columns"
    )
    runs.set_defaults(command=_runs)

    compare = commands.add_parser("compare", help="say which runs differ by more than luck")
    compare.add_argument(
        "places", nargs="+", metavar="RUN", help="sweeps, runs, or detectors by name or folder"
    )
    compare.add_argument(
        "--metric", default="roc_auc", metavar="NAME",
        help="what is compared, on test photos (default %(default)s)",
    )  # fmt: skip
    compare.add_argument(
        "--seed", type=_seed, default=0, metavar="N", help="of the bootstrap (default %(default)s)"
    )
    compare.add_argument(
        "--out", type=_path, metavar="DIR",
        help="a folder for tables (CSV, Parquet, LaTeX, Markdown), figures, a page, "
        "and logs for TensorBoard",
    )  # fmt: skip
    compare.set_defaults(command=_compare)

    predict = commands.add_parser("predict", help="say of photos whether they are real or fake")
    predict.add_argument("photos", nargs="+", metavar="PHOTO", help="a photo, or a folder of them")
    _add_model(predict)
    _add_prior(predict)
    predict.add_argument(
        "--quantised", action="store_true", help="use the smaller model that `export` made"
    )
    _also(predict, "--quantized", dest="quantised", action="store_true")
    predict.add_argument(
        "--format", choices=("text", "csv", "json"),
        help="of standard output (default text; nothing where --out is given)",
    )  # fmt: skip
    predict.add_argument(
        "--out", type=_path, metavar="FILE",
        help="a .csv or .parquet file for the answers; interrupted, the same command goes on",
    )  # fmt: skip
    _also(predict, "--output", dest="out", type=_path)
    predict.add_argument(
        "--explain", type=_path, metavar="DIR", help="write a heat map of each photo there"
    )
    predict.add_argument(
        "--each-face", action="store_true", help="give each face of a photo an answer of its own"
    )
    _add_trust_list(predict)
    _add_cluster(predict)
    predict.set_defaults(command=_predict)

    export = commands.add_parser(
        "export", help="write a detector in another format, or make a smaller model of it"
    )
    export.add_argument("name", metavar="NAME", help="a detector's name or folder")
    kinds = export.add_mutually_exclusive_group(required=True)
    kinds.add_argument(
        "--format", nargs=2, metavar=("FORMAT", "DIR"),
        help="write it into a new folder as onnx, keras, or hf: ready for the Hugging Face Hub",
    )  # fmt: skip
    kinds.add_argument(
        "--quantise", choices=("int8", "float16"),
        help="int8: a quarter of the size and faster; float16: half of the size",
    )  # fmt: skip
    _also(kinds, "--quantize", dest="quantise", choices=("int8", "float16"))
    export.add_argument(
        "--data", metavar="DATA",
        help="with --quantise: the data set to measure on (its test photos), a folder or name",
    )  # fmt: skip
    _add_layout(export)
    export.set_defaults(command=_export)

    serve = commands.add_parser("serve", help="the web page: upload a photo, read the verdict")
    serve.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default %(default)s)"
    )
    serve.add_argument(
        "--port", type=_count, default=5000, help="0 for any free one (default %(default)s)"
    )
    _add_model(serve)
    _add_prior(serve)
    _add_trust_list(serve)
    serve.add_argument(
        "--trust-proxy", type=_count, default=0, metavar="N",
        help="so many proxies stand in front (JupyterHub, Binder, nginx): believe their "
        "X-Forwarded-For, -Host, -Proto and -Prefix (default %(default)s: believe nobody's)",
    )  # fmt: skip
    serve.set_defaults(command=_serve)

    evaluate = commands.add_parser("evaluate", help="measure a detector on labelled data sets")
    evaluate.add_argument("data", nargs="+", metavar="DATA", help="data sets, folders or names")
    _add_model(evaluate)
    _add_prior(evaluate)
    evaluate.add_argument(
        "--split", choices=("train", "valid", "test", "all"), default="test",
        help="which photos of each data set (default %(default)s)",
    )  # fmt: skip
    evaluate.add_argument(
        "--degrade", action="store_true",
        help="also ask about the photos after recompression, blur and more; takes 25 times as long",
    )  # fmt: skip
    evaluate.add_argument(
        "--max-photos", type=_count, default=0, metavar="N",
        help="at most so many of each data set; 0: all (default %(default)s)",
    )  # fmt: skip
    evaluate.add_argument(
        "--seed", type=_seed, default=0, metavar="N",
        help="of the bootstrap and of what is drawn at random (default %(default)s)",
    )  # fmt: skip
    evaluate.add_argument(
        "--out", type=_path, metavar="DIR", help="a folder for tables, figures and a report"
    )
    _add_layout(evaluate)
    _add_cluster(evaluate)
    evaluate.set_defaults(command=_evaluate)

    audit = commands.add_parser("audit", help="say what is wrong with a data set, before training")
    audit.add_argument("data", metavar="DATA", help="a data set, a folder or name")
    audit.add_argument("--html", type=_path, metavar="FILE", help="write a page with pictures")
    _add_layout(audit)
    audit.add_argument(
        "--faces", type=_count, default=3000, metavar="N",
        help="look for faces in about so many photos; 0: in all (default %(default)s)",
    )  # fmt: skip
    _add_cluster(audit)
    audit.set_defaults(command=_audit)

    prepare = commands.add_parser("prepare", help="write a neutral copy of a data set")
    prepare.add_argument("data", metavar="DATA", help="a data set, a folder or name")
    where = prepare.add_mutually_exclusive_group(required=True)
    where.add_argument("--out", metavar="DIR", help="a new folder")
    _also(where, "out", nargs="?")
    prepare.add_argument(
        "--size", type=_count, default=256, metavar="N", help="side in pixels (default %(default)s)"
    )
    prepare.add_argument(
        "--framing", choices=("face", "whole"), default="face",
        help="what is cut out of each photo (default %(default)s)",
    )  # fmt: skip
    prepare.add_argument(
        "--quality", type=_count, default=90, metavar="N",
        help="of the JPEG files, 1 to 95 (default %(default)s)",
    )  # fmt: skip
    _add_layout(prepare)
    prepare.set_defaults(command=_prepare)

    download = commands.add_parser("download", help="bring a public data set here from Kaggle")
    download.add_argument("name", choices=("140k", "hardfake"), help="which one")
    download.add_argument(
        "--zip", default="", metavar="FILE", help="unpack this file, downloaded by hand, instead"
    )
    download.set_defaults(command=_download)
    return parser


#: What `--layout` takes, as :data:`deepfake_lab.data.layouts.LAYOUTS` has it; written again, so
#: that asking for help need not wait for pandas.
LAYOUTS = (
    "auto", "manifest", "140k", "rvf10k", "hardfakevsrealfaces", "ciplab",
    "deepfake-and-real-images", "plain",
)  # fmt: skip


def _add_model(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--model", default="", metavar="NAME",
        help="a detector's name or folder (default efficientnet)",
    )  # fmt: skip


def _add_prior(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--prior", type=float, metavar="SHARE",
        help="the share of fakes among such photos, above 0 and below 1 (default: the detector's, "
        "at which few real photos are called fake)",
    )  # fmt: skip


def _add_trust_list(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--trust-list", default="", metavar="FILE",
        help="a PEM file of certificates: whose signed Content Credentials are trusted "
        "(default: the environment variable DEEPFAKE_LAB_TRUST_LIST, else nobody's)",
    )  # fmt: skip


def _name_trust_list(file: str) -> None:
    """Check the trust list before any work, and leave its name to whoever reads photos."""
    from deepfake_lab.photos import credentials

    if file:
        os.environ[credentials.TRUST_LIST] = file
    credentials.trust_list()


def _add_layout(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--layout", choices=LAYOUTS, default="auto", metavar="LAYOUT",
        help=f"how the data set is laid out: {', '.join(LAYOUTS)} (default %(default)s: find out)",
    )  # fmt: skip


def _add_cluster(command: argparse.ArgumentParser, what: str = "read the photos") -> None:
    command.add_argument(
        "--cluster", default="", metavar="WHERE",
        help=f"let a Dask cluster {what}: local, a scheduler's address or scheduler file",
    )  # fmt: skip


def _also(command: argparse._ActionsContainer, spelling: str, **options: Any) -> None:
    """Let an older spelling go on working; help does not mention it."""
    command.add_argument(spelling, help=argparse.SUPPRESS, default=argparse.SUPPRESS, **options)


def _path(text: str) -> Path:
    from deepfake_lab.paths import expanded

    if not text:  # of a shell's variable that is not set
        raise argparse.ArgumentTypeError("the name is empty")
    return expanded(text)  # a shell leaves the ~ of --out=~/x as it is


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{number} is below zero")
    return number


def _seed(text: str) -> int:
    number = _count(text)
    if number >= 2**32:
        raise argparse.ArgumentTypeError(f"{number} is no seed: they lie below 2**32")
    return number


# argparse names the type in its message: "invalid whole number value: 'x'".
_count.__name__ = _seed.__name__ = "whole number"


def _init(options: argparse.Namespace) -> int:
    from deepfake_lab.starting import start_course

    folder = start_course(options.folder)
    print(f"The course lies in {folder}; its README.md says how to begin.")
    return 0


def _run(options: argparse.Namespace) -> int:
    from deepfake_lab.course.running import applicable, first_verdict, parse_parameter, run_course

    of_file = _read_parameters(options.params)
    mine = applicable(of_file, options.only)
    if without_effect := sorted(of_file.keys() - mine.keys() - {"out_dir"}):
        print(f"Of {options.params} not for these notebooks: {', '.join(without_effect)}")
    parameters = mine | dict(map(parse_parameter, options.values))
    folder = run_course(parameters, options.only, options.out)
    print(f"Everything of this run lies in {folder}")
    verdict = first_verdict(folder)
    if verdict:
        photo, line = verdict
        print(f"One photo, {photo}:")
        print(line)
    return 0


def _sweep(options: argparse.Namespace) -> int:
    from deepfake_lab.course.running import applicable
    from deepfake_lab.sweeping import read_space, run_sweep
    from deepfake_lab.sweeping.space import parse_values

    shared = applicable(_read_parameters(options.params), options.only)
    space = read_space(shared, dict(map(parse_values, options.values)), options.only)
    with _cluster(options.cluster) as client:
        found = run_sweep(
            space, options.only, options.out, jobs=options.jobs, search=options.search,
            metric=options.metric, client=client,
        )  # fmt: skip
    total = len(found.whole) + len(found.failed) + len(found.elsewhere)
    print(f"\n{len(found.whole)} of {total} runs are whole, in {found.folder}")
    for name, reason in found.failed.items():
        print(f"  failed: {name}: {reason}")
    for name in found.elsewhere:
        print(f"  another process is at it: {name}")
    if found.failed:
        print("The same command tries those that failed again.")
    if found.whole:
        print(f"Compare them: deepfake-lab compare {found.folder}")
    return 1 if found.failed else 0


def _runs(options: argparse.Namespace) -> int:
    from deepfake_lab import paths
    from deepfake_lab.evaluation.runs import list_runs, runs_table, save_table

    home = paths.home() / "runs"
    if not options.places and not home.is_dir():
        raise UserError(f"There are no runs yet: {home} is made by `deepfake-lab run`.")
    table = runs_table(options.places or [home])
    print(list_runs(table))
    if options.out:
        print(f"\nAll columns lie in {save_table(table, options.out)}")
    return 0


def _compare(options: argparse.Namespace) -> int:
    from deepfake_lab.evaluation.comparison import compare_settings
    from deepfake_lab.evaluation.comparison_files import check_folder, save, summary
    from deepfake_lab.evaluation.runs import runs_table

    if options.out:
        check_folder(options.out)
    runs = runs_table(options.places)
    failed = runs[runs["status"] != "whole"]
    found = compare_settings(runs, options.metric, options.seed)
    print(summary(found, failed))
    if options.out:
        print(f"\nTables, figures and comparison.html lie in {save(found, options.out, failed)}")
        print(f"TensorBoard's HParams tab: tensorboard --logdir {options.out / 'logs'}")
    return 0


def _predict(options: argparse.Namespace) -> int:
    from deepfake_lab.scoring.answering import predict

    _name_trust_list(options.trust_list)
    return predict(options)


def _export(options: argparse.Namespace) -> int:
    from deepfake_lab.litert import quiet_stderr

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if options.format:
        with quiet_stderr():  # TensorFlow talks of graphics cards
            from deepfake_lab.training.exports import export_detector

        done = export_detector(options.name, *options.format)
        print(
            f"{options.name} as {options.format[0]} lies in {done.folder}; over {done.photos} "
            f"photos its logits differ from the detector's by {done.apart:.1g} at most."
        )
        return 0
    if not options.data:
        raise UserError("--quantise measures what it costs: give --data DATA.")
    with quiet_stderr():
        from deepfake_lab.training.quantize import export_quantised

    made = export_quantised(options.name, options.quantise, options.data, options.layout)
    print(made.about)
    print(f"Ask it with `deepfake-lab predict PHOTO --quantised --model {made.folder}`.")
    return 0


def _serve(options: argparse.Namespace) -> int:
    from deepfake_lab.web import serve

    _name_trust_list(options.trust_list)
    return serve(options.host, options.port, options.model, options.trust_proxy, options.prior)


def _evaluate(options: argparse.Namespace) -> int:
    from deepfake_lab import paths
    from deepfake_lab.detection.detector import Detector
    from deepfake_lab.evaluation.assessment import assess, check_out

    out = check_out(options.out, options.data) if options.out else None
    detector = Detector.load(options.model or paths.default_model(), prior=options.prior)
    with _cluster(options.cluster) as cluster:
        found = assess(
            detector, options.data, options.split, options.degrade,
            max_photos=options.max_photos, seed=options.seed, layout=options.layout,
            cluster=cluster,
        )  # fmt: skip
    print(found.summary())
    if out:
        print(f"\nTables, figures and report.md lie in {found.save(out)}")
    return 0


def _audit(options: argparse.Namespace) -> int:
    from deepfake_lab.auditing.report import check_page
    from deepfake_lab.auditing.survey import audit

    if options.html:  # asked before the work, not after it
        check_page(options.html)
    with _cluster(options.cluster) as cluster:
        found = audit(options.data, options.layout, options.faces, cluster=cluster)
    print(found.summary())
    if options.html:
        print(f"\nThe same with pictures: {found.to_html(options.html)}")
    return 0


def _cluster(where: str) -> contextlib.AbstractContextManager[Any]:
    """Lend a client of a cluster; None where none was asked for."""
    if not where:
        return contextlib.nullcontext()
    from deepfake_lab.cluster import announced

    return announced(where)


def _prepare(options: argparse.Namespace) -> int:
    from deepfake_lab.auditing.neutral import prepare

    made = prepare(
        options.data, options.out, options.size, options.framing, options.quality, options.layout
    )
    print(made.summary())
    return 0


def _download(options: argparse.Namespace) -> int:
    from deepfake_lab.data.kaggle import download

    folder = download(options.name, options.zip)
    print(f"{options.name} lies in {folder}; look at it with `deepfake-lab audit {options.name}`.")
    return 0


def _read_parameters(file: Path | None) -> dict[str, Any]:
    import yaml

    if file is None:
        return {}
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{file} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise UserError(f"{file} must hold lines like `epochs: 3`.")
    return content


if __name__ == "__main__":
    sys.exit(main())
