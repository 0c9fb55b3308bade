"""Recognise by their URL attachments that Dixa cannot fetch, because they need a login."""

import re

# URLs of attachments that helpdesks serve only after a login or with a token: Jira (/secure/attachment/,
# /rest/api/3/attachment/), Front (api2.frontapp.com), Help Scout's API, Salesforce
# (/servlet/servlet.FileDownload), and Zendesk with private attachments (without them, /attachments/token/
# needs no login).
_BEHIND_LOGIN = re.compile(
    r"^https?://(?:[^/]*\.atlassian\.net/|[^/]*/secure/attachment/|[^/]*/rest/api/\d+/attachment/"
    r"|api\d?\.frontapp\.com/|api\.helpscout\.net/|[^/]*/servlet/servlet\.FileDownload"
    r"|[^/]*\.zendesk\.com/(?!attachments/token/))",
    re.IGNORECASE,
)


def needs_login(url: str) -> bool:
    """Whether a URL is known to need a login."""
    return _BEHIND_LOGIN.match(url) is not None
