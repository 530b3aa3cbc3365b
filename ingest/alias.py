"""Rule: Walker's alias method: a table from which an index is drawn by its weight in one draw."""

import numpy as np


def alias_table(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Walker's table for `weights` [n] (sum 1): chance of staying in 2^-32ths, else where to."""
    scaled = weights * len(weights)
    chance, alias = np.full(len(weights), 2**32, np.int64), np.arange(len(weights))
    small = [int(place) for place in np.flatnonzero(scaled < 1)]
    large = [int(place) for place in np.flatnonzero(scaled >= 1)]
    while small and large:
        low, high = small.pop(), large[-1]
        chance[low], alias[low] = round(scaled[low] * 2**32), high
        scaled[high] -= 1 - scaled[low]
        if scaled[high] < 1:
            small.append(large.pop())
    return chance, alias
