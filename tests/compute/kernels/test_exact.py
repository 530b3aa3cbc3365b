"""Two limbs: what is added can be taken away."""

from fractions import Fraction

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from compute.kernels.exact import add, two_product, two_sum

numbers = st.floats(-1e18, 1e18).filter(lambda x: x == 0.0 or abs(x) > 1e-18)
prices = st.integers(-(2**53), 2**53)
sizes = st.integers(1, 2**40)


@given(numbers, numbers)
@settings(deadline=None)  # The first call compiles.
def test_a_sum_and_its_error_are_the_sum(a, b):
    total, error = two_sum(a, b)
    assert total == a + b
    assert Fraction(total) + Fraction(error) == Fraction(a) + Fraction(b)


@given(numbers, numbers)
@settings(deadline=None)  # The first call compiles.
def test_a_product_and_its_error_are_the_product(a, b):
    product, error = two_product(a, b)
    assert product == a * b
    assert Fraction(product) + Fraction(error) == Fraction(a) * Fraction(b)


@given(st.lists(st.tuples(prices, sizes), min_size=1, max_size=30), st.randoms())
@settings(deadline=None)  # The first call compiles.
def test_taking_all_terms_away_in_any_order_leaves_exactly_nothing(terms, random):
    high = low = 0.0
    for price, size in terms:
        high, low = add(high, low, *two_product(float(price), float(size)))
    assert Fraction(high) + Fraction(low) == sum(price * size for price, size in terms)
    random.shuffle(terms)
    for price, size in terms:
        value, value_low = two_product(float(price), float(size))
        high, low = add(high, low, -value, -value_low)
    assert (high, low) == (0.0, 0.0)


@given(st.lists(numbers, min_size=2, max_size=40))
@settings(deadline=None)  # The first call compiles.
def test_a_sum_of_any_floats_errs_by_less_than_2_to_the_minus_98_of_its_terms(terms):
    assume(any(terms))
    high = low = 0.0
    for term in terms:
        high, low = add(high, low, term, 0.0)
    size = sum(abs(Fraction(term)) for term in terms)
    error = abs(Fraction(high) + Fraction(low) - sum(map(Fraction, terms)))
    assert error <= size * Fraction(1, 2**98)
