"""How a request can end, and what that proves. One table for what changes something in Dixa and one for
reading, each line with its reason.

Neither API documents 429 or what a 5xx leaves behind, so what a status means is what it means in HTTP, and
what proves nothing is in doubt.
"""

from collections.abc import Callable
from dataclasses import dataclass

from importer.model import Answer, Ending, Judgement, NoAnswer, Verdict

_IsThere = Callable[[Answer], bool]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table: an ending, what it proves, and why. `matches` is also told whether an answer has
    in it what a success must have (the id of what was created)."""

    ending: str
    matches: Callable[[Ending, bool], bool]
    verdict: Verdict
    why: str


def _status(*wanted: int) -> Callable[[Ending, bool], bool]:
    return lambda ending, _: isinstance(ending, Answer) and ending.status in wanted


def _hundred(number: int) -> Callable[[Ending, bool], bool]:
    return lambda ending, _: isinstance(ending, Answer) and ending.status // 100 == number


# Read from above.
CHANGE_ENDINGS: tuple[Line, ...] = (
    Line(
        "not sent",
        lambda e, _: isinstance(e, NoAnswer) and not e.sent,
        Verdict.AGAIN,
        "no connection was made, so no byte of it arrived",
    ),
    Line(
        "no answer",
        lambda e, _: isinstance(e, NoAnswer),
        Verdict.IN_DOUBT,
        "it may have arrived and been carried out before the connection broke",
    ),
    Line(
        "2xx with what was created",
        lambda e, told: _hundred(2)(e, told) and told,
        Verdict.CREATED,
        "Dixa names what it created",
    ),
    Line(
        "2xx without it",
        _hundred(2),
        Verdict.IN_DOUBT,
        "something was created, but the answer does not say what",
    ),
    Line("401, 403", _status(401, 403), Verdict.UNAUTHORIZED, "refused before it was looked at"),
    Line("429", _status(429), Verdict.AGAIN, "over the limit, refused before it was looked at"),
    Line(
        "503 with Retry-After",
        lambda e, told: _status(503)(e, told) and isinstance(e, Answer) and e.retry_after_seconds is not None,
        Verdict.AGAIN,
        "the host says that it takes no requests now and when to come back",
    ),
    Line("408", _status(408), Verdict.IN_DOUBT, "a proxy may have passed it on before it gave up"),
    Line(
        "5xx",
        lambda e, _: isinstance(e, Answer) and e.status >= 500,
        Verdict.IN_DOUBT,
        "the fault may have come after the creation",
    ),
    Line("other", lambda e, _: True, Verdict.REFUSED, "refused for what it says; nothing was created"),
)

# Reading changes nothing, so all that may pass is asked again.
READ_ENDINGS: tuple[Line, ...] = (
    Line("no answer", lambda e, _: isinstance(e, NoAnswer), Verdict.AGAIN, "reading may be repeated"),
    Line("401, 403", _status(401, 403), Verdict.UNAUTHORIZED, "the token is not accepted"),
    Line("408, 429", _status(408, 429), Verdict.AGAIN, "not now"),
    Line(
        "5xx",
        lambda e, _: isinstance(e, Answer) and e.status >= 500,
        Verdict.AGAIN,
        "reading may be repeated",
    ),
    Line("2xx", lambda e, told: _hundred(2)(e, told) and told, Verdict.CREATED, "read"),
    Line("2xx that is no JSON", _hundred(2), Verdict.AGAIN, "cut short on its way"),
    Line("other", lambda e, _: True, Verdict.REFUSED, "there is no such thing"),
)


def judge_change(ending: Ending, *, created: _IsThere) -> Judgement:
    """What the ending of a request that changes something proves; `created` says whether an answer of 2xx
    has in it what it must have."""
    return _judge(CHANGE_ENDINGS, ending, created)


def judge_reading(ending: Ending) -> Judgement:
    """What the ending of a request that only reads proves."""
    return _judge(READ_ENDINGS, ending, lambda answer: answer.json is not None)


def _judge(table: tuple[Line, ...], ending: Ending, is_there: _IsThere) -> Judgement:
    told = isinstance(ending, Answer) and is_there(ending)
    line = next(line for line in table if line.matches(ending, told))
    if isinstance(ending, NoAnswer):
        return Judgement(line.verdict, reason=ending.reason)
    reason = "" if line.verdict is Verdict.CREATED else words(ending)
    return Judgement(line.verdict, reason=reason, retry_after_seconds=ending.retry_after_seconds)


def words(answer: Answer) -> str:
    """The status and Dixa's own words."""
    message = answer.json.get("message") if isinstance(answer.json, dict) else None
    text = str(message) if message else " ".join(answer.text.split())[:300]
    text = clean(text)
    return f"{answer.status}: {text}" if text else str(answer.status)


def clean(text: str) -> str:
    """Without the halves of surrogates, which can be stored nowhere."""
    return text.encode("utf-8", "replace").decode()
