"""Users of the Integrations API: how to look them up and how to create them."""

from collections.abc import Callable, Sequence

from importer.dixa.matching import Item, has_address
from importer.model import Contact, Request

# No operation creates several users at once.
create_people: Callable[[Sequence[Contact]], Request] | None = None


def find_person(contact: Contact) -> Request:
    """The look-up of a user by e-mail address, or by phone number without one."""
    query = {"email": contact.email} if contact.email else {"phone_number": contact.phone or ""}
    return Request("GET", "/v1/users", query=query)


def person_in(users: Sequence[Item], contact: Contact) -> str | None:
    """The id of the user who has exactly this address; None if nobody in the list has it."""
    found = (u for u in users if has_address(u, contact, emails=["email"], phones=["phone_number"]))
    return next((str(user["id"]) for user in found), None)


def create_person(contact: Contact) -> Request:
    """The creation of a user."""
    body = {"name": contact.name, "email": contact.email, "phone_number": contact.phone}
    return Request("POST", "/v1/users", json={name: value for name, value in body.items() if value})
