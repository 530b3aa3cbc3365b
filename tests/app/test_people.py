"""Who may come in: the access file, passwords, keys, cookies, tokens, and who was signed out."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.people import ONCE_SECONDS, AccessError, People, Signed, hashed, mark_of, read
from compute.bus import BusError

SECRET = "s" * 64


class Store:
    """Redis, as far as it is needed."""

    def __init__(self) -> None:
        self.kept, self.out, self.away = {}, {}, False

    def keep_once(self, mark, data, seconds):
        assert seconds == ONCE_SECONDS
        self.kept[mark] = data

    def take_once(self, mark):
        return self.kept.pop(mark, None)

    def sign_out(self, person, ts_s):
        if self.away:
            raise BusError("away")
        self.out[person] = ts_s

    def signed_out(self):
        if self.away:
            raise BusError("away")
        return dict(self.out)


class World:
    def __init__(self, folder, text="") -> None:
        self.path, self.kept = folder / "access.toml", folder / "out.json"
        self.now_s = 1_000_000.0
        self.store = Store()
        self.write(text)
        self.people = self.another()

    def write(self, text, mode=0o600):
        self.path.write_text(text)
        self.path.chmod(mode)
        os.utime(self.path, ns=(1, int(self.now_s * 1e9)))

    def another(self):
        return People(self.path, SECRET, self.store, self.kept, lambda: self.now_s)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("passwords = [", "is no TOML"),
        ("passwordz = {}", "passwordz: Extra inputs are not permitted"),
        ("portals = 7", "portals: Input should be a valid tuple"),
        ('portals = ["portal.firm.example"]', "portals.0: String should match pattern"),
        ('portals = ["https://*"]', "portals.0: String should match pattern"),
        ('[passwords]\n"a b" = "x"', "String should match pattern"),
        ('[keys]\nportal = "the key itself"', "keys.portal: String should match pattern"),
        ('tokens = ["portal"]', "tokens: portal has no key"),
        ("hours = 1000", "hours: Input should be less than or equal to 168"),
        ('[oidc]\nissuer = "x"\nclient = "y"', "oidc.issuer: String should match pattern"),
        ('[oidc]\nissuer = "https://x"', "oidc.client: Field required"),
        ('[oidc]\nissuer = "https://x"\nclient = "y"\nsecret_file = "/no/such"', "No such file"),
    ],
)
def test_a_file_that_cannot_be_says_what_is_wrong(tmp_path, text, said):
    world = World(tmp_path)
    world.write(text)
    with pytest.raises(AccessError) as error:
        read(world.path)
    assert said in str(error.value)
    assert str(world.path) in str(error.value) or "/no/such" in str(error.value)
    assert "the key itself" not in str(error.value)


def test_a_file_that_others_can_read_is_refused(world):
    world.write("", mode=0o640)
    with pytest.raises(AccessError, match="chmod 600"):
        read(world.path)


def test_a_password_lets_its_person_in_and_nobody_else(world):
    world.write(f'[passwords]\nann = "{hashed("right")}"\nbob = "no hash"')
    people = world.another()
    assert people.of_password("ann", "right").person == "ann"
    for person, password in (("ann", "wrong"), ("bob", "no hash"), ("eve", "right"), ("", "")):
        assert people.of_password(person, password) is None


def test_a_cookie_holds_for_its_hours_and_is_renewed_for_days(world):
    people = world.people
    cookie = people.cookie(Signed("ann", world.now_s))
    signed = people.of_cookie(cookie)
    assert signed == Signed("ann", world.now_s)
    assert people.fresh(cookie)
    world.now_s += 6 * 3600
    assert people.of_cookie(cookie) == signed
    assert not people.fresh(cookie)
    renewed = people.cookie(signed)
    world.now_s += 7 * 3600
    assert people.of_cookie(cookie) is None
    assert people.of_cookie(renewed) == signed
    for _ in range(30):
        world.now_s += 6 * 3600
        renewed = people.cookie(signed)
    assert people.of_cookie(renewed) is None  # However often: after a week one signs in again.


@given(st.text(max_size=200))
def test_no_other_text_is_a_cookie(tmp_path_factory, text):
    people = World(tmp_path_factory.mktemp("people")).people
    assert people.of_cookie(text) is None
    assert people.of_once(text) is None
    assert people.of_key(text) is None


@given(st.data())
def test_a_cookie_with_one_character_changed_is_none(tmp_path_factory, data):
    world = World(tmp_path_factory.mktemp("people"))
    cookie = world.people.cookie(Signed("ann", world.now_s))
    at = data.draw(st.integers(0, len(cookie) - 1))
    other = data.draw(st.characters(codec="ascii", exclude_characters=cookie[at]))
    assert world.people.of_cookie(cookie[:at] + other + cookie[at + 1 :]) is None


def test_a_token_is_taken_once(world):
    token = world.people.once("ann@firm.example")
    assert token not in json.dumps([*world.store.kept])  # Kept is only its mark.
    assert world.another().of_once(token).person == "ann@firm.example"
    assert world.people.of_once(token) is None
    with pytest.raises(AccessError):
        world.people.once("ann\nSet-Cookie: x")


def test_a_key_is_a_services(world):
    world.write(f'[keys]\nportal = "{mark_of("key")}"')
    people = world.another()
    signed = people.of_key("key")
    assert (signed.person, signed.service) == ("portal", True)
    assert people.of_key("other") is None
    assert people.holds(signed)
    world.now_s += 1
    world.write("")
    people.look()
    assert not people.holds(signed)
    assert people.of_key("key") is None


def test_who_is_signed_out_is_out_everywhere_and_stays_so(world):
    people, elsewhere = world.people, world.another()
    before = people.cookie(Signed("ann", world.now_s))
    world.now_s += 1
    people.sign_out("ann")
    assert people.of_cookie(before) is None
    assert elsewhere.of_cookie(before) is not None
    elsewhere.look()
    assert elsewhere.of_cookie(before) is None
    world.store.out.clear()  # Redis forgets: who knows puts it back.
    people.look()
    assert world.store.out == {"ann": world.now_s}
    world.store.out.clear()
    assert world.another().of_cookie(before) is None  # All begin anew: the file knows.
    world.now_s += 1
    assert people.of_cookie(people.cookie(Signed("ann", world.now_s)))
    assert people.of_cookie(people.cookie(Signed("bob", 1_000_000.0)))


def test_a_password_that_is_changed_or_taken_away_ends_what_it_had_opened(world):
    world.write(f'[passwords]\nann = "{hashed("right")}"\nbob = "{hashed("his")}"')
    people = world.another()
    signed = [people.of_password("ann", "right"), people.of_password("bob", "his")]
    ann, bob = (people.cookie(one) for one in signed)
    provided = people.cookie(Signed("ann", world.now_s))  # By the firm's sign-in.
    assert people.of_cookie(people.cookie(people.of_cookie(ann))) == signed[0]  # Renewed.
    world.write(f'[passwords]\nann = "{hashed("other")}"')
    people = world.another()
    assert people.of_cookie(ann) is people.of_cookie(bob) is None
    assert not people.holds(signed[0])
    assert people.of_cookie(provided) is not None
    assert people.of_cookie(people.cookie(people.of_password("ann", "other"))) is not None


def test_without_redis_one_is_signed_out_here_and_later_everywhere(world):
    elsewhere = world.another()
    cookie = world.people.cookie(Signed("ann", world.now_s))
    world.store.away = True
    world.now_s += 1
    world.people.sign_out("ann")
    assert world.people.of_cookie(cookie) is None
    world.store.away = False
    world.people.look()
    elsewhere.look()
    assert elsewhere.of_cookie(cookie) is None


def test_a_later_file_that_cannot_be_changes_nothing_and_is_told(world):
    world.write('portals = ["https://a.example"]')
    world.now_s += 1
    people = world.another()
    world.write("portals = 7")
    people.look()
    assert people.access.portals == ("https://a.example",)
    assert "portals" in people.problem
    world.now_s += 1
    world.write('portals = ["https://b.example"]')
    people.look()
    assert (people.access.portals, people.problem) == (("https://b.example",), "")
