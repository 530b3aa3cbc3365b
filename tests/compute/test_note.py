"""Signed notes: others' examples, whoever's key, and any change is found; keys in files."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute import keys, note
from compute.keys import KeyFileError, Keys
from compute.note import SIGNER, WITNESS, NoteError

# The example in the documentation of Go's golang.org/x/mod/sumdb/note.
GO_SECRET = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
GO_LINE = (
    "\N{EM DASH} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgK"
    "vqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def test_go_reads_our_notes_and_we_read_its() -> None:
    secret, key = note.read_secret(GO_SECRET), note.read_key(GO_KEY)
    assert secret.key == key
    assert (secret.text, key.text) == (GO_SECRET, GO_KEY)
    assert secret.sign(GO_TEXT) == GO_LINE
    assert note.signed_by(note.join(GO_TEXT, GO_LINE), key) == 0


texts = st.text(st.characters(exclude_categories=["C"]), min_size=1).map(lambda text: text + "\n")


@given(texts, st.sampled_from([SIGNER, WITNESS]), st.integers(0, 2**40), st.data())
def test_what_is_signed_is_known_and_what_is_changed_is_not(
    text: str, kind: int, second: int, data: st.DataObject
) -> None:
    secret, other = note.make("one", kind), note.make("one", kind)
    signed = note.join(text, other.sign(text, 1), secret.sign(text, second))
    assert note.split(signed)[0] == text
    assert note.signed_by(signed, secret.key) == (second if kind == WITNESS else 0)
    assert note.signed_by(signed, note.make("one", kind).key) is None
    at = data.draw(st.integers(0, len(text) - 2))
    changed = text[:at] + ("x" if text[at] != "x" else "y") + text[at + 1 :]
    assert note.signed_by(signed.replace(text, changed, 1), secret.key) is None


@pytest.mark.parametrize("text", ["", "a", "a+b", "a+0000+AAAA", GO_KEY.replace("c74f", "c74e")])
def test_a_torn_key_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        note.read_key(text)


def test_a_key_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    ring = Keys(tmp_path, "seal")
    with ring.held(5) as first:
        pass
    with Keys(tmp_path, "seal").held(6) as again:
        assert again == first
    assert ring.private.stat().st_mode & 0o777 == 0o600
    assert [entry.since_ns for entry in ring.entries()] == [5]


def test_a_rotation_is_signed_by_the_key_before(tmp_path: Path) -> None:
    ring = Keys(tmp_path, "witness", WITNESS)
    with ring.held(10) as old:
        pass
    new = ring.rotate(20)
    assert [entry.key for entry in ring.entries()] == [old.key, new]
    assert keys.at(ring.entries(), 19) == old.key
    assert keys.at(ring.entries(), 20) == new
    assert keys.at(ring.entries(), 9) is None
    with ring.held(30) as present:
        assert present.key == new


def test_a_key_slipped_into_the_list_is_refused(tmp_path: Path) -> None:
    ring = Keys(tmp_path, "seal")
    with ring.held(10):
        pass
    forger = note.make("tickglass-seal", SIGNER)
    text = f"tickglass key\n{forger.key.text}\nsince 20\n"
    line = json.dumps(note.join(text, forger.sign(text)))
    keys.keep(ring.list, line.encode() + b"\n")
    with pytest.raises(KeyFileError, match="line 2: this key is not signed by the one before"):
        ring.entries()


def test_a_lost_private_key_is_not_quietly_replaced(tmp_path: Path) -> None:
    ring = Keys(tmp_path, "seal")
    with ring.held(10):
        pass
    ring.private.unlink()
    with pytest.raises(KeyFileError, match="put the key back"), ring.held(11):
        pass


def test_a_kill_between_list_and_key_is_made_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = Keys(tmp_path, "seal")
    with ring.held(10):
        pass

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            ring.rotate(20)
    with ring.held(30) as present:
        assert present.key == ring.entries()[1].key
