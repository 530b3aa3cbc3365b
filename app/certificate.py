"""Door: X.509, for the doctor. Whether a certificate opens the pages' door, for whom, how long."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509


class CertificateError(ValueError):
    """No certificate, or not of that key; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What it says of itself."""

    names: tuple[str, ...]  # Hosts and addresses that it stands for.
    ends_ns: int

    def covers(self, host: str) -> bool:
        """Whether it stands for that host; a star stands for one label."""
        return host in self.names or f"*.{host.partition('.')[2]}" in self.names


def read(certificate: Path, key: Path | None) -> Certificate:
    """CertificateError where a server could not start with these two."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
    except (OSError, ValueError) as error:  # SSLError is an OSError.
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise CertificateError(f"{certificate} and {key} do not fit: {reason}") from None
    names: list[str] = []
    try:
        said = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names += said.get_values_for_type(x509.DNSName)
        names += map(str, said.get_values_for_type(x509.IPAddress))
    except x509.ExtensionNotFound:
        pass
    return Certificate(tuple(names), round(found.not_valid_after_utc.timestamp()) * 10**9)
