"""Where a command runs when it is typed as `kubectl alpha-panda …`: each command says so itself, above its function.

A command without such a mark is refused by the plugin, and by a test: whoever writes a new one has to decide.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

Command = TypeVar("Command", bound=Callable[..., Any])

_MARK: Final = "__alpha_panda_place__"


@dataclass(frozen=True, slots=True)
class Here:
    """In the plugin's own process: it needs nothing of an installation but what its own options say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InPod:
    """In a pod of the installation, by `kubectl exec`, with that pod's settings. The texts are names of parameters.

    Attributes:
        account: the account whose risk pod it is; a parameter that is not given leaves the choice open.
        scopes: one or several scopes as `halt` takes them; each goes to a risk pod of its account, a strategy's to
            one of any account that it trades on.
        everything: a flag that means the platform; when it is set, the pod is one of the operator's.
        near: texts that may begin with an account's name, as topics do: that account's pod if there is one, else any.
        reads_stdin: whether the command asks something, or reads a file from stdin.
        here: a parameter that, when it is given, has the command run here after all: a file of the person's own.

    """

    account: str = ""
    scopes: str = ""
    everything: str = ""
    near: str = ""
    reads_stdin: bool = False
    here: str = ""

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameters that it names."""
        return tuple(filter(None, (self.account, self.scopes, self.everything, self.near, self.here)))


Place = Here | InPod


def runs(place: Place) -> Callable[[Command], Command]:
    """Return a decorator that marks a command with the place where it runs; it goes below `@app.command()`."""

    def mark(command: Command) -> Command:
        setattr(command, _MARK, place)
        return command

    return mark


def place_of(command: object) -> Place | None:
    """Return where a command runs; None if nobody has said."""
    place = getattr(command, _MARK, None)
    return place if isinstance(place, Here | InPod) else None
