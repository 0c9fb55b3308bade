"""Each kind of damage gives a warning with numbers, and a clean export gives none."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from importer.pipeline.prepare import Prepared
from importer.relate import warnings as damage
from importer.relate.warnings import Finding
from importer.resources import SAMPLES

Migration = Callable[..., Path]
NOW = datetime(2025, 1, 1, tzinfo=UTC)
TICKETS = "ticket_id,subject,requester_email,created_at,opening_text"
MESSAGES = "message_id,ticket_id,created_at,author_email,author_role,direction,text"


def findings(ready: Prepared, now: datetime = NOW) -> list[Finding]:
    source = ready.migration.source
    return damage.findings(
        ready.tables, ready.related, now=now, timezone=source.timezone, opening=source.opening
    )


def told(ready: Prepared) -> list[tuple[str, str, int, int]]:
    return sorted((f.table, f.name, f.count, f.total) for f in findings(ready))


def csv(header: str, lines: Iterable[str]) -> str:
    return "\n".join([header, *lines]) + "\n"


def ticket(id_: object = 1, *, created: str = "2024-05-06T10:00:00Z", text: str = "hello") -> str:
    return f"{id_},a subject,a@b.example,{created},{text}"


def tickets(*lines: str) -> str:
    return csv(TICKETS, lines)


def message(
    id_: object = 1,
    *,
    of: object = 1,
    created: str = "2024-05-06T11:00:00Z",
    author: str = "a@b.example,end_user,inbound",
    text: str = "hi",
) -> str:
    return f"m{id_},{of},{created},{author},{text}"


OUR = "lene@nordlys.example,agent,outbound"


@pytest.mark.parametrize("name", ["helpdesk.toml", "helpdesk-parquet.toml"])
def test_a_clean_export_has_no_damage(prepare, name: str) -> None:
    assert findings(prepare(SAMPLES / name)) == []


def test_two_sound_messages_have_no_damage(migration: Migration, prepare) -> None:
    path = migration(
        tickets=tickets(ticket(1)), messages=csv(MESSAGES, [message(1), message(2, author=OUR, text="done")])
    )
    assert findings(prepare(path)) == []


# -- ids


@pytest.mark.parametrize("eaten", ["3.70296E+11", "3,7e+11", "4E+11", "1000.0"])
def test_ids_that_a_spreadsheet_has_damaged(migration: Migration, prepare, eaten: str) -> None:
    lines = [f'"{eaten}",s,a@b.example,2024-05-06T10:00:00Z,x', *(ticket(n) for n in range(3))]
    ready = prepare(migration(tickets=tickets(*lines)))
    assert told(ready) == [("tickets", "eaten_ids", 1, 4)]
    (finding,) = findings(ready)
    assert [(p.file, p.record, p.column) for p in finding.places] == [(0, 0, "ticket_id")]
    assert finding.message.startswith(
        "ticket_id has values such as 3.7E+11 or 1000.0. A spreadsheet has probably changed them,"
    )


def test_ids_that_look_odd_but_are_intact(migration: Migration, prepare) -> None:
    sound = ["1e5", "370296000001", "10.5", "1000.00", "E+11", "A3.7E+11", "00123"]
    assert told(prepare(migration(tickets=tickets(*map(ticket, sound))))) == []


def test_repaired_ids_are_not_damaged(migration: Migration, prepare) -> None:
    ready = prepare(migration('tickets.ids = "repair"', tickets=tickets(ticket("1000.0"))))
    assert told(ready) == []
    assert [job.ticket_id for job in ready.parts.jobs()] == ["1000"]


def test_damaged_ids_are_reported_by_column(migration: Migration, prepare) -> None:
    path = migration(
        tickets="ticket_id,subject,requester_id,requester_email,opening_text\n"
        "1.0,a,9.0,a@b.example,x\n2.0,b,9,a@b.example,x\n"
    )
    ready = prepare(path)
    assert told(ready) == [("tickets", "eaten_ids", 1, 2), ("tickets", "eaten_ids", 2, 2)]
    assert {place.column for f in findings(ready) for place in f.places} == {"ticket_id", "requester_id"}


# -- complete files


@pytest.mark.parametrize(("rows", "is_cut"), [(1_000, True), (999, False), (1_001, False), (500, False)])
def test_an_export_cut_off_at_a_round_number(migration: Migration, prepare, rows: int, is_cut: bool) -> None:
    ready = prepare(migration(tickets=tickets(*(ticket(n) for n in range(rows)))))
    assert told(ready) == ([("tickets", "cut_at_a_round_number", rows, rows)] if is_cut else [])
    if is_cut:
        assert f"tickets.csv has exactly {rows:,} rows" in findings(ready)[0].message


def test_an_export_cut_off_by_a_spreadsheet_with_newlines_in_its_cells(migration: Migration, prepare) -> None:
    lines = (f'{n},s,a@b.example,2024-05-06T10:00:00Z,"a\nb"' for n in range(65_535))
    ready = prepare(migration(tickets=tickets(*lines)))
    (finding,) = findings(ready)
    assert (finding.name, finding.count) == ("cut_at_a_round_number", 65_535)
    assert "has exactly 65,535 rows, the limit of old spreadsheets." in finding.message


def test_each_file_of_a_table_is_counted_separately(migration: Migration, prepare, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(tickets(*(ticket(n) for n in range(1_000))))
    (tmp_path / "b.csv").write_text(tickets(*(ticket(n) for n in range(1_000, 1_300))))
    ready = prepare(migration('tickets.files = ["a.csv", "b.csv"]'))
    assert told(ready) == [("tickets", "cut_at_a_round_number", 1_000, 1_000)]
    assert findings(ready)[0].message.startswith("a.csv ")


@pytest.mark.parametrize(("strangers", "is_told"), [(3, True), (2, False), (1, False)])
def test_files_that_do_not_join(migration: Migration, prepare, strangers: int, is_told: bool) -> None:
    lines = [message(n, of=f"other-{n}" if n < strangers else 1, text=f"t{n}") for n in range(4)]
    ready = prepare(migration(tickets=tickets(ticket(1)), messages=csv(MESSAGES, lines)))
    assert told(ready) == ([("messages", "files_do_not_join", strangers, 4)] if is_told else [])


def test_attachments_that_do_not_join(migration: Migration, prepare) -> None:
    path = migration(
        tickets=tickets(ticket(1)),
        messages=csv(MESSAGES, [message(1)]),
        attachments="message_id,url\nm1,https://a.example/1\nm7,https://a.example/2\nm8,https://a.example/3\n",
    )
    ready = prepare(path)
    assert told(ready) == [("attachments", "files_do_not_join", 2, 3)]
    assert "belong to no row of messages" in findings(ready)[0].message


def test_a_file_that_was_exported_twice(migration: Migration, prepare, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(tickets(*(ticket(n) for n in range(10))))
    (tmp_path / "b.csv").write_text(tickets(*(ticket(n) for n in range(4, 8))))
    ready = prepare(migration('tickets.files = ["a.csv", "b.csv"]'))
    assert told(ready) == [("tickets", "doubled_parts", 4, 4)]
    assert "most rows of b.csv are in another file too." in findings(ready)[0].message


def test_a_single_record_in_two_files_is_not_a_doubled_part(
    migration: Migration, prepare, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text(tickets(*(ticket(n) for n in range(10))))
    (tmp_path / "b.csv").write_text(tickets(*(ticket(n) for n in range(9, 14))))
    ready = prepare(migration('tickets.files = ["a.csv", "b.csv"]'))
    assert told(ready) == []
    assert ready.books["tickets"].places["rejected"] == 2


def test_duplicates_in_one_file_are_not_a_doubled_part(migration: Migration, prepare, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(tickets(*(ticket(n) for n in [*range(5), *range(5)])))
    (tmp_path / "b.csv").write_text(tickets(*(ticket(n) for n in range(9, 14))))
    ready = prepare(migration('tickets.files = ["a.csv", "b.csv"]'))
    assert told(ready) == []
    assert ready.books["tickets"].places["rejected"] == 10


def test_a_round_number_of_gathered_tickets_is_not_a_cut(migration: Migration, prepare) -> None:
    lines = [f"{n},{n // 3},a@b.example,inbound,text {n}" for n in range(3_000 - 2)]
    path = migration(messages=csv("message_id,ticket_id,requester_email,direction,text", lines))
    ready = prepare(path)
    assert ready.tables["tickets"].read == 1_000
    assert told(ready) == []


# -- opening messages


def opened(
    ids: Iterable[int], *, repeated: Iterable[int], created: str = "2024-05-06T11:00:00Z"
) -> dict[str, str]:
    """Tickets with opening texts and one message each. Some messages repeat the opening text."""
    again, ids = set(repeated), list(ids)
    texts = {n: f'"help  {n}!"' if n in again else "another" for n in ids}
    return {
        "tickets": tickets(*(ticket(n, text=f"Help {n}!") for n in ids)),
        "messages": csv(MESSAGES, [message(n, of=n, text=texts[n], created=created) for n in ids]),
    }


def test_opening_texts_that_are_among_the_messages_too(migration: Migration, prepare) -> None:
    ready = prepare(migration(**opened(range(10), repeated=[3, 4])))
    assert told(ready) == [("tickets", "openings_doubled", 2, 10)]


@pytest.mark.parametrize(
    ("minute", "is_told"), [("09:50", True), ("10:10", True), ("09:49", False), ("10:11", False)]
)
def test_a_customer_s_message_within_ten_minutes_is_the_opening_text(
    migration: Migration, prepare, minute: str, is_told: bool
) -> None:
    ready = prepare(migration(**opened(range(10), repeated=[], created=f"2024-05-06T{minute}:00Z")))
    assert told(ready) == ([("tickets", "openings_doubled", 10, 10)] if is_told else [])


def test_one_repeated_opening_text_of_many_gives_no_warning(migration: Migration, prepare) -> None:
    assert told(prepare(migration(**opened(range(10), repeated=[3])))) == []


@pytest.mark.parametrize("opening", ["unless_repeated", "unless_messages"])
def test_opening_texts_that_are_imported_once_give_no_warning(
    migration: Migration, prepare, opening: str
) -> None:
    path = migration(f'opening = "{opening}"', **opened(range(10), repeated=range(10)))
    ready = prepare(path)
    assert told(ready) == []
    assert ready.parts.messages == 10


@pytest.mark.parametrize(("ours", "is_told"), [(11, True), (10, False)])
def test_missing_opening_texts(migration: Migration, prepare, ours: int, is_told: bool) -> None:
    rows = [f"{n},s,a@b.example,2024-05-06T10:00:00Z," for n in range(20)]
    lines = [message(n, of=n, **({"author": OUR} if n < ours else {})) for n in range(20)]
    ready = prepare(migration(tickets=tickets(*rows), messages=csv(MESSAGES, lines)))
    assert told(ready) == ([("tickets", "openings_missing", ours, 20)] if is_told else [])


def test_a_few_conversations_give_no_warning_about_opening_texts(migration: Migration, prepare) -> None:
    rows = [f"{n},s,a@b.example,2024-05-06T10:00:00Z," for n in range(19)]
    lines = [message(n, of=n, author=OUR) for n in range(19)]
    assert told(prepare(migration(tickets=tickets(*rows), messages=csv(MESSAGES, lines)))) == []


def test_a_note_before_the_first_message_is_not_a_first_message(migration: Migration, prepare) -> None:
    rows = [f"{n},s,a@b.example,2024-05-06T10:00:00Z," for n in range(20)]
    notes = [message(n, of=n, author="lene@nordlys.example,agent,internal", text="note") for n in range(20)]
    later = [message(f"{n}b", of=n, created="2024-05-06T12:00:00Z") for n in range(20)]
    path = migration(tickets=tickets(*rows), messages=csv(MESSAGES, notes + later))
    assert told(prepare(path)) == []


# -- people


@pytest.mark.parametrize("people", [None, "person_id,email\n1,a@b.example\n"])
def test_ids_of_people_that_no_file_has(migration: Migration, prepare, people: str | None) -> None:
    path = migration(
        tickets="ticket_id,requester_id,requester_email,opening_text\nA,1,,x\nB,2,,x\nC,3,c@d.example,x\nD,,,x\n",
        messages="ticket_id,author_id,direction,text\nA,1,inbound,x\nA,9,inbound,y\nA,9,inbound,z\nA,,inbound,x\n",
        **({"people": people} if people else {}),
    )
    ready = prepare(path, people__default_requester="nobody@b.example")
    found = {f.table: f for f in findings(ready) if f.name == "unknown_people"}
    assert {name: (f.count, f.total) for name, f in found.items()} == {
        "tickets": (1 if people else 2, 4),
        "messages": (2, 4),
    }
    last = found["tickets"].places[-1]
    assert (last.record, last.column) == (1, "requester_id")
    assert ("no file of people" in found["messages"].message) == (people is None)


def test_a_requester_s_id_with_an_address_is_known(migration: Migration, prepare) -> None:
    path = migration(
        tickets="ticket_id,requester_id,requester_email\nA,77,a@b.example\n",
        messages="ticket_id,author_id,from_email,direction,text\nA,77,,inbound,x\nA,78,c@d.example,inbound,y\n",
    )
    assert [f for f in findings(prepare(path)) if f.name == "unknown_people"] == []


def test_an_agent_whom_the_user_has_named_is_known(migration: Migration, prepare) -> None:
    path = migration(
        tickets="ticket_id,requester_email,opening_text\nA,a@b.example,x\n",
        messages="ticket_id,author_id,author_name,author_role,direction,text\n"
        "A,7,Lene,agent,outbound,x\nA,8,Xi,agent,outbound,y\n",
    )
    path.with_suffix(".agents.csv").write_text("person,name,agent\nLene,,lene@nordlys.example\n", "utf-8")
    ready = prepare(path, people__default_agent="migration@nordlys.example")
    found = [f for f in findings(ready) if f.name == "unknown_people"]
    assert [(f.table, f.count, [p.record for p in f.places]) for f in found] == [("messages", 1, [1])]


@pytest.mark.parametrize(
    ("columns", "told_of"),
    [("requester_email", 0), ("requester_name", 3), ("subject", 3)],
)
def test_messages_of_which_nothing_shows_who_wrote_them(
    migration: Migration, prepare, columns: str, told_of: int
) -> None:
    path = migration(
        tickets=f"ticket_id,{columns}\nA,a@b.example\n",
        messages="ticket_id,author_email,public,text\nA,a@b.example,true,x\nA,l@b.example,true,y\n"
        "A,,true,z\nA,l@b.example,false,note\n",
    )
    ready = prepare(path, people__default_requester="nobody@b.example", people__default_agent="m@b.example")
    found = {f.name: (f.count, f.total) for f in findings(ready)}
    assert found.get("sides_unknown", (0, 4)) == (told_of or 1, 4)


def test_ids_of_known_people_give_no_warning(migration: Migration, prepare) -> None:
    path = migration(
        tickets="ticket_id,requester_id,opening_text\nA,1,x\n", people="person_id,email\n1,a@b.example\n"
    )
    assert [f for f in findings(prepare(path)) if f.name == "unknown_people"] == []


def test_texts_in_a_column_that_is_not_mapped(migration: Migration, prepare) -> None:
    history = "2024-01-05 Juan: " + "we look at it " * 10
    path = migration(
        tickets=f"ticket_id,requester_email,opening_text,Mood,History\n1,a@b.example,x,good,{history}\n"
        "2,a@b.example,y,bad,\n"
    )
    (found,) = findings(prepare(path))
    assert (found.name, found.count, found.total) == ("texts_left", 1, 2)
    assert found.message.startswith(
        "custom.History has texts of 156 characters on average, and is not imported."
    )
    ready = prepare(path)
    assert not damage.findings(
        ready.tables,
        ready.related,
        now=NOW,
        timezone=None,
        opening="always",
        carried=["custom.History"],
    )


def test_tickets_that_were_closed_before_they_were_created(migration: Migration, prepare) -> None:
    path = migration(
        tickets="ticket_id,requester_email,created_at,closed_at,opening_text\n"
        "1,a@b.example,2024-03-04T10:00:00Z,2024-03-04T10:00:00Z,x\n"
        "2,a@b.example,2024-03-04T10:00:00Z,2024-03-04T09:00:00Z,x\n3,a@b.example,2024-03-04T10:00:00Z,,x\n"
    )
    (found,) = findings(prepare(path))
    assert (found.name, found.count, found.places[0].record) == ("closed_before_created", 1, 1)


@pytest.mark.parametrize("said", ["", "true"])
def test_an_export_in_which_no_message_says_whether_it_is_public(
    migration: Migration, prepare, said: str
) -> None:
    path = migration(
        'opening = "unless_repeated"',
        tickets="ticket_id,requester_email,opening_text\n1,a@b.example,x\n2,a@b.example,y\n",
        messages=f"ticket_id,author_email,public,text\n1,a@b.example,true,x\n2,l@b.example,{said},z\n".replace(
            "true,x", ",x"
        ),
    )
    ready = prepare(path)
    found = {f.name: f.count for f in findings(ready)}
    assert found.get("all_internal") == (None if said else 2)


def test_a_file_without_rows(migration: Migration, prepare) -> None:
    assert told(prepare(migration(tickets=tickets()))) == [("tickets", "no_rows", 0, 0)]


def test_values_that_only_the_asterisk_covers(migration: Migration, prepare) -> None:
    rows = [
        f"{n},{status},hi"
        for n, status in enumerate(["Open", "Beim Lager", "beim lager", "Solved", "Lost", ""])
    ]
    path = migration(
        'tickets.values.status = { open = "open", solved = "closed", "*" = "closed" }\n'
        'messages.values.direction = { in = "inbound", "*" = "" }',
        tickets=csv("ticket_id,status,opening_text", rows),
        messages="ticket_id,direction,text\n1,what,x\n",
    )
    ready = prepare(path, people__default_requester="nobody@b.example")
    (found,) = [f for f in findings(ready) if f.name == "values_unnamed"]
    assert (found.table, found.count, found.total) == ("tickets", 3, 6)
    assert found.message.endswith(
        "so its '*' turns them into 'closed'. Add those that mean something else: "
        "'Beim Lager' (1), 'Lost' (1), 'beim lager' (1)"
    )


def test_values_of_gathered_tickets_that_only_the_asterisk_covers(migration: Migration, prepare) -> None:
    path = migration(
        'tickets.values.status = { open = "open", "*" = "closed" }',
        messages="ticket_id,status,direction,author_email,text\n"
        "1,odd,inbound,a@b.example,x\n1,odd,inbound,a@b.example,y\n2,open,inbound,a@b.example,z\n",
    )
    (found,) = [f for f in findings(prepare(path)) if f.name == "values_unnamed"]
    assert (found.table, found.count, found.total) == ("tickets", 1, 2)


@pytest.mark.parametrize("email", ["a@b.example", ""])
def test_an_unreadable_phone_number_beside_an_address_is_dropped(
    migration: Migration, prepare, email: str
) -> None:
    path = migration(
        tickets=f"ticket_id,requester_email,requester_phone,opening_text\n1,{email},hidden,x\n"
        "2,c@d.example,+4520304050,y\n",
    )
    ready = prepare(path)
    phones = {job.ticket_id: job.requester.phone for job in ready.parts.jobs()}
    told_of = [(f.table, f.count, f.places[0].column) for f in findings(ready) if f.name == "not_sent"]
    if email:
        assert (phones, told_of) == ({"1": None, "2": "+4520304050"}, [("tickets", 1, "requester_phone")])
    else:
        assert (list(phones), told_of) == (["2"], [])
        rule = ready.tables["tickets"].rules["requester_phone.pattern"]
        assert rule.message == "must look like +4520304050"


# -- texts


@pytest.mark.parametrize("text", ["cafÃ© au lait", "itâ€™s", "3 â‚¬", "M\ufffdller", "Ã¸l"])
def test_texts_in_the_wrong_encoding(migration: Migration, prepare, text: str) -> None:
    ready = prepare(migration(tickets=tickets(ticket(1), ticket(2, text=text))))
    assert told(ready) == [("tickets", "mojibake", 1, 2)]
    assert [(p.record, p.column) for p in findings(ready)[0].places] == [(1, "opening_text")]


def test_texts_in_other_languages_give_no_warning(migration: Migration, prepare) -> None:
    texts = ["café au lait", "it’s 3 €", "SÃO PAULO", "Ärger über Öl", "Â la carte", "日本語 🎉"]
    lines = [ticket(n, text=text) for n, text in enumerate(texts)]
    assert told(prepare(migration(tickets=tickets(*lines)))) == []


def test_a_subject_in_the_wrong_encoding(migration: Migration, prepare) -> None:
    ready = prepare(migration(tickets=tickets("1,RÃ¼ckfrage,a@b.example,2024-05-06T10:00:00Z,hello")))
    assert told(ready) == [("tickets", "mojibake", 1, 1)]


@pytest.mark.parametrize(
    "text", ["Hi {{ticket.requester}}", "{{ first_name }}, hello", "{% if x %}", "<%= name %>"]
)
def test_unfilled_placeholders(migration: Migration, prepare, text: str) -> None:
    lines = [message(1), message(2, text=f'"{text}"')]
    ready = prepare(migration(tickets=tickets(ticket(1)), messages=csv(MESSAGES, lines)))
    assert told(ready) == [("messages", "template_holes", 1, 2)]
    assert [(p.record, p.column) for p in findings(ready)[0].places] == [(1, "text")]


def test_braces_that_are_not_placeholders(migration: Migration, prepare) -> None:
    texts = ["{ticket}", "{{}}", "a {{ 1 + 1 }}", "50 % {sale}", "<% %>"]
    lines = [ticket(n, text=text) for n, text in enumerate(texts)]
    assert told(prepare(migration(tickets=tickets(*lines)))) == []


def test_unfilled_placeholders_in_html(migration: Migration, prepare) -> None:
    path = migration(
        tickets=tickets(ticket(1)),
        messages=f"{MESSAGES[:-4]}html\nm1,1,2024-05-06T11:00:00Z,a@b.example,end_user,inbound,<p>{{{{name}}}}</p>\n",
    )
    ready = prepare(path)
    assert told(ready) == [("messages", "template_holes", 1, 1)]
    assert findings(ready)[0].places[0].column == "html"


def test_copies_without_an_address_are_counted_and_dropped(migration: Migration, prepare) -> None:
    path = migration(
        tickets=tickets(ticket(1)),
        messages=f"{MESSAGES},cc\n{message(1)},mia@b.example; Team\n{message(2)},ole@b.example\n",
    )
    ready = prepare(path)
    assert told(ready) == [("messages", "copies_without_address", 1, 2)]
    assert [(p.record, p.column) for p in findings(ready)[0].places] == [(0, "cc")]
    (conversation,) = ready.parts.jobs()
    assert [m.cc for m in conversation.messages] == [(), ("mia@b.example",), ("ole@b.example",)]


# -- times


@pytest.mark.parametrize(
    ("time", "name"),
    [
        ("2025-01-01T00:00:01Z", "times_in_the_future"),
        ("2025-01-01T00:00:00Z", None),
        ("1990-01-01T00:00:00Z", None),
        ("1989-12-31T23:59:59Z", "times_before_1990"),
        ("1970-01-01T00:00:00Z", "times_before_1990"),
    ],
)
def test_times_that_cannot_be_right(migration: Migration, prepare, time: str, name: str | None) -> None:
    ready = prepare(migration(tickets=tickets(ticket(1, created=time), ticket(2))))
    assert told(ready) == ([("tickets", name, 1, 2)] if name else [])
    if name:
        assert [(p.record, p.column) for p in findings(ready)[0].places] == [(0, "created_at")]


def test_each_column_of_times_has_its_own_warning(migration: Migration, prepare) -> None:
    path = migration(
        tickets="ticket_id,subject,requester_email,created_at,closed_at,opening_text\n"
        "1,a,a@b.example,2024-05-06T10:00:00Z,2099-01-01T00:00:00Z,x\n"
        "2,a,a@b.example,2030-05-06T10:00:00Z,2099-01-01T00:00:00Z,x\n"
    )
    ready = prepare(path)
    assert told(ready) == [("tickets", "times_in_the_future", 1, 2), ("tickets", "times_in_the_future", 2, 2)]
    assert {f.message for f in findings(ready)} == {
        f"{column} is in the future. The day and month may be swapped, or the time zone wrong; check the "
        "times in the export"
        for column in ("created_at", "closed_at")
    }


def at_night(hours: Iterable[int], author: str = OUR) -> dict[str, str]:
    lines = [
        message(n, created=f"2024-{n % 12 + 1:02}-06T{hour:02}:30:00Z", author=author, text=f"t{n}")
        for n, hour in enumerate(hours)
    ]
    return {"tickets": tickets(ticket(1)), "messages": csv(MESSAGES, lines)}


@pytest.mark.parametrize(
    ("night", "day", "is_told"), [(31, 69, True), (30, 70, False), (60, 39, False), (100, 0, True)]
)
def test_agents_who_work_at_night(migration: Migration, prepare, night: int, day: int, is_told: bool) -> None:
    ready = prepare(migration(**at_night([n % 5 for n in range(night)] + [9] * day)))
    assert told(ready) == ([("messages", "agents_at_night", night, night + day)] if is_told else [])


def test_customers_may_write_at_night(migration: Migration, prepare) -> None:
    assert told(prepare(migration(**at_night([3] * 120, "a@b.example,end_user,inbound")))) == []


@pytest.mark.parametrize(("zone", "is_told"), [("America/Los_Angeles", False), ("Europe/Copenhagen", True)])
def test_the_night_is_in_the_time_zone_of_the_migration(
    migration: Migration, prepare, zone: str, is_told: bool
) -> None:
    # At 01:30 in UTC it is late at night in Copenhagen, and the afternoon or evening in Los Angeles.
    ready = prepare(migration(timezone=zone, **at_night([1] * 100)))
    assert ["agents_at_night" in {name for _, name, _, _ in told(ready)}] == [is_told]


def test_ambiguous_times_when_clocks_go_back(migration: Migration, prepare) -> None:
    times = ["2024-10-27 02:30:00", "2024-10-27 03:30:00", "2024-10-27 02:10"]
    lines = [message(n, created=time, text=f"t{n}") for n, time in enumerate(times)]
    path = migration(timezone="Europe/Copenhagen", tickets=tickets(ticket(1)), messages=csv(MESSAGES, lines))
    ready = prepare(path)
    assert told(ready) == [("messages", "repeated_times", 2, 3)]
    assert [p.record for p in findings(ready)[0].places] == [0, 2]


# -- the output


def test_rejected_rows_give_no_warning(migration: Migration, prepare) -> None:
    broken = "1.0,s,a@b.example,2099-01-01T00:00:00Z,{{name}} Ã©,one cell too many"
    ready = prepare(migration(tickets=tickets(broken, ticket(2))))
    assert told(ready) == []


def test_a_warning_has_at_most_three_examples(migration: Migration, prepare) -> None:
    ready = prepare(migration(tickets=tickets(*(ticket(f"{n}.0") for n in range(5)))))
    (finding,) = findings(ready)
    assert (finding.count, len(finding.places)) == (5, 3)


def test_validate_shows_warnings_with_numbers_and_rows_and_rejects_nothing(
    migration: Migration, dixa_import, tmp_path: Path
) -> None:
    path = migration(
        tickets=tickets(
            '7,s,a@b.example,2024-05-06T10:00:00Z,"two\nlines"', ticket("1000.0", text="cafÃ© {{name}}")
        )
    )
    done = dixa_import("validate", path, token=None)
    assert done.code == 0, done.err
    warnings = done.out[done.out.index("Warnings:") :]
    for name in ("eaten_ids", "mojibake", "template_holes"):
        assert f"({name})" in warnings
    file = tmp_path / "tickets.csv"
    assert f"{file}:4: ticket_id: '1000.0'" in warnings
    assert f"{file}:4: opening_text: 'cafÃ© {{{{name}}}}'" in warnings
    assert "1 of 2 tickets" in warnings
