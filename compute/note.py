"""Door: Ed25519, the only importer of its library. Signed notes as transparency logs write them.

A note is text that ends with a line break, an empty line, and signature lines
`— <name> <base64 of key hash, 4 bytes, and signature>` (C2SP signed-note; the encodings of keys
are those of Go's sumdb/note). A witness signs when it looked as well: C2SP tlog-cosignature.
"""

import base64
import binascii
import hashlib
import struct
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIGNER, WITNESS = 1, 4  # Kinds of key: plain Ed25519, timestamped cosignature.
DASH = "\N{EM DASH} "
SEED_BYTES = KEY_BYTES = 32
_SECRET = "PRIVATE+KEY"  # noqa: S105 (a word of the encoding, no secret)


class NoteError(ValueError):
    """Text that is no signed note or no key; says what it should be."""


class Key(NamedTuple):
    """A public key; `text` of it is what people hand around."""

    name: str
    kind: int
    public: bytes

    @property
    def hash(self) -> bytes:
        """The four bytes by which a signature names its key."""
        hashed = hashlib.sha256(self.name.encode() + b"\n" + bytes((self.kind,)) + self.public)
        return hashed.digest()[:4]

    @property
    def text(self) -> str:
        """`<name>+<hash>+<base64>`."""
        return f"{self.name}+{self.hash.hex()}+{_base64(bytes((self.kind,)) + self.public)}"


class Secret(NamedTuple):
    """A private key."""

    name: str
    kind: int
    seed: bytes

    @property
    def key(self) -> Key:
        """Its public half."""
        return Key(self.name, self.kind, self._private.public_key().public_bytes_raw())

    @property
    def text(self) -> str:
        """What its file holds."""
        held = _base64(bytes((self.kind,)) + self.seed)
        return f"{_SECRET}+{self.name}+{self.key.hash.hex()}+{held}"

    @property
    def _private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    def sign(self, text: str, second: int = 0) -> str:
        """The signature line for `text`; a witness's says that it looked at `second` (Unix)."""
        data, before = text.encode(), b""
        if self.kind == WITNESS:
            data, before = _witnessed(text, second), struct.pack(">Q", second)
        return f"{DASH}{self.name} {_base64(self.key.hash + before + self._private.sign(data))}\n"


def make(name: str, kind: int) -> Secret:
    """A new private key."""
    return Secret(name, kind, Ed25519PrivateKey.generate().private_bytes_raw())


def join(text: str, *lines: str) -> str:
    """A note of a text and signature lines."""
    return "".join((text, "\n", *lines))


def split(note: str) -> tuple[str, list[str]]:
    """Inverse of `join`; NoteError where there is no signature."""
    text, empty, rest = note.rpartition("\n\n")
    lines = rest.splitlines(keepends=True)
    if not empty or not lines or any(not line.startswith(DASH) for line in lines):
        raise NoteError("this is no signed note: text, an empty line, signatures")
    return text + "\n", lines


def signed_by(note: str, key: Key) -> int | None:
    """Whether `key` signed it: None, or the Unix second of a witness's look (a signer's: 0)."""
    text, lines = split(note)
    for line in lines:
        words = line.removeprefix(DASH).rstrip("\n").split(" ")
        if len(words) != 2 or words[0] != key.name:
            continue
        try:
            held = base64.b64decode(words[1], validate=True)
        except binascii.Error:
            continue
        if held[:4] != key.hash:
            continue
        second, data, signature = 0, text.encode(), held[4:]
        if key.kind == WITNESS:
            if len(held) < 12:
                continue
            second = struct.unpack(">Q", held[4:12])[0]
            data, signature = _witnessed(text, second), held[12:]
        try:
            Ed25519PublicKey.from_public_bytes(key.public).verify(signature, data)
        except InvalidSignature:
            continue
        return second
    return None


def read_key(text: str) -> Key:
    """A public key from its text; NoteError where it is none."""
    name, hashed, held = _fields(text.strip().split("+", 2))
    key = Key(name, held[0], held[1:])
    if key.hash.hex() != hashed:
        raise NoteError(f"the key {text[:40]!r} is torn: its hash does not fit")
    return key


def read_secret(text: str) -> Secret:
    """A private key from its file's text; NoteError where it is none."""
    words = text.strip().split("+", 4)
    if words[:2] != ["PRIVATE", "KEY"]:
        raise NoteError(f"a private key is {_SECRET}+name+hash+base64")
    name, hashed, held = _fields(words[2:])
    secret = Secret(name, held[0], held[1:])
    if secret.key.hash.hex() != hashed:
        raise NoteError("the private key is torn: its hash does not fit")
    return secret


def _fields(words: list[str]) -> tuple[str, str, bytes]:
    try:
        name, hashed, encoded = words
        held = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        raise NoteError("a key is name+hash+base64") from None
    if len(held) != 1 + KEY_BYTES or held[0] not in (SIGNER, WITNESS):
        raise NoteError("a key is 32 bytes of Ed25519 behind a byte that says its kind")
    return name, hashed, held


def _witnessed(text: str, second: int) -> bytes:
    return f"cosignature/v1\ntime {second}\n{text}".encode()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
