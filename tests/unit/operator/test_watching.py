"""How Kopf is told to watch: sparingly, and nothing else."""

from alpha_panda_operator.watching import CHUNK, IDLE_SECONDS, kopf_settings
from unit.operator.kit import config


def test_kopf_only_watches_and_keeps_no_objects() -> None:
    settings = kopf_settings(config())
    assert not settings.posting.enabled
    assert settings.peering.standalone
    assert settings.scanning.disabled
    assert settings.queueing.worker_limit is None
    assert settings.watching.chunk_size == CHUNK <= 100
    assert settings.queueing.idle_timeout == IDLE_SECONDS <= 1
