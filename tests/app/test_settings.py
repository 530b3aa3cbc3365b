import json
import os

import pytest

from app import settings as settings_room
from app import standins
from app.settings import PREFIX, Settings, SettingsError, load, process_mark
from ingest.address import shown


@pytest.fixture
def running(settings):
    """A data folder on which this very process plays the running `up`."""
    settings.data.mkdir()

    def write(**changes):
        run = {"pid": os.getpid(), "process_mark": process_mark(os.getpid())}
        run |= {"redis": "redis://127.0.0.1:7/0", "kafka": "127.0.0.1:8", "database": "night"}
        settings.run_file.write_text(json.dumps(run | changes))
        return settings.data

    return write


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rate": 0}, "--rate is 0"),
        ({"rate": -5}, "--rate is -5 but should be greater than 0"),
        ({"rate": float("nan")}, "--rate is nan"),
        ({"rate": 3e6}, "--rate is 3000000.0 but should be less than or equal to 2000000"),
        ({"port": 0}, "--port"),
        ({"port": 65_536}, "--port"),
        ({"partitions": 0}, "--partitions"),
        ({"web": 0}, "--web"),
        ({"kafka": "localhost"}, "host:port"),
        ({"redis": "127.0.0.1:6379"}, "redis://"),
        ({"redis": "redis+sentinel://127.0.0.1:26379"}, "redis+sentinel://host:port"),
        ({"redis": "redis+sentinel://127.0.0.1/service"}, "redis+sentinel://host:port"),
        ({"clickhouse": "127.0.0.1"}, "http://"),
        ({"database": "a; drop"}, "--database"),
        (
            {"reference": "/no/such/rows.csv"},
            "--reference is /no/such/rows.csv but should be a file",
        ),
        ({"fund": "/no/such/fund.toml"}, "--fund is /no/such/fund.toml but should be a file"),
    ],
)
def test_a_wrong_setting_is_named_with_what_it_should_be(given, said):
    with pytest.raises(SettingsError) as error:
        load(**given)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_an_error_from_the_environment_names_the_variable(monkeypatch):
    monkeypatch.setenv("TICKGLASS_PORT", "abc")
    with pytest.raises(SettingsError, match="TICKGLASS_PORT is abc but should be a valid integer"):
        load()


def test_every_setting_says_what_it_is():
    assert all(field.description for field in Settings.model_fields.values())


def test_command_line_before_environment_before_run_file(monkeypatch, running):
    data = running()
    assert load(data=data).redis == "redis://127.0.0.1:7/0"
    assert load(data=data).database == "night"
    monkeypatch.setenv("TICKGLASS_REDIS", "redis://127.0.0.1:9/0")
    assert load(data=data).redis == "redis://127.0.0.1:9/0"
    assert load(data=data, redis="redis://127.0.0.1:10/0").redis == "redis://127.0.0.1:10/0"


def test_the_data_folder_of_the_environment_is_where_run_json_is_looked_for(monkeypatch, running):
    monkeypatch.setenv("TICKGLASS_DATA", str(running()))
    assert load().kafka == "127.0.0.1:8"


@pytest.mark.parametrize("changes", [{"pid": 0}, {"process_mark": "1"}, {"pid": 2**22 + 1}])
def test_the_run_file_of_a_process_that_ended_gives_no_address(running, changes):
    assert load(data=running(**changes)).redis == ""


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}', "null"])
def test_a_torn_run_file_gives_no_address(settings, text):
    settings.data.mkdir()
    settings.run_file.write_text(text)
    assert load(data=settings.data).redis == ""


def test_redis_may_be_named_by_its_sentinels():
    url = "redis+sentinel://:geheim@one:26379,two:26379/tickglass/0"
    assert load(redis=url).redis == url
    assert "geheim" not in repr(load(redis=url))


def test_passwords_are_in_no_repr_and_no_error():
    secret = "redis://user:geheim@host:1/0"
    found = load(redis=secret, clickhouse="http://me:geheim@host:8123")
    assert found.redis == secret
    assert "geheim" not in repr(found)
    assert "geheim" not in str(found)
    with pytest.raises(SettingsError) as error:
        load(clickhouse="htp://me:geheim@host")
    assert "geheim" not in str(error.value)
    assert shown(secret) == "redis://***@host:1/0"


def test_a_child_reads_the_very_same_settings(monkeypatch, tmp_path):
    (tmp_path / "fund.toml").touch()
    given = load(
        data=tmp_path,
        rate=17.5,
        redis="redis://127.0.0.1:9/0",
        seed=3,
        fund=tmp_path / "fund.toml",
    )
    told = {k: v for k, v in given.environment().items() if k.startswith(PREFIX)}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert load() == given
    assert "TICKGLASS_PORT" not in told, "a default need not travel"


def test_settings_never_change_after_they_were_read(settings):
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1


def test_the_last_database_outlives_its_run(settings):
    assert settings_room.last_database(settings) == "tickglass"
    settings.data.mkdir()
    settings.run_file.write_text(json.dumps({"pid": 0, "database": "tickglass_20260102_030405"}))
    assert settings_room.last_database(settings) == "tickglass_20260102_030405"


def test_pages_beyond_this_machine_ask_who_comes_unless_that_is_wanted(tickglass):
    assert load(insecure_demo=True).audience == (
        "Pages are served on this machine alone, to whoever comes: nobody is asked who it is."
    )
    given = {"TICKGLASS_LISTEN": "0.0.0.0"}
    port = str(standins.free_port())
    refused = tickglass("up", "--port", port, **given)
    assert refused.returncode != 0
    assert "to whoever comes: name an access file" in refused.stderr
    allowed = tickglass("up", "--port", port, "--insecure-demo", **given)
    assert allowed.returncode != 0  # Without a certificate it does not start all the same.
    assert "to whoever comes" not in allowed.stderr
    assert "without encryption" in allowed.stderr
