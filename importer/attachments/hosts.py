"""Attachments that Dixa cannot fetch, as far as their address tells: it fetches without a login."""

import re

# Paths under which helpdesks keep attachments for those who are logged in, or for whom a token is sent:
# Jira (/secure/attachment/, /rest/api/3/attachment/), Front (api2.frontapp.com), Help Scout and Freshdesk
# attachments by API, Zendesk with private attachments (/attachments/token/ stays open where they are not).
_BEHIND_LOGIN = re.compile(
    r"^https?://(?:[^/]*\.atlassian\.net/|[^/]*/secure/attachment/|[^/]*/rest/api/\d+/attachment/"
    r"|api\d?\.frontapp\.com/|api\.helpscout\.net/|[^/]*/servlet/servlet\.FileDownload"
    r"|[^/]*\.zendesk\.com/(?!attachments/token/))",
    re.IGNORECASE,
)


def needs_login(url: str) -> bool:
    """Whether an address is known to answer only those who are logged in."""
    return _BEHIND_LOGIN.match(url) is not None
