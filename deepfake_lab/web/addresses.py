"""Addresses that hold wherever the page is mounted: at the root, or behind a proxy at a prefix.

A proxy that takes its prefix off (``/user/me/proxy/5000/card`` arrives as ``/card``) may or may not
tell of it. So addresses are relative to what was asked for. What a proxy tells in its headers is
believed only from as many proxies as the user has named: any client can send such headers.
"""

import ipaddress
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Request
from werkzeug.middleware.proxy_fix import ProxyFix

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

#: A prefix as it may stand in a page: from a header, it could name another host.
_PREFIX = re.compile(r"(/[\w.~%@:+-]+)+")


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def root(request: Request) -> str:
    """Return the address of the page that stands at the root, with a slash at its end.

    Relative to the address that was asked for, unless it is known where the page is mounted.
    """
    if _PREFIX.fullmatch(request.script_root):
        return f"{request.script_root}/"
    # As it was sent: in a decoded path there may be more slashes than a browser has seen.
    return relative_root(str(request.environ.get("REQUEST_URI") or request.path))


def relative_root(address: str) -> str:
    """Return the way from an address, as it stands in a request, to the root."""
    path = re.split("[?#]", re.sub("^[a-z]+://[^/]*", "", address), maxsplit=1)[0]
    return "../" * (path.count("/") - 1) or "./"


def behind_proxies(app: "WSGIApplication", number: int) -> "WSGIApplication":
    """Believe what the last proxies before this server say of client, host, scheme and prefix.

    Args:
        app: a WSGI application.
        number: of proxies; each adds its own value to ``X-Forwarded-For`` and its like, and those
            before them may have been sent by anybody.

    Returns:
        The application, with ``X-Forwarded-Prefix`` taken off the path where the proxy left it on.
    """

    def without_prefix(
        environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        prefix = environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "").rstrip("/")
        path = environ.get("PATH_INFO", "")
        if prefix and (path == prefix or path.startswith(f"{prefix}/")):
            environ["PATH_INFO"] = path[len(prefix) :] or "/"
        return app(environ, start_response)

    return ProxyFix(without_prefix, x_for=number, x_proto=number, x_host=number, x_prefix=number)
