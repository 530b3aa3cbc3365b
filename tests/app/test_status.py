import io

from app import status

NOW = 1_000_000.0
LIVE = {"now_ms": NOW - 500, "events_per_s": 100_012, "behind_s": 0.012, "gaps": 0}
RECORD = {"now_ms": NOW - 900, "recorded_rows": 1_234_567, "behind_s": 1.46}
WEB = {"now_ms": NOW, "glass_ms_p99": 31.4, "sessions": 2}


def test_all_is_well():
    health = {"live.0": LIVE, "record.0": RECORD, "web.5006": WEB}
    assert status.line(health, NOW) == (
        "100,012 events/s · behind 12 ms · recorded 1,234,567 rows · record behind 1.5 s"
        " · glass p99 31 ms · 2 pages"
    )


def test_several_processes_are_summed_and_the_slowest_counts():
    health = {"live.0": LIVE, "live.1": LIVE | {"behind_s": 2.0}, "web.1": WEB, "web.2": WEB}
    line = status.line(health, NOW)
    assert line.startswith("200,024 events/s · behind 2.0 s")
    assert "4 pages" in line


def test_unknown_is_a_dash_and_old_news_are_none():
    line = status.line({"live.0": LIVE | {"now_ms": NOW - 6_000}, "web.1": {"now_ms": NOW}}, NOW)
    assert line.startswith("- events/s · behind -")
    assert "glass p99 -" in line
    assert line.endswith("no news of live, record")


def test_troubles_are_shown_when_there_are_some():
    assert "7 gaps" in status.line({"live.0": LIVE | {"gaps": 7, "quarantined": 2}}, NOW)
    assert "2 quarantined" in status.line({"live.0": LIVE | {"gaps": 7, "quarantined": 2}}, NOW)
    assert "gaps" not in status.line({"live.0": LIVE}, NOW)


def test_risk_is_told_where_there_is_one():
    health = {"live.0": LIVE, "record.0": RECORD, "web.5006": WEB}
    assert "risk" not in status.line(health, NOW)
    risk = {"now_ms": NOW - 100, "behind_s": 0.12, "limits_breached": 2, "limits_unknown": 0}
    line = status.line(health | {"risk.0": risk}, NOW)
    assert line.endswith("2 pages · risk behind 120 ms · 2 limits breached")
    line = status.line(health | {"risk.0": risk | {"now_ms": NOW - 9_000}}, NOW)
    assert line.endswith("risk behind - · no news of risk")


def test_who_has_reported_since():
    health = {"live.0": LIVE, "record.0": RECORD}
    assert status.reported(health, NOW - 1_000, ["live", "record"])
    assert not status.reported(health, NOW - 600, ["live", "record"])
    assert not status.reported({"live.0": LIVE}, 0, ["live", "record"])


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_overwrites_the_status_and_keeps_sentences():
    out = Terminal()
    screen = status.Screen(out)
    screen.status("one")
    screen.status("two")
    screen.say("sentence")
    screen.status("three")
    screen.close()
    assert out.getvalue() == "one\r\033[Ktwo\r\033[Ksentence\nthree\n"


def test_a_file_gets_one_line_each():
    out = io.StringIO()
    screen = status.Screen(out)
    screen.status("one")
    screen.say("sentence")
    screen.close()
    assert out.getvalue() == "one\nsentence\n"
