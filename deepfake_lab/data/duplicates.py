"""Photos that show the same: found by a perceptual hash, confirmed by a thumbnail.

The hash proposes, in time that grows with the number of photos and not with its square; the
thumbnail decides, because among 140,000 aligned portraits many have nearly the same hash by chance.
"""

from collections.abc import Callable, Iterator

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

#: Hashes of 64 bits that differ in at most so many are compared further; 7 is the most possible.
MAX_BITS = 6

#: Thumbnails that correlate at least this much show the same photo: below it, portraits of two
#: people in one dark room come through.
MIN_CORRELATION = 0.983

#: Enough to be kept in one split: here a pair too many does no harm, a pair too few is a leak.
KEEP_TOGETHER = 0.97

#: The same for a photo and what an editor made of it. By eye, 40 of the 47 pairs that these let
#: through among 1,370 photos and expert edits are kin; the other 7 merely share a split.
EDIT_BITS, EDIT_CORRELATION = 12, 0.83

#: Thumbnails with less contrast (standard deviation in grey levels) are too flat to compare.
MIN_CONTRAST = 6.0

#: A cluster larger than both, a number and a share of the photos, is taken apart.
MAX_CLUSTER, MAX_CLUSTER_SHARE = 50, 0.02

_BANDS, _BAND_BITS = 4, 16
_BLOCK = 4096


def near_pairs(
    hashes: np.ndarray, thumbs: np.ndarray, least: float = MIN_CORRELATION
) -> np.ndarray:
    """Return the pairs of photos that show the same, (P, 2) row numbers i < j, each pair once.

    Of photos that share one hash exactly, each is paired with the first and with its neighbour;
    the others follow from these.

    Args:
        hashes: (N,) uint64 perceptual hashes.
        thumbs: (N, T) uint8 grey thumbnails.
        least: what their thumbnails must correlate.
    """
    blocks = range(0, len(thumbs), _BLOCK)
    contrast = [thumbs[i : i + _BLOCK].std(axis=1) for i in blocks]
    rows = np.flatnonzero(np.concatenate([np.zeros(0), *contrast]) >= MIN_CONTRAST)
    rows = rows[np.argsort(hashes[rows], kind="stable")]
    ordered = hashes[rows]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])) if len(rows) else rows
    first = np.repeat(starts, np.diff(np.append(starts, len(rows))))
    later = np.flatnonzero(first != np.arange(len(rows)))
    found = [np.stack([rows[first[later]], rows[later]], axis=1),
             np.stack([rows[later - 1], rows[later]], axis=1)]  # fmt: skip
    found += [rows[starts][pairs] for pairs in _close(ordered[starts])]
    pairs = np.unique(np.sort(np.concatenate(found), axis=1), axis=0)
    return pairs[_alike(pairs, thumbs, least)]


def same_content(fingerprints: np.ndarray) -> np.ndarray:
    """Return pairs that link all files of one content, (P, 2) row numbers i < j."""
    order = np.argsort(fingerprints, kind="stable")
    same = fingerprints[order][1:] == fingerprints[order][:-1]
    return np.stack([order[:-1][same], order[1:][same]], axis=1)


def edited_pairs(hashes: np.ndarray, thumbs: np.ndarray, edited: np.ndarray) -> np.ndarray:
    """Return the pairs of an edited photo and its original, (P, 2) row numbers i < j.

    An edit changes the face and leaves the rest, so less likeness is asked for than between
    duplicates; every edited photo is held against every other. Meant for a few thousand photos.

    Args:
        hashes: (N,) uint64 perceptual hashes.
        thumbs: (N, T) uint8 grey thumbnails.
        edited: (N,) bool.
    """
    edits, originals = np.flatnonzero(edited), np.flatnonzero(~edited)
    found = [np.zeros((0, 2), np.int64)]
    for edit in edits:
        near = np.bitwise_count(hashes[originals] ^ hashes[edit]) <= EDIT_BITS
        kin = originals[near]
        found.append(np.stack([np.minimum(kin, edit), np.maximum(kin, edit)], axis=1))
    pairs = np.concatenate(found)
    return pairs[_alike(pairs, thumbs, EDIT_CORRELATION)]


def clusters(
    count: int, pairs: np.ndarray, hashes: np.ndarray | None = None,
    thumbs: np.ndarray | None = None, least: float = MIN_CORRELATION,
) -> np.ndarray:  # fmt: skip
    """Return for each of `count` photos the number of its cluster, (count,).

    What is near to the same photo belongs together, over any number of steps. Where that makes a
    chain through a large part of the data, only direct neighbours of one photo stay together.

    Args:
        count: of photos.
        pairs: (P, 2) row numbers, of :func:`near_pairs` and others.
        hashes: (count,) and `thumbs`, (count, T), as :func:`near_pairs` takes them: it leaves out
            pairs that follow from others, and whoever takes a chain apart must know them all.
        thumbs: see `hashes`.
        least: what thumbnails must correlate.
    """
    of = linked(count, pairs)
    sizes = np.bincount(of)
    number = len(sizes)
    for cluster in np.flatnonzero(sizes > max(MAX_CLUSTER, MAX_CLUSTER_SHARE * count)):
        inside, members = pairs[of[pairs[:, 0]] == cluster], np.flatnonzero(of == cluster)
        near = None
        if hashes is not None and thumbs is not None:
            near = _nearness(hashes[members], thumbs[members], least)
        for star in _stars(members, inside, near)[1:]:
            of[star] = number
            number += 1
    return of


def linked(count: int, pairs: np.ndarray) -> np.ndarray:
    """Return for each of `count` photos the number of what it is linked to, (count,)."""
    links = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), (count, count))
    return connected_components(links, directed=False)[1]


def _close(hashes: np.ndarray) -> Iterator[np.ndarray]:
    """Yield pairs of different hashes at most MAX_BITS apart, as (P, 2) indices; some repeatedly.

    Hashes within 7 bits of one another agree in one of their four bands of 16 bits up to one bit:
    looking up every band with its 16 neighbours misses none.

    Source: Norouzi et al., "Fast Search in Hamming Space with Multi-Index Hashing", CVPR 2012.
    """
    flips = np.append(0, 1 << np.arange(_BAND_BITS))
    for band in range(_BANDS):
        keys = ((hashes >> np.uint64(band * _BAND_BITS)) & np.uint64(0xFFFF)).astype(np.int64)
        order = np.argsort(keys, kind="stable")
        counts = np.bincount(keys, minlength=1 << _BAND_BITS)
        ends = np.cumsum(counts)
        for flip in flips:
            for start in range(0, len(hashes), _BLOCK):
                mine = np.arange(start, min(start + _BLOCK, len(hashes)))
                wanted = keys[mine] ^ flip
                sizes = counts[wanted]
                left = np.repeat(mine, sizes)
                # Positions within each bucket: 0, 1, 2 ... starting anew for each of `mine`.
                steps = np.arange(len(left)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
                right = order[np.repeat(ends[wanted] - sizes, sizes) + steps]
                near = (left < right) & (np.bitwise_count(hashes[left] ^ hashes[right]) <= MAX_BITS)
                if near.any():
                    yield np.stack([left[near], right[near]], axis=1)


def _alike(pairs: np.ndarray, thumbs: np.ndarray, least: float) -> np.ndarray:
    """Return which pairs of thumbnails correlate enough, (P,) bool."""
    good = np.zeros(len(pairs), bool)
    for start in range(0, len(pairs), _BLOCK):
        part = slice(start, start + _BLOCK)
        one, other = (thumbs[pairs[part, side]].astype(np.float32) for side in (0, 1))
        one -= one.mean(axis=1, keepdims=True)
        other -= other.mean(axis=1, keepdims=True)
        norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
        good[part] = (one * other).sum(axis=1) >= least * norms
    return good


def _nearness(
    hashes: np.ndarray, thumbs: np.ndarray, least: float
) -> Callable[[np.ndarray], np.ndarray]:
    """Return what says of some of N photos (B,) which of all are near them, (B, N) bool."""
    apart = thumbs.astype(np.float32)
    apart -= apart.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(apart, axis=1)
    clear = thumbs.std(axis=1) >= MIN_CONTRAST

    def near(rows: np.ndarray) -> np.ndarray:
        close = np.bitwise_count(hashes[rows, None] ^ hashes) <= MAX_BITS
        alike = apart[rows] @ apart.T >= least * norms[rows, None] * norms
        return close & alike & clear & clear[rows, None]

    return near


def _stars(
    members: np.ndarray, pairs: np.ndarray, near: Callable[[np.ndarray], np.ndarray] | None
) -> list[np.ndarray]:
    """Take a chain apart: the photo with most neighbours keeps them, then the next, and so on."""
    said: list[set[int]] = [set() for _ in members]
    for one, other in np.searchsorted(members, pairs).tolist():
        said[one].add(other)
        said[other].add(one)

    def neighbours(row: int) -> set[int]:
        more = np.flatnonzero(near(np.array([row]))[0]).tolist() if near else ()
        return said[row] | set(more) - {row}

    # All neighbours of all photos at once would be the square of their number.
    most = [len(neighbours(row)) for row in range(len(members))]
    free, stars = set(range(len(members))), []
    for center in sorted(free, key=lambda row: (-most[row], row)):
        if center in free:
            star = {center} | (neighbours(center) & free)
            free -= star
            stars.append(members[sorted(star)])
    return stars
