"""Connected parts of a graph, without the import of a library for graphs, which takes longer than all else of a small study."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def components(links: Ints) -> Ints:
    """The smallest node of the connected part of each link; links: (M, 2) nodes, numbered from 0, in any order.

    Each part takes the smallest number that a link of it knows, and what a number stands for is followed to its end, until no
    link tells two parts apart. Shiloach & Vishkin (1982), their hooking and shortcutting.
    """
    root = np.arange(int(links.max(initial=-1)) + 1)
    while True:
        ends = root[links]
        if (ends[:, 0] == ends[:, 1]).all():
            return np.asarray(ends[:, 0])
        np.minimum.at(root, ends, ends.min(axis=1, keepdims=True))
        while (further := root[root]).sum() < root.sum():
            root = further
