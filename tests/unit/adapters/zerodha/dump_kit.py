"""Lists of instruments as Kite writes them."""

from datetime import date
from pathlib import Path

from alpha_panda.adapters.zerodha.dump import COLUMNS, InstrumentDump

HEADER = ",".join(COLUMNS)
TODAY = date(2026, 11, 20)

RELIANCE = "738561,2885,RELIANCE,RELIANCE INDUSTRIES,0.0,,0.0,0.1,1,EQ,NSE,NSE"
MAHINDRA = "519937,2031,M&M,MAHINDRA & MAHINDRA,0.0,,0.0,0.05,1,EQ,NSE,NSE"
NIFTY = "256265,1001,NIFTY 50,NIFTY 50,0.0,,0.0,0,0,EQ,INDICES,NSE"
BHARAT = '1,0,BHARAT,"BHARAT, BROTHERS",0.0,,0.0,0.05,1,EQ,NSE,NSE'
NOV = "12000002,46875,NIFTY26NOVFUT,NIFTY,0.0,2026-11-24,0.0,0.1,75,FUT,NFO-FUT,NFO"
DEC = "12000258,46876,NIFTY26DECFUT,NIFTY,0.0,2026-12-29,0.0,0.1,75,FUT,NFO-FUT,NFO"
JAN = "12000514,46877,NIFTY27JANFUT,NIFTY,0.0,2027-01-26,0.0,0.1,75,FUT,NFO-FUT,NFO"
BANK = "12000770,46878,BANKNIFTY26NOVFUT,BANKNIFTY,0.0,2026-11-24,0.0,0.1,30,FUT,NFO-FUT,NFO"
OLD = "11000002,42968,NIFTY26OCTFUT,NIFTY,0.0,2026-10-27,0.0,0.1,75,FUT,NFO-FUT,NFO"
CALLS = [
    f"{13000002 + 256 * n},{50781 + n},NIFTY26N24{strike}CE,NIFTY,0.0,2026-11-24,{strike}.0,0.05,75,CE,NFO-OPT,NFO"
    for n, strike in enumerate((24000, 24500, 25000))
]
GOLD = "14000007,54687,GOLD26DECFUT,GOLD,0.0,2026-12-04,0.0,1,1,FUT,MCX-FUT,MCX"
ALL = (RELIANCE, MAHINDRA, NIFTY, BHARAT, NOV, DEC, JAN, BANK, *CALLS, GOLD)


def text(*rows: str, header: str = HEADER) -> bytes:
    return "\n".join((header, *(rows or ALL), "")).encode()


def written(folder: Path, *rows: str, header: str = HEADER) -> InstrumentDump:
    path = folder / "list.csv"
    path.write_bytes(text(*rows, header=header))
    return InstrumentDump(path, TODAY)
