"""What a live account refuses to rest on, in the same words wherever it is found."""

from collections.abc import Sequence

from alpha_panda.errors import SettingsError
from alpha_panda.runtime.settings import env_name


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
