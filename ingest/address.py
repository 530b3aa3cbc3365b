"""Shape: where a server is, and what it takes to be let in there. Secrets are files that it names.

`scheme://user[:password]@host:port[,host:port][/path][?ca=FILE&certificate=FILE&key=FILE`
`&password_file=FILE]` of Kafka, Redis and ClickHouse alike. What is written, logged or handed to a
child is the address; the secret is read by who connects, when it connects.
"""

import os
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlencode

FILES = ("ca", "certificate", "key", "password_file")
_ADDRESS = re.compile(r"(?:(?P<scheme>[a-z][a-z0-9_+]*)://)?(?P<rest>.*)", re.DOTALL)


class AddressError(ValueError):
    """An address that cannot be; the text says what is wrong and never the secret."""


@dataclass(frozen=True, slots=True, repr=False)
class Address:
    """What `parse` found; "" where nothing was said."""

    scheme: str
    hosts: tuple[str, ...]  # host:port, or host.
    path: str
    user: str
    secret: str  # As it stood in the address.
    files: dict[str, str]
    other: dict[str, str]  # Options that are the client's own.

    def __repr__(self) -> str:
        """Without what is secret."""
        return shown(self.bare)

    @property
    def bare(self) -> str:
        """The address without anybody's name, password or files."""
        head = f"{self.scheme}://" if self.scheme else ""
        tail = f"?{urlencode(self.other)}" if self.other else ""
        return head + ",".join(self.hosts) + self.path + tail

    @property
    def encrypted(self) -> bool:
        """Whether its scheme is one that encrypts."""
        return self.scheme.partition("+")[0] in ("rediss", "https", "ssl", "sasl_ssl")

    @property
    def password(self) -> str:
        """As it stands in the file that is named, now, else in the address."""
        path = self.files.get("password_file")
        if not path:
            return self.secret
        try:
            return Path(path).read_text().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "is no text"
            raise AddressError(f"the password file {path} cannot be read: {reason}") from None

    def context(self) -> ssl.SSLContext:
        """For clients of Python's own."""
        made = ssl.create_default_context(cafile=self.files.get("ca"))
        if "certificate" in self.files:
            made.load_cert_chain(self.files["certificate"], self.files.get("key"))
        return made


def parse(text: str) -> Address:
    """AddressError for what is none: files without encryption, or that are not there."""
    found = _ADDRESS.fullmatch(text)
    assert found is not None  # It fits anything.
    scheme = found["scheme"] or ""
    where, _, query = found["rest"].partition("?")
    secret, _, where = where.rpartition("@")
    hosts, slash, path = where.partition("/")
    user, _, password = secret.partition(":")
    options = dict(parse_qsl(query, keep_blank_values=True))
    files = {name: options.pop(name) for name in FILES if name in options}
    named = tuple(filter(None, hosts.split(",")))
    whole = (unquote(user), unquote(password))
    made = Address(scheme, named, slash + path, *whole, files, options)
    if not made.encrypted and set(files) - {"password_file"}:
        raise AddressError("should say ca, certificate and key where its scheme encrypts alone")
    if ("certificate" in files) != ("key" in files):
        raise AddressError("should name both certificate and key, or none of them")
    for name, path in files.items():
        if not os.path.isfile(path):  # noqa: PTH113 (also what no path can be is no file)
            raise AddressError(f"should name a file that is there: {name}={path} is none")
    return made


def shown(text: object) -> str:
    """An address as it may be told to anybody: what stands before its hosts is hidden."""
    return re.sub(r"^([a-z][a-z0-9_+]*://)?\S*@", r"\1***@", str(text))
