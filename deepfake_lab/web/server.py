"""Waitress, with deadlines for slow clients, refusals that arrive, and a clean end."""

import ctypes
import json
import logging
import select
import signal
import socket
import sys
import threading
import time
from html import escape
from typing import Any

from flask import Flask
from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask

from deepfake_lab import paths
from deepfake_lab.detection.detector import Detector
from deepfake_lab.errors import UserError
from deepfake_lab.web import limits
from deepfake_lab.web.addresses import is_loopback, relative_root
from deepfake_lab.web.app import SECURITY_HEADERS, create_app
from deepfake_lab.web.problems import Problem, code_of_status

#: What a client that was refused may still send; it is thrown away so that the refusal is read.
LINGER_SECONDS = 2.0

#: More than any answer or request has: buffers above such a limit would become files on disk.
NEVER = 2**40


def serve(
    host: str = "127.0.0.1", port: int = 5000, model: str = "", trust_proxy: int = 0,
    prior: float | None = None,
) -> int:  # fmt: skip
    """Serve the page until the process is asked to stop, then finish what is in flight.

    Args:
        host: address to listen on; anything but a loopback address lets others in.
        port: to listen on; 0 for any free one.
        model: a detector's name or run folder; empty for the default one.
        trust_proxy: how many proxies stand in front, whose headers are believed.
        prior: the share of fakes among the photos asked about; None for the detector's.

    Returns:
        The exit status: 0.

    Raises:
        UserError: no such detector, one that does not run, or an address that cannot be used.
    """
    # Its queue is bounded at the desk; for a moment more than one request may lie in it.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    _give_memory_back()
    detector = load_detector(model, prior)
    local = is_loopback(host) and not trust_proxy
    app = create_app(detector, local=local, proxies=trust_proxy)
    server = bind(app, host, port)
    _stop_on_signals(server)
    print(f"Deepfake Lab with the detector '{detector.name}': {server.url}", flush=True)
    if not local:
        whom = "the proxy" if is_loopback(host) else "this machine"
        print(f"Everyone who can reach {whom} can use it.", flush=True)
    print("Stop it with Ctrl+C.", flush=True)
    server.run()
    app.extensions["deepfake_lab"].desk.close()
    return 0


def load_detector(model: str = "", prior: float | None = None) -> Detector:
    """Load a detector and let it answer once, so that the first client does not wait for it.

    Raises:
        UserError: no such detector, or one that does not run.
    """
    import numpy as np

    detector = Detector.load(model or paths.default_model(), prior=prior)
    try:
        detector.predict(np.full((64, 64, 3), 128, np.uint8))
    except (ValueError, RuntimeError, KeyError) as error:
        raise UserError(
            f"The detector in {detector.folder} does not run: train it again. ({error})"
        ) from error
    return detector


def bind(app: Flask, host: str, port: int) -> "Server":
    """Return a server that listens already.

    Raises:
        UserError: the address cannot be used.
    """
    if not 0 <= port <= 65535:
        raise UserError(f"--port takes 0 to 65535, not {port}.")
    try:
        adjustments = Adjustments(
            host=host,
            port=port,
            threads=limits.THREADS,
            ident=None,
            recv_bytes=256 * 1024,
            inbuf_overflow=NEVER,
            outbuf_overflow=NEVER,
            max_request_header_size=32 * 1024,
            max_request_body_size=limits.MAX_BODY_BYTES + 1,
            connection_limit=4 * limits.MAX_CONNECTIONS,  # ours is lower, see Server
            channel_timeout=limits.IDLE_SECONDS,
            cleanup_interval=1,
            log_socket_errors=False,
            clear_untrusted_proxy_headers=False,  # they are believed or not in `addresses`
        )
        return Server(app, adj=adjustments, sockinfo=adjustments.listen[0])
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(
            f"Cannot listen on {host} port {port} ({reason}): try another, "
            f"for example --port {port + 1 if port < 65535 else 5000}."
        ) from error


class Refusal(ErrorTask):
    """What waitress refuses by itself, told as the application tells it."""

    def execute(self) -> None:
        """Write the answer."""
        problem = Problem(code_of_status(self.request.error.code))
        page = "text/html" in self.request.headers.get("ACCEPT", "")
        if page:
            root = relative_root(getattr(self.request, "request_uri", "") or "/")
            body = _PAGE.format(message=escape(problem.message), root=root).encode()
        else:
            body = json.dumps(problem.to_json()).encode()
        kind = "text/html; charset=utf-8" if page else "application/json"
        self.status = f"{problem.status} {problem.code}"
        self.response_headers = [("Content-Type", kind), *SECURITY_HEADERS.items()]
        self.set_close_on_finish()
        self.content_length = len(body)
        self.channel.refused = True
        self.write(body)


class Parser(HTTPRequestParser):
    """A request as it comes in."""

    def received(self, data: bytes) -> int:
        """Take bytes; a refused client is not told to go on (Expect: 100-continue)."""
        consumed = super().received(data)
        if self.error is not None:
            self.expect_continue = False
        return consumed


class Channel(HTTPChannel):
    """A connection that knows for how long its client has kept the server waiting."""

    parser_class = Parser
    error_task_class = Refusal
    refused = False

    def __init__(self, *arguments: Any, **options: Any):
        self.waiting_since = time.monotonic()
        self._lingering = False
        super().__init__(*arguments, **options)

    @property
    def answering(self) -> bool:
        """Return whether a whole request is here and its answer is not finished."""
        return bool(self.requests)

    def received(self, data: bytes) -> bool:
        """Take bytes; a request's time runs from its first one."""
        if self.request is None and not self._lingering:
            self.waiting_since = time.monotonic()
        return super().received(data)

    def service(self) -> None:
        """Answer; then the client's time to fetch the answer runs."""
        super().service()
        self.waiting_since = time.monotonic()

    def writable(self) -> bool:
        """Return whether there is something to send or to close."""
        return self.will_close if self._lingering else super().writable()

    def readable(self) -> bool:
        """Return whether more may be read; of a refused client, in order to throw it away."""
        return not self.will_close if self._lingering else super().readable()

    def handle_write(self) -> None:
        """Send. A refused client's connection is closed on this side only, at first.

        Closed for good while the client still sends, it would lose the refusal.
        """
        if self.refused and self.close_when_flushed and not self._lingering:
            self._flush_exception(self._flush_some)
            if not self.total_outbufs_len and not self.will_close:
                self._linger()
            return
        super().handle_write()

    def overdue(self, now: float) -> bool:
        """Return whether the client has taken too long to send, to fetch or to go."""
        limit = LINGER_SECONDS if self._lingering else limits.SEND_SECONDS
        busy = self.request is not None or self.total_outbufs_len or self._lingering
        return bool(busy) and not self.answering and now - self.waiting_since > limit

    def _linger(self) -> None:
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:  # the client has gone
            self.will_close = True
        self._lingering = True
        self.waiting_since = time.monotonic()


class Server(TcpWSGIServer):
    """Waitress's server, with an end to every wait.

    Attributes:
        url: where it answers.
    """

    channel_class = Channel

    def __init__(self, *arguments: Any, **options: Any):
        self._stopping = threading.Event()
        super().__init__(*arguments, **options)
        host = f"[{self.effective_host}]" if ":" in self.effective_host else self.effective_host
        if host in ("0.0.0.0", "[::]"):
            host = "127.0.0.1"
        self.url = f"http://{host}:{self.effective_port}/"

    def stop(self) -> None:
        """Ask the server to stop; any thread may, once or more often."""
        if not self._stopping.is_set():
            self._stopping.set()
            self.pull_trigger()

    def run(self) -> None:
        """Serve until :meth:`stop`, then finish what is in flight and close."""
        while not self._stopping.is_set():
            self._turn(1.0)
        wasyncore.dispatcher.close(self)  # no newcomers
        deadline = time.monotonic() + limits.GRACE_SECONDS
        while self._in_flight() and time.monotonic() < deadline:
            self._turn(0.1)
        self.task_dispatcher.shutdown(timeout=1)
        wasyncore.close_all(self._map, ignore_all=True)

    def handle_accept(self) -> None:
        """Take a newcomer; beyond the limit, in place of the slowest client."""
        super().handle_accept()
        if len(self.active_channels) > limits.MAX_CONNECTIONS:
            idle = [c for c in self.active_channels.values() if not c.answering]
            if idle:
                min(idle, key=lambda channel: channel.waiting_since).handle_close()

    def maintenance(self, now: float) -> None:
        """Close connections that have been idle or slow for too long."""
        super().maintenance(now)
        for channel in list(self.active_channels.values()):
            if channel.overdue(time.monotonic()):
                channel.handle_close()

    def _turn(self, seconds: float) -> None:
        wasyncore.loop(seconds, map=self._map, use_poll=hasattr(select, "poll"), count=1)

    def _in_flight(self) -> bool:
        busy = False
        for channel in list(self.active_channels.values()):
            if channel.answering or channel.total_outbufs_len or channel.request is not None:
                busy = True
            else:
                channel.handle_close()
        return busy


def _give_memory_back() -> None:
    """Let the C library return large buffers to the system; by default it keeps them by thread.

    After a hundred uploads of 17 MB the process held 1.1 GB without this, 0.2 GB with it.

    Source: mallopt(3) of the GNU C library; elsewhere nothing is done.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(-8, 4)  # M_ARENA_MAX: threads share that many heaps
        libc.mallopt(-3, 8 * 1024 * 1024)  # M_MMAP_THRESHOLD: what is larger never stays
        libc.mallopt(-1, 32 * 1024 * 1024)  # M_TRIM_THRESHOLD: as much stays, for the next photo


def _stop_on_signals(server: Server) -> None:
    """Stop cleanly at the first Ctrl+C or SIGTERM, at once at the second."""

    def stop(number: int, _frame: object) -> None:
        print("Stopping: what is in flight is finished first.", file=sys.stderr, flush=True)
        signal.signal(number, signal.SIG_DFL)
        server.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Deepfake Lab</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="{root}static/page.css"></head>
<body><main class="narrow"><h1>That did not work</h1><p>{message}</p>
<p><a href="{root}">Back</a></p>
</main></body></html>
"""
