from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from alpha_panda.adapters.zerodha.dump import COLUMNS, Found, InstrumentDump, Trouble
from alpha_panda.errors import DependencyUnavailableError
from alpha_panda.testing.kite.instruments import instruments as of_the_local_kite
from unit.adapters.zerodha.dump_kit import (
    ALL,
    BANK,
    CALLS,
    DEC,
    GOLD,
    HEADER,
    JAN,
    NIFTY,
    NOV,
    OLD,
    RELIANCE,
    TODAY,
    written,
)

ALIASES = {"number": "instrument_token"}


def find(folder: Path, symbol: str, *rows: str) -> Found:
    return written(folder, *rows).find([symbol], TODAY)


def changed(row: str, **cells: str) -> str:
    values = dict(zip(COLUMNS, row.split(","), strict=True))
    return ",".join({**values, **{ALIASES.get(name, name): cell for name, cell in cells.items()}}.values())


class TestFind:
    def test_a_share_has_its_token_and_steps(self, tmp_path: Path) -> None:
        (found,) = find(tmp_path, "NSE:RELIANCE").instruments.values()
        assert (found.token, found.symbol, found.kind) == (738561, "NSE:RELIANCE", "EQ")
        assert (found.tick_size, found.lot_size, found.expiry) == (Decimal("0.1"), 1, None)

    def test_a_contract_has_its_lot_and_last_day(self, tmp_path: Path) -> None:
        (found,) = find(tmp_path, "NFO:NIFTY26NOVFUT").instruments.values()
        assert (found.lot_size, found.kind, found.expiry) == (75, "FUT", date(2026, 11, 24))

    @pytest.mark.parametrize("symbol", ["NSE:M&M", "NSE:NIFTY 50", "NSE:BHARAT"])
    def test_symbols_and_names_may_hold_what_csv_and_urls_quote(self, tmp_path: Path, symbol: str) -> None:
        assert list(find(tmp_path, symbol).instruments) == [symbol]

    @pytest.mark.parametrize(("tick", "lot"), [("0", "0"), ("", ""), ("0.05", "1")])
    def test_an_index_is_of_kind_index_and_never_divides_by_zero(
        self, tmp_path: Path, tick: str, lot: str
    ) -> None:
        row = changed(NIFTY, tick_size=tick, lot_size=lot)
        (found,) = find(tmp_path, "NSE:NIFTY 50", row).instruments.values()
        assert (found.kind, found.tick_size, found.lot_size) == ("INDEX", Decimal("0.05"), 1)

    def test_columns_are_found_by_name_whatever_is_added(self, tmp_path: Path) -> None:
        header = ",".join(("new", *reversed(COLUMNS)))
        row = ",".join(("?", *reversed(RELIANCE.split(","))))
        found = written(tmp_path, row, header=header).find(["NSE:RELIANCE"], TODAY)
        assert found.instruments["NSE:RELIANCE"].token == 738561

    def test_the_lot_of_a_commodity_must_be_given(self, tmp_path: Path) -> None:
        dump = written(tmp_path)
        (fault,) = dump.find(["MCX:GOLD26DECFUT"], TODAY).faults.values()
        assert fault.trouble is Trouble.UNUSABLE
        assert "give lotSize" in str(fault)
        given = dump.find(["MCX:GOLD26DECFUT"], TODAY, {"MCX:GOLD26DECFUT": Decimal(100)})
        assert given.instruments["MCX:GOLD26DECFUT"].lot_size == 100

    @pytest.mark.parametrize("exchange", ["CDS", "BCD", "NCO"])
    def test_where_nobody_knows_whether_lots_are_counted_the_lot_must_be_given_too(
        self, tmp_path: Path, exchange: str
    ) -> None:
        row = f"412675,1612,USDINR26NOVFUT,USDINR,0.0,2026-11-26,0.0,0.0025,1,FUT,{exchange}-FUT,{exchange}"
        symbol = f"{exchange}:USDINR26NOVFUT"
        (fault,) = find(tmp_path, symbol, row).faults.values()
        assert "how much a lot" in str(fault), (
            "a lot of 1,000 dollars would count as one: limits a thousandfold too wide"
        )
        assert written(tmp_path, row).find([symbol], TODAY, {symbol: Decimal(1)}).instruments

    def test_an_index_of_a_commodity_exchange_needs_no_lot(self, tmp_path: Path) -> None:
        row = "256777,1003,MCXBULLDEX,MCXBULLDEX,0.0,,0.0,0,0,EQ,INDICES,MCX"
        assert find(tmp_path, "MCX:MCXBULLDEX", row).instruments["MCX:MCXBULLDEX"].kind == "INDEX"

    def test_a_lot_that_the_manifest_gives_counts(self, tmp_path: Path) -> None:
        found = written(tmp_path).find(["NFO:NIFTY26NOVFUT"], TODAY, {"NFO:NIFTY26NOVFUT": Decimal(50)})
        assert found.instruments["NFO:NIFTY26NOVFUT"].lot_size == 50

    def test_all_that_the_local_kite_lists_can_be_found(self, tmp_path: Path) -> None:
        listed = of_the_local_kite(TODAY, 500)
        path = tmp_path / "list.csv"
        path.write_bytes(listed.csv())
        symbols = [item.key for item in listed]
        found = InstrumentDump(path, TODAY).find(symbols, TODAY, dict.fromkeys(symbols, Decimal(1)))
        live = [item for item in listed if item.expiry is None or item.expiry >= TODAY]
        assert {item.symbol: item.token for item in found.instruments.values()} == {
            item.key: item.token for item in live
        }
        assert {fault.trouble for fault in found.faults.values()} == {Trouble.EXPIRED}


class TestFaults:
    def test_a_contract_trades_on_its_last_day_and_has_expired_on_the_next(self, tmp_path: Path) -> None:
        dump, symbol = written(tmp_path), "NFO:NIFTY26NOVFUT"
        last = date(2026, 11, 24)
        assert symbol in dump.find([symbol], last).instruments
        fault = dump.find([symbol], last + timedelta(days=1)).faults[symbol]
        assert fault.trouble is Trouble.EXPIRED
        assert str(fault) == (
            "NFO:NIFTY26NOVFUT expired on 2026-11-24; nearest: NFO:NIFTY26DECFUT (2026-12-29), "
            "NFO:NIFTY27JANFUT (2027-01-26)"
        )

    def test_a_contract_that_has_left_the_list_names_the_next_of_the_same_thing(self, tmp_path: Path) -> None:
        fault = find(tmp_path, "NFO:NIFTY26OCTFUT").faults["NFO:NIFTY26OCTFUT"]
        assert fault.trouble is Trouble.UNKNOWN
        assert [near.partition(" ")[0] for near in fault.near] == [
            "NFO:NIFTY26NOVFUT",
            "NFO:NIFTY26DECFUT",
            "NFO:NIFTY27JANFUT",
        ]

    def test_the_longest_name_that_fits_is_meant(self, tmp_path: Path) -> None:
        bank = changed(BANK, name="BANK", tradingsymbol="BANK26NOVFUT", number="77")
        fault = find(tmp_path, "NFO:BANKNIFTY26OCTFUT", bank, BANK, NOV).faults["NFO:BANKNIFTY26OCTFUT"]
        assert fault.near == ("NFO:BANKNIFTY26NOVFUT (2026-11-24)",)

    def test_options_of_the_same_strike_come_first(self, tmp_path: Path) -> None:
        fault = find(tmp_path, "NFO:NIFTY26N1724500CE").faults["NFO:NIFTY26N1724500CE"]
        assert fault.near[0] == "NFO:NIFTY26N2424500CE (2026-11-24)"

    def test_of_an_expired_option_in_the_list_the_nearest_strikes_are_named(self, tmp_path: Path) -> None:
        expired = changed(
            CALLS[0],
            tradingsymbol="NIFTY26O2024900CE",
            expiry="2026-10-20",
            strike="24900.0",
            number="9",
        )
        fault = find(tmp_path, "NFO:NIFTY26O2024900CE", *CALLS, expired).faults["NFO:NIFTY26O2024900CE"]
        assert [near.partition(" ")[0] for near in fault.near][:2] == [
            "NFO:NIFTY26N2425000CE",
            "NFO:NIFTY26N2424500CE",
        ]

    def test_an_unknown_share_names_those_like_it(self, tmp_path: Path) -> None:
        fault = find(tmp_path, "NSE:RELIANCES").faults["NSE:RELIANCES"]
        assert fault.near == ("NSE:RELIANCE",)

    def test_nothing_is_named_where_nothing_is_near(self, tmp_path: Path) -> None:
        fault = find(tmp_path, "NSE:QQQQ").faults["NSE:QQQQ"]
        assert str(fault) == "NSE:QQQQ is not in today's list of instruments"

    def test_an_expired_contract_is_never_named(self, tmp_path: Path) -> None:
        fault = find(tmp_path, "NFO:NIFTY26SEPFUT", OLD, DEC).faults["NFO:NIFTY26SEPFUT"]
        assert fault.near == ("NFO:NIFTY26DECFUT (2026-12-29)",)

    def test_a_symbol_that_is_there_twice_is_ambiguous(self, tmp_path: Path) -> None:
        twice = changed(RELIANCE, number="99")
        (fault,) = find(tmp_path, "NSE:RELIANCE", RELIANCE, twice).faults.values()
        assert fault.trouble is Trouble.AMBIGUOUS

    def test_a_token_that_another_symbol_has_too_is_ambiguous(self, tmp_path: Path) -> None:
        other = changed(RELIANCE, tradingsymbol="OTHER")
        (fault,) = find(tmp_path, "NSE:RELIANCE", RELIANCE, other).faults.values()
        assert fault.trouble is Trouble.AMBIGUOUS
        assert "NSE:OTHER" in str(fault)

    @pytest.mark.parametrize(
        "cells",
        [
            {"tick_size": "0"},
            {"tick_size": "-0.05"},
            {"tick_size": "nan"},
            {"lot_size": "0"},
            {"lot_size": ""},
            {"instrument_token": "0"},
            {"instrument_token": "1e3"},
            {"expiry": "24-11-2026"},
            {"exchange": ""},
            {"strike": "much"},
        ],
    )
    def test_a_row_that_makes_no_sense_is_not_used(self, tmp_path: Path, cells: dict[str, str]) -> None:
        found = find(tmp_path, "NFO:NIFTY26NOVFUT", changed(NOV, **cells), JAN)
        assert "NFO:NIFTY26NOVFUT" in found.faults

    def test_every_symbol_asked_for_gets_an_answer(self, tmp_path: Path) -> None:
        asked = ["NSE:RELIANCE", "NSE:NONE", "NFO:NIFTY26OCTFUT", "MCX:GOLD26DECFUT"]
        found = written(tmp_path).find(asked, TODAY)
        assert {*found.instruments, *found.faults} == set(asked)
        assert len(found.instruments) == 1


class TestAudit:
    def test_rows_are_counted_by_exchange(self, tmp_path: Path) -> None:
        audit = written(tmp_path).audit()
        assert (audit.rows, audit.bad) == (len(ALL), 0)
        assert audit.exchanges == {"NSE": 4, "NFO": 7, "MCX": 1}

    def test_a_file_of_another_kind_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(DependencyUnavailableError, match="no column instrument_token"):
            written(tmp_path, header="<html>").audit()

    def test_an_empty_list_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "list.csv"
        path.write_text(f"{HEADER}\n")
        with pytest.raises(DependencyUnavailableError, match="a list of 0 instruments"):
            InstrumentDump(path, TODAY).audit()

    def test_a_list_much_shorter_than_the_one_before_is_refused(self, tmp_path: Path) -> None:
        dump = written(tmp_path)
        assert dump.audit(before=2 * len(ALL)).rows == len(ALL)
        with pytest.raises(DependencyUnavailableError, match="the one before had"):
            dump.audit(before=2 * len(ALL) + 1)

    def test_one_senseless_row_of_many_is_counted_and_many_refuse_the_list(self, tmp_path: Path) -> None:
        good = [changed(RELIANCE, number=str(1000 + n), tradingsymbol=f"S{n}") for n in range(19)]
        broken = changed(RELIANCE, tick_size="0")
        assert written(tmp_path, *good, broken).audit().bad == 1
        with pytest.raises(DependencyUnavailableError, match="2 of 21 rows"):
            written(tmp_path, *good, broken, broken).audit()

    @pytest.mark.parametrize("cells", [{"tradingsymbol": "OTHER"}, {"instrument_token": "5"}])
    def test_what_is_there_twice_counts_as_senseless(self, tmp_path: Path, cells: dict[str, str]) -> None:
        good = [changed(RELIANCE, number=str(1000 + n), tradingsymbol=f"S{n}") for n in range(40)]
        assert written(tmp_path, *good, RELIANCE, changed(RELIANCE, **cells)).audit().bad == 1

    def test_a_last_row_that_is_cut_short_is_senseless(self, tmp_path: Path) -> None:
        good = [changed(RELIANCE, number=str(1000 + n), tradingsymbol=f"S{n}") for n in range(40)]
        assert written(tmp_path, *good, GOLD[:-8]).audit().bad == 1
