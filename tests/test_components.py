"""Connected parts of a graph against scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from engine.components import components


@pytest.mark.parametrize("links", [0, 1, 3, 12, 40, 90])
def test_parts_are_those_of_scipy(links: int) -> None:
    rng = np.random.default_rng(links)
    for nodes in (1, 2, 9, 50):
        for _ in range(20):
            pairs = rng.integers(0, nodes, (links, 2))
            graph = coo_array((np.ones(links), pairs.T), shape=(nodes, nodes))
            label = connected_components(graph, directed=False)[1][pairs[:, 0]]
            smallest = [int(pairs[label == own].min()) for own in label]
            assert components(pairs).tolist() == smallest


@pytest.mark.parametrize("seed", [0, 1])
def test_a_long_chain_is_one_part(seed: int) -> None:
    chain = np.column_stack([np.arange(5_000), np.arange(1, 5_001)])
    chain = np.random.default_rng(seed).permutation(5_001)[chain] if seed else chain
    assert not components(chain).any()
