"""Which instrument a row belongs to."""

from collections.abc import Sequence

from alpha_panda.adapters.replay.columns import Layout
from alpha_panda.contracts.instruments import Instrument
from alpha_panda.errors import SourceError

_MEMO_LIMIT = 65_536


class Tokens(dict[object, int | None]):
    """What a file calls an instrument → its token; None: not in the feed.

    A symbol is found as it is in the manifest (`NSE:RELIANCE`) or by the part after the colon, if only one
    instrument has it. With `only`, every row is that instrument's, whatever the file calls it.
    """

    def __init__(self, layout: Layout, instruments: Sequence[Instrument], only: int | None) -> None:
        super().__init__()
        self._layout = layout
        self._only = only
        self._name: object = None
        self._known = _by_token(instruments) if layout.token is not None else _by_symbol(instruments)

    def __missing__(self, name: object) -> int | None:
        token = self._known.get(str(name).strip()) if self._only is None else self._single(name)
        if len(self) >= _MEMO_LIMIT:
            self.clear()
        self[name] = token
        return token

    def _single(self, name: object) -> int | None:
        if self._name is not None and self._name != name:
            raise SourceError(
                f"{self._layout.file}: holds several instruments ({self._name}, {name}), but `symbol` says that it "
                "has one; remove `symbol`, and name the instruments of the feed as the file does"
            )
        self._name = name
        return self._only

    @property
    def strangers(self) -> list[str]:
        """What the file calls the first few instruments that are not in the feed."""
        return [str(name) for name, token in self.items() if token is None][:5]


def _by_token(instruments: Sequence[Instrument]) -> dict[str, int]:
    return {str(item.token): item.token for item in instruments}


def _by_symbol(instruments: Sequence[Instrument]) -> dict[str, int]:
    bare = [item.symbol.rpartition(":")[2] for item in instruments]
    unique = {name: item.token for name, item in zip(bare, instruments, strict=True) if bare.count(name) == 1}
    return unique | {item.symbol: item.token for item in instruments}


def only_token(layout: Layout, instruments: Sequence[Instrument], symbol: str | None) -> int | None:
    """Return the token of all rows of a file: of the option `symbol`, or the feed's only instrument.

    None when the file's own column tells.

    Raises:
        SourceError: `symbol` is not in the feed, or nothing tells which of several instruments it is.

    """
    if symbol is not None:
        token = _by_symbol(instruments).get(symbol)
        if token is None:
            allowed = ", ".join(item.symbol for item in instruments)
            raise SourceError(f"{layout.file}: symbol {symbol!r} is not in the feed; allowed: {allowed}")
        return token
    if layout.symbol is not None or layout.token is not None:
        return None
    if len(instruments) == 1:
        return instruments[0].token
    raise SourceError(
        f"{layout.file}: has no column for symbol or token, and the feed has {len(instruments)} instruments; set "
        f"`symbol`, or name the column in `columns` (the file's columns are: {', '.join(layout.header)})"
    )
