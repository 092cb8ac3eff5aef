"""What can be wrong with a request: a stable code, an HTTP status, and a sentence for a person."""

from deepfake_lab.web import limits

#: code -> HTTP status. Codes are part of the API: programs may rely on them.
STATUS = {
    "bad_request": 400,
    "no_photo": 400,
    "not_an_image": 400,
    "damaged_image": 400,
    "too_small": 400,
    "too_many_files": 400,
    "not_found": 404,
    "method_not_allowed": 405,
    "too_large": 413,
    "too_many_pixels": 413,
    "wrong_media_type": 415,
    "header_too_large": 431,
    "internal_error": 500,
    "not_implemented": 501,
    "busy": 503,
}

#: Sentences for codes that need no detail. The server's own refusals use them as well.
SENTENCES = {
    "bad_request": "This request cannot be understood.",
    "no_photo": "No photo was sent: choose a file, or send one as multipart field 'photos'.",
    "not_found": "There is nothing at this address.",
    "method_not_allowed": "This address does not take such a request.",
    "too_large": (
        f"Too much data: a photo may have {limits.MAX_FILE_BYTES // limits.MEGABYTE} MB, "
        f"a request {limits.MAX_BODY_BYTES // limits.MEGABYTE} MB."
    ),
    "too_many_files": f"Too many photos: send {limits.MAX_FILES} at most in one request.",
    "wrong_media_type": "Send the photos as multipart/form-data, in the field 'photos'.",
    "header_too_large": "The request's header is too large.",
    "internal_error": "Something went wrong here; it was not your photo's fault.",
    "not_implemented": "This server does not know such a transfer encoding.",
    "busy": "Too many people ask at once: try again in a few seconds.",
}


class Problem(Exception):
    """A request that gets an error for an answer.

    Attributes:
        code: one of :data:`STATUS`.
        message: a sentence for a person.
    """

    def __init__(self, code: str, message: str = ""):
        self.code = code
        self.message = message or SENTENCES[code]
        super().__init__(self.message)

    @property
    def status(self) -> int:
        """Return the HTTP status."""
        return STATUS[self.code]

    def to_json(self) -> dict:
        """Return what the API answers."""
        return {"error": {"code": self.code, "message": self.message}}


def code_of_status(status: int) -> str:
    """Return the code for an HTTP status that a library chose."""
    known = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 413: "too_large",
             415: "wrong_media_type", 431: "header_too_large", 501: "not_implemented"}  # fmt: skip
    return known.get(status, "bad_request" if status < 500 else "internal_error")
