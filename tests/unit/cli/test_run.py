"""`alpha-panda run`: what it prints, what it writes, how it ends."""

import json
import socket
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from alpha_panda.compose.summary import RunSummary
from unit.cli.kit import (
    OPENING,
    SYMBOL,
    Alpha,
    account,
    broken,
    feed,
    platform,
    rows,
    strategy,
    wall_clock_feed,
)

SHAPE = {
    "ticks": int,
    "signals": {"raw": int, "validated": int, "rejected": int},
    "orders": {"submitted": int, "filled": int, "failed": int, "cancelled": int},
    "dlq": int,
    "duration_seconds": float,
    "accounts": {
        "paper": {
            "cash": str,
            "equity": str,
            "realized_pnl": str,
            "unrealized_pnl": str,
            "fees": str,
            "positions": {SYMBOL: {"quantity": str, "average_price": str}},
        }
    },
}


HOLDING = (500, 520, 540, 560, 580)  # the strategy holds something at the end of one of them at least


def shape_of(value: Any) -> Any:
    return {key: shape_of(item) for key, item in value.items()} if isinstance(value, dict) else type(value)


def events_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


class TestJson:
    def test_stdout_is_one_object_of_the_promised_shape_and_nothing_else(self, alpha: Alpha) -> None:
        path = alpha.write("all.yaml", platform())
        runs = (
            alpha("run", path, "--output", "json", "--max-ticks", ticks, "--seed", 3) for ticks in HOLDING
        )
        called = next(run for run in runs if run.json["accounts"]["paper"]["positions"])
        assert (called.code, called.err) == (0, "")
        assert called.out.count("\n") == 1
        assert list(called.json) == list(SHAPE)
        assert shape_of(called.json) == SHAPE
        assert called.json["ticks"] in HOLDING
        assert called.json["orders"]["filled"] > 0

    def test_logs_go_to_stderr(self, alpha: Alpha, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ALPHAPANDA_LOG_LEVEL", "INFO")
        called = alpha("run", alpha.write("all.yaml", platform()), "--output", "json", "--max-ticks", 50)
        assert called.json["ticks"] == 50
        told = [json.loads(line) for line in called.err.splitlines()]
        assert Counter(line["event"] for line in told)["service stopped"] == 7  # two engines

    def test_equity_is_the_cash_and_the_positions_and_cash_keeps_its_digits(self, alpha: Alpha) -> None:
        path = alpha.write("all.yaml", platform())
        events = alpha.folder / "events.jsonl"
        called = alpha("run", path, "--output", "json", "--max-ticks", 400, "--seed", 3, "--events", events)
        book = called.json["accounts"]["paper"]
        last = [event for event in events_of(events) if event["type"] == "MARKET_TICKS"][-1]["data"]["ticks"][
            -1
        ]
        held = sum(Decimal(view["quantity"]) for view in book["positions"].values())
        price = Decimal(str(last["last_price"]))
        assert Decimal(book["equity"]) == Decimal(book["cash"]) + held * price
        made = Decimal(book["realized_pnl"]) + Decimal(book["unrealized_pnl"]) - Decimal(book["fees"])
        assert Decimal(book["equity"]) == Decimal(OPENING) + made
        assert -Decimal(book["cash"]).as_tuple().exponent <= 4  # type: ignore[operator]

    def test_counts_are_of_distinct_ids(self, alpha: Alpha) -> None:
        path, events = alpha.write("all.yaml", platform()), alpha.folder / "events.jsonl"
        called = alpha("run", path, "--output", "json", "--max-ticks", 600, "--seed", 3, "--events", events)
        told = events_of(events)
        ids = {
            kind: {event["data"].get("signal_id") or event["id"] for event in told if event["type"] == kind}
            for kind in ("TRADING_SIGNAL", "ORDER_FILLED")
        }
        filled_events = sum(event["type"] == "ORDER_FILLED" for event in told)
        assert called.json["signals"]["raw"] == len(ids["TRADING_SIGNAL"])
        assert (
            called.json["orders"]["filled"] == len(ids["ORDER_FILLED"]) < filled_events
        )  # some fill in parts


class TestEvents:
    @pytest.fixture
    def told(self, alpha: Alpha) -> list[dict[str, Any]]:
        path = alpha.folder / "events.jsonl"
        documents = platform(account=account(risk={"maxOrderQuantity": "9"}))
        manifest = alpha.write("all.yaml", documents)
        assert alpha("run", manifest, "--max-ticks", 300, "--seed", 3, "--events", path).code == 0
        return events_of(path)

    def test_every_line_is_an_envelope_with_its_place(self, told: list[dict[str, Any]]) -> None:
        fields = {"id", "type", "version", "ts", "source", "account", "key", "correlation_id", "causation_id"}
        for line in told:
            assert fields | {"data", "topic", "partition", "offset"} == line.keys()
        places = [(line["topic"], line["partition"], line["offset"]) for line in told]
        assert len(set(places)) == len(places)
        for topic, partition in {place[:2] for place in places}:
            offsets = [place[2] for place in places if place[:2] == (topic, partition)]
            assert offsets == list(range(len(offsets)))

    def test_a_tick_record_is_called_by_its_place_and_holds_objects(self, told: list[dict[str, Any]]) -> None:
        batches = [line for line in told if line["type"] == "MARKET_TICKS"]
        assert {line["topic"] for line in batches} == {"demo.market.ticks"}
        for line in batches:
            assert line["id"] == f"{line['topic']}/{line['partition']}/{line['offset']}"
        ticks = [tick for line in batches for tick in line["data"]["ticks"]]
        assert len(ticks) == 300
        assert {"token", "last_price", "ts", "seq"} <= ticks[0].keys()
        assert [tick["seq"] for tick in ticks] == list(range(1, 301))

    def test_the_account_starts_with_its_opening_cash(self, told: list[dict[str, Any]]) -> None:
        first = next(line for line in told if line["topic"] == "paper.portfolio")
        assert (first["type"], first["offset"]) == ("PORTFOLIO_SNAPSHOT", 0)
        assert first["data"]["opening_cash"] == first["data"]["cash"] == first["data"]["equity"] == OPENING
        assert told.index(first) < min(
            position for position, line in enumerate(told) if line["data"].get("ticks")
        )

    def test_a_signal_names_its_tick_and_its_rejection_the_code(self, told: list[dict[str, Any]]) -> None:
        signals = {line["id"]: line for line in told if line["type"] == "TRADING_SIGNAL"}
        refused = [line for line in told if line["type"] == "REJECTED_SIGNAL"]
        places = {line["id"] for line in told if line["type"] == "MARKET_TICKS"}
        assert len(refused) == len(signals) > 0
        for line in signals.values():
            assert line["causation_id"].partition("#")[0] in places
        for line in refused:
            assert line["data"]["code"] == "MAX_ORDER_QUANTITY"

    def test_the_seed_repeats_a_replay_to_the_byte(self, alpha: Alpha) -> None:
        alpha.text("rows.csv", rows(400))
        path = alpha.write("all.yaml", platform(feed=feed({"replay": {"path": "rows.csv"}})))
        files = [alpha.folder / name for name in ("a.jsonl", "b.jsonl", "c.jsonl")]
        for file, seed in zip(files, (5, 5, 6), strict=True):
            assert alpha("run", path, "--seed", seed, "--events", file, "--output", "json").code == 0
        first, second, other = (file.read_bytes() for file in files)
        assert first == second
        assert len(first) > 10_000
        assert first != other

    def test_the_seed_chooses_the_simulated_prices(self, alpha: Alpha) -> None:
        path = alpha.write("all.yaml", [feed()])
        prices = []
        for seed in (1, 1, 2):
            file = alpha.folder / "events.jsonl"
            alpha("run", path, "--seed", seed, "--max-ticks", 50, "--events", file, "--output", "json")
            batches = [line["data"]["ticks"] for line in events_of(file) if line["type"] == "MARKET_TICKS"]
            prices.append([tick["last_price"] for ticks in batches for tick in ticks])
        assert prices[0] == prices[1] != prices[2]


class TestEnding:
    @pytest.mark.parametrize("ticks", [1, 37, 501])
    def test_max_ticks_is_exact(self, alpha: Alpha, ticks: int) -> None:
        called = alpha("run", alpha.write("all.yaml", platform()), "--max-ticks", ticks, "--output", "json")
        assert called.json["ticks"] == ticks

    def test_max_ticks_counts_over_all_feeds(self, alpha: Alpha) -> None:
        second = feed()
        second["metadata"] = {"name": "other"}
        called = alpha(
            "run", alpha.write("all.yaml", [feed(), second]), "--max-ticks", 55, "--output", "json"
        )
        assert called.json["ticks"] == 55

    def test_a_replay_ends_with_its_file(self, alpha: Alpha) -> None:
        alpha.text("rows.csv", rows(120))
        path = alpha.write("all.yaml", platform(feed=feed({"replay": {"path": "rows.csv"}})))
        called = alpha("run", path, "--output", "json")
        assert (called.code, called.json["ticks"]) == (0, 120)

    def test_duration_is_wall_time_whatever_clock_the_run_has(self, alpha: Alpha) -> None:
        called = alpha("run", alpha.write("all.yaml", platform()), "--duration", "300ms", "--output", "json")
        assert called.code == 0
        assert 0.3 <= called.json["duration_seconds"] < 5

    def test_an_end_before_anything_has_started_does_not_wait_for_the_drain(self, alpha: Alpha) -> None:
        path = alpha.write("all.yaml", platform(feed=wall_clock_feed()))
        called = alpha("run", path, "--duration", "1ms", "--output", "json")
        assert called.code == 0
        assert called.json["duration_seconds"] < 10  # the drain's time-out is 30

    def test_only_a_feed(self, alpha: Alpha) -> None:
        called = alpha("run", alpha.write("all.yaml", [feed()]), "--max-ticks", 20, "--output", "json")
        assert (called.code, called.json["ticks"], called.json["accounts"]) == (0, 20, {})

    def test_an_account_without_strategies(self, alpha: Alpha) -> None:
        path = alpha.write("all.yaml", [feed(), account()])
        called = alpha("run", path, "--max-ticks", 20, "--output", "json")
        assert called.code == 0
        assert called.json["accounts"]["paper"] == {
            "cash": OPENING,
            "equity": OPENING,
            "realized_pnl": "0",
            "unrealized_pnl": "0",
            "fees": "0",
            "positions": {},
        }

    def test_the_plain_summary_of_a_run_without_accounts(self, alpha: Alpha) -> None:
        called = alpha("run", alpha.write("all.yaml", [feed()]), "--max-ticks", 20)
        assert called.code == 0
        assert "20 ticks" in called.out
        assert "no account" in called.out


class TestFailure:
    def test_a_strategy_that_can_not_start_ends_the_run_at_once_with_one_message(self, alpha: Alpha) -> None:
        documents = platform(feed=wall_clock_feed(), strategy=broken(alpha, "start"))
        called = alpha("run", alpha.write("all.yaml", documents), "--output", "json")
        assert (called.code, called.out) == (1, "")
        messages = [line for line in called.err.splitlines() if not line.startswith("{")]
        assert len(messages) == 1
        assert messages[0].startswith(
            "failed: strategy alpha on account paper raised RuntimeError: no good ("
        )
        assert messages[0].endswith("broken_start.py, line 6, in on_start)")

    def test_a_strategy_that_keeps_raising_is_given_up(self, alpha: Alpha) -> None:
        called = alpha("run", alpha.write("all.yaml", platform(strategy=broken(alpha, "tick"))))
        assert (called.code, called.out) == (1, "")
        assert called.err.splitlines()[-1].startswith(
            "failed: strategy alpha on account paper raised RuntimeError"
        )

    @pytest.mark.parametrize("output", [("--output", "json"), ()])
    def test_a_strategy_that_crashes_beside_others_is_told_and_is_no_success(
        self, alpha: Alpha, output: tuple[str, ...]
    ) -> None:
        crashing = {**broken(alpha, "tick"), "metadata": {"name": "crashing"}}
        path = alpha.write("all.yaml", [*platform(), crashing])
        called = alpha("run", path, "--max-ticks", 300, "--seed", 3, *output)
        last = called.err.splitlines()[-1]
        assert called.code == 1
        assert last.startswith("failed: strategy crashing on account paper raised RuntimeError: no good (")
        assert last.endswith("broken_tick.py, line 6, in on_tick)")
        if output:
            assert list(called.json) == list(SHAPE)
            assert called.json["orders"]["filled"] > 0
        else:
            assert "stopped: strategy crashing on account paper raised RuntimeError" in called.out

    def test_a_service_that_is_down_at_the_end_is_no_success(self, alpha: Alpha) -> None:
        documents = platform(feed=wall_clock_feed(), strategy=broken(alpha, "tick"))
        called = alpha("run", alpha.write("all.yaml", documents), "--duration", "1s", "--output", "json")
        assert (called.code, called.out) == (1, "")
        assert "broken_tick.py, line 6, in on_tick" in called.err.splitlines()[-1]

    def test_an_unreadable_row_stops_a_strict_replay(self, alpha: Alpha) -> None:
        alpha.text("rows.csv", rows(2000, bad=1500))
        source = {"replay": {"path": "rows.csv", "strict": True}}
        called = alpha("run", alpha.write("all.yaml", platform(feed=feed(source))))
        assert (called.code, called.out) == (2, "")
        last = called.err.splitlines()[-1]
        assert last.startswith("error: ")
        assert "rows.csv, line 1500, column 'price': 'n/a' is not a finite number" in last

    def test_a_bad_row_of_a_replay_that_is_not_strict_is_told_and_left_out(self, alpha: Alpha) -> None:
        alpha.text("rows.csv", rows(200, bad=150))
        path = alpha.write("all.yaml", platform(feed=feed({"replay": {"path": "rows.csv"}})))
        called = alpha("run", path, "--output", "json")
        assert (called.code, called.json["ticks"]) == (0, 199)
        assert "line 150" in called.err

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
    def test_an_events_file_that_can_not_be_written_ends_the_run(self, alpha: Alpha) -> None:
        path = alpha.write("all.yaml", platform(feed=wall_clock_feed()))
        called = alpha("run", path, "--events", "/dev/full", "--duration", "30s", "--output", "json")
        assert (called.code, called.out) == (1, "")
        assert called.err.splitlines()[-1] == "failed: events file: No space left on device"


class TestRefusal:
    def refused(self, alpha: Alpha, *arguments: object) -> str:
        called = alpha("run", *arguments)
        assert (called.code, called.out) == (2, "")
        assert called.err.startswith("error: ")
        return called.err

    def test_a_path_that_does_not_exist(self, alpha: Alpha) -> None:
        assert "nowhere.yaml: there is no such file or folder" in self.refused(
            alpha, alpha.folder / "nowhere.yaml"
        )

    def test_all_faults_of_all_manifests_at_once(self, alpha: Alpha) -> None:
        wrong_feed = feed({"simulated": {"volatility": -1}})
        first = alpha.write("a.yaml", [wrong_feed, account(marketFeed="nowhere")])
        second = alpha.write("b.yaml", [strategy(accounts=["nobody"], parameters={"lookbck": 3})])
        told = self.refused(alpha, first, second)
        for words in ("volatility", "nowhere", "nobody", "lookbck", "a.yaml", "b.yaml"):
            assert words in told
        assert len(told.splitlines()) == 4

    @pytest.mark.parametrize("text", ["soon", "-1s", "0s"])
    def test_a_duration_that_is_none(self, alpha: Alpha, text: str) -> None:
        path = alpha.write("all.yaml", platform())
        assert f"--duration {text!r} is not a duration" in self.refused(alpha, path, f"--duration={text}")

    @pytest.mark.parametrize(
        ("option", "value"), [("--max-ticks", 0), ("--max-ticks", "x"), ("--seed", -1), ("--output", "xml")]
    )
    def test_an_option_out_of_range(self, alpha: Alpha, option: str, value: object) -> None:
        told = self.refused(alpha, alpha.write("all.yaml", platform()), f"{option}={value}")
        assert option in told

    def test_an_events_file_that_can_not_be_opened(self, alpha: Alpha) -> None:
        path = alpha.write("all.yaml", platform())
        told = self.refused(alpha, path, "--events", alpha.folder / "nowhere" / "events.jsonl")
        assert "--events" in told
        assert "No such file or directory" in told
        assert "Is a directory" in self.refused(alpha, path, "--events", alpha.folder)

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            (None, "no such file"),
            ("", "empty"),
            (rows(20, symbol="NSE:TCS"), "no usable row"),
            ("colour,shape\nred,round\n", "colour"),
        ],
    )
    def test_a_replay_file_names_the_file_and_the_field(
        self, alpha: Alpha, text: str | None, problem: str
    ) -> None:
        if text is not None:
            alpha.text("rows.csv", text)
        told = self.refused(alpha, alpha.write("all.yaml", [feed({"replay": {"path": "rows.csv"}})]))
        assert "rows.csv" in told
        assert "all.yaml" in told
        assert "MarketFeed/demo" in told
        assert "spec.source.replay.path" in told
        assert problem in told

    def test_the_files_of_all_feeds_are_told_at_once(self, alpha: Alpha) -> None:
        documents = [feed({"replay": {"path": "a.csv"}}), feed({"replay": {"path": "b.csv"}})]
        documents[1]["metadata"] = {"name": "other"}
        told = self.refused(alpha, alpha.write("all.yaml", documents))
        assert [name in told for name in ("a.csv", "b.csv", "MarketFeed/other")] == [True] * 3

    def test_a_bad_setting(self, alpha: Alpha, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ALPHAPANDA_SEND_WITHIN_SECONDS", "soon")
        monkeypatch.setenv("ALPHAPANDA_SIGNAL_TTL", "3")
        told = self.refused(alpha, alpha.write("all.yaml", platform()))
        assert "ALPHAPANDA_SEND_WITHIN_SECONDS is 'soon'" in told
        assert "did you mean ALPHAPANDA_SIGNAL_TTL_SECONDS?" in told

    def test_a_port_of_figures_that_is_taken(self, alpha: Alpha) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            called = alpha("run", alpha.write("all.yaml", platform()), "--metrics-port", port)
        assert called.code == 2
        assert f"ALPHAPANDA_METRICS_PORT is {port}" in called.err
        assert "choose a free port" in called.err

    def test_feeds_on_different_clocks(self, alpha: Alpha) -> None:
        other = wall_clock_feed()
        other["metadata"] = {"name": "other"}
        assert "on the wall clock: other" in self.refused(alpha, alpha.write("all.yaml", [feed(), other]))


USERS = """\
import sys

from alpha_panda.sdk import Strategy, Tick


class Users(Strategy):
    def on_tick(self, tick: Tick) -> None:
        {line}
"""


def users(alpha: Alpha, line: str) -> Path:
    """A platform whose strategy runs `line` at each tick."""
    alpha.text("users.py", USERS.format(line=line))
    return alpha.write("all.yaml", platform(strategy=strategy(code={"file": "users.py"})))


class TestUsersCode:
    def test_what_a_strategy_prints_is_not_on_stdout_beside_the_json(self, alpha: Alpha) -> None:
        called = alpha("run", users(alpha, 'print("hello")'), "--max-ticks", 3, "--output", "json")
        assert (called.code, called.json["ticks"]) == (0, 3)
        assert called.err.count("hello") == 3

    def test_a_strategy_that_calls_exit_has_failed_and_does_not_choose_our_exit_code(
        self, alpha: Alpha
    ) -> None:
        called = alpha("run", users(alpha, "sys.exit(0)"), "--max-ticks", 3, "--output", "json")
        assert called.code == 1
        assert "failed: strategy alpha on account paper raised SystemExit: 0" in called.err

    def test_a_file_that_calls_exit_while_it_is_loaded_is_a_fault_of_the_manifest(self, alpha: Alpha) -> None:
        alpha.text("users.py", "import sys\nsys.exit(0)\n")
        path = alpha.write("all.yaml", platform(strategy=strategy(code={"file": "users.py"})))
        for command in ("validate", "run"):
            called = alpha(command, path)
            assert (called.code, called.out) == (2, "")
            assert "spec.code" in called.err
            assert "SystemExit" in called.err


class TestOutput:
    @pytest.mark.parametrize("name", ["all.yaml", "code.py", "rows.csv", "rows.parquet", "rows.csv.gz"])
    def test_events_never_overwrite_what_a_run_reads(self, alpha: Alpha, name: str) -> None:
        path = alpha.write("all.yaml", platform())
        before = path.read_text(encoding="utf-8")
        called = alpha("run", path, "--events", alpha.folder / name)
        assert (called.code, called.out) == (2, "")
        assert "allowed: a .jsonl file" in called.err
        assert path.read_text(encoding="utf-8") == before
        assert [file.name for file in alpha.folder.iterdir()] == ["all.yaml"]

    def test_a_summary_that_can_not_be_written_is_a_failure(
        self, alpha: Alpha, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = alpha.write("all.yaml", platform())

        def full(_: RunSummary) -> str:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(RunSummary, "as_json", full)
        called = alpha("run", path, "--max-ticks", 3, "--output", "json")
        assert called.code == 1
        assert "failed: the summary could not be written to stdout: [Errno 28]" in called.err
