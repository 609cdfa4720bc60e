"""Which worker of pytest-xdist runs what, with `--dist loadgroup`: tests that share something dear stay on one.

pytest-xdist 3.8 passes the groups of its marks by a field that pytest 9.2 has no more, and says nothing. These are given
by path; a mark would be read by nobody.
"""

from typing import Final

import pytest
from xdist.remote import Producer  # type: ignore[import-untyped]
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

TOGETHER: Final = ("tests/e2e/node/", "tests/cluster/test_rights.py")
"""The node has one installation, and its tests measure; the rights' tests share an API server of their own."""


class TogetherScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Keeps together what `TOGETHER` names, the greatest first; every other test is by itself."""

    def _split_scope(self, nodeid: str) -> str:
        return next((path for path in TOGETHER if nodeid.startswith(path)), nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling | None:
    """Schedule as above where groups were asked for."""
    return TogetherScheduling(config, log) if config.getvalue("dist") == "loadgroup" else None
