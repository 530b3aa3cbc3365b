"""Numba functions of plain arrays and scalars; they import numpy, numba and math only."""
