import pytest

from alpha_panda.cli.output import moment, say_table

ROWS = [("a", "one\ttwo\nthree"), ("b", "[bold]x")]


@pytest.mark.parametrize(
    ("ts", "text"),
    [
        (None, None),
        (0, "1970-01-01T00:00:00.000Z"),
        (1_700_000_000_123_999_999, "2023-11-14T22:13:20.123Z"),
    ],
)
def test_moments_are_iso_in_utc(ts: int | None, text: str | None) -> None:
    assert moment(ts) == text


def test_in_a_pipe_a_row_is_a_line_and_a_cell_has_no_tab(capsys: pytest.CaptureFixture[str]) -> None:
    say_table(("name", "what"), ROWS)
    assert capsys.readouterr().out == "NAME\tWHAT\na\tone two three\nb\t[bold]x\n"


def test_on_a_terminal_it_is_a_table_of_plain_text(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    say_table(("name", "what"), ROWS)
    out = capsys.readouterr().out
    assert "\t" not in out.replace("one\ttwo", "")
    assert "[bold]x" in out
    assert "─" in out
