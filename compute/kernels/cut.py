"""Kernel: which cells of a table differ, bit for bit, from what was told last; and back."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def changed(now, told, candidates, rows, masks, values):
    """Collect changed cells of the candidate rows and copy them to `told`.

    now, told: int64 views [rows, columns] of float64 tables (bits, so that NaN equals NaN; the
    row stride of `now` may be larger). candidates: int64 [k]. rows: uint32, masks: uint32 and
    values: int64 outputs with room for all. Returns (rows written, values written).
    """
    n = 0
    cells = 0
    width = told.shape[1]
    for k in range(candidates.shape[0]):
        row = candidates[k]
        mask = np.uint32(0)
        for column in range(width):
            bits = now[row, column]
            if bits != told[row, column]:
                told[row, column] = bits
                mask |= np.uint32(1) << np.uint32(column)
                values[cells] = bits
                cells += 1
        if mask != 0:
            rows[n] = row
            masks[n] = mask
            n += 1
    return n, cells


@njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
def scatter(rows, masks, values, table):
    """Write the `values` that `changed` collected into float64 [more than max(rows), columns]."""
    cell = 0
    for k in range(rows.shape[0]):
        row = rows[k]
        mask = masks[k]
        column = 0
        while mask != 0:
            if mask & np.uint32(1):
                table[row, column] = values[cell]
                cell += 1
            mask >>= np.uint32(1)
            column += 1
