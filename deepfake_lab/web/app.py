"""The pages and the JSON API, as a Flask application."""

import math
import re
import secrets
from collections.abc import Callable, Iterable
from functools import cached_property
from importlib.resources import files
from typing import TYPE_CHECKING, TypeVar

from flask import (
    Blueprint,
    Flask,
    Response,
    current_app,
    jsonify,
    render_template,
    request,
    send_file as send,
)
from flask.json.provider import DefaultJSONProvider
from markupsafe import Markup
from werkzeug.exceptions import HTTPException

from deepfake_lab.detection.caveats import tell_faces
from deepfake_lab.detection.detector import Detector
from deepfake_lab.photos.evidence import UNREADABLE
from deepfake_lab.photos.images import read_image
from deepfake_lab.web import addresses, limits, uploads
from deepfake_lab.web.about import ModelFacts
from deepfake_lab.web.answers import Answer, Illustrated, answer, illustrated_answer
from deepfake_lab.web.desk import Desk
from deepfake_lab.web.gallery import FAMILIES, Sample, read_gallery
from deepfake_lab.web.pictures import spectrum_uri
from deepfake_lab.web.problems import Problem, code_of_status
from deepfake_lab.web.summary import csv_text, summary_row, summary_title
from deepfake_lab.web.uploads import Upload, check_photo, read_form

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

#: Sent with every answer. Nothing is loaded from elsewhere, no script stands in a page, and no
#: other site may frame the page or read its answers.
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}

#: For links out of a page with answers: they are kept nowhere, and Back would not bring them again.
NEW_TAB = Markup(' target="_blank" rel="noopener" aria-describedby="new-tab"')

_WRONG_HOST = (
    "This server answers its own machine only: open it as http://127.0.0.1 with its port, start it "
    "with --host to let others in, or with --trust-proxy 1 behind a proxy."
)

T = TypeVar("T")

#: Name and answer of each photo of a form, or what is wrong with that photo.
Results = list[tuple[str, Answer | Problem]]

pages = Blueprint("pages", __name__)
api = Blueprint("api", __name__)


class Counter:
    """What the views share: the detector, facts about it, the desk and the gallery."""

    def __init__(self, detector: Detector, desk: Desk):
        self.detector = detector
        self.facts = ModelFacts(detector)
        self.desk = desk
        self.gallery = read_gallery()

    @cached_property
    def camera_spectrum(self) -> str:
        """Return the spectrum of a real photo of the gallery, to compare with; empty without it."""
        real = [sample for sample in self.gallery.values() if sample.truth == FAMILIES["photo"][1]]
        return spectrum_uri(read_image(real[0].path)) if real else ""

    def answer(self, upload: Upload, prior: float | None = None) -> Answer:
        """Return the answer for the API, at the detector's own prior or another one."""
        return self._run(upload, lambda: answer(self._at(prior), upload))

    def illustrated(self, upload: Upload, prior: float | None = None) -> Illustrated:
        """Return the answer for the page, at the detector's own prior or another one."""
        return self._run(upload, lambda: illustrated_answer(self._at(prior), self.facts, upload))

    def _at(self, prior: float | None) -> Detector:
        return self.detector if prior is None else self.detector.at(prior)

    def _run(self, upload: Upload, work: Callable[[], T]) -> T:
        pixels = check_photo(upload.data, upload.name)
        return self.desk.run(work, large=pixels > limits.LARGE_PIXELS)


def create_app(
    detector: Detector, *, local: bool = True, desk: Desk | None = None, proxies: int = 0
) -> Flask:
    """Make the application.

    Args:
        detector: who answers.
        local: whether only this machine can reach the server: then only its own names are taken
            for the host, and the page says that photos stay here.
        desk: how many are answered at once; a new one by default.
        proxies: how many proxies stand in front; what they say of the client and of the prefix
            is believed.

    Returns:
        The application. ``app.extensions["deepfake_lab"]`` is its :class:`Counter`.
    """
    app = _App(proxies)
    app.config.update(
        MAX_CONTENT_LENGTH=limits.MAX_BODY_BYTES,
        SEND_FILE_MAX_AGE_DEFAULT=0,
    )
    if local:
        app.before_request(_refuse_other_names)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.extensions["deepfake_lab"] = Counter(detector, desk or Desk())
    app.register_blueprint(pages)
    app.register_blueprint(api)
    app.register_error_handler(Problem, _tell)
    app.register_error_handler(HTTPException, _tell_http)
    app.register_error_handler(Exception, _tell_unexpected)
    app.after_request(_harden)
    app.context_processor(
        lambda: {
            "limits": limits,
            "root": addresses.root(request),
            "facts": _counter().facts,
            "camera_spectrum": _counter().camera_spectrum,
            "local": local,
            "unique": lambda: secrets.token_hex(4),
            "confidence": lambda prediction: str(prediction).split("Confidence: ")[1],
            "share": _share,
            "shortened": uploads.shortened,
            "in_a_hundred": _in_a_hundred,
            "digits": _digits,
            "new_tab": NEW_TAB,
            "summary_row": summary_row,
            "summary_title": summary_title,
            "csv_text": csv_text,
            "csv_columns": csv_text([]),
            "count_faces": lambda p: tell_faces([face.verdict for face in p.faces]),
            "formats": uploads.FORMATS,
            "unreadable": UNREADABLE,
            # The arrow stays on the bar.
            "marker": lambda p_fake: f"{min(max(p_fake, 0.01), 0.99):.2%}"[:-1],
        }
    )
    return app


@pages.get("/")
def home() -> str:
    """The page: a form, the gallery."""
    return _page()


@pages.post("/")
def upload() -> str:
    """The form without JavaScript: the page again, with the answers."""
    return _page(_judge_all(_counter().illustrated))


@pages.post("/answer")
def fragment() -> str:
    """The form with JavaScript: the answers alone, to be put into the page."""
    return render_template("results.html", results=_judge_all(_counter().illustrated))


@pages.get("/samples/<number>")
def sample(number: str) -> str:
    """The answer about a photo of the gallery."""
    chosen = _sample(number)
    counter = _counter()
    with counter.desk.place():
        prior = uploads.read_prior(request.args.get("prior", "").encode())
        answer = counter.illustrated(Upload(f"sample {number}", chosen.path.read_bytes()), prior)
    results: Results = [(answer.prediction.name, answer)]
    if "fragment" in request.args:
        return render_template("results.html", results=results, truth=chosen.truth)
    return _page(results, truth=chosen.truth)


@pages.get("/samples/<number>.jpg")
def sample_photo(number: str) -> Response:
    """A photo of the gallery."""
    # Without a name of its own, the file's would be sent, which tells the answer.
    return send(_sample(number).path, mimetype="image/jpeg", download_name=f"{number}.jpg")


@pages.get("/card")
def card() -> str:
    """The model card."""
    from deepfake_lab.web.card import card_html  # few people ask: the server starts without it

    content, sections = card_html(_counter().facts.card())
    return render_template("card.html", card=content, sections=sections)


@api.post("/api/predict")
def predict() -> Response:
    """Judge the photos of a form."""
    results = _judge_all(_counter().answer)
    return jsonify(
        about=_counter().facts.about,
        predictions=[{"name": name, **result.to_json()} for name, result in results],
    )


@api.get("/api/models")
def models() -> Response:
    """Say which detectors answer here."""
    card = f"{addresses.root(request)}card"
    return jsonify(models=[{**_counter().facts.to_json(), "card": card}])


@api.get("/api/openapi.json")
def openapi() -> Response:
    """Describe the API."""
    document = files(__package__).joinpath("openapi.json").read_text("utf-8")
    return Response(document, mimetype="application/json")


@api.get("/healthz")
def health() -> Response:
    """Say that the server is alive."""
    return jsonify(status="ok", model=_counter().facts.name)


class _JSON(DefaultJSONProvider):
    """Names in answers come in the order in which they were written."""

    sort_keys = False


class _App(Flask):
    """Flask's application, behind as many proxies as are to be believed."""

    json_provider_class = _JSON

    def __init__(self, proxies: int):
        super().__init__(__name__)
        app = super().wsgi_app
        self._outermost = addresses.behind_proxies(app, proxies) if proxies else app

    def wsgi_app(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        return self._outermost(environ, start_response)


def _share(probability: float) -> str:
    """Return a probability in percent; no finite test supports 0.00% or 100.00%."""
    if not 0.0001 <= probability <= 0.9999:
        return "below 0.01%" if probability < 0.5 else "above 99.99%"
    return f"{probability:.2%}"


def _in_a_hundred(prior: float) -> str:
    """Return a share of fakes as people say it: ``6 in 100 photos``."""
    if prior == 0.5:
        return "one photo in two"
    if prior > 0.99:  # nobody says "99.5 in 100"
        return f"all but {_in_a_hundred(1 - prior)}"
    if prior >= 0.01:
        return f"{100 * prior:{'.0f' if prior >= 0.05 else '.2g'}} in 100 photos"
    many = 10 ** max(3, math.ceil(-round(math.log10(prior), 9)))
    return f"{prior * many:.2g} in {many:,} photos"


def _digits(prior: float) -> str:
    """Return a share of fakes as a form sends it, see :func:`uploads.read_prior`: no `1e-06`."""
    return f"{prior:.11f}".rstrip("0")


def _refuse_other_names() -> None:
    """Answer to this machine's own names only.

    Else a site could give its own name this machine's address, and its script would read answers.
    """
    name = re.sub(r":\d+$", "", request.host)
    if not addresses.is_loopback(name.strip("[]")):
        raise Problem("bad_request", _WRONG_HOST)


def _counter() -> Counter:
    return current_app.extensions["deepfake_lab"]


def _page(results: Results | None = None, **content: object) -> str:
    """Return the page; the share of fakes that its answers take for granted stays chosen."""
    counter = _counter()
    priors = [answer.prediction.prior for _, answer in results or () if isinstance(answer, Answer)]
    chosen = priors[0] if priors and priors[0] != counter.facts.prior else None
    return render_template(
        "index.html", gallery=counter.gallery, results=results or [], chosen=chosen, **content
    )


def _sample(number: str) -> Sample:
    if number not in _counter().gallery:
        raise Problem("not_found")
    return _counter().gallery[number]


def _judge_all(judge: Callable[[Upload, float | None], Answer]) -> Results:
    """Return name and answer for each photo of a form, or what is wrong with that photo.

    A place at the desk is taken before the form is unpacked, and given back at the end.

    Raises:
        Problem: the desk is busy, the form is wrong, or none of its photos can be judged.
    """
    results: Results = []
    with _counter().desk.place():
        uploads, prior = read_form(request)
        for upload in uploads:
            try:
                results.append((upload.name, judge(upload, prior)))
            except Problem as problem:
                results.append((upload.name, problem))
    problems = [result for _, result in results if isinstance(result, Problem)]
    if len(problems) == len(results):
        if len(results) == 1:
            raise problems[0]
        reasons = " ".join(
            f"{name}: {problem.message}" for (name, _), problem in zip(results, problems)
        )
        raise Problem(problems[0].code, f"None of these photos can be judged. {reasons}")
    return results


def _tell(problem: Problem) -> tuple[Response | str, int]:
    """Answer a problem: JSON for programs, a page for people."""
    program = (
        request.path.startswith(("/api/", "/healthz", "/answer")) or "fragment" in request.args
    )
    if program:
        return jsonify(problem.to_json()), problem.status
    return render_template("error.html", problem=problem), problem.status


def _tell_http(error: HTTPException) -> Response:
    """Answer what Flask or Werkzeug refused."""
    problem = Problem(code_of_status(error.code or 500))
    response = current_app.make_response(_tell(problem))
    allowed = getattr(error, "valid_methods", None)
    if allowed:
        response.headers["Allow"] = ", ".join(allowed)
    return response


def _tell_unexpected(error: Exception) -> tuple[Response | str, int]:
    """Log a bug (where it happened, never with what photo) and answer."""
    current_app.logger.exception("a request failed")
    return _tell(Problem("internal_error"))


def _harden(response: Response) -> Response:
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    if response.status_code == 503:
        response.headers["Retry-After"] = str(limits.RETRY_AFTER_SECONDS)
    return response
