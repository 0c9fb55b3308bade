"""End users and agents of Dixa API v1: how to look them up, create and recognise them."""

from collections.abc import Sequence

from importer.dixa.api import AgentList
from importer.dixa.matching import Item, has_address
from importer.model import Contact, Request


def _agent(agent: Item) -> tuple[list[str], str | None]:
    emails = [agent.get("email"), *(agent.get("additionalEmails") or ())]
    phones = [agent.get("phoneNumber"), *(agent.get("additionalPhoneNumbers") or ())]
    keys = [Contact(email=email).key for email in emails if email]
    keys += [Contact(phone=phone).key for phone in phones if phone]
    return [key for key in keys if key], agent.get("displayName")


AGENTS = AgentList(Request("GET", "/v1/agents", query={"pageLimit": "100"}), _agent)
_EMAILS = ("email", "additionalEmails")
_PHONES = ("phoneNumber", "additionalPhoneNumbers")


def find_person(contact: Contact) -> Request:
    """The look-up of an end user by the first of e-mail address, phone number and external id; the API
    accepts only one of them."""
    values = {"email": contact.email, "phone": contact.phone, "externalId": contact.external_id}
    name, value = next((name, value) for name, value in values.items() if value)
    return Request("GET", "/v1/endusers", query={name: value})


def person_in(users: Sequence[Item], contact: Contact) -> str | None:
    """The id of the end user who has exactly this address, or this external id if the contact has no address.
    None if nobody in the list has it."""
    by_id = not contact.email and not contact.phone
    found = (
        user
        for user in users
        if (by_id and user.get("externalId") == contact.external_id)
        or has_address(user, contact, emails=_EMAILS, phones=_PHONES)
    )
    return next((str(user["id"]) for user in found), None)


def create_person(contact: Contact) -> Request:
    """The creation of one end user."""
    return Request("POST", "/v1/endusers", json=_end_user(contact))


def create_people(contacts: Sequence[Contact]) -> Request:
    """The creation of several end users in one request."""
    return Request("POST", "/v1/endusers/bulk", json={"data": [_end_user(c) for c in contacts]})


def _end_user(contact: Contact) -> dict[str, str]:
    body = {
        "displayName": contact.name,
        "email": contact.email,
        "phoneNumber": contact.phone,
        "externalId": contact.external_id,
    }
    return {name: value for name, value in body.items() if value}


def is_person(user: Item, key: str) -> bool:
    """Whether a user shows that they are the one with this contact key."""
    kind, _, value = key.partition(":")
    if kind == "id":
        return bool(user.get("externalId") == value)
    contact = Contact(email=value) if kind == "email" else Contact(phone=value)
    return has_address(user, contact, emails=_EMAILS, phones=_PHONES)
