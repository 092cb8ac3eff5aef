"""Every limit of the server, once. The OpenAPI document and the page state the same numbers."""

import os

MEGABYTE = 1_000_000

#: Largest photo and largest request, in bytes. A request is held in memory while it is answered.
MAX_FILE_BYTES = 20 * MEGABYTE
MAX_BODY_BYTES = 32 * MEGABYTE

#: Most photos in one request.
MAX_FILES = 16

#: Most pixels of a photo: those of a phone's camera. A program that reads files of its own takes
#: more, see :data:`deepfake_lab.photos.images.MAX_PIXELS`.
MAX_PIXELS = 50_000_000

#: How many times as long as the other one a side may be: beyond, it is a line and no photo, and a
#: small file of it keeps the face finder busy for ten seconds.
MAX_RATIO = 1000

#: A progressive JPEG is decoded scan by scan over all its pixels; a hostile one has thousands of
#: scans. Most pixels times scans: twenty scans (encoders write about ten) of the largest photo.
MAX_SCANNED_PIXELS = 20 * MAX_PIXELS

#: A photo with more pixels takes about 20 bytes a pixel while it is decoded: at most half of the
#: places are for such photos, so that memory stays in bounds and the others get through.
LARGE_PIXELS = 16_000_000

#: Requests worked on at the same time, and requests that wait for their turn. Who comes after
#: them is told at once to try again.
RUNNING = max(2, os.cpu_count() or 1)
WAITING = 16

#: Longest time in seconds that a request waits for its turn, and what 503 answers as Retry-After.
PATIENCE_SECONDS = 10.0
RETRY_AFTER_SECONDS = 2

#: Threads that talk to clients: all who run or wait, and some who tell the others to come back.
THREADS = RUNNING + WAITING + 8

#: Open connections, and how long a client may take to send a request or to fetch an answer. A
#: newcomer beyond the limit replaces the slowest client that is not being answered.
MAX_CONNECTIONS = 64
SEND_SECONDS = 60.0
IDLE_SECONDS = 30

#: What is being answered when the server stops gets this much time to finish.
GRACE_SECONDS = 15.0
