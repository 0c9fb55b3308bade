"""What a response proves. There is one table for requests that change something in Dixa and one for requests
that read. Each line has its reason.

Neither API documents what a 429 means, or whether a 5xx has changed something. So a status means what it
means in HTTP, and a request is in doubt if its response proves nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

from importer.model import Answer, Judgement, NoAnswer, Response, Verdict

_IsThere = Callable[[Answer], bool]


@dataclass(frozen=True, slots=True)
class ResponseRule:
    """One line of a table."""

    # The responses of this line, in words.
    response: str
    # Its second argument is whether the response contains what a success must contain, such as the id of what
    # was created.
    matches: Callable[[Response, bool], bool]
    verdict: Verdict
    why: str


def _status(*wanted: int) -> Callable[[Response, bool], bool]:
    return lambda response, _: isinstance(response, Answer) and response.status in wanted


def _hundred(number: int) -> Callable[[Response, bool], bool]:
    return lambda response, _: isinstance(response, Answer) and response.status // 100 == number


# The first line that matches counts.
CHANGE_RULES: tuple[ResponseRule, ...] = (
    ResponseRule(
        "not sent",
        lambda e, _: isinstance(e, NoAnswer) and not e.sent,
        Verdict.AGAIN,
        "no connection was made, so no byte of the request arrived",
    ),
    ResponseRule(
        "no response",
        lambda e, _: isinstance(e, NoAnswer),
        Verdict.IN_DOUBT,
        "the request may have arrived and been carried out before the connection broke",
    ),
    ResponseRule(
        "2xx with what was created",
        lambda e, told: _hundred(2)(e, told) and told,
        Verdict.CREATED,
        "Dixa returns the id of what it created",
    ),
    ResponseRule(
        "2xx without it",
        _hundred(2),
        Verdict.IN_DOUBT,
        "something was created, but the response does not say what",
    ),
    ResponseRule("401, 403", _status(401, 403), Verdict.UNAUTHORIZED, "refused before it was processed"),
    ResponseRule("429", _status(429), Verdict.AGAIN, "over the rate limit, refused before it was processed"),
    ResponseRule(
        "503 with Retry-After",
        lambda e, told: _status(503)(e, told) and isinstance(e, Answer) and e.retry_after_seconds is not None,
        Verdict.AGAIN,
        "the host says that it accepts no requests now, and when to try again",
    ),
    ResponseRule(
        "408", _status(408), Verdict.IN_DOUBT, "a proxy may have forwarded the request before it gave up"
    ),
    ResponseRule(
        "5xx",
        lambda e, _: isinstance(e, Answer) and e.status >= 500,
        Verdict.IN_DOUBT,
        "the server may have failed after the creation",
    ),
    ResponseRule(
        "other", lambda e, _: True, Verdict.REFUSED, "refused because of its content; nothing was created"
    ),
)

# Reading changes nothing, so it is repeated after every failure that may be temporary. The first line that
# matches counts.
READ_RULES: tuple[ResponseRule, ...] = (
    ResponseRule(
        "no response", lambda e, _: isinstance(e, NoAnswer), Verdict.AGAIN, "reading may be repeated"
    ),
    ResponseRule("401, 403", _status(401, 403), Verdict.UNAUTHORIZED, "the token is not accepted"),
    ResponseRule("408, 429", _status(408, 429), Verdict.AGAIN, "the host accepts no requests now"),
    ResponseRule(
        "5xx",
        lambda e, _: isinstance(e, Answer) and e.status >= 500,
        Verdict.AGAIN,
        "reading may be repeated",
    ),
    ResponseRule(
        "2xx", lambda e, told: _hundred(2)(e, told) and told, Verdict.CREATED, "the answer to the request"
    ),
    ResponseRule("2xx that is not JSON", _hundred(2), Verdict.AGAIN, "the response was truncated"),
    ResponseRule("other", lambda e, _: True, Verdict.REFUSED, "what was asked for does not exist"),
)


def judge_change(response: Response, *, created: _IsThere) -> Judgement:
    """What the response to a request that changes something proves. `created` says whether a 2xx contains
    what a success must contain."""
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
    """The status and the error message of Dixa, such as `400: The requester does not exist.`; without an
    error message the beginning of the body."""
    message = answer.json.get("message") if isinstance(answer.json, dict) else None
    text = str(message) if message else " ".join(answer.text.split())[:300]
    text = clean(text)
    return f"{answer.status}: {text}" if text else str(answer.status)


def clean(text: str) -> str:
    """The text with lone surrogates replaced, because no file or database can store them."""
    return text.encode("utf-8", "replace").decode()


def created_id(answer: Answer) -> str | None:
    """The id in the response to a creation; None if there is none."""
    data = answer.json.get("data") if isinstance(answer.json, dict) else None
    value = data.get("id") if isinstance(data, dict) else None
    return str(value) if value not in (None, "") else None
