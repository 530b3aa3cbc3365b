"""One after the other: the next server ends only when the last one serves again."""

from app.rolling import Rolling


def test_the_next_ends_when_the_last_serves():
    serving, done = {"a", "b", "c"}, []

    def again(name):
        assert len(serving) == 3, "somebody must serve the pages of this one"
        serving.remove(name)
        done.append(name)

    rolling = Rolling(["a", "b", "c"], again, lambda name: name in serving)
    assert rolling.step() == 1
    assert [rolling.step() for _ in range(3)] == [0, 0, 0]
    assert done == ["a"]
    for name in ("a", "b", "c"):
        assert not rolling.done
        serving.add(name)
        assert rolling.step() == 1
    assert done == ["a", "b", "c"]
    assert rolling.done
