"""Files that say something about themselves, made for tests."""

import datetime
import gzip
import io

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from benchmarks.web import photo


def png(**texts: str) -> bytes:
    """Return a PNG with texts; in their names, `_` stands for a dot and `__` for a colon."""
    info = PngInfo()
    for key, value in texts.items():
        info.add_itxt(key.replace("__", ":").replace("_", "."), value)
    return photo("PNG", pnginfo=info)


def with_xmp(content: str, kind: str = "JPEG") -> bytes:
    """Return a photo with an XMP packet."""
    packet = f"<x:xmpmeta>{content}</x:xmpmeta>"
    return png(XML__com_adobe_xmp=packet) if kind == "PNG" else photo(kind, xmp=packet.encode())


def hidden(
    text: bytes, name: str = "stealth_pngcomp", bits: int | None = None, kind: str = "PNG",
    side: int = 96,
) -> bytes:  # fmt: skip
    """Return a photo with a text in the lowest bits of its pixels.

    Args:
        text: it is compressed where the name says so.
        name: what stands before it.
        bits: the length that is told; None for the true one.
        kind: a lossless format.
        side: of the square photo.
    """
    content = gzip.compress(text) if name.endswith("comp") else text
    told = 8 * len(content) if bits is None else bits
    stream = np.unpackbits(np.frombuffer(name.encode() + told.to_bytes(4) + content, np.uint8))
    pixels = np.array(Image.open(io.BytesIO(photo("PNG", side))).convert("RGBA"))
    channels = slice(3, 4) if "png" in name else slice(0, 3)
    columns = np.ascontiguousarray(pixels[..., channels].swapaxes(0, 1))
    flat = columns.reshape(-1)
    flat[: len(stream)] = flat[: len(stream)] & 0xFE | stream
    pixels[..., channels] = columns.swapaxes(0, 1)
    image = Image.fromarray(pixels if "png" in name else pixels[..., :3].copy())
    out = io.BytesIO()
    image.save(out, kind, **({"lossless": True, "exact": True} if kind == "WEBP" else {}))
    return out.getvalue()


def signed(data: bytes) -> tuple[bytes, bytes]:
    """Return a JPEG with Content Credentials, and the PEM of the root that vouches for its signer.

    Both keys are made for this call alone and thrown away.
    """
    c2pa = pytest.importorskip("c2pa", reason="the extra `provenance` is not installed")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("root", "signer")}
    now = datetime.datetime.now(datetime.UTC)

    def name(common: str) -> x509.Name:
        words = {NameOID.ORGANIZATION_NAME: "Example Newsroom", NameOID.COMMON_NAME: common}
        return x509.Name([x509.NameAttribute(key, value) for key, value in words.items()])

    def certificate(subject: str) -> bytes:
        root = subject == "root"
        usage = x509.KeyUsage(not root, *[False] * 4, root, root, False, False)
        purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(keys["root"].public_key())
        builder = (
            x509.CertificateBuilder(name("root"), name(subject), keys[subject].public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(root, None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(issuer, critical=False)
        )
        builder = builder if root else builder.add_extension(purpose, critical=False)
        made = builder.sign(keys["root"], hashes.SHA256())
        return made.public_bytes(serialization.Encoding.PEM)

    key = keys["signer"].private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    root = certificate("root")
    chain = certificate("signer") + root
    signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(b"es256", chain, key, None))
    kind = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    action = {"action": "c2pa.created", "digitalSourceType": kind}
    manifest = {
        "claim_generator_info": [{"name": "Example Imager", "version": "1"}],
        "assertions": [{"label": "c2pa.actions", "data": {"actions": [action]}}],
    }
    out = io.BytesIO()
    c2pa.Builder(manifest).sign(signer, "image/jpeg", io.BytesIO(data), out)
    return out.getvalue(), root
