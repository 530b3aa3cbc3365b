"""The tree of RFC 6962: known roots, every path leads to the root, no other leaf does."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute import merkle

# Entries and roots of Certificate Transparency's own tests, trees of 0 to 8 leaves.
ENTRIES = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


@pytest.mark.parametrize("size", range(9))
def test_roots_that_others_have_published(size: int) -> None:
    leaves = [merkle.leaf(entry) for entry in ENTRIES[:size]]
    assert merkle.root(leaves).hex() == ROOTS[size]


@given(st.lists(st.binary(max_size=8), min_size=1, max_size=40, unique=True), st.data())
def test_a_path_leads_to_the_root_and_nowhere_else(
    entries: list[bytes], data: st.DataObject
) -> None:
    leaves = [merkle.leaf(entry) for entry in entries]
    index = data.draw(st.integers(0, len(leaves) - 1))
    path, root = merkle.path(leaves, index), merkle.root(leaves)
    assert merkle.climb(leaves[index], index, len(leaves), path) == root
    assert merkle.climb(merkle.leaf(b"another leaf"), index, len(leaves), path) != root
    for at in range(len(path)):
        flipped = [*path[:at], hashlib.sha256(path[at]).digest(), *path[at + 1 :]]
        assert merkle.climb(leaves[index], index, len(leaves), flipped) != root
    with pytest.raises(ValueError, match=r"path is longer|there is no leaf|path is shorter"):
        merkle.climb(leaves[index], index + len(leaves), len(leaves), path)
    with pytest.raises(ValueError, match="longer"):
        merkle.climb(leaves[index], index, len(leaves), [root, *path])
