"""A proxy that mounts a server at a prefix, as JupyterHub, Binder and nginx do."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PREFIX = "/user/me/proxy/5000"


class Proxy(BaseHTTPRequestHandler):
    """Takes the prefix off, unless it is to stay, and passes everything on."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server = self.server
        if not self.path.startswith(f"{PREFIX}/"):
            return self.send_error(404, "outside of the prefix")
        path = self.path if server.keeps else self.path.removeprefix(PREFIX)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = dict(self.headers) | server.tells
        backend = http.client.HTTPConnection("127.0.0.1", server.backend, timeout=30)
        backend.request(self.command, path, body, headers)
        answer = backend.getresponse()
        content = answer.read()
        backend.close()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET

    def log_message(self, *_):
        pass


@contextmanager
def mount(port: int, tells: dict[str, str] | None = None, keeps: bool = False) -> Iterator[str]:
    """Run the proxy in front of a port of this machine.

    Args:
        port: where the server listens.
        tells: headers that the proxy adds.
        keeps: whether the prefix stays on the path.

    Yields:
        The address of the server's root behind the prefix, with a slash at its end.
    """
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    proxy.daemon_threads = True
    proxy.backend, proxy.tells, proxy.keeps = port, tells or {}, keeps
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{proxy.server_port}{PREFIX}/"
    finally:
        proxy.shutdown()
        proxy.server_close()
