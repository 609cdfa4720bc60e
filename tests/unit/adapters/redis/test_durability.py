"""What the figures of a Redis say of its durability, in words that a person can act on."""

import pytest

from alpha_panda.adapters.redis.durability import WANTED, DurabilityProblem, parse_info, problems_of

GOOD = {
    "redis_version": "7.0.15",
    "role": "master",
    "cluster_enabled": "0",
    "aof_enabled": "1",
    "aof_last_write_status": "ok",
    "aof_last_bgrewrite_status": "ok",
    "maxmemory_policy": "noeviction",
}


def texts(info: dict[str, str], settings: dict[str, str] | None = WANTED) -> list[str]:
    return [str(problem) for problem in problems_of(info, settings)]


def test_one_that_is_as_it_must_be_has_none() -> None:
    assert problems_of(GOOD, WANTED) == []


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("appendonly", "no", "lost when it ends; set appendonly yes"),
        (
            "appendfsync",
            "everysec",
            "up to a second of orders is forgotten in a crash; set appendfsync always",
        ),
        ("no-appendfsync-on-rewrite", "yes", "not on disk; set no-appendfsync-on-rewrite no"),
        ("maxmemory-policy", "allkeys-lru", "throws away orders; set maxmemory-policy noeviction"),
    ],
)
def test_each_setting_that_loses_orders_is_named_with_its_remedy(name: str, value: str, says: str) -> None:
    (problem,) = texts(GOOD, {**WANTED, name: value})
    assert problem.startswith(f"{name} is {value}: ")
    assert problem.endswith(says)


@pytest.mark.parametrize(
    ("figures", "says"),
    [
        ({"redis_version": "6.2.14"}, "version 6.2.14; use 7.0 or newer"),
        ({"cluster_enabled": "1"}, "Redis Cluster"),
        ({"role": "slave", "master_host": "db-0"}, "a replica of db-0"),
        ({"aof_last_write_status": "err"}, "is the disk full?"),
        ({"aof_last_bgrewrite_status": "err"}, "last rewrite of the append-only file failed"),
    ],
)
def test_each_figure_that_is_wrong_is_told(figures: dict[str, str], says: str) -> None:
    (problem,) = texts({**GOOD, **figures})
    assert says in problem


def test_newer_versions_are_fine() -> None:
    assert texts({**GOOD, "redis_version": "8.2"}) == []
    assert texts({**GOOD, "redis_version": "10.0.1"}) == []


def test_all_problems_are_told_at_once() -> None:
    settings = {"appendonly": "no", "appendfsync": "no", "maxmemory-policy": "allkeys-lru"}
    assert len(texts({**GOOD, "role": "slave"}, settings)) == 5  # the setting that is missing counts too


def test_without_config_what_info_tells_is_judged_and_the_rest_is_named() -> None:
    problems = problems_of(GOOD, None)
    assert problems == [
        DurabilityProblem(
            "could not be checked: appendfsync, no-appendfsync-on-rewrite",
            "allow the user +config|get, or see to it that the server has appendfsync always and "
            "no-appendfsync-on-rewrite no",
            unchecked=True,
        )
    ]
    told, unchecked = problems_of({**GOOD, "aof_enabled": "0"}, None)
    assert str(told).startswith("appendonly is no")
    assert (told.unchecked, unchecked.unchecked) == (False, True)
    assert "maxmemory-policy is allkeys-lru" in texts({**GOOD, "maxmemory_policy": "allkeys-lru"}, None)[0]


def test_without_config_what_info_leaves_out_is_named_too() -> None:
    (problem,) = problems_of({"redis_version": "7.2.0"}, None)
    assert problem.problem == f"could not be checked: {', '.join(WANTED)}"


def test_info_is_read_field_by_field() -> None:
    assert parse_info("# Server\r\nredis_version:7.0.15\r\n\r\n# X\r\nconfig_file:/a:b\r\nempty:\r\n") == {
        "redis_version": "7.0.15",
        "config_file": "/a:b",
        "empty": "",
    }
