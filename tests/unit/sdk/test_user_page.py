"""The code on the user page works as it stands there."""

import re
from pathlib import Path

import pytest

from alpha_panda.sdk import Strategy, load_strategy_class
from alpha_panda.testing.strategy import start

PAGE = Path(__file__).parents[3] / "docs" / "strategies.md"


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def dip(tmp_path: Path) -> type[Strategy]:
    file = tmp_path / "dip.py"
    file.write_text(blocks()[0])
    return load_strategy_class(code_file=file)


def test_the_example_and_its_test_work(dip: type[Strategy]) -> None:
    (test,) = [block for block in blocks() if "def test_" in block]
    names: dict[str, object] = {"Dip": dip}
    exec(compile(test, str(PAGE), "exec"), names)  # noqa: S102 - the page's own code
    function = names["test_it_buys_a_dip_and_sells_the_recovery"]
    assert callable(function)
    function()


def test_the_example_survives_a_restart(dip: type[Strategy]) -> None:
    _, runtime = start(dip)
    runtime.tick(1, 100)
    state = runtime.driver.snapshot()
    _, after = start(dip)
    after.driver.restore(state)
    after.tick(1, 99)
    assert len(after.intents) == 1


def test_the_order_examples_are_accepted() -> None:
    (orders,) = [block for block in blocks() if "self.cancel(signal_id)" in block]

    class Page(Strategy):
        def on_tick(self, tick: object) -> None:
            from alpha_panda.sdk import OrderType, Validity  # noqa: PLC0415 - names that the block uses

            names = {
                "self": self,
                "token": 1,
                "signal_id": "signal-1",
                "OrderType": OrderType,
                "Validity": Validity,
            }
            exec(orders, names)  # noqa: S102 - the page's own code

    _, runtime = start(Page)
    runtime.tick(1, 100)
    assert len(runtime.intents) == 4
