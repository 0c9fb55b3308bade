"""The check of a time zone's name, shared by all keys that hold one."""

from zoneinfo import ZoneInfo


def known_zone(name: str) -> str:
    """The name of an IANA time zone. Raises ValueError where no such zone is known."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is not an IANA time zone, such as Europe/Copenhagen") from None
    return name
