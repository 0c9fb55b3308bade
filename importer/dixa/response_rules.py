"""What a response proves. There is one table for requests that change something in Dixa and one for requests
that read. Each line has its reason.

Neither API documents what a 429 means, or whether a 5xx has changed something. So a status means what it
means in HTTP, and a request is in doubt if its response proves nothing.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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
    ResponseRule(
        "3xx",
        _hundred(3),
        Verdict.MOVED,
        "the address belongs to something else, which may have carried it out",
    ),
    ResponseRule("401", _status(401), Verdict.UNAUTHORIZED, "the token is refused before anything else"),
    ResponseRule(
        "403", _status(403), Verdict.FORBIDDEN, "the token, or a firewall that refuses only this content"
    ),
    ResponseRule("429", _status(429), Verdict.AGAIN, "over the rate limit, refused before it was processed"),
    ResponseRule(
        "503 with Retry-After",
        lambda e, told: _status(503)(e, told) and isinstance(e, Answer) and e.retry_after_seconds is not None,
        Verdict.AGAIN,
        "the host says that it accepts no requests now, and when to try again",
    ),
    ResponseRule(
        "404, 407, 408, 409, 421, 423, 425, 499",
        _status(404, 407, 408, 409, 421, 423, 425, 499),
        Verdict.IN_DOUBT,
        "it may be there already, or a proxy may have forwarded the request before it gave up; and what the "
        "request names may be there later",
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
    ResponseRule("3xx", _hundred(3), Verdict.MOVED, "the address belongs to something else"),
    ResponseRule("401", _status(401), Verdict.UNAUTHORIZED, "the token is not accepted"),
    ResponseRule(
        "403", _status(403), Verdict.FORBIDDEN, "the token may not read this, or a firewall refuses"
    ),
    ResponseRule(
        "2xx with data", lambda e, told: _hundred(2)(e, told) and told, Verdict.CREATED, "the answer"
    ),
    ResponseRule(
        "400, 404, 410, 422",
        _status(400, 404, 410, 422),
        Verdict.REFUSED,
        "what was asked for does not exist",
    ),
    ResponseRule("other", lambda e, _: True, Verdict.AGAIN, "not an answer; reading may be repeated"),
)


def judge_change(response: Response, *, created: _IsThere) -> Judgement:
    """What the response to a request that changes something proves. `created` says whether a 2xx contains
    what a success must contain."""
    return _judge(CHANGE_RULES, response, created)


def judge_reading(response: Response) -> Judgement:
    """What the response to a request that only reads proves."""
    return _judge(READ_RULES, response, _has_data)


def _judge(table: tuple[ResponseRule, ...], response: Response, is_there: _IsThere) -> Judgement:
    told = isinstance(response, Answer) and is_there(response)
    line = next(line for line in table if line.matches(response, told))
    if isinstance(response, NoAnswer):
        return Judgement(line.verdict, reason=response.reason)
    reason = "" if line.verdict is Verdict.CREATED else words(response)
    return Judgement(line.verdict, reason=reason, retry_after_seconds=response.retry_after_seconds)


def _has_data(answer: Answer) -> bool:
    """Whether it has the envelope of both APIs: `{"data": …}` with a list or an object."""
    return isinstance(answer.json, dict) and isinstance(answer.json.get("data"), list | dict)


def words(answer: Answer) -> str:
    """The status and the error message of Dixa, such as `400: The requester does not exist.`; without an
    error message the beginning of the body."""
    message = answer.json.get("message") if isinstance(answer.json, dict) else None
    text = " ".join(str(message or answer.text).split())[:1_000]
    return f"{answer.status}: {text}" if text else str(answer.status)


_ID = re.compile(r"(?!\.+$)[A-Za-z0-9._:~@+=-]{1,200}")


def valid_id(value: Any) -> str | None:
    """An id as text; None for what cannot be one. It becomes part of paths, so it holds only characters that
    have no meaning there."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value) if _ID.fullmatch(str(value)) else None


def created_id(answer: Answer) -> str | None:
    """The id in the response to a creation; None if there is none."""
    data = answer.json.get("data") if isinstance(answer.json, dict) else None
    return valid_id(data.get("id")) if isinstance(data, dict) else None
