from alpha_panda.testing.simulation.plan import FATES, Harm, scenario
from alpha_panda.testing.simulation.profiles import CALM, CRASH_POINTS, HARMS, MIXED, PROFILES
from alpha_panda.testing.simulation.world import pods_of

MEMBERS = [member.name for member in pods_of()]


def test_a_seed_draws_the_same_plan_and_another_one_another() -> None:
    assert scenario(5, MIXED, MEMBERS) == scenario(5, MIXED, MEMBERS)
    assert scenario(5, MIXED, MEMBERS) != scenario(6, MIXED, MEMBERS)


def test_profiles_draw_differently_from_one_seed() -> None:
    drawn = [scenario(5, profile, MEMBERS).ticks for profile in PROFILES.values()]
    assert len({str(ticks) for ticks in drawn}) == len(drawn)


def test_a_calm_plan_has_ticks_and_signals_and_no_faults() -> None:
    for seed in range(20):
        plan = scenario(seed, CALM, MEMBERS)
        assert plan.ticks
        assert any(plan.scripts.values())
        assert (plan.events, plan.triggers) == ([], [])
        assert not any(plan.skews.values())
        assert plan.weather.bad == plan.weather.slow == 0


def test_events_come_in_order_and_within_the_run() -> None:
    for seed in range(50):
        plan = scenario(seed, MIXED, MEMBERS)
        times = [event.at for event in plan.events]
        assert times == sorted(times)
        assert all(0 <= at <= plan.duration for at in times)


def test_all_kinds_of_events_are_drawn_by_some_seed() -> None:
    kinds = {event.what for seed in range(300) for event in scenario(seed, MIXED, MEMBERS).events}
    assert kinds >= {
        "kill", "pause", "replace", "split", "outage", "rebalance", "image", "return", "halt", "clear", "state",
        "echo", "tamper", "poison", "forge", "stale book", "broker", "book",
    }  # fmt: skip
    assert "new day" in {
        e.what for seed in range(50) for e in scenario(seed, PROFILES["broker"], MEMBERS).events
    }


def test_every_harm_is_one_and_strikes_a_service_that_exists() -> None:
    assert {Harm(name) for name in HARMS} == set(Harm)
    assert set(FATES) < set(Harm)
    kinds = {member.definition.name for member in pods_of()}
    assert {kind for kind, _ in CRASH_POINTS} <= kinds


def test_prices_are_on_the_tick_grid() -> None:
    for _, _, price in scenario(1, MIXED, MEMBERS).ticks:
        assert abs(price / 0.05 - round(price / 0.05)) < 1e-6
