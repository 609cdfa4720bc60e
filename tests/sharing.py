"""Which worker of pytest-xdist runs what, with `--dist loadgroup`: tests that share something dear stay on one.

pytest-xdist 3.8 passes the groups of its marks by a field that pytest 9.2 has no more, and says nothing. These are given
by path; a mark would be read by nobody.
"""

from typing import Final

import pytest
from xdist.remote import Producer  # type: ignore[import-untyped]
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

TOGETHER: Final = (
    *(f"tests/e2e/node/test_{name}.py" for name in ("harness", "killed_session")),
    "tests/e2e/node/",
    "tests/cluster/test_rights.py",
    "tests/e2e/kite/test_kills.py",
    "tests/e2e/monitoring/test_panels.py",
)
"""What each keeps on one worker; a test belongs to the first that it matches.

The node has one installation, and its tests measure; what is asked of the node alone is not asked of that. The rights'
tests share an API server of their own, those of kills at the local Kite a platform, the panels' a run with its Prometheus.
"""

LONG: Final = ("tests/cluster/test_scale.py", "tests/e2e/kite/")
"""What takes minutes: begun at the end, the other workers would wait for it."""


class TogetherScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Keeps together what `TOGETHER` names, the greatest first; every other test is by itself, the long ones first."""

    def _split_scope(self, nodeid: str) -> str:
        return next((path for path in TOGETHER if nodeid.startswith(path)), nodeid)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bring the long ones to the front."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling | None:
    """Schedule as above where groups were asked for."""
    return TogetherScheduling(config, log) if config.getvalue("dist") == "loadgroup" else None
