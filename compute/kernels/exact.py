"""Rule: sums kept in two float64 limbs, so that taking a term away undoes adding it.

A sum is a pair (high, low) with |low| <= half an ulp of high: about 106 bits. Sums of whole
numbers below 2**105 are exact; in general one addition errs by at most 2**-104 of the larger
operand. Only correctly rounded operations and no contraction: the same bits on every CPU.

Sources: Knuth, TAOCP 2, 4.2.2 (two_sum); Veltkamp and Dekker, "A floating-point technique for
extending the available precision", Numer. Math. 18 (1971) (two_product, addition of pairs).
"""

from numba import njit

SPLITTER = 134_217_729.0  # 2**27 + 1 cuts a 53-bit significand in two halves.


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def two_sum(a: float, b: float) -> tuple[float, float]:
    """(s, e) with s = fl(a + b) and s + e = a + b exactly."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def two_product(a: float, b: float) -> tuple[float, float]:
    """(p, e) with p = fl(a b) and p + e = a b exactly, for |a|, |b| < 2**970."""
    product = a * b
    shifted = SPLITTER * a
    a_high = shifted - (shifted - a)
    a_low = a - a_high
    shifted = SPLITTER * b
    b_high = shifted - (shifted - b)
    b_low = b - b_high
    error = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    return product, error


@njit(nogil=True, boundscheck=False, error_model="numpy", forceinline=True)
def add(high: float, low: float, x: float, x_low: float) -> tuple[float, float]:
    """The pair (high, low) + (x, x_low), both normalised pairs."""
    total, error = two_sum(high, x)
    error += low + x_low
    result = total + error
    return result, error - (result - total)
