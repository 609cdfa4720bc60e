"""Every Redis key is named here once, under the prefix, and no two are the same."""

from alpha_panda.contracts.keys import KeyMap, feed_lease, risk_lease, strategy_lease, tracker_lease

ALL = {
    "price": ("demo", 738561),
    "price_prefix": ("demo",),
    "heartbeat": ("demo",),
    "instruments": ("demo",),
    "watched": ("demo",),
    "ranges": ("demo", 738561),
    "ranges_prefix": ("demo",),
    "ranges_cursor": ("demo",),
    "journal": ("paper",),
    "journal_open": ("paper",),
    "journal_epoch": ("paper",),
    "journal_doubtful": ("paper",),
    "journal_resting": ("paper",),
    "journal_tags": ("paper",),
    "journal_rate": ("paper",),
    "journal_sequence": ("paper",),
    "journal_facts": ("paper",),
    "pace": ("paper", "orders-second"),
    "decisions": ("paper",),
    "risk_epoch": ("paper",),
    "risk_snapshot": ("paper",),
    "order_folds": ("paper",),
    "checkpoint": ("momentum", "paper"),
    "control_spec": ("account/paper",),
    "control_latches": ("account/paper",),
    "control_clears": ("account/paper",),
    "control_teardowns": (),
    "owner": (),
    "lease": ("paper:order-tracker",),
    "status": ("engine", "paper", "engine-0"),
    "status_index": (),
}


def names(keys: KeyMap) -> dict[str, str]:
    return {name: getattr(keys, name)(*arguments) for name, arguments in ALL.items()}


def test_all_keys_are_listed_here() -> None:
    fields = {"prefix", "installation"}
    assert set(ALL) == {name for name in vars(KeyMap) if not name.startswith("_")} - fields


def test_no_two_keys_are_the_same() -> None:
    assert len(set(names(KeyMap()).values())) == len(ALL)


def test_the_prefix_goes_before_all() -> None:
    plain = names(KeyMap())
    assert names(KeyMap("trading.")) == {name: f"trading.{key}" for name, key in plain.items()}


def test_the_platforms_control_keys_are_the_installations_of_whatever_prefix() -> None:
    keys = [KeyMap(prefix, "production") for prefix in ("", "trading.", "research.")]
    for name in ("control_spec", "control_latches", "control_clears"):
        (platform,) = {getattr(item, name)("platform") for item in keys}
        assert platform.startswith("production:control:")
        assert platform != getattr(keys[0], name)("account/platform")


def test_an_installation_changes_no_other_key() -> None:
    assert names(KeyMap("trading.", "production")) == names(KeyMap("trading."))


def test_the_names_that_others_know() -> None:
    """The design's price key, and the keys that `alpha-panda halt` and the operator write."""
    keys = KeyMap()
    assert keys.price("demo", 738561) == "demo:instrument:price:738561"
    assert keys.control_spec("platform") == "control:platform:spec"
    assert keys.control_latches("platform") == "control:platform:latch"
    assert keys.status("engine", "paper", "engine-0") == "status:engine:paper:engine-0"


def test_the_trackers_lease_is_the_accounts_own() -> None:
    assert tracker_lease("a") != tracker_lease("b")
    assert KeyMap().lease(tracker_lease("a")) == "lease:a:order-tracker"


def test_no_two_services_share_a_lease() -> None:
    """An account, a strategy and a feed may have one name."""
    names = [tracker_lease("a"), risk_lease("a"), strategy_lease("a"), feed_lease("a")]
    assert len(set(names)) == len(names)
    assert risk_lease("a") != risk_lease("b")
    assert strategy_lease("a") != strategy_lease("b")
