"""Hands market events to one strategy in the right order: shared by the runner, the backtest and tests."""

from collections.abc import Callable

import msgspec

from alpha_panda.contracts.events import Tick
from alpha_panda.sdk.bars import BarBuilder
from alpha_panda.sdk.base import Strategy


class _Saved(msgspec.Struct):
    kind: str
    strategy: object
    bars: object = None


class StrategyDriver:
    """A strategy with its open bars.

    `on_tick` takes a tick: bars that ended before it, then the tick, then the bar that it completes. Without bars
    it is the strategy's own method: no cost is added. `snapshot` and `restore` are strategy and bars as one; the
    state of a class of another name is not restored, since it means something else.
    """

    __slots__ = ("_bars", "on_tick", "strategy")

    def __init__(self, strategy: Strategy) -> None:
        self.strategy = strategy
        self._bars = BarBuilder(strategy.bar_seconds) if strategy.bar_seconds else None
        self.on_tick: Callable[[Tick], None] = (
            strategy.on_tick if self._bars is None else _with_bars(strategy, self._bars)
        )

    @property
    def _kind(self) -> str:
        return type(self.strategy).__qualname__

    def snapshot(self) -> bytes:
        """Return the state as MessagePack.

        Raises:
            TypeError: the strategy's snapshot holds something that MessagePack can't.

        """
        bars = self._bars.snapshot() if self._bars else None
        try:
            return msgspec.msgpack.encode(_Saved(self._kind, self.strategy.snapshot(), bars))
        except (TypeError, OverflowError) as error:
            raise TypeError(
                f"{self._kind}.snapshot() must return what MessagePack can hold: {error}"
            ) from error

    def restore(self, state: bytes) -> None:
        """Take over what `snapshot` returned; call it after `on_start` and before the first tick."""
        saved = msgspec.msgpack.decode(state, type=_Saved)
        if saved.kind != self._kind:
            return
        self.strategy.restore(saved.strategy)
        if self._bars and saved.bars is not None:
            self._bars.restore(saved.bars)


def _with_bars(strategy: Strategy, builder: BarBuilder) -> Callable[[Tick], None]:
    def on_tick(tick: Tick) -> None:
        bars = builder.add(tick)
        for bar in bars:
            if bar.end < tick.ts:
                strategy.on_bar(bar)
        strategy.on_tick(tick)
        for bar in bars:
            if bar.end >= tick.ts:
                strategy.on_bar(bar)

    return on_tick
