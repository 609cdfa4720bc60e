"""Real money moves after a person's word alone, and from the registered address."""

import copy
import io

import pytest

from alpha_panda.cli.confirming import check_egress, confirm_live
from alpha_panda.compose.egress import EgressCheck
from alpha_panda.compose.embedded import check
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.errors import SettingsError, UserInputError
from alpha_panda.runtime.settings import Settings
from cases.wrong_manifests import ACCOUNT, DRY, FEED, KITE, KITE_FEED, Manifest, changed

ECHO = "http://127.0.0.1:9/"


def loaded(*documents: Manifest) -> ResourceSet:
    return ResourceSet.from_documents([copy.deepcopy(item) for item in documents])


LIVE = loaded(KITE_FEED, changed(KITE, {"spec/zerodha/egressIp": "203.0.113.7"}))
HARMLESS = loaded(KITE_FEED, KITE, DRY)
HARMLESS.accounts.pop("kite")


def at_terminal(monkeypatch: pytest.MonkeyPatch, *typed: str) -> list[str]:
    stdin, said, answers = io.StringIO(), list[str](), list(typed)
    stdin.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stdin", stdin)
    monkeypatch.setattr("typer.prompt", lambda *_, **__: answers.pop(0))
    monkeypatch.setattr("alpha_panda.cli.confirming.warn", said.append)
    return said


def test_the_account_s_name_is_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    said = at_terminal(monkeypatch, " kite ")
    confirm_live(LIVE, live=False)
    assert said == [
        "BrokerAccount/kite is live: no strategy will trade real money as AB1234 at Zerodha (MIS)."
    ]


@pytest.mark.parametrize("typed", ["", "y", "yes", "Kite", "kite2"])
def test_anything_else_starts_nothing(monkeypatch: pytest.MonkeyPatch, typed: str) -> None:
    at_terminal(monkeypatch, typed)
    with pytest.raises(UserInputError, match="nothing was started"):
        confirm_live(LIVE, live=False)


def test_each_live_account_is_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    two = loaded(KITE_FEED, KITE, changed(KITE, {"metadata/name": "two", "spec/zerodha/userId": "CD5678"}))
    at_terminal(monkeypatch, "kite", "kite")
    with pytest.raises(UserInputError, match="'kite' is not 'two'"):
        confirm_live(two, live=False)


def test_nobody_at_a_terminal_means_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("kite\n"))
    with pytest.raises(UserInputError, match="say so with --live"):
        confirm_live(LIVE, live=False)
    confirm_live(LIVE, live=True)


def test_a_journal_that_would_be_lost_is_refused_before_anybody_types_a_word() -> None:
    with pytest.raises(
        SettingsError, match=r"journal of orders ends with this process.* --kafka and --redis in `run`"
    ):
        check(LIVE, Settings())
    check(LIVE, Settings(kafka_bootstrap_servers="localhost:1", redis_url="redis://localhost:1"))
    check(LIVE, Settings(journal_require_durable=False))
    check(HARMLESS, Settings())


def test_paper_and_dry_runs_ask_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    confirm_live(loaded(FEED, ACCOUNT), live=False)
    confirm_live(HARMLESS, live=False)


@pytest.mark.parametrize(
    ("resources", "url", "asked"),
    [(LIVE, ECHO, 1), (LIVE, "", 0), (HARMLESS, ECHO, 0), (loaded(FEED, ACCOUNT), ECHO, 0)],
)
def test_the_address_is_looked_at_where_it_matters(
    monkeypatch: pytest.MonkeyPatch, resources: ResourceSet, url: str, asked: int
) -> None:
    seen: list[EgressCheck] = []

    async def problem(check: EgressCheck, deadline: int | None = None) -> str:
        assert deadline is None
        seen.append(check)
        return ""

    monkeypatch.setattr(EgressCheck, "problem", problem)
    check_egress(resources, Settings(address_echo_url=url))
    assert len(seen) == asked


def test_a_wrong_address_is_refused_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    async def problem(_: EgressCheck, __: int | None = None) -> str:
        return "requests leave from 198.51.100.4"

    monkeypatch.setattr(EgressCheck, "problem", problem)
    with pytest.raises(
        UserInputError, match=r"BrokerAccount/kite, spec\.zerodha\.egressIp: requests leave from"
    ):
        check_egress(LIVE, Settings(address_echo_url=ECHO))
