"""Which image format a file is in, by its first bytes: of those that are read here, and others.

Source: the signatures as each format's specification gives them.
"""

#: (format, place, bytes that stand there).
_MAGIC = (
    ("JPEG", 0, b"\xff\xd8\xff"), ("PNG", 0, b"\x89PNG\r\n\x1a\n"), ("GIF", 0, b"GIF8"),
    ("WEBP", 0, b"RIFF"), ("BMP", 0, b"BM"), ("TIFF", 0, b"II*\0"), ("TIFF", 0, b"MM\0*"),
    ("JPEG 2000", 0, b"\0\0\0\x0cjP  \r\n\x87\n"), ("JPEG 2000", 0, b"\xff\x4f\xff\x51"),
    ("JPEG XL", 0, b"\0\0\0\x0cJXL \r\n\x87\n"), ("JPEG XL", 0, b"\xff\x0a"),
    ("JPEG XR", 0, b"II\xbc\x01"), ("Photoshop", 0, b"8BPS"), ("OpenEXR", 0, b"v/1\x01"),
    ("raw photo", 0, b"FUJIFILMCCD-RAW"), ("raw photo", 0, b"IIU\0"), ("raw photo", 4, b"ftypcrx "),
    ("QOI", 0, b"qoif"), ("DDS", 0, b"DDS "), ("HDR", 0, b"#?RADIANCE"), ("icon", 0, b"\0\0\1\0"),
)  # fmt: skip


def format_of(head: bytes) -> str:
    """Return the name of the image format that a file's first 64 bytes show; empty for none."""
    for name, start, magic in _MAGIC:
        if head[start:].startswith(magic):
            return "" if name == "WEBP" and head[8:12] != b"WEBP" else name
    if head[4:8] == b"ftyp":  # a container: which picture is in it, its brands tell
        brands = head[8:]
        if b"avif" in brands or b"avis" in brands:
            return "AVIF"
        if any(brand in brands for brand in (b"heic", b"heix", b"hevc", b"mif1", b"msf1")):
            return "HEIF"
    return ""
