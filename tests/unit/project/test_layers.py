"""Who may import whom: `.importlinter` holds, and notices what it should."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from alpha_panda.runtime.registry import find_services
from unit.project.repository import PLATFORM, ROOT, packages, read

SERVICES = {"engine", "feed_cacher", "market_feed", "order_tracker", "risk", "strategy"}


INTRUSIONS = [
    # (file, line that breaks a promise, what the linter must say of it)
    ("domain/ids.py", "import time", "alpha_panda.domain.ids -> time"),
    ("ports.py", "import asyncio", "alpha_panda.ports -> asyncio"),
    ("domain/book.py", "import alpha_panda.ports", "alpha_panda.domain.book -> alpha_panda.ports"),
    ("contracts/codes.py", "import alpha_panda.domain", "alpha_panda.contracts.codes -> alpha_panda.domain"),
    (
        "adapters/clock.py",
        "import alpha_panda.runtime.settings",
        "alpha_panda.adapters.clock -> alpha_panda.runtime.settings",
    ),
    (
        "runtime/records.py",
        "import alpha_panda.adapters.ids",
        "alpha_panda.runtime.records -> alpha_panda.adapters.ids",
    ),
    ("risk/pace.py", "import alpha_panda.adapters.ids", "alpha_panda.risk.pace -> alpha_panda.adapters.ids"),
    (
        "risk/ledger.py",
        "import alpha_panda.engine.router",
        "alpha_panda.risk.ledger -> alpha_panda.engine.router",
    ),
    ("engine/router.py", "import alpha_panda.sdk", "alpha_panda.engine.router -> alpha_panda.sdk"),
    (
        "strategies/rsi.py",
        "import alpha_panda.contracts.events",
        "alpha_panda.strategies.rsi -> alpha_panda.contracts.events",
    ),
    ("sdk/bars.py", "import alpha_panda.domain.exact", "alpha_panda.sdk.bars -> alpha_panda.domain.exact"),
    (
        "adapters/paper/trader.py",
        "import alpha_panda.adapters.memory.bus",
        "alpha_panda.adapters.paper.trader -> alpha_panda.adapters.memory.bus",
    ),
    (
        "runtime/venues.py",
        "import alpha_panda_operator",
        "alpha_panda.runtime.venues -> alpha_panda_operator",
    ),
    (
        "../../operator/alpha_panda_operator/queue.py",
        "import alpha_panda.adapters.ids",
        "alpha_panda_operator.queue -> alpha_panda.adapters.ids",
    ),
    (
        "../../operator/alpha_panda_operator/queue.py",
        "import alpha_panda.engine.service",
        "alpha_panda_operator.queue -> alpha_panda.engine.service",
    ),
    # A service that nobody has told the contracts of:
    ("zeta/__init__.py", "", ""),
    (
        "zeta/service.py",
        "import alpha_panda.zeta.helper",
        "alpha_panda.zeta.service -> alpha_panda.zeta.helper",
    ),
    (
        "zeta/helper.py",
        "import alpha_panda.adapters.ids",
        "alpha_panda.zeta.helper -> alpha_panda.adapters.ids",
    ),
    (
        "zeta/helper.py",
        "import alpha_panda.engine.service",
        "alpha_panda.zeta.helper -> alpha_panda.engine.service",
    ),
]


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    code = "import sys; from importlinter.cli import lint_imports_command as main; main(['--no-cache'])"
    path = os.pathsep.join([str(root / "services"), str(root / "operator")])
    return subprocess.run(  # noqa: S603 - this Python
        [sys.executable, "-c", code],
        cwd=root,
        env=os.environ | {"PYTHONPATH": path, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return what the import contracts say of a copy with every intrusion in it."""
    root = tmp_path_factory.mktemp("intruded")
    for folder in ("services", "operator"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".importlinter", root)
    for name, line, _ in INTRUSIONS:
        file = root / "services" / "alpha_panda" / name
        file.parent.mkdir(exist_ok=True)
        with file.open("a", encoding="utf-8") as text:
            text.write(f"\n{line}\n")
    done = lint_imports(root)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("finding", [finding for _, _, finding in INTRUSIONS if finding])
def test_the_import_contracts_notice(findings: str, finding: str) -> None:
    assert f"{finding} " in findings


def test_the_import_contracts_hold() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_package_has_a_layer_or_is_a_service() -> None:
    named = set(re.findall(r"^\s+.*alpha_panda\..*", read(".importlinter"), re.MULTILINE))
    layered = {name for line in named for name in re.findall(r"alpha_panda\.(\w+)", line)}
    found = {folder for folder in packages() if not (PLATFORM / folder / "service.py").exists()}
    assert found - {"runtime"} <= layered
    assert "runtime" in layered


def test_the_services_are_the_folders_with_a_service_module() -> None:
    folders = {path.parent.name for path in PLATFORM.glob("*/service.py")} - {"runtime"}
    assert folders >= SERVICES
    assert {name.replace("-", "_") for name in find_services()} == folders


def test_the_roots_are_no_packages() -> None:
    for root in ("operator", "services", "tests"):
        assert not (ROOT / root / "__init__.py").exists()
