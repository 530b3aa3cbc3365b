"""Reference data: what contradicts itself or another row is refused with the reason."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.instrument import (
    DAY_COUNTS,
    DEFAULTS,
    FIELDS,
    NO_DAY,
    REFERENCE,
    AssetClass,
    Instrument,
    Reference,
)


def row(number=0, **changes):
    base = dict(symbol=f"S{number}", asset_class=0, venue="X", currency="USD", multiplier=1.0)
    return Instrument(number, **(base | dict(tick=0.01, decimals=2) | changes))


def bond(number=0, **changes):
    terms = dict(asset_class=8, expiry="2036-11-15", coupon=4.0, coupon_frequency=2)
    return row(number, **(terms | dict(day_count="ACT/ACT ICMA", multiplier=0.01) | changes))


def option(number=1, **changes):
    terms = dict(asset_class=2, underlying=0, expiry="2026-12-18", strike=100.0, right="C")
    return row(number, **(terms | dict(exercise="american", multiplier=100.0) | changes))


def future(number=2, **changes):
    return row(number, **(dict(asset_class=4, expiry="2026-12-18") | changes))


ROW, PAID = row().to_json(), row(dividends=(("2026-12-04", 1.0),)).to_json()
WRONG = [
    (row(-1), "id must be 0 or more"),
    (row(symbol=""), "symbol must not be empty"),
    (row(asset_class=12), "asset_class must be 0 to 11"),
    (row(multiplier=0.0), "multiplier must be finite and not 0"),
    (row(multiplier=math.inf), "multiplier must be finite and not 0"),
    (row(tick=0.0), "tick must be above 0"),
    (row(usd_rate=math.nan), "usd_rate must be above 0"),
    (row(decimals=10), "decimals must be 0 to 9"),
    (row(price_format=9), "price_format must be 0 to 3"),
    (row(shard=-1), "shard must be 0 or more"),
    (row(underlying=0), "underlying must be another's id or -1"),
    (option(right="X"), "an option needs right (C or P) and expiry"),
    (option(expiry=""), "an option needs right (C or P) and expiry"),
    (option(strike=None), "an option on an instrument needs its strike"),
    (option(strike=0.0), "strike must be above 0; leave it out where it is not known"),
    (option(strike=-5.0), "strike must be above 0"),
    (row(strike=5.0), "strike without right; give C or P"),
    (option(exercise="asian"), "exercise must be one of '', european, american"),
    (option(premium="later"), "premium must be one of upfront, futures"),
    (option(expiry="18DEC26"), "expiry is '18DEC26'; give a date like 2026-12-18"),
    (option(deliverable=0.0), "deliverable must be above 0"),
    (bond(issue_date="2036-11-15"), "issue_date 2036-11-15 must be before expiry"),
    (bond(expiry=""), "a bond with coupon needs expiry, its maturity"),
    (bond(day_count=""), "a bond with coupon needs day_count"),
    (bond(day_count="30/365"), "day_count must be one of '', ACT/ACT ICMA"),
    (bond(coupon_frequency=0), "a bond with coupon needs coupon_frequency"),
    (bond(coupon_frequency=3), "coupon_frequency must be one of 0, 1, 2, 4, 12"),
    (bond(coupon=None), "coupon_frequency without coupon; give both or neither"),
    (bond(coupon=400.0), "coupon must be % a year, below 100"),
    (bond(quote="discount"), "quote must be one of price, yield, spread, upfront"),
    (bond(settle_days=31), "settle_days must be 0 to 30"),
    (bond(ex_days=-1), "ex_days must be 0 to 60"),
    (bond(recovery=1.0), "recovery must be a share of par"),
    (row(coupon=1.0), "coupon is for bonds and credit"),
    (row(asset_class=7, base="USD"), "base and currency must differ"),
    (row(inverse=True), "inverse is for crypto contracts"),
    (row(asset_class=11, inverse=True), "an inverse contract needs base"),
    (row(funding_hours=8.0), "funding_hours is for perpetuals"),
    (
        row(asset_class=11, funding_hours=8.0, expiry="2026-12-25"),
        "a contract with expiry pays no funding",
    ),
    (row(adv=0.0), "adv must be above 0"),
    (row(stale_s=0.0), "stale_s must be above 0 s"),
    (row(wide_share=-0.1), "wide_share must be above 0"),
    (row(beta=1.0), "beta and beta_index go together"),
    (row(country="USA"), "country must be two capital letters"),
    (row(vwap_table=9), "vwap_table must be one of 1, 2"),
    (row(calendar="NYSE"), "calendar must be one of XNYS, XCME"),
    (row(ctd=3, conversion_factor=0.8), "ctd is for rates futures"),
    (future(ctd=3), "ctd and conversion_factor go together"),
    (row(dividends=(("2026-12-04", -0.1),)), "dividends must be amounts above 0"),
    (row(dividends=(("4 Dec", 0.1),)), "dividends need ex-dates like 2026-12-04"),
    (
        row(dividends=(("2026-12-04", 0.1), ("2026-12-04", 0.1))),
        "dividends must be in the order of their ex-dates",
    ),
]


@pytest.mark.parametrize(("wrong", "said"), WRONG, ids=[said for _, said in WRONG])
def test_a_row_that_cannot_be_is_refused_with_the_remedy(wrong, said):
    with pytest.raises(ValueError, match=r"^reference row ") as error:
        wrong.check()
    assert f"{wrong.symbol!r} (id {wrong.id}): {said}" in str(error.value)
    with pytest.raises(ValueError, match=r"reference row "):
        Instrument.from_json(wrong.to_json())


def test_rows_that_can_be():
    for good in (
        *(row(), bond(), option(), future()),
        option(underlying=-1, strike=None),  # Of a tape that tells no strike.
        row(1, asset_class=6, right="P", expiry="2026-12-18", strike=-1.5),  # On a spread.
        bond(coupon=0.0, coupon_frequency=0),
        bond(coupon=None, coupon_frequency=0, day_count=""),  # Of a tape that tells no terms.
        row(asset_class=11, inverse=True, base="BTC", funding_hours=8.0),
    ):
        good.check()
        assert Instrument.from_json(good.to_json()) == good


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"{", "reference row is not an instrument"),
        (b"[]", "reference row is not an instrument: it is []"),
        (b"{}", "is not an instrument without id; add it"),
        (b'{"size":1}', "no field is named size"),
        (ROW.replace(b'"tick":0.01', b'"tick":"0.01"'), "tick is '0.01'; give a number"),
        (ROW.replace(b'"tick":0.01', b'"tick":NaN'), "tick is nan; give a finite number"),
        (ROW.replace(b'"decimals":2', b'"decimals":2.5'), "give a whole number"),
        (ROW.replace(b'"decimals":2', b'"decimals":true'), "give a whole number"),
        (ROW.replace(b'"venue":"X"', b'"venue":null'), "venue is None; give a text"),
        (row(adv=5.0).to_json().replace(b"5.0", b'"5"'), "adv is '5'; give a number"),
        (PAID.replace(b"1.0]", b'"x"]'), "dividends is not"),
    ],
)  # fmt: skip
def test_json_that_is_no_row_is_refused(text, said):
    with pytest.raises(ValueError, match=r"^reference row ") as error:
        Instrument.from_json(text)
    assert said in str(error.value)


def test_json_leaves_out_what_stands_at_its_default():
    assert set(json.loads(row().to_json())) == {name for name in FIELDS if name not in DEFAULTS}
    assert json.loads(bond().to_json())["coupon"] == 4.0


money = st.floats(1e-6, 1e9)
texts = st.text(max_size=8)


@given(
    st.builds(
        Instrument,
        id=st.integers(0, 10**6),
        symbol=st.text(min_size=1, max_size=20),
        asset_class=st.sampled_from([int(kind) for kind in AssetClass if kind not in (2, 6)]),
        venue=texts,
        currency=texts,
        multiplier=money,
        tick=money,
        decimals=st.integers(0, 9),
        close_prev=st.none() | st.floats(-1e6, 1e6),
        usd_rate=money,
        sector=texts,
        issuer=texts,
        adv=st.none() | money,
        stale_s=st.none() | money,
        wide_share=st.none() | money,
        recovery=st.none() | st.floats(0, 0.99),
        dividends=st.sampled_from([(), (("2026-12-04", 0.25), ("2027-03-05", 0.26))]),
        settle_days=st.integers(0, 30),
    )
)
@settings(deadline=None)
def test_json_and_back_is_the_same_row(made):
    assert Instrument.from_json(made.to_json()) == made
    assert Reference.from_json(Reference([made]).to_json()).by_id == {made.id: made}


def test_the_array_holds_what_kernels_need():
    rows = [row(0, beta=1.2, beta_index="SPY"), option(1, deliverable=150.0), future(2)]
    reference = Reference([*rows, replace(bond(4), recovery=0.4)])
    array = reference.array
    assert array.dtype == REFERENCE
    assert array["asset_class"].tolist() == [0, 2, 4, -1, 8]
    assert array["underlying"].tolist() == [-1, 0, -1, -1, -1]
    assert array["right"].tolist() == [0, 1, 0, 0, 0]
    assert array["deliverable"][:3].tolist() == [1.0, 150.0, 1.0]
    day = np.datetime64("2026-12-18").astype(int)
    assert array["expiry"].tolist()[:4] == [NO_DAY, day, day, NO_DAY]
    assert array["day_count"][4] == DAY_COUNTS.index("ACT/ACT ICMA")
    assert (array["coupon"][4], array["coupon_frequency"][4], array["recovery"][4]) == (4.0, 2, 0.4)
    assert np.isnan(array["beta"]).tolist() == [False, True, True, True, True]
    assert np.isnan(array["strike"]).tolist() == [True, False, True, True, True]


def test_codes_of_text_stay_when_rows_come():
    reference = Reference([row(0, sector="B"), row(2, sector="A")])
    codes, names = reference.codes("sector")
    assert [names[code] for code in codes] == ["B", "", "A"]
    reference.update([row(1, sector="C"), row(2, sector="B")])
    again, more = reference.codes("sector")
    assert more[: len(names)] == names
    assert [more[code] for code in again] == ["B", "C", "B"]


def test_rows_that_contradict_others_are_refused_and_the_good_ones_kept():
    rows = [
        row(0),
        option(1),
        future(2, ctd=3, conversion_factor=0.9),
        bond(3),
        option(4, underlying=77),
        option(5, underlying=3),
        option(6, asset_class=6, underlying=2, expiry="2027-01-15"),
        future(7, ctd=0, conversion_factor=0.9),
        future(8, ctd=3, conversion_factor=0.9, currency="EUR"),
        future(9, ctd=10, conversion_factor=0.9, expiry="2026-12-18"),
        bond(10, expiry="2026-06-01"),
        option(11, underlying=1),
        option(12, asset_class=6, underlying=7, expiry="2026-12-01"),
    ]
    reference = Reference(rows)
    said = {number: refusal.reason for number, refusal in reference.refused.items()}
    assert set(said) == {4, 5, 6, 7, 8, 9, 11, 12}
    assert set(reference.by_id) == {0, 1, 2, 3, 10}
    assert "'S4' (id 4): underlying 77 is not in the reference data; add it" in said[4]
    assert "underlying 'S3' is government bond; name another" in said[5]
    assert "expiry 2027-01-15 is after that of its underlying 'S2', 2026-12-18" in said[6]
    assert "ctd 'S0' is no government bond in USD" in said[7]
    assert "ctd 'S3' is no government bond in EUR" in said[8]
    assert "ctd 'S10' matures 2026-06-01, before the future ends" in said[9]
    assert "underlying 7 is not in the reference data" in said[12], "it was refused itself"
    assert reference.array["asset_class"][4] == -1


def test_a_row_that_came_too_early_is_taken_later():
    reference = Reference([option(1)])
    assert set(reference.refused) == {1}
    assert len(reference) == 0
    version = reference.version
    reference.update([row(0)])
    assert reference.refused == {}
    assert set(reference.by_id) == {0, 1}
    assert reference.version == version + 1


def test_a_wrong_change_leaves_what_stood_before():
    reference = Reference([row(0), option(1)])
    reference.update([option(1, underlying=99, tick=0.05)])
    assert reference.by_id[1] == option(1)
    assert reference.array["tick"][1] == 0.01
    reference.update([option(1, tick=0.05)])
    assert (reference.refused, reference.array["tick"][1]) == ({}, 0.05)


@given(st.permutations(range(8)), st.lists(st.integers(1, 4), min_size=8, max_size=8))
def test_the_order_in_which_rows_come_changes_nothing(order, cuts):
    rows = [row(0), option(1), future(2, ctd=3, conversion_factor=0.9), bond(3)]
    rows += [option(4, underlying=9), option(5, asset_class=6, underlying=2)]
    rows += [option(6, underlying=4), row(7, asset_class=11, underlying=0)]
    reference, rest = Reference(), [rows[place] for place in order]
    for size in cuts:
        reference.update(rest[:size])
        rest = rest[size:]
    assert set(reference.by_id) == {0, 1, 2, 3, 5}
    assert set(reference.refused) == {4, 6, 7}
    assert (reference.array["asset_class"] >= 0).nonzero()[0].tolist() == [0, 1, 2, 3, 5]
