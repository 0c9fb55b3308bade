"""What the responses of the Integrations API mean."""

from dataclasses import replace

from importer.dixa.paging import page_request
from importer.dixa.response_rules import created_id, judge_change, judge_reading
from importer.model import Answer, Judgement, Request, Response, Step, Verdict


def judge(response: Response, step: Step | None) -> Judgement:
    """What a response proves. The documentation of the API describes no errors."""
    if step is None:
        return judge_reading(response)
    judgement = judge_change(response, created=lambda answer: created_id(answer) is not None)
    if judgement.verdict is Verdict.CREATED and isinstance(response, Answer):
        return replace(judgement, dixa_id=created_id(response))
    return judgement


def next_page(answer: Answer, base_url: str, path: str) -> Request | None:
    """The request for the page after this one of the list at `path`; None after the last page. Raises
    ProtocolError if the link leads to another host, Unreadable if it is no link."""
    paging = answer.json.get("paging") if isinstance(answer.json, dict) else None
    return page_request(paging.get("next_page") if isinstance(paging, dict) else None, base_url, path)
