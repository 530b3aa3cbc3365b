"""How many workers there are: what is asked for, what cannot be, and who hangs."""

import pytest

from app import worker_commands, workers
from app.settings import SettingsError, load
from app.watch import SILENT, UP, RoleState


def role(name: str, state: str, beat: str = "running") -> RoleState:
    return RoleState(name, state, 0.0, 0.0, "", 0.0, {"state": beat}, {})


def test_a_group_is_one_process_or_as_many_as_share():
    assert workers.names("live", 0) == ["live"]
    assert workers.names("live", 2) == ["live.0", "live.1"]


def test_what_is_wanted_is_asked_for_once(tmp_path):
    assert workers.wanted(tmp_path) == {}
    workers.want(tmp_path, {"live": 3})
    assert workers.wanted(tmp_path) == {"live": 3}
    assert workers.wanted(tmp_path) == {}
    for nonsense in ("", "[]", '{"live": "many"}', '{"live": -1, "web": 3}'):
        (tmp_path / workers.WANTED).write_text(nonsense)
        assert workers.wanted(tmp_path) == {}


def test_who_is_silent_look_after_look_hangs():
    hung = workers.Hung()
    silent = [role("live.0", SILENT), role("record.1", SILENT), role("web.5006", SILENT)]
    for _ in range(workers.HUNG_LOOKS - 1):
        assert hung.take(silent) == []
    assert hung.take([role("live.0", UP), *silent[1:]]) == ["record.1"]
    for _ in range(workers.HUNG_LOOKS - 1):
        assert hung.take(silent) == []
    starting = [role("live.0", SILENT, "starting")]
    assert [hung.take(starting) for _ in range(9)] == [[]] * 9
    assert hung.take(silent) == []
    hung.forget()  # Redis did not answer: nobody could be heard.
    assert hung.take(silent) == []


def test_there_is_a_partition_for_each_worker():
    assert worker_commands.dealt(load()).partitions == 1
    assert worker_commands.dealt(load(live=2, record=3)).partitions == 3
    assert worker_commands.dealt(load(live=2, partitions=4)).partitions == 4
    with pytest.raises(SettingsError, match=r"3 workers cannot share 2 .*add --partitions 3"):
        worker_commands.dealt(load(record=3, partitions=2))


def test_workers_are_changed_of_an_up_that_runs(tickglass):
    found = tickglass("workers", "--live", "2")
    assert found.returncode == 1
    assert "No ./tickglass up runs on the data folder" in found.stderr
