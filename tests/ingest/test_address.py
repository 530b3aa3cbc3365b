"""Addresses: what is said in them, what is not, and that no secret is ever shown."""

import pytest

from ingest.address import AddressError, parse, shown


def test_an_address_is_read_whole_and_its_secret_is_read_late(tmp_path):
    secret, ca = tmp_path / "secret", tmp_path / "ca.pem"
    secret.write_text("first\n")
    ca.touch()
    text = f"rediss+sentinel://me@one:1,two:2/main/3?ca={ca}&password_file={secret}&mechanism=PLAIN"
    found = parse(text)
    assert (found.scheme, found.hosts, found.path) == (
        "rediss+sentinel",
        ("one:1", "two:2"),
        "/main/3",
    )
    assert (found.user, found.password, found.encrypted) == ("me", "first", True)
    assert found.bare == "rediss+sentinel://one:1,two:2/main/3?mechanism=PLAIN"
    secret.write_text("second")
    assert found.password == "second"
    secret.unlink()
    with pytest.raises(AddressError, match="cannot be read"):
        _ = found.password


@pytest.mark.parametrize(
    "text", ["127.0.0.1:1", "a:1,b:2", "redis://h:1/0", "unix:///run/redis.sock", "http://h"]
)
def test_without_a_secret_it_is_what_it_was(text):
    assert parse(text).bare == shown(text) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("redis://h:1/0?ca=/etc/hostname", "encrypts"),
        ("rediss://h:1/0?certificate=/etc/hostname", "both certificate and key"),
        ("rediss://h:1/0?ca=/no/such/file", "ca=/no/such/file is none"),
        ("https://h?password_file=\0", "is none"),
    ],
)
def test_what_cannot_be_is_refused(text, said):
    with pytest.raises(AddressError, match=said):
        parse(text)


@pytest.mark.parametrize("secret", ["hush", "hu/sh", "hu@sh", "hu:sh?x", "hush%40", "//hush"])
@pytest.mark.parametrize("scheme", ["redis://", "sasl_ssl://", "", "http://"])
def test_no_secret_is_shown(scheme, secret):
    assert "sh" not in shown(f"{scheme}me:{secret}@host:1/0").partition("***@")[0]
    assert shown(f"{scheme}me:{secret}@host:1/0").endswith("***@host:1/0")
    assert parse(f"redis://me:{secret.replace('?', '')}@host:1/0").secret
