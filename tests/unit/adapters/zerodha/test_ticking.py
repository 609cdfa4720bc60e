from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.adapters.zerodha.frames import Columns, parse
from alpha_panda.adapters.zerodha.ticking import FUTURE_NS, LATE_NS, Ticking
from alpha_panda.contracts.units import MS_NS, SECOND_NS
from alpha_panda.ports import SourceBatch
from unit.adapters.zerodha.frame_kit import INFY, NIFTY_50, frame, full, index_full, index_quote, ltp, quote

NOW = 1_700_000_000 * SECOND_NS
STAMP = NOW // SECOND_NS


def chunk(*packets: bytes, at: int = NOW) -> tuple[Columns, list[int]]:
    columns = parse(frame(*packets))
    return columns, [at] * len(columns)


def batch(ticking: Ticking, *packets: bytes, at: int = NOW) -> SourceBatch:
    return ticking.batch([chunk(*packets, at=at)])


def one() -> Ticking:
    return Ticking([INFY])


class TestTimes:
    def test_a_fresh_price_is_of_the_moment_it_came(self) -> None:
        made = batch(one(), full(INFY, 150_000, stamp=STAMP - 2), at=NOW + 7)
        assert (made.ts, made.source_ts) == ([NOW + 7], [(STAMP - 2) * SECOND_NS])

    def test_a_price_that_is_known_to_be_old_stays_old(self) -> None:
        yesterday = STAMP - 86_400
        made = batch(one(), full(INFY, 150_000, stamp=yesterday))
        assert (made.ts, made.prices) == ([yesterday * SECOND_NS], [1500.0])

    def test_the_limit_between_the_two(self) -> None:
        fresh = batch(one(), full(INFY, 1, stamp=STAMP), at=NOW + LATE_NS)
        assert fresh.ts == [NOW + LATE_NS]
        old = batch(one(), full(INFY, 1, stamp=STAMP), at=NOW + LATE_NS + 1)
        assert old.ts == [NOW]

    def test_a_time_from_the_future_is_not_believed(self) -> None:
        ahead = FUTURE_NS // SECOND_NS
        made = batch(
            Ticking([INFY]), full(INFY, 1, stamp=STAMP + ahead), full(INFY, 1, stamp=STAMP + ahead + 1)
        )
        assert made.ts == [NOW, NOW]
        assert made.source_ts == [NOW + FUTURE_NS, None]

    @given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(-5, 5)), max_size=20))
    def test_a_tokens_times_never_go_back_nor_beyond_the_clock(self, told: list[tuple[int, int]]) -> None:
        ticking, newest, last = one(), 0, 0
        for stamp, step in told:
            at = NOW + step * SECOND_NS
            newest = max(newest, at)
            for ts in batch(ticking, full(INFY, 1, stamp=stamp), at=at).ts:
                assert last <= ts <= newest
                last = ts


class TestVolumes:
    def test_a_tick_has_what_was_traded_since_the_one_before(self) -> None:
        ticking = one()
        volumes = [
            batch(ticking, full(INFY, 1, volume=total, stamp=STAMP)).volumes
            for total in (1000, 1000, 1040, 1100)
        ]
        assert volumes == [[0], [0], [40], [60]]

    def test_a_new_days_count_begins_anew(self) -> None:
        ticking = one()
        volumes = [
            batch(ticking, full(INFY, 1, volume=total, stamp=STAMP)).volumes for total in (1000, 5, 25, 0, 10)
        ]
        assert volumes == [[0], [0], [20], [0], [10]]

    @given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=30).map(sorted), st.data())
    def test_whatever_is_left_out_the_sum_is_the_days(self, totals: list[int], data: st.DataObject) -> None:
        ticking, kept = (
            one(),
            [totals[0], *data.draw(st.lists(st.sampled_from(totals)).map(sorted)), totals[-1]],
        )
        traded = [batch(ticking, full(INFY, 1, volume=total, stamp=STAMP)).volumes for total in kept]
        assert sum(volume for one in traded for volume in one or ()) == totals[-1] - totals[0]

    def test_an_index_has_none(self) -> None:
        made = batch(Ticking([NIFTY_50]), index_full(NIFTY_50, 1, STAMP), index_full(NIFTY_50, 2, STAMP))
        assert made.volumes == [0, 0]


class TestSnapshotsOfUnknownAge:
    """What has no time of the exchange counts once it changes: Kite sends what it knows last, however old."""

    def test_the_first_of_a_connection_is_held_back_until_another_comes(self) -> None:
        ticking = one()
        prices = [batch(ticking, quote(INFY, price)).prices for price in (100, 100, 105, 105)]
        assert prices == [[], [], [1.05], [1.05]]

    def test_a_trade_at_the_same_price_is_news(self) -> None:
        ticking = one()
        assert batch(ticking, quote(INFY, 100, 5), quote(INFY, 100, 6)).prices == [1.0]

    def test_a_snapshot_in_another_mode_is_no_news(self) -> None:
        ticking = one()
        prices = [
            batch(ticking, packet).prices
            for packet in (quote(INFY, 100), ltp(INFY, 100), ltp(INFY, 100), ltp(INFY, 99))
        ]
        assert prices == [[], [], [], [0.99]]

    def test_after_a_reconnect_it_is_held_back_again(self) -> None:
        ticking = Ticking([INFY, NIFTY_50])
        both = quote(INFY, 100), quote(INFY, 101), index_quote(NIFTY_50, 100), index_quote(NIFTY_50, 101)
        assert len(batch(ticking, *both).tokens) == 2
        ticking.reconnected([INFY])
        assert batch(ticking, quote(INFY, 101), index_quote(NIFTY_50, 101)).tokens == [NIFTY_50]

    def test_what_has_a_time_is_never_held_back(self) -> None:
        made = batch(one(), quote(INFY, 100), full(INFY, 100, stamp=STAMP - 86_400))
        assert (made.prices, made.ts) == ([1.0], [NOW - 86_400 * SECOND_NS])

    def test_a_full_packet_without_a_time_is_held_back_like_any_other(self) -> None:
        ticking = one()
        assert batch(ticking, full(INFY, 100, stamp=0)).prices == []
        made = batch(ticking, full(INFY, 101, stamp=0), at=NOW + MS_NS)
        assert (made.prices, made.ts, made.source_ts) == ([1.01], [NOW + MS_NS], [None])


def test_rows_keep_their_order_over_all_chunks() -> None:
    ticking = Ticking([INFY, NIFTY_50])
    made = ticking.batch(
        [
            chunk(full(INFY, 100, stamp=STAMP), index_full(NIFTY_50, 200, STAMP)),
            chunk(full(INFY, 101, stamp=STAMP)),
        ]
    )
    assert made.tokens == [INFY, NIFTY_50, INFY]
    assert made.prices == [1.0, 2.0, 1.01]


def test_the_best_bid_and_ask_are_told() -> None:
    made = batch(one(), full(INFY, 100, stamp=STAMP, bids=((1, 99, 1),)))
    assert (made.bids, made.asks) == ([0.99], [None])


def test_a_token_of_no_instrument_is_left_out_and_counted() -> None:
    made = batch(one(), full(INFY + 256, 100, stamp=STAMP), full(INFY, 100, stamp=STAMP))
    assert (made.tokens, made.bad_rows) == ([INFY], 1)


def test_no_price_is_no_tick() -> None:
    assert batch(one(), full(INFY, 0, stamp=STAMP)).tokens == []
