"""What a live account refuses to rest on, in the same words wherever it is found."""

from collections.abc import Sequence

from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.errors import SettingsError
from alpha_panda.runtime.settings import Settings, env_name


def refuse_live_in_memory(resources: ResourceSet, settings: Settings) -> None:
    """Refuse a live account whose journal is this process's memory.

    Raises:
        SettingsError: see `refuse_losses`.

    """
    live = [account.ref for account in resources.accounts.values() if account.live]
    if live and settings.journal_require_durable:
        refuse_losses(
            "the journal of orders ends with this process, so that after a restart nobody knows what was sent",
            [
                f"give {env_name('kafka_bootstrap_servers')} and {env_name('redis_url')}, or --kafka and --redis in `run`"
            ],
        )


def refuse_losses(subject: str, problems: Sequence[str]) -> None:
    """Refuse `subject` (what it may do, in words) if there are problems.

    Raises:
        SettingsError: names them, and how to take the risk.

    """
    if problems:
        raise SettingsError(
            f"{subject}, and an account here is live: {'; '.join(problems)}; "
            f"or take the risk with {env_name('journal_require_durable')}=false"
        )
