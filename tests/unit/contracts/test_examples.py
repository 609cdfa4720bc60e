"""The manifests in `examples/` are sound: references hold, parameters are taken, and each has a README."""

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from alpha_panda.contracts.enums import OrderType, Side, Validity
from alpha_panda.contracts.events import Tick
from alpha_panda.contracts.instruments import Instrument
from alpha_panda.contracts.manifests import ResourceSet, check_embedded, load_manifests
from alpha_panda.contracts.resources import Strategy
from alpha_panda.errors import ManifestError
from alpha_panda.sdk import CancelIntent, OrderIntent, StrategyDriver, load_strategy_class
from alpha_panda.sdk import Strategy as StrategyClass

EXAMPLES = Path(__file__).parents[3] / "examples"
FOLDERS = sorted(folder for folder in EXAMPLES.iterdir() if folder.is_dir())


def class_of(strategy: Strategy, folder: Path) -> type[StrategyClass]:
    code = strategy.spec.code
    return load_strategy_class(
        type=strategy.spec.type,
        class_path=strategy.spec.class_,
        code_file=folder / code.file if code else None,
        code_class=code.class_ if code else None,
    )


def parameters_of(strategy: Strategy, folder: Path) -> type[BaseModel]:
    return class_of(strategy, folder).Parameters


def load(name: str) -> ResourceSet:
    (folder,) = (folder for folder in FOLDERS if folder.name.startswith(name))
    return load_manifests([folder], parameters_model=parameters_of)


def test_the_examples_are_numbered_without_gap() -> None:
    assert [folder.name[:3] for folder in FOLDERS] == [
        f"{number:02d}-" for number in range(1, len(FOLDERS) + 1)
    ]
    assert len(FOLDERS) >= 4


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_an_example_loads_and_can_run_in_one_process(folder: Path) -> None:
    resources = load_manifests([folder], parameters_model=parameters_of)
    check_embedded(resources)
    assert resources.feeds
    assert resources.accounts
    assert resources.strategies


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_an_example_s_readme_has_its_command_and_a_place_for_its_output(folder: Path) -> None:
    text = (folder / "README.md").read_text()
    assert f"alpha-panda run examples/{folder.name}" in text
    assert text.index("<!-- output: begin -->") < text.index("<!-- output: end -->")


def test_examples_are_not_loaded_together_by_mistake() -> None:
    with pytest.raises(ManifestError, match="each name once"):
        load_manifests([EXAMPLES])


def test_the_first_example_is_the_manifest_that_the_docs_show() -> None:
    feed, account, strategy = yaml.safe_load_all(
        (EXAMPLES / "01-paper-momentum" / "manifest.yaml").read_text()
    )
    assert feed["spec"]["source"] == {"simulated": {"seed": 7, "ticksPerSecond": 200, "volatility": 0.3}}
    assert account["spec"]["paper"] == {"cash": "1000000", "slippageBps": "5", "commissionBps": "3"}
    assert (strategy["spec"]["type"], strategy["spec"]["accounts"]) == ("momentum", ["paper"])


def test_the_second_example_replays_a_file_of_an_installed_package_on_a_virtual_clock() -> None:
    feed = load("02").feeds["emini"]
    assert feed.virtual_time
    assert feed.spec.source.replay is not None
    assert feed.spec.source.replay.path == "package:mlfinpy/dataset/data/tick_data.csv"


def test_the_third_example_has_one_strategy_on_both_accounts_and_three_types() -> None:
    resources = load("03")
    on = Counter(name for strategy in resources.strategies.values() for name in strategy.spec.accounts)
    assert on == {"cautious": 2, "bold": 2}
    assert len({strategy.spec.type for strategy in resources.strategies.values()}) == 3
    assert len(resources.feeds["nse-sim"].instruments) == 4
    limits = [account.spec.risk for account in resources.accounts.values()]
    assert limits[0] != limits[1]


def test_a_misspelt_parameter_of_the_user_s_own_strategy_is_a_fault_at_its_line(tmp_path: Path) -> None:
    source = EXAMPLES / "04-own-strategy"
    (tmp_path / "channel_breakout.py").write_bytes((source / "channel_breakout.py").read_bytes())
    (tmp_path / "m.yaml").write_text(
        (source / "manifest.yaml").read_text().replace("exitWindow", "exitWindw")
    )
    with pytest.raises(ManifestError) as caught:
        load_manifests([tmp_path], parameters_model=parameters_of)
    (fault,) = caught.value.faults
    assert fault.field == "spec.parameters.exitWindw"
    assert "did you mean exitWindow?" in fault.problem
    assert "exitWindw" in (tmp_path / "m.yaml").read_text().splitlines()[fault.line - 1]


def test_missing_code_is_a_fault_of_the_field_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text((EXAMPLES / "04-own-strategy" / "manifest.yaml").read_text())
    with pytest.raises(ManifestError) as caught:
        load_manifests([tmp_path], parameters_model=parameters_of)
    assert [fault.field for fault in caught.value.faults] == ["spec.code"]


# --------------------------------------------------------------------------------- the user's own strategy


class Venue:
    """Fills every order at once, in full."""

    def __init__(self) -> None:
        self.held = Decimal(0)
        self.orders: list[OrderIntent] = []

    def submit(self, intent: OrderIntent | CancelIntent) -> str:
        assert isinstance(intent, OrderIntent)
        self.orders.append(intent)
        self.held += intent.quantity * intent.side.sign
        return str(len(self.orders))

    def position(self, token: int) -> Decimal:
        return self.held

    def has_open_order(self, token: int) -> bool:
        return False

    def now(self) -> int:
        return 0


def breakout(venue: Venue) -> StrategyDriver:
    resources = load("04")
    strategy = resources.strategies["breakout"]
    made = class_of(strategy, resources.directory_of(strategy))
    parameters = made.Parameters.model_validate(
        {"window": 3, "exitWindow": 2, "quantity": "2", "slackTicks": 4}
    )
    driver = StrategyDriver(made(parameters, [Instrument(1, "NSE:A", Decimal("0.05"))], venue))
    driver.strategy.on_start()
    return driver


def feed(driver: StrategyDriver, prices: Sequence[float]) -> None:
    for seq, price in enumerate(prices):
        driver.on_tick(Tick(token=1, last_price=price, ts=seq, seq=seq))


def test_the_breakout_waits_for_a_full_window_and_buys_above_it_within_its_slack() -> None:
    venue = Venue()
    driver = breakout(venue)
    feed(driver, [100.0, 200.0, 100.0, 200.0])  # 200 equals the highest of the three before it: no breakout
    assert venue.orders == []
    feed(driver, [200.05])
    (order,) = venue.orders
    assert (order.side, order.quantity, order.order_type) == (Side.BUY, Decimal(2), OrderType.LIMIT)
    assert (order.limit_price, order.validity) == (Decimal("200.25"), Validity.IOC)


def test_the_breakout_holds_within_the_channel_and_sells_all_below_it() -> None:
    venue = Venue()
    driver = breakout(venue)
    feed(driver, [100.0, 100.0, 100.0, 101.0])  # bought at 101
    feed(driver, [102.0, 101.5, 101.5])  # not below the lowest of the last two: 102 and 101, 102 and 101.5
    assert venue.held == 2
    feed(driver, [101.0])
    assert [order.side for order in venue.orders] == [Side.BUY, Side.SELL]
    assert (venue.orders[1].order_type, venue.orders[1].quantity) == (OrderType.MARKET, Decimal(2))
    assert venue.held == 0


def test_the_breakout_goes_on_after_a_restart_where_it_was() -> None:
    first = breakout(Venue())
    feed(first, [100.0, 101.0, 102.0])
    venue = Venue()
    second = breakout(venue)
    second.restore(first.snapshot())
    feed(second, [103.0])
    assert len(venue.orders) == 1
