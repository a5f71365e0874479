"""What people see while they wait: plain lines where nobody looks on, a bar where somebody does."""

import pytest

from homespun.cli import terminal
from homespun.cli.terminal import PlainReporter, RichReporter, TimeLeft, choose_reporter, readable_time


@pytest.mark.parametrize(("seconds", "words"), [(0, "0:00"), (67, "1:07"), (3_600 + 65, "1:01:05"), (-5, "0:00")])
def test_readable_time(seconds: float, words: str) -> None:
    assert readable_time(seconds) == words


def test_time_left_counts_only_the_work_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    left = TimeLeft()
    assert left.words(500, 1000) == "?"  # a resumed run shows what it had
    now[0] += 10
    assert left.words(510, 1000) == readable_time(490)


def test_plain_lines_without_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "SECONDS_BETWEEN_LINES", 0.0)
    reporter = choose_reporter()
    assert isinstance(reporter, PlainReporter)
    with reporter.stage("training", 10, "steps") as stage:
        stage.advance(2)
        stage.resize(20)
        stage.tell("loss 3.1")
        stage.advance(3)
    reporter.warn("careful")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "25%, 5 steps, loss 3.1" in captured.err and "warning: careful" in captured.err


def test_a_bar_in_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = RichReporter()
    with reporter.stage("training", 10, "steps") as stage:
        stage.advance(4)
        stage.resize(8)
        stage.tell("loss [3.1]")
        stage.advance(4)
    reporter.sample("step 1", "def ", "[bold]pop[/bold](self)")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "100%" in captured.err and "loss [3.1]" in captured.err and "[bold]pop" in captured.err
