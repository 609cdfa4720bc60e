"""Renders `docs/reference/redis-acl.md` and `kafka-acl.md` from the rights that the code says each role needs.

`python -m alpha_panda.compose.acl_docs docs/reference` writes them; a test fails when they differ.
"""

import sys
from pathlib import Path
from typing import Final

from alpha_panda.adapters.kafka import acl as kafka
from alpha_panda.adapters.redis.acl import (
    SETTINGS,
    Rights,
    RoleRights,
    all_roles,
    operator_rights,
    person_rights,
)
from alpha_panda.contracts.keys import KeyMap
from alpha_panda.contracts.topics import TopicMap

PAGE: Final = "redis-acl.md"
KAFKA_PAGE: Final = "kafka-acl.md"
FEED, ACCOUNT, STRATEGY = "demo", "paper", "momentum"
PREFIX: Final = "trading."
"""What the page shows a prefix with: as the cluster's `<namespace>.` would be."""

INSTALLATION: Final = "alpha-panda-alpha-panda"
"""The installation whose platform a person halts: in a cluster NAMESPACE-RELEASE, unless the chart's value says another."""

_OWNERS: Final = {
    "market-feed": FEED,
    "feed-cacher": FEED,
    "strategy": STRATEGY,
    "risk": ACCOUNT,
    "engine": ACCOUNT,
    "order-tracker": ACCOUNT,
}
"""Of what each service has one user: who takes a pod over can't touch another's keys."""

_ROLES: Final = {
    "market-feed": (
        "each MarketFeed",
        "its lease, its status",
        "write a price: it sends ticks to Kafka, and cachers store them",
    ),
    "feed-cacher": (
        "each MarketFeed",
        "the prices, heartbeats and ranges of its feed, its status",
        "touch another feed, or any key of the journal's Redis",
    ),
    "strategy": (
        "each Strategy",
        "its lease and checkpoints, its status; read risk's decisions and folds of its accounts",
        "write a price, a decision, an order, a trading state, another strategy's checkpoint",
    ),
    "risk": (
        "each BrokerAccount",
        "decisions, snapshot and folds, its lease, latches of every scope that binds it, its status",
        "write the journal, a price or the trading states that the manifests ask for",
    ),
    "engine": (
        "each BrokerAccount",
        "the journal, its status; read decisions, trading states and prices",
        "decide; set or clear a latch; hold a lease",
    ),
    "order-tracker": (
        "each BrokerAccount",
        "the journal, its lease, latches, which tokens it watches, its status",
        "decide; clear a latch; write a price",
    ),
    "operator": (
        "the operator, or `alpha-panda control`",
        "the trading states that manifests ask for, requests to clear a latch or to tear down; read latches and statuses",
        "set or clear a latch; touch an order",
    ),
    "person": (
        "each person who uses `halt`, `resume`, `orders`, `explain`, `status`",
        "latches, and the journal of the accounts named; read decisions and trading states",
        "decide; write a price or what the manifests ask for",
    ),
}
"""Role → whose user it is, what it may write, what it may not."""


def render_acl() -> str:
    """Return the Markdown page: what each role is for, then its lines for one Redis, for two, and with a prefix."""
    roles = all_roles(KeyMap(), feed=FEED, account=ACCOUNT, strategy=STRATEGY)
    below = all_roles(KeyMap(PREFIX, INSTALLATION), feed=FEED, account=ACCOUNT, strategy=STRATEGY)
    return "\n".join(
        [
            *_head(),
            "",
            "| role | one user for | may write | must not |",
            "|---|---|---|---|",
            *(f"| `{role}` | {' | '.join(cells)} |" for role, cells in _ROLES.items()),
            "",
            "## One Redis for all",
            "",
            "In parentheses what goes for prices and statuses alone.",
            "",
            *_block([setuser(role, rights) for role, rights in roles.items()]),
            "",
            "## Prices and journal apart",
            "",
            "At `ALPHAPANDA_REDIS_URL`, where prices and statuses are (a person looks at the statuses there):",
            "",
            *_block([setuser(role, rights.prices) for role, rights in roles.items() if rights.prices.grants]),
            "",
            "At `ALPHAPANDA_JOURNAL_REDIS_URL`, where journal, decisions, trading states, leases and checkpoints are:",
            "",
            *_block([setuser(role, rights.journal) for role, rights in roles.items()]),
            "",
            "## With a prefix",
            "",
            f"In a cluster `ALPHAPANDA_TOPIC_PREFIX`, `{PREFIX}` for the namespace `{PREFIX.removesuffix('.')}`, goes before every key, and",
            "`ALPHAPANDA_INSTALLATION` before the platform's instead: `NAMESPACE-RELEASE` unless the chart's `installation` says",
            f"another, here `{INSTALLATION}`. The engine's line:",
            "",
            *_block([setuser("engine", below["engine"])]),
            "",
            "The operator's, where it serves every namespace; with `watchNamespaces` the patterns below each of them:",
            "",
            *_block([setuser("operator", operator_rights(KeyMap("*.", INSTALLATION)))]),
            "",
            *_in_pods(),
            "",
            *_notes(roles),
            "",
        ]
    )


def _in_pods() -> list[str]:
    platform = person_rights(KeyMap("", INSTALLATION), ())
    accounts = person_rights(KeyMap(PREFIX, INSTALLATION), ["*"])
    return [
        "## Persons' commands in a cluster",
        "",
        "`kubectl alpha-panda halt`, `resume`, `orders` and `dlq` run in the account's risk pod, with `--all` in a pod of the",
        f"operator. Their users may less than a person: `{user_of('risk')}` can't settle an order (`orders resolve`), and `operator`",
        "can neither set nor clear a latch (`halt --all`, `resume --all`). So give the pods a second Secret, with the keys of a",
        "role's, by the chart's `personSecret` (see",
        "[../kubernetes/security.md](../kubernetes/security.md#the-login-of-persons-commands)). The services never log in as",
        "this user.",
        "",
        f"In the namespace `{PREFIX.removesuffix('.')}` for all of its accounts, and in the operator's for the platform alone:",
        "",
        *_block([setuser("person", accounts), setuser("person-platform", platform)]),
    ]


def setuser(role: str, rights: Rights | RoleRights) -> str:
    """Return the command that makes the role's user anew, with exactly these rights."""
    return " ".join(("ACL SETUSER", user_of(role), "reset on >PASSWORD", *rights.grants))


def user_of(role: str) -> str:
    """Return the name of the role's user on the page."""
    owner = _OWNERS.get(role)
    return role if owner is None else f"{role}-{owner}"


def _head() -> list[str]:
    return [
        "# Users of Redis",
        "",
        "<!-- Generated by `python -m alpha_panda.compose.acl_docs docs/reference`; do not edit. -->",
        "",
        "What the user of each role may do, in Redis 7.0 or newer: what it needs and nothing else. Tests run each",
        "role's work under exactly these rights, and again without each one of them in turn. The lines are for the",
        f"feed `{FEED}`, the account `{ACCOUNT}` and the strategy `{STRATEGY}`: put your names in the places of these,",
        "a password of its own in the place of `PASSWORD`, and paste them into `redis-cli`. Where there is an ACL file,",
        "`ACL SAVE` keeps them; or put the line there with `user` in the place of `ACL SETUSER`.",
    ]


def _block(lines: list[str]) -> list[str]:
    return ["```text", *lines, "```"]


def _notes(roles: dict[str, RoleRights]) -> list[str]:
    checkpoint = KeyMap().checkpoint(STRATEGY, ACCOUNT)
    books = sorted(roles["strategy"].journal.reads)
    return [
        "## Worth knowing",
        "",
        f"- A strategy on several accounts takes `~{checkpoint}` and `{' '.join(f'%R~{key}' for key in books)}` once for each;",
        "  a person takes the patterns of each account.",
        "- `alpha-panda run` is all services and the operator in one process. Several strategies of a feed then share a",
        f"  runner: its lease is `lease:{FEED}:strategy`, its status has all their names, joined by commas.",
        "- An address that names a database (`redis://host/3`) takes `+select` for every user.",
        f"- `+{SETTINGS}` is not needed. With it, on the journal's Redis, a service also looks at the settings that `INFO`",
        "  does not show (`appendfsync` above all); without it it warns that it could not. It shows every setting,",
        "  `requirepass` too: give it to the engine, never to a strategy.",
        "- Take the rights of the user `default` away (`ACL SETUSER default off`) when every role has its own.",
        "- What rights can't keep apart: all services write one index of statuses, and all order-trackers of a feed one",
        "  set of watched tokens; risk and the order-tracker may set a latch of any strategy, and whoever may set one may",
        "  write over it; and whoever may run a script may hold up its Redis with a long one: trading stops, nothing is sent.",
    ]


# ----------------------------------------------------------------------------------------------------------- Kafka

_KAFKA_ROLES: Final = {
    "market-feed": "write its ticks",
    "feed-cacher": "read the ticks of its feed",
    "strategy": "write signals, read ticks and what became of its orders; never a decision or an order",
    "risk": "read signals and orders; write decisions, the portfolio, latches",
    "engine": "read decisions, write orders",
    "order-tracker": "read all that is kept of its account, latches of the platform too; write orders and latches",
    "person": "write latches; read, send again and delete dead letters; read all to explain an order; see how far groups are",
}
"""Role → what it may do with records."""


def render_kafka() -> str:
    """Return the Markdown page: what each role is for, then its commands, with a prefix and an installation."""
    roles = kafka.all_roles(PREFIX, feed=FEED, account=ACCOUNT, strategy=STRATEGY, installation=INSTALLATION)
    platform = kafka.person_rights(PREFIX, (), INSTALLATION)
    commands = [*(line for role, rights in roles.items() for line in allow(user_of(role), rights))]
    return "\n".join(
        [
            "# Users of Kafka",
            "",
            "<!-- Generated by `python -m alpha_panda.compose.acl_docs docs/reference`; do not edit. -->",
            "",
            "What the user of each role needs on a broker that lets nobody do what no rule allows. A test runs the services under",
            "exactly these rules, on a real broker. The commands are for the feed",
            f"`{FEED}`, the account `{ACCOUNT}` and the strategy `{STRATEGY}` in the namespace `{PREFIX.removesuffix('.')}` of the installation",
            f"`{INSTALLATION}` (`NAMESPACE-RELEASE`, unless the chart's `installation` says another): put your names in the",
            "places of these. Without a prefix (`alpha-panda run`) leave",
            f"`{PREFIX}` out. `kafka-acls` is Kafka's `bin/kafka-acls.sh --bootstrap-server HOST:9092`.",
            "",
            "| role | may |",
            "|---|---|",
            *(f"| `{role}` | {text} |" for role, text in _KAFKA_ROLES.items()),
            "| `operator` | nothing: it never speaks to Kafka. What runs in its pods logs in as a person, see below |",
            "",
            *_block(commands),
            "",
            "For `halt --all` and `resume --all` in the operator's pod (`personSecret.platform`) this is enough:",
            "",
            *_block(allow("person-platform", platform)),
            "",
            *_kafka_notes(),
            "",
        ]
    )


def allow(user: str, rights: kafka.Rights) -> list[str]:
    """Return the commands that give a user these rights."""
    return [
        " ".join(
            [
                f"kafka-acls --add --allow-principal User:{user}",
                *(f"--operation {operation}" for operation in operations),
                *(f"--{kind} {name}" for name in names),
            ]
        )
        for operations, kind, names in rights.grants
    ]


def _kafka_notes() -> list[str]:
    topics = TopicMap("OTHER", PREFIX)
    return [
        "## Worth knowing",
        "",
        "- `Create` and `DescribeConfigs` let services make their topics and look at how they are set. Who makes the topics by hand",
        "  (see [../transports.md](../transports.md)) leaves `Describe`.",
        "- The number of copies is asked of the broker's own settings where `ALPHAPANDA_KAFKA_REPLICATION_FACTOR` (the chart's",
        "  `kafka.replicationFactor`) is 0 and there is one broker only; that takes `DescribeConfigs` on it. Set the number instead.",
        f"- Where a namespace has several accounts, risk also writes the control topic of each other one (`{topics.control}`), and",
        "  the order-tracker reads it: a strategy's latch is kept by all accounts. A person takes the rules of each account.",
        "- A strategy on several accounts takes the rules of each.",
        "- `helm test` lists the topics that the operator's user may see; it needs no rule.",
        "- A service that may not read a topic reads nothing and says so late: try a new rule with a paper account first.",
        "- What rights can't keep apart: a strategy's user writes `signals.raw` of its accounts, whichever strategy it names in them.",
        "  Risk knows strategies by the name in the signal.",
    ]


def main(folder: str) -> None:
    """Write the pages into `folder`."""
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    (target / PAGE).write_text(render_acl(), encoding="utf-8")
    (target / KAFKA_PAGE).write_text(render_kafka(), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
