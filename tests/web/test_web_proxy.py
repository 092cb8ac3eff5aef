"""The page behind a proxy that mounts it at a prefix, as JupyterHub, Binder and nginx do."""

import http.client
import json
import re
import threading
from html import unescape
from urllib.parse import urljoin, urlsplit

import pytest

from benchmarks.web import form, photo
from deepfake_lab.web import addresses, create_app
from deepfake_lab.web.app import SECURITY_HEADERS
from deepfake_lab.web.server import bind
from tests.proxy import PREFIX, mount


@pytest.fixture(scope="module")
def backends(detector):
    """Ports of the page by the number of proxies that it trusts."""
    servers = [bind(create_app(detector, local=not n, proxies=n), "127.0.0.1", 0) for n in (0, 1)]
    threads = [threading.Thread(target=server.run, daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    yield [server.effective_port for server in servers]
    for server, thread in zip(servers, threads):
        server.stop()
        thread.join(20)


#: What proxies do: name -> the number that the page trusts, what the proxy tells, whether the
#: prefix stays on the path.
PROXIES = {
    "a proxy that tells nothing": (0, {}, False),
    "a proxy that tells the prefix, untrusted": (0, {"X-Forwarded-Prefix": "/else"}, False),
    "a proxy that tells the prefix": (
        1, {"X-Forwarded-Prefix": PREFIX, "X-Forwarded-Host": "hub.example.org",
            "X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7",
            "Host": "hub.example.org"}, False,
    ),
    "a proxy that tells the prefix and leaves it on": (1, {"X-Forwarded-Prefix": PREFIX}, True),
    "a proxy that tells a prefix with a slash": (1, {"X-Forwarded-Prefix": f"{PREFIX}/"}, False),
    "a trusted proxy that tells nothing": (1, {}, False),
}  # fmt: skip


@pytest.fixture(params=PROXIES, scope="module")
def mounted(request, backends):
    """The address of the page behind each of these proxies."""
    trusted, tells, keeps = PROXIES[request.param]
    with mount(backends[trusted], tells, keeps) as address:
        yield address


def ask(address: str, body: bytes | None = None, headers: dict | None = None):
    """Return status, headers and text of an address."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    connection.request("GET" if body is None else "POST", path, body, headers or {})
    answer = connection.getresponse()
    text = answer.read().decode("utf-8", "replace")
    connection.close()
    return answer.status, answer.headers, text


def links(page: str, address: str) -> set[str]:
    """Return the addresses that a page at an address leads to or loads."""
    found = re.findall(r'(?:href|src|action|data-answer)="([^"]*)"', page)
    found = [unescape(link) for link in found if not link.startswith(("data:", "#"))]
    return {urljoin(address, link).partition("#")[0] for link in found}


@pytest.mark.parametrize("path", ["", "card", "samples/1", "nothing/at/all", "a%2fb/c"])
def test_every_link_of_a_page_leads_to_the_page_behind_the_prefix(mounted, path):
    address = mounted + path
    _, headers, page = ask(address)
    found = links(page, address)
    assert mounted + "static/page.css" in found and mounted in found
    for link in found - {mounted + "answer"}:
        assert link.startswith(mounted) and ask(link)[0] == 200, link
    assert all(headers[name] == value for name, value in SECURITY_HEADERS.items())


def test_the_form_works_behind_the_prefix(mounted):
    _, _, page = ask(mounted)
    (action,) = re.findall(r'<form[^>]* action="([^"]*)"', page)
    body, headers = form(("a.jpg", photo()))
    status, _, answered = ask(urljoin(mounted, action), body, headers)
    assert status == 200 and "Confidence:" in answered
    assert all(link.startswith(mounted) for link in links(answered, mounted))


def test_what_the_script_asks_for_works_behind_the_prefix(mounted):
    """The script sends photos to the address that stands in the form."""
    for path in ("", "samples/1"):
        _, _, page = ask(mounted + path)
        (address,) = re.findall(r'data-answer="([^"]*)"', page)
        body, headers = form(("a.jpg", photo()))
        status, _, answered = ask(urljoin(mounted + path, address), body, headers)
        assert status == 200 and "Confidence:" in answered


def test_the_api_and_its_description_work_behind_the_prefix(mounted):
    described = mounted + "api/openapi.json"
    document = json.loads(ask(described)[2])
    server = urljoin(described, document["servers"][0]["url"]).rstrip("/")
    body, headers = form(("a.jpg", photo()))
    status, _, answer = ask(f"{server}/api/predict", body, headers)
    assert status == 200 and json.loads(answer)["predictions"][0]["verdict"] in ("FAKE", "REAL")
    models = f"{server}/api/models"
    (model,) = json.loads(ask(models)[2])["models"]
    assert ask(urljoin(models, model["card"]))[0] == 200


def test_without_the_option_nobody_is_believed(detector):
    client = create_app(detector).test_client()
    told = {"X-Forwarded-Prefix": "/else", "X-Forwarded-Host": "127.0.0.1"}
    assert "/else" not in client.get("/", headers=told).text
    assert client.get("/", headers=told | {"Host": "evil.example"}).status_code == 400


def test_of_more_values_than_trusted_proxies_only_the_last_counts(detector):
    client = create_app(detector, local=False, proxies=1).test_client()
    page = client.get("/", headers={"X-Forwarded-Prefix": "/forged, /true"}).text
    assert 'href="/true/card"' in page and "forged" not in page


@pytest.mark.parametrize(
    "prefix", ["//evil.example", "https://evil.example", "/\\evil.example", '/"><script>', "/a b"]
)
def test_a_prefix_that_could_name_another_host_is_not_used(detector, prefix):
    client = create_app(detector, local=False, proxies=1).test_client()
    page = client.get("/card", headers={"X-Forwarded-Prefix": prefix}).text
    assert 'href="./static/page.css"' in page and "evil" not in page


@pytest.mark.parametrize(
    ("address", "way"),
    [("/", "./"), ("/card", "./"), ("/samples/1?fragment=a/b", "../"), ("/a/b/c", "../../"),
     ("http://host/card", "./"), ("", "./"), ("*", "./")],
)  # fmt: skip
def test_the_way_to_the_root_is_as_long_as_the_address(address, way):
    assert addresses.relative_root(address) == way


def test_the_command_hands_on_how_many_proxies_are_trusted(monkeypatch):
    from deepfake_lab import cli, web

    asked = []
    monkeypatch.setattr(web, "serve", lambda *options: asked.append(options) or 0)
    assert cli.main(["serve", "--trust-proxy", "2"]) == 0 and cli.main(["serve"]) == 0
    assert [options[3] for options in asked] == [2, 0]
