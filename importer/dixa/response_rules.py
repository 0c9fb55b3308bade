"""What a response to a request proves. One table for requests that change something in Dixa and one for
reading, each line with its reason.

Neither API documents 429 or what a 5xx leaves behind, so what a status means is what it means in HTTP, and
what proves nothing is in doubt.
"""

from collections.abc import Callable
from dataclasses import dataclass

from importer.model import Answer, Judgement, NoAnswer, Response, Verdict

_IsThere = Callable[[Answer], bool]


@dataclass(frozen=True, slots=True)
class ResponseRule:
    """One line of a table: a response, what it proves, and why. `matches` is also told whether an answer
    contains what a success must contain (the id of what was created)."""

    response: str
    matches: Callable[[Response, bool], bool]
    verdict: Verdict
    why: str


def _status(*wanted: int) -> Callable[[Response, bool], bool]:
    return lambda response, _: isinstance(response, Answer) and response.status in wanted


def _hundred(number: int) -> Callable[[Response, bool], bool]:
    return lambda response, _: isinstance(response, Answer) and response.status // 100 == number


# Read from above.
CHANGE_RULES: tuple[ResponseRule, ...] = (
    ResponseRule(
        "not sent",
        lambda e, _: isinstance(e, NoAnswer) and not e.sent,
        Verdict.AGAIN,
        "no connection was made, so no byte of it arrived",
    ),
    ResponseRule(
        "no answer",
        lambda e, _: isinstance(e, NoAnswer),
        Verdict.IN_DOUBT,
        "it may have arrived and been carried out before the connection broke",
    ),
    ResponseRule(
        "2xx with what was created",
        lambda e, told: _hundred(2)(e, told) and told,
        Verdict.CREATED,
        "Dixa names what it created",
    ),
    ResponseRule(
        "2xx without it",
        _hundred(2),
        Verdict.IN_DOUBT,
        "something was created, but the answer does not say what",
    ),
    ResponseRule("401, 403", _status(401, 403), Verdict.UNAUTHORIZED, "refused before it was looked at"),
    ResponseRule("429", _status(429), Verdict.AGAIN, "over the limit, refused before it was looked at"),
    ResponseRule(
        "503 with Retry-After",
        lambda e, told: _status(503)(e, told) and isinstance(e, Answer) and e.retry_after_seconds is not None,
        Verdict.AGAIN,
        "the host says that it takes no requests now and when to come back",
    ),
    ResponseRule("408", _status(408), Verdict.IN_DOUBT, "a proxy may have passed it on before it gave up"),
    ResponseRule(
        "5xx",
        lambda e, _: isinstance(e, Answer) and e.status >= 500,
        Verdict.IN_DOUBT,
        "the fault may have come after the creation",
    ),
    ResponseRule(
        "other", lambda e, _: True, Verdict.REFUSED, "refused for what it says; nothing was created"
    ),
)

# Reading changes nothing, so all that may pass is asked again.
READ_RULES: tuple[ResponseRule, ...] = (
    ResponseRule("no answer", lambda e, _: isinstance(e, NoAnswer), Verdict.AGAIN, "reading may be repeated"),
    ResponseRule("401, 403", _status(401, 403), Verdict.UNAUTHORIZED, "the token is not accepted"),
    ResponseRule("408, 429", _status(408, 429), Verdict.AGAIN, "not now"),
    ResponseRule(
        "5xx",
        lambda e, _: isinstance(e, Answer) and e.status >= 500,
        Verdict.AGAIN,
        "reading may be repeated",
    ),
    ResponseRule("2xx", lambda e, told: _hundred(2)(e, told) and told, Verdict.CREATED, "read"),
    ResponseRule("2xx that is no JSON", _hundred(2), Verdict.AGAIN, "cut short on its way"),
    ResponseRule("other", lambda e, _: True, Verdict.REFUSED, "there is no such thing"),
)


def judge_change(response: Response, *, created: _IsThere) -> Judgement:
    """What the response to a request that changes something proves; `created` says whether an answer of 2xx
    has in it what it must have."""
    return _judge(CHANGE_RULES, response, created)


def judge_reading(response: Response) -> Judgement:
    """What the response to a request that only reads proves."""
    return _judge(READ_RULES, response, lambda answer: answer.json is not None)


def _judge(table: tuple[ResponseRule, ...], response: Response, is_there: _IsThere) -> Judgement:
    told = isinstance(response, Answer) and is_there(response)
    line = next(line for line in table if line.matches(response, told))
    if isinstance(response, NoAnswer):
        return Judgement(line.verdict, reason=response.reason)
    reason = "" if line.verdict is Verdict.CREATED else words(response)
    return Judgement(line.verdict, reason=reason, retry_after_seconds=response.retry_after_seconds)


def words(answer: Answer) -> str:
    """The status and Dixa's own words."""
    message = answer.json.get("message") if isinstance(answer.json, dict) else None
    text = str(message) if message else " ".join(answer.text.split())[:300]
    text = clean(text)
    return f"{answer.status}: {text}" if text else str(answer.status)


def clean(text: str) -> str:
    """Without the halves of surrogates, which can be stored nowhere."""
    return text.encode("utf-8", "replace").decode()


def created_id(answer: Answer) -> str | None:
    """The id in a creation's answer, or None where it is not to be found."""
    data = answer.json.get("data") if isinstance(answer.json, dict) else None
    value = data.get("id") if isinstance(data, dict) else None
    return str(value) if value not in (None, "") else None
