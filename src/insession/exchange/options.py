"""What a session is started with: the parameters of the two generations of the protocol."""

from __future__ import annotations

from typing import Any, Final, Literal, get_args

import msgspec

from insession.errors import InvalidInput

SessionType = Literal["algorithmic", "technical", "final"]
Language = Literal["rus", "eng"]
Dataset = Literal["train", "test"]
Contest = Literal["doctor", "finder"]
Stage = Literal["qualifying", "semifinal", "final"]
ContestSessionType = Literal["training", "algorithmic", "challenge", "estimated-training"]
MOST_FILES: Final = 1_000


class SessionStarterOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters of a start as of 2021.

    Args:
        type: Which sort of session; the other four count for ``algorithmic`` alone, and are sent with each.
        dataset: Where its files come from.
        file_count: So many files, 10 to 1000.
        file_timeout: Seconds between two files, 10 to 60.
        language: Of the files.
    """

    type: SessionType = "algorithmic"
    dataset: Dataset = "train"
    file_count: int = 300
    file_timeout: int = 60
    language: Language = "rus"

    def __post_init__(self) -> None:
        _check_word(self.type, "type", SessionType)
        _check_word(self.dataset, "dataset", Dataset)
        _check_word(self.language, "language", Language)
        _check_number(self.file_count, "file_count", 10, MOST_FILES)
        _check_number(self.file_timeout, "file_timeout", 10, 60)

    def prepare_to_command(self) -> dict[str, Any]:
        """The payload of ``session-start``."""
        return {
            "type": self.type,
            "params": {
                "dsType": self.dataset,
                "countFiles": self.file_count,
                "lang": self.language,
                "time": self.file_timeout,
            },
        }

    @property
    def duration(self) -> float | None:
        """How many seconds all files take; None: the platform decides."""
        return float(self.file_count * self.file_timeout) if self.type == "algorithmic" else None


class ContestStarterOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters of a start as of 2023.

    Args:
        contest: For whom: physicians or the programs that find.
        stage: Of the contest.
        session_type: Which sort of session.
        file_count: So many files, 1 to 1000; None: the platform decides.
        file_timeout: Seconds for each file, 10 to 3600; None: the platform decides.
        nosology: Numbers of diseases, as in ``1,2,3``; None is not sent.
    """

    contest: Contest = "finder"
    stage: Stage = "qualifying"
    session_type: ContestSessionType = "training"
    file_count: int | None = None
    file_timeout: int | None = None
    nosology: str | None = None

    def __post_init__(self) -> None:
        _check_word(self.contest, "contest", Contest)
        _check_word(self.stage, "stage", Stage)
        _check_word(self.session_type, "session_type", ContestSessionType)
        if self.file_count is not None:
            _check_number(self.file_count, "file_count", 1, MOST_FILES)
        if self.file_timeout is not None:
            _check_number(self.file_timeout, "file_timeout", 10, 3_600)
        if self.nosology is not None and not all(one.strip().isdecimal() for one in self.nosology.split(",")):
            raise InvalidInput("nosology", "is numbers with commas between them, as in 1,2,3")

    def prepare_to_command(self) -> dict[str, Any]:
        """The payload of ``session-start``."""
        params: dict[str, Any] = {
            "countFiles": self.file_count,
            "stage": self.stage,
            "time": self.file_timeout,
            "sessionType": self.session_type,
        }
        if self.nosology is not None:
            params["nosologyString"] = self.nosology
        return {"contest": self.contest, "params": params}

    @property
    def duration(self) -> float | None:
        """How many seconds all files take; None: the platform decides."""
        if self.file_count is None or self.file_timeout is None:
            return None
        return float(self.file_count * self.file_timeout)


StarterOptions = SessionStarterOptions | ContestStarterOptions


def _check_word(given: object, field: str, words: Any) -> None:
    if given not in get_args(words):
        raise InvalidInput(field, f"is one of {', '.join(get_args(words))}")


def _check_number(given: object, field: str, least: int, most: int) -> None:
    if not isinstance(given, int) or isinstance(given, bool) or not least <= given <= most:
        raise InvalidInput(field, f"is a whole number from {least} to {most}")
