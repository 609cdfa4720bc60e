"""`alpha-panda halt` and `resume` as typed: what acts, what is kept, what is said, with which exit code."""

import re
from typing import Any

import pytest

from alpha_panda.adapters.memory.database import EMPTY_IMAGE
from alpha_panda.cli import connecting
from alpha_panda.cli.halt import scope_of
from alpha_panda.cli.person_login import REMEDY
from alpha_panda.contracts.codec import decode_event
from alpha_panda.contracts.enums import TradingState
from alpha_panda.contracts.scopes import PLATFORM
from alpha_panda.contracts.stored import Latch
from alpha_panda.errors import DependencyUnavailableError, TopicMismatchError, UserInputError
from unit.cli.installed import START, Installation
from unit.cli.kit import Alpha, Called
from unit.cli.operating import Operator

HALTED, REDUCING, ACTIVE = TradingState.HALTED, TradingState.REDUCING, TradingState.ACTIVE
PAPER, ALPHA = "account/paper", "strategy/alpha"


def halted(operator: Operator, *words: str) -> Called:
    return operator("halt", *words, "--reason", "odd fills", "--by", "ann", "-o", "json")


@pytest.mark.parametrize("word", ["paper", "BrokerAccount/paper", "account/paper"])
def test_an_account_is_halted_at_once_and_for_good(operator: Operator, word: str) -> None:
    called = halted(operator, word)
    assert called.code == 0
    (halt,) = called.json["halts"]
    assert (halt["scope"], halt["in_force"], halt["complete"], halt["problems"]) == (PAPER, True, True, [])
    assert halt["kept_in"] == ["paper.control"]
    assert operator.run(operator.site.state(PAPER)) is HALTED
    assert operator.run(operator.site.latch_ids(PAPER)) == [halt["latch"]["id"]]
    (change,) = operator.run(operator.site.told())
    assert (change.scope, change.latch_id, change.action) == (PAPER, halt["latch"]["id"], "set")
    assert (change.reason, change.set_by, change.state) == ("odd fills", "ann", HALTED)
    assert operator.run(operator.site.told("second")) == []


def test_a_halt_that_redis_forgot_while_kafka_was_told_is_in_force_all_the_same(operator: Operator) -> None:
    """The order-tracker may have read the topic before the latch was in it; nobody else would put it back."""
    site = operator.site
    produced = site.memory_bus.producer

    def forgetful(client: str) -> Any:
        site.database.restart(EMPTY_IMAGE)
        return produced(client)

    site.memory_bus.producer = forgetful  # type: ignore[method-assign]
    called = halted(operator, "paper")
    assert called.code in (0, 1)  # 1: nobody has written the scope's state again yet
    assert called.json["halts"][0]["in_force"] is True
    assert operator.run(site.latch_ids(PAPER)) == [called.json["halts"][0]["latch"]["id"]]


@pytest.mark.parametrize(("words", "scope"), [(["--all"], PLATFORM), (["Strategy/alpha"], ALPHA)])
def test_what_concerns_every_account_is_kept_by_every_account(
    operator: Operator, words: list[str], scope: str
) -> None:
    """Where there is no installation: all its accounts are below one prefix."""
    called = halted(operator, *words)
    assert called.code == 0
    assert called.json["halts"][0]["kept_in"] == ["paper.control", "second.control"]
    assert operator.run(operator.site.state(scope)) is HALTED
    assert [
        item.scope for account in ("paper", "second") for item in operator.run(operator.site.told(account))
    ] == [
        scope,
        scope,
    ]


@pytest.fixture
def in_operators_pod(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> Operator:
    """No prefix; and an installation, whose platform's keys and topic are the same below all prefixes."""
    operator.site = Installation(installation="inst")
    monkeypatch.setattr(connecting, "connected", operator.site.connected)
    monkeypatch.setenv("ALPHAPANDA_INSTALLATION", "inst")
    operator.run(operator.site.control.put_spec(PLATFORM, ACTIVE, 1e9))
    return operator


def test_a_place_without_accounts_halts_the_platform_of_all_prefixes_for_good(
    in_operators_pod: Operator,
) -> None:
    operator = in_operators_pod
    called = halted(operator, "--all")
    (halt,) = called.json["halts"]
    assert (called.code, halt["complete"], halt["kept_in"]) == (0, True, ["inst.platform-control"])
    latch_id = halt["latch"]["id"]
    assert operator("resume", "--all", "--latch", latch_id, "--by", "bob").code == 0
    assert operator.run(operator.site.state(PLATFORM)) is ACTIVE
    records = operator.run(operator.site.records("inst.platform-control"))
    changes = [decode_event(record.value).data for record in records]
    assert [(item.action, item.set_by) for item in changes] == [("set", "ann"), ("cleared", "bob")]  # type: ignore[union-attr]
    assert {record.key for record in records} == {f"platform/{latch_id}"}


def test_there_too_a_halt_that_kafka_has_not_is_no_success(
    in_operators_pod: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = in_operators_pod
    operator.site.memory_bus.faults.fail_sends(1)
    called = halted(operator, "--all")
    assert called.code == 1
    assert "not kept in Kafka" in called.err
    assert operator.run(operator.site.state(PLATFORM)) is HALTED
    latch_id = called.json["halts"][0]["latch"]["id"]

    async def mismatched(_: object) -> None:
        raise TopicMismatchError("inst.platform-control has 6 partitions, 1 is wanted")

    monkeypatch.setattr(operator.site.memory_bus, "ensure_topics", mismatched)
    again = halted(operator, "--all", "--latch", latch_id)
    assert again.code == 1
    assert "6 partitions" in again.err
    assert again.json["halts"][0]["in_force"]  # what acts is said all the same
    cleared = operator("resume", "--all", "--latch", latch_id)
    assert cleared.code == 1
    assert "nothing was cleared" in cleared.err
    assert operator.run(operator.site.latch_ids(PLATFORM)) == [latch_id]


def test_who_may_not_halt_learns_what_right_is_missing(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def denied(*_: object) -> None:
        raise DependencyUnavailableError("redis", "evalsha: NOPERM this user has no permissions")

    monkeypatch.setattr(operator.site.control, "set_latch", denied)
    called = halted(operator, "paper")
    assert called.code == 1
    assert "NOT in force" in called.err
    assert called.err.count(REMEDY) == 1
    monkeypatch.setattr(operator.site.control, "read", denied)
    called = operator("resume", "paper")
    assert called.code == 1
    assert REMEDY in called.err


def test_a_resume_spares_what_was_set_anew_meanwhile(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = operator.site
    latch_id = halted(operator, "paper", "--latch", "mine").json["halts"][0]["latch"]["id"]
    cleared = site.control.clear_latch

    async def overtaken(scope: str, name: str, *, set_at: int | None = None) -> bool:
        """Somebody else was quicker, and then halted again."""
        await cleared(scope, name)
        anew = Latch(latch_id=name, scope=scope, state=HALTED, reason="anew", set_by="bob", set_at=START + 9)
        await site.control.set_latch(anew)
        return await cleared(scope, name, set_at=set_at)

    monkeypatch.setattr(site.control, "clear_latch", overtaken)
    called = operator("resume", "paper", "--latch", latch_id, "-o", "json")
    assert [(item["id"], item["reason"]) for item in called.json["latches"]] == [(latch_id, "anew")]
    assert called.json["state"] == "Halted"
    assert "was set anew meanwhile, by bob" in called.json["notes"][0]
    assert [(item.action, item.reason) for item in operator.run(site.told())][-1] == ("set", "anew")


def test_reducing_lets_positions_be_closed(operator: Operator) -> None:
    called = operator("halt", "paper", "--reducing", "--reason", "calm down")
    assert called.code == 0
    first, second = called.out.splitlines()
    assert re.fullmatch(
        "account/paper is Reducing: latch by-hand-20231114T221320Z-[0-9a-f]{6} is in force", first
    )
    assert second == "account/paper: kept in paper.control"
    assert operator.run(operator.site.state(PAPER)) is REDUCING


def test_several_scopes_have_a_latch_each(operator: Operator) -> None:
    called = halted(operator, "paper", "second", "paper")
    assert [item["scope"] for item in called.json["halts"]] == [PAPER, "account/second"]
    assert operator.run(operator.site.state("account/second")) is HALTED


def test_two_halts_of_one_scope_are_two_latches(operator: Operator) -> None:
    halted(operator, "paper")
    halted(operator, "paper")
    ids = operator.run(operator.site.latch_ids(PAPER))
    assert len(set(ids)) == 2
    keys = {record.key for record in operator.run(operator.site.records("paper.control"))}
    assert keys == {f"{PAPER}/{latch_id}" for latch_id in ids}  # the topic is compacted: each latch stays


# ---------------------------------------------------------------------------------------------- half a halt


def test_without_kafka_the_halt_acts_and_says_what_is_missing(operator: Operator) -> None:
    operator.site.bus.down = True
    called = halted(operator, "paper")
    (halt,) = called.json["halts"]
    assert called.code == 1
    assert (halt["in_force"], halt["complete"], halt["kept_in"]) == (True, False, [])
    assert f"--latch {halt['latch']['id']}" in called.err
    assert "not kept in Kafka" in called.err
    assert operator.run(operator.site.state(PAPER)) is HALTED


def test_a_half_halt_is_completed_under_its_id(operator: Operator) -> None:
    operator.site.memory_bus.faults.fail_sends(1)
    latch_id = halted(operator, "paper").json["halts"][0]["latch"]["id"]
    operator.site.clock.time += 60_000_000_000
    again = operator("halt", "paper", "--reason", "again", "--latch", latch_id, "-o", "json")
    assert again.code == 0
    assert operator.run(operator.site.latch_ids(PAPER)) == [latch_id]
    (change,) = operator.run(operator.site.told())
    assert change.reason == "odd fills"  # the latch as it was set, not as it was repeated
    assert again.json["halts"][0]["latch"]["reason"] == "odd fills"


def test_a_mute_kafka_holds_nobody_up(operator: Operator) -> None:
    operator.site.bus.mute = True
    called = operator("halt", "paper", "--reason", "x")
    assert called.code == 1
    assert "no answer within 0.5 s" in called.err
    assert operator.run(operator.site.state(PAPER)) is HALTED


def test_that_it_acts_is_said_before_kafka_is_asked(
    operator: Operator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = []

    async def topics() -> Any:
        said.append(capsys.readouterr().out)
        raise KeyboardInterrupt

    monkeypatch.setattr(operator.site.bus, "topics", topics)
    called = operator("halt", "paper", "--reason", "x")
    assert "is in force" in said[0]
    assert called.code == 1
    assert "interrupted" in called.err
    assert operator.run(operator.site.state(PAPER)) is HALTED


def test_without_redis_nothing_is_in_force_and_kafka_keeps_it(operator: Operator) -> None:
    operator.site.refuse("set_latch")
    called = operator("halt", "paper", "--reason", "x")
    assert called.code == 1
    assert called.out.startswith("account/paper is NOT Halted")
    assert "is in force" not in called.out
    assert "kept in paper.control" in called.out
    assert "NOT in force" in called.err
    assert len(operator.run(operator.site.told())) == 1


def test_a_lost_reply_of_redis_is_asked_again(operator: Operator) -> None:
    operator.site.database.faults.lose_reply("set_latch")
    assert halted(operator, "paper").code == 0
    assert len(operator.run(operator.site.latch_ids(PAPER))) == 1


def test_a_scope_that_nobody_knows_is_latched_and_reported(operator: Operator) -> None:
    called = operator("halt", "papr", "--reason", "x")
    assert called.code == 1
    assert "is the name right?" in called.err
    assert "accounts: paper, second" in called.err
    assert operator.run(operator.site.state("account/papr")) is HALTED


def test_an_old_id_with_another_state_is_reported(operator: Operator) -> None:
    operator("halt", "paper", "--reducing", "--reason", "x", "--latch", "mine")
    called = operator("halt", "paper", "--reason", "x", "--latch", "mine")
    assert called.code == 1
    assert "mine was set as Reducing" in called.err
    assert operator.run(operator.site.state(PAPER)) is REDUCING


# ---------------------------------------------------------------------------------------------- what is said


@pytest.mark.parametrize(
    "words",
    [
        ("halt", "--reason", "x"),
        ("halt", "paper", "--all", "--reason", "x"),
        ("halt", "paper", "--reason", " "),
        ("halt", "Feed/demo", "--reason", "x"),
        ("halt", "Paper", "--reason", "x"),
        ("halt", "paper"),
        ("resume",),
        ("resume", "paper", "--all"),
        ("resume", "paper", "--latch", "a", "--every-latch"),
    ],
)
def test_what_is_unclear_does_nothing(operator: Operator, words: tuple[str, ...]) -> None:
    called = operator(*words)
    assert called.code == 2
    assert called.err.startswith("error: ")
    assert operator.run(operator.site.state(PLATFORM)) is ACTIVE
    assert operator.run(operator.site.state(PAPER)) is ACTIVE


@pytest.mark.parametrize("text", ["", "/", "Strategy/", "a/b/c", "A", "-a", "a" * 41, "Strategy/a.b"])
def test_what_is_no_name_is_no_scope(text: str) -> None:
    with pytest.raises(UserInputError, match="is no scope"):
        scope_of(text)


def test_the_addresses_are_asked_for(alpha: Alpha) -> None:
    called = alpha("halt", "--all", "--reason", "x")
    assert called.code == 2
    assert "ALPHAPANDA_KAFKA_BOOTSTRAP_SERVERS" in called.err
    assert "ALPHAPANDA_REDIS_URL" in called.err


# -------------------------------------------------------------------------------------------------- resume


def test_without_an_id_resume_only_shows(operator: Operator) -> None:
    latch_id = halted(operator, "paper").json["halts"][0]["latch"]["id"]
    called = operator("resume", "paper")
    assert called.code == 0
    assert "account/paper is Halted: 1 latch; its manifest asks for Active" in called.out
    assert f"{latch_id}\tHalted\t2023-11-14T22:13:20.000Z\tann\todd fills" in called.out
    assert operator.run(operator.site.state(PAPER)) is HALTED
    assert operator.site.bus.asked == 1  # by the halt: looking needs no Kafka


def test_a_named_latch_is_cleared_in_both(operator: Operator) -> None:
    first = halted(operator, "--all").json["halts"][0]["latch"]["id"]
    second = halted(operator, "--all").json["halts"][0]["latch"]["id"]
    called = operator("resume", "--all", "--latch", first, "--reason", "looked", "--by", "bob", "-o", "json")
    assert called.code == 0
    assert [item["id"] for item in called.json["cleared"]] == [first]
    assert [item["id"] for item in called.json["latches"]] == [second]
    assert called.json["state"] == "Halted"
    for account in ("paper", "second"):
        last = operator.run(operator.site.told(account))[-1]
        assert (last.latch_id, last.action, last.reason, last.set_by) == (first, "cleared", "looked", "bob")
    assert operator("resume", "--all", "--latch", second).code == 0
    assert operator.run(operator.site.state(PLATFORM)) is ACTIVE


def test_every_latch_wants_a_yes(operator: Operator) -> None:
    halted(operator, "paper")
    halted(operator, "paper")
    called = operator("resume", "paper", "--every-latch")
    assert called.code == 2
    assert "add --yes to clear all 2" in called.err
    assert operator.run(operator.site.state(PAPER)) is HALTED
    assert operator("resume", "paper", "--every-latch", "--yes").code == 0
    assert operator.run(operator.site.state(PAPER)) is ACTIVE


def test_an_unknown_id_clears_nothing_and_names_what_is_there(operator: Operator) -> None:
    latch_id = halted(operator, "paper").json["halts"][0]["latch"]["id"]
    called = operator("resume", "paper", "--latch", latch_id, "--latch", "gone")
    assert called.code == 2
    assert "has no latch gone" in called.err
    assert latch_id in called.err
    assert operator.run(operator.site.state(PAPER)) is HALTED
    assert len(operator.run(operator.site.told())) == 1


def test_the_manifests_word_is_left_alone(operator: Operator) -> None:
    operator.run(operator.site.control.put_spec(PAPER, HALTED, 1e9))
    latch_id = halted(operator, "paper").json["halts"][0]["latch"]["id"]
    called = operator("resume", "paper", "--latch", latch_id)
    assert called.code == 0
    assert "account/paper is Halted: no latch; its manifest asks for Halted" in called.out


def test_a_state_that_nobody_renews_is_said(operator: Operator) -> None:
    operator.run(operator.site.control.put_spec(PAPER, ACTIVE, 1))
    operator.site.clock.time += 2_000_000_000
    assert "the manifest's Active ran out" in operator("resume", "paper").out
    assert "no trading state was ever written" in operator("resume", "other").out


def test_without_kafka_nothing_is_released(operator: Operator) -> None:
    latch_id = halted(operator, "paper").json["halts"][0]["latch"]["id"]
    operator.site.bus.down = True
    called = operator("resume", "paper", "--latch", latch_id)
    assert called.code == 1
    assert "nothing was cleared, the latches stand" in called.err
    assert operator.run(operator.site.state(PAPER)) is HALTED


def test_a_clearing_that_redis_refuses_can_be_repeated(operator: Operator) -> None:
    latch_id = halted(operator, "paper").json["halts"][0]["latch"]["id"]
    operator.site.refuse("clear_latch", times=5)
    called = operator("resume", "paper", "--latch", latch_id)
    assert called.code == 1
    assert "may still stand in Redis" in called.err
    assert operator.run(operator.site.state(PAPER)) is HALTED
    assert operator("resume", "paper", "--latch", latch_id).code == 0
    assert operator.run(operator.site.state(PAPER)) is ACTIVE


def test_a_latch_of_a_mistyped_name_can_be_cleared(operator: Operator) -> None:
    latch_id = operator("halt", "papr", "--reason", "x", "-o", "json").json["halts"][0]["latch"]["id"]
    assert operator("resume", "papr", "--latch", latch_id).code == 0
    assert operator.run(operator.site.latch_ids("account/papr")) == []


@pytest.mark.parametrize(
    ("latch_id", "by", "noted"),
    [
        ("daily-loss-2023-11-14", "risk", "raise maxDailyLoss"),
        ("drawdown-2023-11-14", "risk", "raise maxDrawdown"),
        ("daily-loss-2023-11-14", "ann", ""),
        ("gap-paper.orders.filled-0-7", "risk", ""),
    ],
)
def test_a_loss_that_may_stand_is_explained_before_and_after(
    operator: Operator, latch_id: str, by: str, noted: str
) -> None:
    latch = Latch(latch_id=latch_id, scope=PAPER, state=REDUCING, reason="lost", set_by=by, set_at=1)
    operator.run(operator.site.control.set_latch(latch))
    for words in (("resume", "paper"), ("resume", "paper", "--latch", latch_id)):
        called = operator(*words)
        assert called.code == 0
        assert noted in called.err
        assert bool(called.err) is bool(noted)
