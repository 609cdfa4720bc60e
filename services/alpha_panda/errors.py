"""Every exception of the project, as one tree. Each says what happened, to what, and what to do.

AlphaPandaError
├── UserInputError                what a person gave us is wrong: exit code 2, no traceback
│   ├── ManifestError             one or many faults in manifests, all reported at once
│   ├── SettingsError             an environment variable does not fit
│   ├── SourceError               a replay file is missing, unreadable or of unknown shape
│   │   └── BadRowError           a row of it, under `strict`
│   └── StrategyLoadError         a strategy's class can't be found or is not a Strategy
├── RecordError                   a record can't be used; never retried, goes to the dead letter queue
│   ├── UndecodableRecordError
│   ├── UnknownVersionError
│   ├── UnknownInstrumentError
│   └── PayloadMismatchError      a known id with another content
├── TransientError                worth a retry
│   ├── DependencyUnavailableError  a store, bus or broker does not answer
│   │   └── BreakerOpenError      … and the circuit breaker says so without asking
│   └── RebalancedError           the partition moved to another member; its records come again there
├── ProcessMustExitError          going on could contradict what is stored: exit, start anew, claim anew
│   ├── FencedError               a newer owner exists: our epoch or incarnation is stale
│   ├── ConsumerStalledError      the bus gives nothing of what it has: connect anew
│   ├── UnknownOutcomeError       a script's reply was lost: it may or may not have been applied
│   ├── UntoldError               what was decided or folded can't be told: no fault of the record in hand
│   └── StrategyError             the user's strategy raised; its state can't be trusted
├── ApiRefusedError               the Kubernetes API refuses a request: repeated as it is it would be refused again
├── TopicMismatchError            a topic has another partition count than configured
├── OutputError                   what a command has to say can't be written
├── OffsetOutOfRangeError         the asked-for record is no longer kept: a gap
└── MisuseError                   a programmer's mistake: parts are wired or called in a way that can't work
"""

import traceback
from collections.abc import Sequence
from dataclasses import dataclass


class AlphaPandaError(Exception):
    """Root of all errors that this project raises."""


class UserInputError(AlphaPandaError):
    """What a person gave us is wrong; the message names file, field and remedy."""


@dataclass(frozen=True, slots=True)
class ManifestFault:
    """One thing wrong with a manifest: where it is, what is wrong, what is allowed. `line` 0: unknown."""

    file: str
    document: int
    field: str
    problem: str
    allowed: str = ""
    resource: str = ""
    line: int = 0

    def __str__(self) -> str:
        """One line: `file:7, document 2 (Strategy/momentum), spec.accounts[0]: problem; allowed: …`."""
        where = f"{self.file}:{self.line}" if self.line else self.file
        if self.document:
            where += f", document {self.document}"
        if self.resource:
            where += f" ({self.resource})"
        if self.field:
            where += f", {self.field}"
        return f"{where}: {self.problem}" + (f"; allowed: {self.allowed}" if self.allowed else "")


class ManifestError(UserInputError):
    """Manifests are wrong: `faults` holds everything found, so that one run shows all."""

    def __init__(self, faults: Sequence[ManifestFault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class SettingsError(UserInputError):
    """A setting's value does not fit; names the environment variable."""


class SourceError(UserInputError):
    """A market source can't be read."""


class BadRowError(SourceError):
    """A row of a replay file can't be read and the source is strict."""


class StrategyLoadError(UserInputError):
    """A strategy's class can't be loaded."""


class RecordError(AlphaPandaError):
    """A record can't be used, now or later."""


class UndecodableRecordError(RecordError):
    """The bytes are not a record of the expected kind."""


class UnknownVersionError(RecordError):
    """The record was written by a newer release."""


class UnknownInstrumentError(RecordError):
    """A token or symbol is not in the instrument master."""


class PayloadMismatchError(RecordError):
    """A known id came back with another content."""


class TransientError(AlphaPandaError):
    """May pass; retried by the policy of its class."""


class DependencyUnavailableError(TransientError):
    """A store, bus or broker does not answer; `dependency` names it."""

    def __init__(self, dependency: str, message: str) -> None:
        self.dependency = dependency
        super().__init__(f"{dependency}: {message}")


class BreakerOpenError(DependencyUnavailableError):
    """The dependency's circuit breaker is open."""


class RebalancedError(TransientError):
    """The partition belongs to another member now; nothing was committed."""


class ProcessMustExitError(AlphaPandaError):
    """Memory and store may disagree; only a new start with a new claim is safe."""


class FencedError(ProcessMustExitError):
    """A newer owner has taken over."""


class ConsumerStalledError(ProcessMustExitError):
    """A consumer gets no records of a partition that has more; only a new one can tell why."""


class UnknownOutcomeError(ProcessMustExitError):
    """A write's reply was lost."""


class UntoldError(ProcessMustExitError):
    """What a service has decided or folded can't be told; the record in hand is not to blame."""


class StrategyError(ProcessMustExitError):
    """A user's strategy raised an exception, which is the cause."""

    @property
    def place(self) -> str:
        """Where it raised, in brackets, for lack of a traceback; empty if that is not known."""
        frames = traceback.extract_tb(self.__cause__.__traceback__) if self.__cause__ is not None else []
        return f" ({frames[-1].filename}, line {frames[-1].lineno}, in {frames[-1].name})" if frames else ""


class ApiRefusedError(AlphaPandaError):
    """The Kubernetes API refuses a request; `status` is HTTP's, `reason` one word of Kubernetes'."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        self.status = status
        self.reason = reason
        super().__init__(f"kubernetes: {status} {reason}: {message}")


class TopicMismatchError(AlphaPandaError):
    """A topic exists with another count of partitions; it is never changed silently."""


class OutputError(AlphaPandaError):
    """What a command has to say can't be written: a full disk, a closed pipe."""


class OffsetOutOfRangeError(AlphaPandaError):
    """Records between the asked-for offset and the oldest kept one are gone."""


class MisuseError(AlphaPandaError):
    """Parts are wired or called in a way that can't work; the message says what would."""
