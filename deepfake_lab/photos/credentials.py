"""Content Credentials (C2PA): who signed a file, whether they fit, and whether the signer is known.

They are easy to remove, but not to forge: whoever signs must have a key. *Whose* key it is, only a
trust list can tell: certificates in a PEM file that the user names in the environment variable
``DEEPFAKE_LAB_TRUST_LIST``. There is none by default: such lists change, and an old one that came
with a program would be believed for years.

Source: C2PA, "Content Credentials: C2PA Technical Specification", https://spec.c2pa.org.
"""

import datetime
import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec

from deepfake_lab import paths
from deepfake_lab.errors import UserError
from deepfake_lab.extras import require
from deepfake_lab.photos.evidence import Evidence, short, source_type_meaning, source_type_name

#: The environment variable that names the trust list.
TRUST_LIST = "DEEPFAKE_LAB_TRUST_LIST"

#: The largest trust list that is read; the public ones have some hundred kilobytes.
MAX_TRUST_LIST_BYTES = 20_000_000

# Nothing is ever fetched: a file must not make this machine call an address of its choice.
_OFFLINE = {"remote_manifest_fetch": False, "ocsp_fetch": False}


@dataclass(frozen=True)
class TrustList:
    """Certificates whose signatures are believed.

    Attributes:
        name: the file and its date, for people.
        pem: the certificates.
    """

    name: str
    pem: str


def trust_list() -> TrustList | None:
    """Return the trust list that the user has named, None where there is none; it is read once.

    Raises:
        UserError: it cannot be read, holds no certificate or a damaged one, or there is no package
            to check signatures with.
    """
    named = os.environ.get(TRUST_LIST, "")
    return _read_trust_list(named) if named else None


@cache
def _read_trust_list(named: str) -> TrustList:
    import ssl  # few name a trust list

    require("c2pa")
    file = paths.expanded(named)
    try:
        with file.open("rb") as stream:
            pem = stream.read(MAX_TRUST_LIST_BYTES + 1).decode("ascii", "ignore")
            changed = datetime.date.fromtimestamp(os.fstat(stream.fileno()).st_mtime)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"The trust list {named} cannot be read ({reason}).") from error
    try:
        if len(pem) > MAX_TRUST_LIST_BYTES:
            raise ValueError("too large")
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError) as error:
        raise UserError(
            f"The trust list {named} is no PEM file of whole certificates (-----BEGIN CERTIFICATE)."
        ) from error
    return TrustList(f"{short(file.name, 60)} of {changed}", pem)


def read_credentials(data: bytes, mime: str) -> Iterator[Evidence]:
    """Yield what the Content Credentials of a file say; nothing where it has none.

    Args:
        data: the bytes of the file.
        mime: its type, such as ``image/jpeg``.

    Raises:
        UserError: as :func:`trust_list`.
    """
    if b"jumb" not in data or b"c2pa" not in data:
        return
    if find_spec("c2pa") is None:
        yield Evidence(
            "content_credentials",
            "The file carries Content Credentials. To read them, install the extra “provenance”.",
        )
        return
    import c2pa

    trusted = trust_list()
    settings: dict = {"verify": {**_OFFLINE, "verify_trust": trusted is not None}}
    if trusted is not None:
        settings["trust"] = {"trust_anchors": trusted.pem}
    try:
        context = c2pa.Context(c2pa.Settings.from_dict(settings))
        reader = c2pa.Reader.try_create(mime, io.BytesIO(data), context=context)
        report = json.loads(reader.json()) if reader else {}
    except (c2pa.C2paError, ValueError) as error:
        yield Evidence(
            "content_credentials",
            "The file carries Content Credentials that cannot be read: they are damaged.",
            short(str(error), 80),
        )
        return
    manifest = report.get("manifests", {}).get(report.get("active_manifest"))
    if manifest:
        yield from _manifest(manifest, _state(report, trusted))


def _state(report: dict, trusted: TrustList | None) -> str:
    """Say whether the signature holds, and what is known of the signer."""
    state = report.get("validation_state", "Invalid")
    if state not in ("Trusted", "Valid"):
        codes = [str(status.get("code", "")) for status in report.get("validation_status", [])]
        codes = [code for code in codes if code != "signingCredential.untrusted"]
        if not codes or any(code.endswith("mismatch") for code in codes):
            return (
                "But they do NOT fit this file: it was changed after signing, or they were copied "
                "from another file."
            )
        return f"But they do NOT hold ({short(codes[0], 60)})."
    if trusted is None:
        return (
            "The signature is intact; who stands behind that name was not checked, since no trust "
            "list was named."
        )
    if state == "Trusted":
        return f"The signature is intact, and its signer is on the trust list ({trusted.name})."
    return (
        f"The signature is intact, but its signer is NOT on the trust list ({trusted.name}): "
        "anybody can sign in any name."
    )


def _manifest(manifest: dict, state: str) -> Iterator[Evidence]:
    signer = short(str(manifest.get("signature_info", {}).get("issuer") or "somebody unnamed"), 80)
    makers = manifest.get("claim_generator_info") or [{}]
    maker = short(str(makers[0].get("name") or manifest.get("claim_generator") or ""), 80)
    made = f", written by “{maker}”" if maker else ""
    yield Evidence(
        "content_credentials",
        f"Content Credentials (C2PA), signed in the name of “{signer}”{made}. {state}",
    )
    for assertion in manifest.get("assertions", []):
        if not str(assertion.get("label", "")).startswith("c2pa.actions"):
            continue
        actions = assertion.get("data", {}).get("actions", [])
        for kind in dict.fromkeys(str(a.get("digitalSourceType", "")) for a in actions):
            if name := source_type_name(kind):
                yield Evidence(
                    "content_credentials",
                    f"The Content Credentials call it {source_type_meaning(name)}.",
                    name,
                )
