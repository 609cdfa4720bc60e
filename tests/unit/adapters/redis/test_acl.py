"""Rights as the words that ACL SETUSER takes."""

from alpha_panda.adapters.redis.acl import Rights, control_rights, engine_rights, protocol_rights, risk_rights
from alpha_panda.contracts.keys import KeyMap

KEYS = KeyMap("trading.")


def test_rules_begin_with_nothing_and_add() -> None:
    rights = Rights(frozenset({"get", "evalsha"}), reads=frozenset({"a", "b"}), writes=frozenset({"b"}))
    assert rights.rules == ("resetkeys", "-@all", "~b", "%R~a", "+evalsha", "+get")


def test_union_holds_both() -> None:
    both = Rights(frozenset({"get"}), reads=frozenset({"a"})) | Rights(
        frozenset({"set"}), writes=frozenset({"b"})
    )
    assert both == Rights(frozenset({"get", "set"}), frozenset({"a"}), frozenset({"b"}))


def test_every_pattern_is_below_the_prefix() -> None:
    rights = protocol_rights(KEYS, "paper")
    assert all(pattern.startswith("trading.") for pattern in rights.reads | rights.writes)


def test_no_role_may_do_anything_dangerous() -> None:
    commands = protocol_rights(KEYS, "paper").commands
    assert not commands & {
        "eval",
        "keys",
        "flushall",
        "flushdb",
        "config",
        "acl",
        "debug",
        "shutdown",
        "script",
    }


def test_who_may_write_what() -> None:
    decisions, latches = KEYS.decisions("paper"), KEYS.control_latches("*")
    assert decisions not in engine_rights(KEYS, "paper").writes
    assert latches not in engine_rights(KEYS, "paper").writes
    assert KEYS.journal("paper") not in risk_rights(KEYS, "paper").writes
    assert control_rights(KEYS).writes == {latches, KEYS.control_spec("*")}
