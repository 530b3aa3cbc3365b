"""Door: keys in files. The private one readable to its owner alone, the public ones in a list.

The list is append-only. Each entry is a signed note that names a key and the moment from which it
holds; the first is signed by itself, each next one by the key before it. Who trusts the first
line, or any one key of the list, can follow the rotations from there, and a key that has been
replaced signs nothing later.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from compute import note
from compute.note import Key, NoteError, Secret

_HEAD = "tickglass key"


class KeyFileError(RuntimeError):
    """The keys cannot be read or are not what they should be; says where and what to do."""


class Entry(NamedTuple):
    """A key and the moment (ns) from which it holds."""

    key: Key
    since_ns: int


def keep(path: Path, data: bytes) -> None:
    """Append to a file and have it on the disk before returning; OSError if that fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


class Keys:
    """One role's keys in `folder`: `<role>.key`, private, and `<role>.keys`, the list."""

    def __init__(self, folder: Path, role: str, kind: int = note.SIGNER) -> None:
        """Nothing is made or read yet."""
        self.role, self.kind = role, kind
        self.private, self.list = folder / f"{role}.key", folder / f"{role}.keys"

    @contextmanager
    def held(self, now_ns: int) -> Iterator[Secret]:
        """The present private key, made if there is none; no rotation happens meanwhile."""
        self.list.parent.mkdir(parents=True, exist_ok=True)
        with self.list.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self.private.exists() and not self.list.exists():
                self._renew(None, now_ns)
            secret = self._read()
            if secret.key != self.entries()[-1].key:
                raise KeyFileError(
                    f"{self.private} is not the newest key of {self.list}: put the right one there"
                )
            yield secret

    def rotate(self, now_ns: int) -> Key:
        """Make a new key, signed by the present one; the present one is forgotten."""
        with self.held(now_ns) as old:
            return self._renew(old, now_ns).key

    def _renew(self, old: Secret | None, now_ns: int) -> Secret:
        new = note.make(f"tickglass-{self.role}", self.kind)
        text = f"{_HEAD}\n{new.key.text}\nsince {now_ns}\n"
        entry = note.join(text, (old or new).sign(text, now_ns // 1_000_000_000))
        draft = self.private.with_suffix(".draft")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(new.text + "\n")
            file.flush()
            os.fsync(file.fileno())
        # The list first: a kill in between leaves a key that `held` refuses, none that is lost.
        keep(self.list, json.dumps(entry, ensure_ascii=False).encode() + b"\n")
        draft.replace(self.private)
        return new

    def _read(self) -> Secret:
        draft = self.private.with_suffix(".draft")
        try:
            secret = note.read_secret(self.private.read_text()) if self.private.exists() else None
            if draft.exists():  # Killed between list and rename.
                waiting = note.read_secret(draft.read_text())
                if waiting.key == self.entries()[-1].key:
                    draft.replace(self.private)
                    secret = waiting
        except (OSError, NoteError) as error:
            raise KeyFileError(f"{self.private} cannot be read: {error}") from None
        if secret is None:
            raise KeyFileError(
                f"{self.private} is missing, but {self.list} is there: put the key back"
            )
        return secret

    def entries(self) -> list[Entry]:
        """The list, each entry checked against the one before; [] where there is none."""
        return read(self.list)


def read(path: Path) -> list[Entry]:
    """The list of keys in a file; KeyFileError where an entry is not signed by the one before."""
    found: list[Entry] = []
    lines = path.read_bytes().splitlines() if path.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            signed = str(json.loads(line))
            head, key_text, since = note.split(signed)[0].splitlines()
            entry = Entry(note.read_key(key_text), int(since.removeprefix("since ")))
        except (ValueError, NoteError):
            raise KeyFileError(f"{path} line {number} is no key") from None
        signer = found[-1].key if found else entry.key
        later = not found or entry.since_ns > found[-1].since_ns
        if head != _HEAD or not later or note.signed_by(signed, signer) is None:
            raise KeyFileError(f"{path} line {number}: this key is not signed by the one before it")
        found.append(entry)
    return found


def at(entries: list[Entry], ts_ns: int) -> Key | None:
    """The key that held at a moment."""
    return next((one.key for one in reversed(entries) if one.since_ns <= ts_ns), None)
