"""`ALPHAPANDA_X_FILE` names a file that holds the value of a secret setting X: how Kubernetes mounts Secrets."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, get_args

import structlog
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from alpha_panda.errors import SettingsError

SUFFIX: Final = "_FILE"

log = structlog.get_logger()


def is_secret(info: FieldInfo) -> bool:
    """Whether a setting's value must not be shown, and may come from a file."""
    return info.annotation is SecretStr or SecretStr in get_args(info.annotation)


class SecretFiles(PydanticBaseSettingsSource):
    """Reads the files that the variables `…_FILE` of secret settings name; a trailing newline is no part of a secret."""

    def __init__(self, settings_cls: type[BaseSettings], prefix: str) -> None:
        super().__init__(settings_cls)
        self._prefix = prefix

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """See pydantic-settings: the value, the name, and that it is no JSON.

        Raises:
            SettingsError: both the variable and its `_FILE` are set, or the file can't be read.

        """
        variable = self._prefix + field_name.upper()
        path = os.environ.get(variable + SUFFIX)
        if path is None or not is_secret(field):
            return None, field_name, False
        if os.environ.get(variable):
            raise SettingsError(f"{variable} and {variable}{SUFFIX} are both set: set one of them")
        return _content(path, variable + SUFFIX), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the values that are there."""
        fields = self.settings_cls.model_fields
        found = ((name, self.get_field_value(info, name)[0]) for name, info in fields.items())
        return {name: value for name, value in found if value is not None}


def secret_reader(value: SecretStr, variable: str) -> Callable[[], str] | None:
    """Return what gives a secret anew at each connection: a file that is rotated needs no restart. None: there is none.

    While the file can't be read, or is empty (half written), it gives what was there last, and logs that once: a Secret
    is not there for a moment while it is exchanged, and that must end nobody.

    Raises:
        SettingsError: when it is called, the file can't be read, and `value` is empty: it never could.

    """
    path = os.environ.get(variable + SUFFIX)
    last = value.get_secret_value()
    if path is not None:
        return _Reader(path, variable + SUFFIX, last)
    return value.get_secret_value if last else None


class _Reader:
    """Reads a file, and remembers."""

    def __init__(self, path: str, variable: str, last: str) -> None:
        self._path = path
        self._variable = variable
        self._last = last
        self._failing = False

    def __call__(self) -> str:
        try:
            found = _content(self._path, self._variable)
        except SettingsError as error:
            if not self._last:
                raise
            return self._kept(str(error))
        if self._last and not found:
            return self._kept(f"{self._variable} names {self._path}, which is empty")
        self._last, self._failing = found, False
        return found

    def _kept(self, reason: str) -> str:
        if not self._failing:
            log.warning("a secret can't be read; what it last was is used on", reason=reason)
        self._failing = True
        return self._last


def _content(path: str, variable: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SettingsError(
            f"{variable} names {path}, which can't be read: {reason}; name a readable file that holds the value"
        ) from error
