"""What must not be said in an option: everybody on the machine can read the words of a process."""

from urllib.parse import parse_qs, urlsplit

from alpha_panda.errors import UserInputError
from alpha_panda.runtime.secret_files import SUFFIX
from alpha_panda.runtime.settings import env_name


def refuse_password(url: str) -> None:
    """Refuse an address of Redis that has a password in it, without repeating it.

    Raises:
        UserInputError: it has one, or it can't be read as an address.

    """
    try:
        parts = urlsplit(url)
        found = parts.password is not None or "password" in parse_qs(parts.query, keep_blank_values=True)
    except ValueError:
        raise UserInputError("--redis is no address; allowed: redis://host:6379/0") from None
    if found:
        raise UserInputError(
            "--redis has a password in it, which everybody on this machine can read in the list of processes; set "
            f"{env_name('redis_url')} to the whole address instead, or leave the password out and set "
            f"{env_name('redis_password')}{SUFFIX} to a file that holds it"
        )
