"""A strategy of one's own from a ConfigMap; its parameters and its code are changed while it runs."""

import time
from collections.abc import Callable
from pathlib import Path

import yaml

from e2e.node.desk import Desk
from e2e.node.installation import ROOT

Tell = Callable[[str], None]

EXAMPLE = ROOT / "examples" / "04-own-strategy"


def test_a_strategy_from_a_config_map_trades_and_is_told_what_is_wrong_with_it(
    desk: Desk, tmp_path: Path, tell: Tell
) -> None:
    desk.apply(EXAMPLE / "manifest.yaml")
    code = _code(desk)
    if "configMap" not in code:
        desk.expect("strategies", "breakout", "Accepted", "False", "MissingConfigMap")
        code["configMap"] = "channel-breakout"
        desk.patch("strategies", "breakout", {"code": code})
    name = code["configMap"]
    desk.kubectl("create", "configmap", name, f"--from-file={EXAMPLE / 'channel_breakout.py'}")
    began = time.monotonic()
    desk.trades()
    tape = desk.tape()
    desk.wait_until(lambda: len(tape.filled()) >= 2, f"two filled orders; {tape.explain()}")
    tell(f"its first two orders were filled {time.monotonic() - began:.1f} s after its code was there")

    accounts = _of(desk, "paper-", "sim-")
    desk.patch("strategies", "breakout", {"parameters": {"window": -1}})
    took = desk.expect("strategies", "breakout", "Accepted", "False", "BadParameters")
    message = desk.condition("strategies", "breakout", "Accepted")["message"]
    tell(f"a bad parameter: BadParameters after {took:.1f} s: {message}")
    assert "window" in message
    desk.patch("strategies", "breakout", {"parameters": {"window": 50, "exitWindow": 20}})
    desk.trades()
    assert _of(desk, "paper-", "sim-") == accounts

    # New code rolls the strategy, and nothing else.
    old = _of(desk, "breakout-")
    changed = tmp_path / "channel_breakout.py"
    changed.write_text((EXAMPLE / "channel_breakout.py").read_text() + "\n# changed\n")
    made = desk.kubectl(
        "create", "configmap", name, f"--from-file={changed}", "--dry-run=client", "--output=yaml"
    )
    desk.kubectl.apply(made)
    desk.wait_until(lambda: not (_of(desk, "breakout-").items() & old.items()), "a pod with the new code")
    desk.trades()
    assert _of(desk, "paper-", "sim-") == accounts


def _code(desk: Desk) -> dict[str, str]:
    documents = yaml.safe_load_all((EXAMPLE / "manifest.yaml").read_text(encoding="utf-8"))
    (code,) = [each["spec"]["code"] for each in documents if each["kind"] == "Strategy"]
    assert desk.kubectl.exists("strategies", "breakout")
    return dict(code)


def _of(desk: Desk, *beginnings: str) -> dict[str, str]:
    return {name: uid for name, uid in desk.uids().items() if name.startswith(beginnings)}
