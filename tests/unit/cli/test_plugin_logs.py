"""`kubectl alpha-panda logs`: by the name of a resource, not of a pod."""

import pytest

from unit.cli.plugin_kit import HOME, FakeCluster, Plugin, a_pod


@pytest.fixture
def desk(cluster: FakeCluster) -> FakeCluster:
    """A strategy, and an account with a strategy's name."""
    cluster.has("pods", a_pod("Strategy", "momentum", "strategy", containers=("mesh", "strategy")))
    for role, number in (("engine", 1), ("engine", 2), ("risk", 1), ("order-tracker", 1)):
        cluster.has("pods", a_pod("BrokerAccount", "paper", role, name=f"paper-{role}-{number}"))
    cluster.has("pods", a_pod("MarketFeed", "demo", "market-feed"))
    return cluster


ONE = ["logs", f"--namespace={HOME}"]


def test_a_strategy_s(panda: Plugin, desk: FakeCluster) -> None:
    desk.answers(out="started\n")
    assert panda("logs", "momentum", "-n", HOME) == (0, "started\n", "")
    assert desk.calls[-1].own == [*ONE, "momentum-strategy-1", "--container=strategy", "--tail=-1"]


def test_the_options_are_kubectl_s(panda: Plugin, desk: FakeCluster) -> None:
    panda("logs", "momentum", "-f", "-p", "--tail", 5, "--since", "5m")
    assert desk.calls[-1].own[-4:] == ["--tail=5", "--follow", "--previous", "--since=5m"]


def test_an_account_s_pods_all_with_their_names(panda: Plugin, desk: FakeCluster) -> None:
    panda("logs", "--account", "paper")
    own = desk.calls[-1].own
    assert {"--prefix", "--max-log-requests=4"} <= set(own)
    (selector,) = (word for word in own if word.startswith("--selector="))
    assert selector == (
        "--selector=app.kubernetes.io/name=alpha-panda,alphapanda.io/kind=BrokerAccount,"
        "app.kubernetes.io/instance=paper"
    )


def test_one_role_of_an_account(panda: Plugin, desk: FakeCluster) -> None:
    panda("logs", "--account", "paper", "--role", "engine")
    own = desk.calls[-1].own
    assert "--max-log-requests=2" in own
    assert any(word.endswith(",app.kubernetes.io/component=engine") for word in own)
    panda("logs", "--account", "paper", "--role", "risk")
    assert "paper-risk-1" in desk.calls[-1].own


def test_a_feed_s(panda: Plugin, desk: FakeCluster) -> None:
    panda("logs", "--feed", "demo")
    assert "demo-market-feed-1" in desk.calls[-1].own


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "name what is meant"),
        (("momentum", "--account", "paper"), "one of them"),
        (("--account", "paper", "--role", "enigne"), "it has engine, order-tracker, risk"),
        (("../etc",), "no name of a Strategy"),
        (("a,b=c",), "no name of a Strategy"),
        (("momentum", "--tail", "-2"), "greater than or equal to -1"),
    ],
)
def test_wrong_words(panda: Plugin, desk: FakeCluster, words: tuple[str, ...], says: str) -> None:
    called = panda("logs", *words)
    assert called.code == 2
    assert says in called.err
    assert not [call for call in desk.calls if "logs" in call.own]


def test_what_has_no_pods_is_a_failure_that_says_where_to_look(panda: Plugin, desk: FakeCluster) -> None:
    called = panda("logs", "paper")
    assert called.code == 1
    assert "Strategy/paper has no pods; see `kubectl describe strategy paper`" in called.err


def test_kubectl_s_exit_code_is_passed_on(panda: Plugin, desk: FakeCluster) -> None:
    desk.answers(err="Error from server: container is waiting\n", code=1)
    assert panda("logs", "momentum").code == 1
