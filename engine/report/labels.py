"""Where labels go so that none covers another: along a line, and around points; and the lines that lead from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Box = tuple[float, float, float, float]
Point = tuple[float, float]


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions at least ``gap`` apart, near ``wanted``, between low and high where there is room; order kept.

    Neighbours that are too near are pooled into a block centred on the mean of what they want.
    """
    order = sorted(range(len(wanted)), key=lambda i: (wanted[i], i))
    blocks: list[list[int]] = []

    def start(block: list[int]) -> float:
        length = gap * (len(block) - 1)
        centre = sum(wanted[i] for i in block) / len(block)
        return max(min(centre - length / 2, high - length), low)

    for i in order:
        blocks.append([i])
        while len(blocks) > 1 and start(blocks[-1]) - (start(blocks[-2]) + gap * (len(blocks[-2]) - 1)) < gap:
            last = blocks.pop()
            blocks[-1] = blocks[-1] + last
    placed = [0.0] * len(wanted)
    for block in blocks:
        for k, i in enumerate(block):
            placed[i] = start(block) + k * gap
    return placed


def overlap(a: Box, b: Box) -> bool:
    """Whether two boxes (left, bottom, right, top) share area."""
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def place(
    points: Sequence[tuple[float, float]], sizes: Sequence[tuple[float, float]], frame: Box, taken: Sequence[Box]
) -> list[Box | None]:
    """A box for the label of each point, in order of importance; None where no free place is near.

    points: (x, y); sizes: (width, height); frame: where labels may be; taken: boxes to keep free. One unit for all.
    """
    used = list(taken)
    made: list[Box | None] = []
    leaders: list[tuple[Point, Point]] = []
    for (x, y), (w, h) in zip(points, sizes, strict=True):
        labels = [b for b in made if b is not None]
        near = (
            b for b in _candidates(x, y, w, h) if _free(b, frame, used) and not _crosses((x, y), b, labels, leaders)
        )
        box = next(near, None)
        made.append(box)
        if box is not None:
            used.append(box)
            leaders.append(((x, y), _middle(box)))
    return made


def _middle(box: Box) -> Point:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _crosses(point: Point, box: Box, labels: Sequence[Box], leaders: Sequence[tuple[Point, Point]]) -> bool:
    """Whether the line from a point to the middle of its label meets another label or another such line, or the label does."""
    end = _middle(box)
    return any(_through(point, end, b) for b in labels) or any(
        _meet(point, end, a, b) or _through(a, b, box) for a, b in leaders
    )


def _through(start: Point, end: Point, box: Box) -> bool:
    """Whether a line runs through a box."""
    steps = [(start[0] + k / 24 * (end[0] - start[0]), start[1] + k / 24 * (end[1] - start[1])) for k in range(25)]
    return any(box[0] <= x <= box[2] and box[1] <= y <= box[3] for x, y in steps)


def _meet(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Whether the lines from a to b and from c to d cross."""

    def side(p: Point, q: Point, r: Point) -> float:
        return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])

    return side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0


def _free(box: Box, frame: Box, used: Sequence[Box]) -> bool:
    inside = frame[0] <= box[0] and frame[1] <= box[1] and box[2] <= frame[2] and box[3] <= frame[3]
    return inside and not any(overlap(box, other) for other in used)


def _candidates(x: float, y: float, w: float, h: float) -> list[Box]:
    """Boxes around a point: away from zero first, then beside it, then farther out."""
    outward = -1 if y < 0 else 1
    made = []
    for step in range(8):
        distance = 0.35 * h + step * 0.9 * h
        for side in (outward, -outward) if step > 1 else (outward,):
            bottom = y + distance if side > 0 else y - distance - h
            made += [(left, bottom, left + w, bottom + h) for left in (x - w / 2, x - 0.15 * w, x - 0.85 * w)]
            made += [(left, bottom, left + w, bottom + h) for left in (x + 0.5 * h, x - w - 0.5 * h)]
    return made


def leader(
    posA: Point, posB: Point, patchA: Any = None, patchB: Any = None, shrinkA: float = 0.0, shrinkB: float = 0.0
) -> Any:
    """A straight line from a label to its point, as the ``connectionstyle`` of an annotation: a Path in pixels.

    It starts where it leaves the box of the label, ``patchA``, and keeps ``shrinkA`` and ``shrinkB`` away from both ends.
    """
    from matplotlib.path import Path

    dx, dy = posB[0] - posA[0], posB[1] - posA[1]
    length = (dx**2 + dy**2) ** 0.5
    if not length:
        return Path([posA, posB])
    first = (_leaves(posA, (dx, dy), patchA.get_window_extent().extents) if patchA else 0.0) + shrinkA / length
    last = 1 - shrinkB / length
    ends = (first, last) if first < last else (0.0, 1.0)
    return Path([(posA[0] + t * dx, posA[1] + t * dy) for t in ends])


def _leaves(start: Point, way: Point, box: Box) -> float:
    """The share of the way from ``start`` after which it is out of the box; 0 where it starts outside, 1 where it ends inside."""
    if not (box[0] <= start[0] <= box[2] and box[1] <= start[1] <= box[3]):
        return 0.0
    sides = [(box[k + 2] if way[k] > 0 else box[k], k) for k in (0, 1) if way[k]]
    return min([1.0, *((side - start[k]) / way[k] for side, k in sides)])
