"""The settings of migration files and presets that map columns, and their results."""

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from importer.errors import ConfigError, SourceError
from importer.migration import file as config
from importer.read.mapping.explode import source_record
from importer.read.scan import scan as scan_table
from importer.read.table import Scanned

Migration = Callable[..., Path]


def scan(path: Path) -> dict[str, Scanned]:
    loaded = config.load_migration(path)
    return {
        name: found.table for name, found in scan_table(loaded.source, loaded.folder, path.parent).items()
    }


def rows(path: Path, table: str, *columns: str) -> list[Any]:
    """The rows of a table in order; for one column its values. Columns that no file has are null."""
    scanned = scan(path)[table]
    absent = {name: pl.lit(None) for name in columns if name not in scanned.frame.collect_schema()}
    frame = scanned.frame.with_columns(**absent).sort("_file", "_record").select(columns).collect()
    return frame.to_series().to_list() if len(columns) == 1 else frame.rows()


def table(*lines: list[str]) -> str:
    """Lines as CSV, quoted where necessary."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(lines)
    return out.getvalue()


def refusal(path: Path) -> str:
    with pytest.raises((SourceError, ConfigError)) as caught:
        scan(path)
    return str(caught.value)


# -- paths


SOURCE = {
    "author": {"email": "a@b.example", "id": 7, "vip": True, "none": None},
    "deep": {"er": {"est": "found"}},
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("source.author.email", "a@b.example"),
        ("source.author.id", "7"),
        ("source.author.vip", "true"),
        ("source.author.none", None),
        ("source.author.nothing", None),
        ("source.author.email.more", None),
        ("source.deep.er.est", "found"),
        ("source.deep.er", '{"est": "found"}'),
        ("Source.author.email", "a@b.example"),
    ],
)
def test_a_dotted_path_leads_into_json_text_and_structs_alike(
    migration: Migration, tmp_path: Path, path: str, expected: str | None
) -> None:
    pl.DataFrame({"id": ["1"], "source": [SOURCE]}).write_parquet(tmp_path / "t.parquet")
    mapping = f'tickets.columns = {{ ticket_id = "id", subject = "{path}" }}'
    of_csv = rows(
        migration(mapping, tickets=table(["id", "source"], ["1", json.dumps(SOURCE)])), "tickets", "subject"
    )
    of_parquet = rows(migration(f'{mapping}\ntickets.files = "t.parquet"'), "tickets", "subject")
    assert of_csv == [expected]
    assert [text and text.replace('":"', '": "') for text in of_parquet] == [expected]


def test_a_path_reads_python_literals_too_and_ignores_other_texts(migration: Migration) -> None:
    path = migration(
        'tickets.columns.subject = "via.from.name"',
        tickets=table(
            ["ticket_id", "via"],
            ["1", "{'from': {'name': \"Ann O'Hara\"}}"],
            ["2", "{not json"],
            ["3", "plain"],
            ["4", ""],
            ["5", "[1, 2]"],
        ),
    )
    assert rows(path, "tickets", "subject") == ["Ann O'Hara", None, None, None, None]


def test_a_header_with_the_complete_name_has_precedence_over_a_path(migration: Migration) -> None:
    path = migration(
        'tickets.columns = { subject = "via.channel", queue = "a.b.c" }',
        tickets=table(
            ["ticket_id", "via", "via.channel", "a", "a.b"],
            ["1", '{"channel": "inner"}', "outer", '{"b": {"c": "short"}}', '{"c": "long"}'],
        ),
    )
    assert rows(path, "tickets", "subject", "queue") == [("outer", "long")]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ('[{"name": "a"}, {"name": "b c"}, {"name": ""}, {}, {"name": null}]', ["a", "b c"]),
        ('[{"name": 7}]', ["7"]),
        ("[]", None),
        ('{"name": "no list"}', None),
        ("", None),
    ],
)
def test_brackets_take_every_item_of_a_list(migration: Migration, prepare, cell: str, expected: Any) -> None:
    path = migration(
        'tickets.columns.tags = "labels[].name"',
        tickets=table(
            ["ticket_id", "labels", "requester_email", "opening_text"], ["1", cell, "a@b.example", "x"]
        ),
    )
    (job,) = prepare(path).parts.jobs()
    assert list(job.tags) == (expected or [])


def test_brackets_inside_a_path_and_structs_of_parquet(migration: Migration, tmp_path: Path) -> None:
    pl.DataFrame(
        {
            "id": ["1", "2"],
            "tags": [{"tags": [{"name": "a"}, {"name": "b"}]}, {"tags": []}],
            "list": [["x"], []],
        }
    ).write_parquet(tmp_path / "t.parquet")
    path = migration(
        'tickets.files = "t.parquet"\ntickets.columns = { ticket_id = "id", tags = "tags.tags[].name", subject = "list[]" }'
    )
    assert rows(path, "tickets", "tags", "subject") == [('["a", "b"]', '["x"]'), (None, None)]


def test_attachments_come_from_a_list_of_objects(migration: Migration, prepare) -> None:
    files = json.dumps([{"url": "https://a.example/1,2;3.pdf"}, {"url": "https://a.example/4"}])
    path = migration(
        'messages.columns.attachments = "files[].url"',
        tickets="ticket_id,requester_email,subject\n1,a@b.example,s\n",
        messages=table(["ticket_id", "direction", "text", "files"], ["1", "inbound", "hi", files]),
    )
    (job,) = prepare(path).parts.jobs()
    assert [file.url for file in job.messages[0].attachments] == [
        "https://a.example/1,2;3.pdf",
        "https://a.example/4",
    ]


# -- templates and alternatives


def test_a_template_is_empty_where_one_of_its_placeholders_is(migration: Migration) -> None:
    path = migration(
        'tickets.columns = { subject = "{First Name} {last_name}", queue = "team:{team.id}" }',
        tickets=table(
            ["ticket_id", "First Name", "Last Name", "team"],
            ["1", "Ada", "Lovelace", '{"id": 3}'],
            ["2", "Ada", "", "{}"],
            ["3", "", "Lovelace", ""],
        ),
    )
    assert rows(path, "tickets", "subject", "queue") == [
        ("Ada Lovelace", "team:3"),
        (None, None),
        (None, None),
    ]


def test_a_template_of_a_header_that_is_not_there_is_missing(migration: Migration) -> None:
    path = migration('tickets.columns.subject = "{Vorname} {Name}"', tickets="ticket_id,Name\n1,x\n")
    assert "'{Vorname} {Name}' (for subject)" in refusal(path)


def test_the_number_of_the_row_can_be_an_id(migration: Migration) -> None:
    path = migration(
        'tickets.columns = { ticket_id = "row-{_row}", queue = "_row" }', tickets="subject\na\n\nb\n"
    )
    assert [row for row in rows(path, "tickets", "ticket_id", "queue", "subject") if row[2]] == [
        ("row-1", "1", "a"),
        ("row-3", "3", "b"),
    ]


def test_a_column_called_row_is_that_column(migration: Migration) -> None:
    path = migration('tickets.columns.ticket_id = "_row"', tickets="_row,subject\nx7,a\n")
    assert rows(path, "tickets", "ticket_id") == ["x7"]


@pytest.mark.parametrize(
    "cell",
    ["a@b.example c@d.example", "[a@b.example, c@d.example]", "[a@b.example]", "a@b.example\tc@d.example"],
)
def test_of_several_recipients_the_first_counts_whatever_separates_them(
    migration: Migration, cell: str
) -> None:
    path = migration(
        tickets="ticket_id\n1\n", messages=table(["ticket_id", "text", "to_email"], ["1", "x", cell])
    )
    assert rows(path, "messages", "to_email") == ["a@b.example"]


def test_of_alternatives_the_first_that_is_not_empty_counts(migration: Migration) -> None:
    path = migration(
        'tickets.columns.subject = ["Short", "{Long} ({n})", "Any"]',
        tickets="ticket_id,Short,Long,n,Any\n1,a,b,1,c\n2,  ,b,2,c\n3,,b,,c\n4,,,,\n",
    )
    assert rows(path, "tickets", "subject") == ["a", "b (2)", "c", None]


def test_of_alternatives_one_that_is_there_is_enough(migration: Migration) -> None:
    path = migration('tickets.columns.subject = ["Betreff", "Title"]', tickets="ticket_id,Title\n1,a\n")
    assert rows(path, "tickets", "subject") == ["a"]
    path = migration('tickets.columns.subject = ["Betreff", "Emne"]', tickets="ticket_id,Title\n1,a\n")
    assert "'Betreff' or 'Emne' (for subject)" in refusal(path)


def test_a_blank_at_the_edge_is_kept_in_texts_only(migration: Migration) -> None:
    path = migration(tickets='ticket_id,subject,opening_text\n 1 , a ,"  x\n"\n')
    assert rows(path, "tickets", "ticket_id", "subject", "opening_text") == [("1", "a", "  x\n")]


# -- lookups


GROUPS = "id,name,kind\n1,Billing,a\n2,Sales,a\n2,Sales again,b\n3,,a\n"
QUEUE = 'tickets.lookups.queue = { from = "groups", on = "group_id", key = "id", value = "name" }'


def with_groups(tmp_path: Path, content: str = GROUPS) -> str:
    (tmp_path / "groups.csv").write_text(content)
    return f'{QUEUE}\nlookups.groups.files = "groups.csv"'


def test_a_lookup_takes_the_last_of_several(migration: Migration, tmp_path: Path) -> None:
    path = migration(with_groups(tmp_path), tickets="ticket_id,group_id\n1,1\n2,2\n3,3\n4,9\n5,\n")
    assert rows(path, "tickets", "queue") == ["Billing", "Sales again", None, None, None]


def test_a_lookup_has_precedence_over_the_column_which_replaces_missing_values(
    migration: Migration, tmp_path: Path
) -> None:
    path = migration(with_groups(tmp_path), tickets="ticket_id,group_id,queue\n1,1,own\n2,9,own\n")
    assert rows(path, "tickets", "queue") == ["Billing", "own"]


def test_rows_of_a_lookup_file_can_be_skipped(migration: Migration, tmp_path: Path) -> None:
    for rule in ('only.kind = ["A"]', 'skip.kind = ["B"]'):
        path = migration(
            f"{with_groups(tmp_path)}\nlookups.groups.{rule}", tickets="ticket_id,group_id\n2,2\n"
        )
        assert rows(path, "tickets", "queue") == ["Sales"]


def test_a_lookup_of_a_list_takes_all_that_match(migration: Migration, tmp_path: Path) -> None:
    (tmp_path / "tags.csv").write_text('ticket,tag\n1,b\n2,"x, y"\n1,a\n1,b\n3,\n')
    path = migration(
        'tickets.lookups.tags = { from = "tags", on = "ticket_id", key = "ticket", value = "tag" }\n'
        'lookups.tags.files = "tags.csv"',
        tickets="ticket_id\n1\n2\n3\n",
    )
    assert rows(path, "tickets", "tags") == ['["b","a"]', '["x, y"]', None]


def test_a_lookup_uses_paths_and_templates_and_several_files(migration: Migration, tmp_path: Path) -> None:
    (tmp_path / "u1.csv").write_text(
        table(["id", "first", "last", "more"], ["1", "Ada", "L", '{"team": "A"}'])
    )
    (tmp_path / "u2.csv").write_text(
        table(["id", "first", "last", "more"], ["2", "Bo", "M", '{"team": "B"}'])
    )
    path = migration(
        'tickets.lookups.assignee_name = { from = "users", on = "owner.id", key = "id", value = "{first} {last}" }\n'
        'tickets.lookups.queue = { from = "users", on = "owner.id", key = "id", value = "more.team" }\n'
        'lookups.users.files = "u*.csv"',
        tickets=table(["ticket_id", "owner"], ["1", '{"id": 1}'], ["2", '{"id": 2}']),
    )
    assert rows(path, "tickets", "assignee_name", "queue") == [("Ada L", "A"), ("Bo M", "B")]


def test_a_missing_lookup_file_is_named(migration: Migration) -> None:
    path = migration(f'{QUEUE}\nlookups.groups.files = "groups.csv"', tickets="ticket_id,group_id\n1,1\n")
    assert "groups.csv: the file does not exist" in refusal(path)


def test_a_lookup_without_a_file_is_noted_and_skipped(migration: Migration) -> None:
    path = migration(QUEUE, tickets="ticket_id,group_id\n1,1\n")
    scanned = scan(path)["tickets"]
    assert scanned.origins[0].notes == (
        "queue of tickets: not looked up, because source.lookups.groups.files is not set",
    )
    assert scanned.frame.collect()["queue"].to_list() == [None]


def test_a_lookup_of_an_id_without_a_file_is_refused(migration: Migration) -> None:
    path = migration(
        'messages.lookups.ticket_id = { from = "links", on = "mail", key = "mail", value = "ticket" }',
        tickets="ticket_id\n1\n",
        messages="mail,text\n1,a\n",
    )
    assert "set source.lookups.links.files" in refusal(path)


def test_a_lookup_file_without_the_columns_is_refused(migration: Migration, tmp_path: Path) -> None:
    path = migration(with_groups(tmp_path, "id,title\n1,x\n"), tickets="ticket_id,group_id\n1,1\n")
    text = refusal(path)
    assert "source.lookups.groups needs the columns 'id' and 'name'" in text
    assert "its header has: id, title" in text


def test_rows_whose_lookup_finds_nothing_can_be_skipped(migration: Migration, tmp_path: Path) -> None:
    source = f'{with_groups(tmp_path)}\ntickets.skip.queue = [""]'
    path = migration(source, tickets="ticket_id,group_id\n1,1\n2,9\n")
    assert rows(path, "tickets", "queue", "_skip") == [("Billing", None), (None, "skip.queue")]


# -- rows from cells


def each(words: str, columns: str) -> str:
    return f"messages.each = {{ {words} }}\nmessages.columns = {{ {columns} }}"


COMMENTS = each(
    'column = "Comment", parts = ["at", "who", "text"]',
    'ticket_id = "Key", created_at = "each.at", author_id = "each.who", text = "each.text"',
)
OF_TICKETS = 'tickets.columns.ticket_id = "Key"\nmessages.files = []\n'


def test_repeated_columns_become_messages_in_the_order_of_the_row(migration: Migration) -> None:
    path = migration(
        OF_TICKETS + COMMENTS,
        tickets=table(
            ["Key", "Comment", "Summary", "Comment", "Comment"],
            ["A-1", "2024-01-01;u1;one; with; semicolons", "s", "", "2024-01-02;u2;two\nlines"],
            ["A-2", "", "s", "2024-01-03;u3;three", ""],
            ["A-3", "", "s", "", ""],
        ),
    )
    assert rows(path, "messages", "ticket_id", "created_at", "author_id", "text") == [
        ("A-1", "2024-01-01", "u1", "one; with; semicolons"),
        ("A-1", "2024-01-02", "u2", "two\nlines"),
        ("A-2", "2024-01-03", "u3", "three"),
    ]


def test_a_row_from_a_cell_has_its_source_row(migration: Migration, prepare) -> None:
    path = migration(
        OF_TICKETS + COMMENTS,
        tickets=table(
            ["Key", "requester_email", "subject", "Comment", "Comment"],
            ["A-1", "a@b.example", "s", "2024-01-01;u1;one", "2024-01-02;u2;two"],
            ["A-2", "a@b.example", "s", "2024-01-01;u1;one", "someday;u2;two"],
        ),
    )
    ready = prepare(path)
    scanned = ready.tables["messages"].scanned
    (fate,) = ready.tables["messages"].fates.collect().rows(named=True)
    assert fate["rule"] == "created_at.type"
    assert source_record(fate["_record"], scanned.origins[0].part) == 1
    assert ready.books["messages"].read == 4


def test_another_separator(migration: Migration) -> None:
    words = each(
        'column = "Log", parts = ["who", "text"], separator = " | "',
        'ticket_id = "Key", author_name = "each.who", text = "each.text"',
    )
    path = migration(
        OF_TICKETS + words, tickets=table(["Key", "Log"], ["1", "Ann | hi | there"], ["2", "no separator"])
    )
    assert rows(path, "messages", "author_name", "text") == [("Ann", "hi | there"), ("no separator", None)]


def test_the_last_part_can_be_split_off_from_the_right(migration: Migration) -> None:
    words = each(
        'column = "File", parts = ["at", "who", "name", "url"], last = true',
        'message_id = "Key", name = "each.name", url = "each.url"',
    ).replace("messages.", "attachments.")
    path = migration(
        f'attachments.files = []\nmessages.columns.message_id = "Key"\n{words}',
        tickets="ticket_id\n1\n",
        messages=table(
            ["Key", "ticket_id", "text", "File", "File"],
            ["m1", "1", "x", "2024;u1;a;b.pdf;https://a.example/1", "2024;u1;c.pdf;https://a.example/2"],
        ),
    )
    assert rows(path, "attachments", "message_id", "name", "url") == [
        ("m1", "a;b.pdf", "https://a.example/1"),
        ("m1", "c.pdf", "https://a.example/2"),
    ]


def test_a_json_list_of_objects_becomes_messages(migration: Migration) -> None:
    words = each('column = "thread"', 'ticket_id = "Key", text = "each.body.plain", author_id = "each.by"')
    cell = json.dumps([{"by": 1, "body": {"plain": "one"}}, {"by": 2, "body": {"plain": "two"}}])
    path = migration(
        OF_TICKETS + words, tickets=table(["Key", "thread"], ["1", cell], ["2", "[]"], ["3", ""])
    )
    assert rows(path, "messages", "ticket_id", "text", "author_id") == [("1", "one", "1"), ("1", "two", "2")]


def test_a_list_of_structs_in_parquet_becomes_messages(migration: Migration, tmp_path: Path) -> None:
    pl.DataFrame({"Key": ["1"], "thread": [[{"t": "one"}, {"t": "two"}]]}).write_parquet(
        tmp_path / "t.parquet"
    )
    words = each('column = "thread"', 'ticket_id = "Key", text = "each.t"')
    path = migration(f'tickets.files = "t.parquet"\n{OF_TICKETS}{words}')
    assert rows(path, "messages", "ticket_id", "text") == [("1", "one"), ("1", "two")]


# -- gathered tickets


GATHERED = table(
    ["conversation", "message_id", "created_at", "title", "text", "requester_email"],
    ["1", "m2", "2024-01-02", "A", "two", "a@b.example"],
    ["1", "m1", "2024-01-01", "A", "one", "a@b.example"],
    ["2", "m3", "2024-01-03", "", "three", ""],
    ["2", "m4", "2024-01-04", "B", "four", "c@d.example"],
)
OF_MESSAGES = 'messages.columns.ticket_id = "conversation"\ntickets.columns.subject = "title"'


def test_tickets_are_gathered_from_messages_by_the_column_of_messages(migration: Migration) -> None:
    path = migration(OF_MESSAGES, messages=GATHERED)
    found = rows(path, "tickets", "ticket_id", "subject", "requester_email", "_differs")
    assert found == [("1", "A", "a@b.example", ""), ("2", "B", "c@d.example", "")]


def test_a_header_that_tickets_use_is_not_unused(migration: Migration) -> None:
    scanned = scan(migration(OF_MESSAGES, messages=GATHERED.replace("requester_email", "Mail")))
    assert (scanned["messages"].unused, scanned["tickets"].unused) == (("Mail",), ())


def test_a_column_that_some_files_may_lack_is_named_with_an_empty_text(
    migration: Migration, tmp_path: Path
) -> None:
    (tmp_path / "1.csv").write_text("ticket_id,Titel\n1,a\n")
    (tmp_path / "2.csv").write_text("ticket_id\n2\n")
    files = 'tickets.files = ["1.csv", "2.csv"]\n'
    assert rows(migration(f'{files}tickets.columns.subject = ["Titel", ""]'), "tickets", "subject") == [
        "a",
        None,
    ]
    assert "'Titel' (for subject)" in refusal(migration(f'{files}tickets.columns.subject = "Titel"'))


def test_the_time_of_a_message_is_that_of_its_ticket_only_if_mapped(migration: Migration) -> None:
    assert rows(migration(OF_MESSAGES, messages=GATHERED), "tickets", "created_at") == [None, None]
    words = '\ntickets.columns.created_at = "created_at"\ntickets.columns.closed_at = "created_at"'
    path = migration(OF_MESSAGES + words, messages=GATHERED)
    assert rows(path, "tickets", "created_at", "closed_at") == [
        ("2024-01-01", "2024-01-02"),
        ("2024-01-03", "2024-01-04"),
    ]


def test_a_skipped_message_does_not_hide_its_ticket(migration: Migration, prepare) -> None:
    path = migration(f'{OF_MESSAGES}\nmessages.skip.text = ["one"]', messages=GATHERED)
    ready = prepare(path)
    assert (ready.books["tickets"].read, ready.books["messages"].places["filtered"]) == (2, 1)
    assert ready.books.balanced


# -- several versions of a record


NEWEST = 'tickets.newest_by = "seq"\n'
VERSIONS = "ticket_id,subject,seq,status\n1,old,9,open\n2,only,1,open\n1,new,10,deleted\n1,older,8,open\n"


def test_the_newest_of_several_versions_counts_as_a_number(migration: Migration) -> None:
    path = migration(NEWEST, tickets=VERSIONS)
    assert rows(path, "tickets", "subject", "_skip") == [
        ("old", "older_version"),
        ("only", None),
        ("new", None),
        ("older", "older_version"),
    ]


def test_versions_can_be_compared_by_time_and_the_last_of_equal_ones_counts(migration: Migration) -> None:
    path = migration(
        'tickets.newest_by = "synced"',
        tickets="ticket_id,subject,synced\n1,b,2024-02-01T00:00:00Z\n1,a,2024-01-31T00:00:00Z\n2,c,x\n2,d,x\n",
    )
    kept = [subject for subject, skip in rows(path, "tickets", "subject", "_skip") if skip is None]
    assert kept == ["b", "d"]


def test_where_the_newest_version_is_skipped_no_older_one_comes_back(migration: Migration, prepare) -> None:
    path = migration(
        f'{NEWEST}tickets.skip.status = ["deleted"]\n',
        tickets="ticket_id,subject,requester_email,opening_text,seq,status\n"
        "1,old,a@b.example,hi,9,open\n1,new,a@b.example,hi,10,deleted\n2,b,a@b.example,hi,1,open\n",
    )
    ready = prepare(path)
    assert [job.ticket_id for job in ready.parts.jobs()] == ["2"]
    fates = ready.related.fates["tickets"].sort("_record").select("state", "rule").collect().rows()
    assert fates == [("filtered", "older_version"), ("filtered", "skip.status")]
    assert ready.books.balanced


def test_versions_are_compared_over_all_files(migration: Migration, tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("ticket_id,subject,seq\n1,new,2\n")
    (tmp_path / "2.csv").write_text("ticket_id,subject,seq\n1,old,1\n")
    path = migration(f'{NEWEST}tickets.files = ["1.csv", "2.csv"]')
    assert rows(path, "tickets", "subject", "_skip") == [("new", None), ("old", "older_version")]


# -- rows


@pytest.mark.parametrize(
    ("rule", "left"),
    [
        ('skip.Trashed = [""]', ["a"]),
        ('only.Trashed = [""]', ["b", "c"]),
        ('skip.Trashed = ["YES"]', ["b", "c"]),
        ('only.Trashed = ["Yes", ""]', ["a", "b", "c"]),
        ('only.Trashed = "no"', []),
        ('skip.subject = ["A", "c"]', ["b"]),
    ],
)
def test_rows_are_skipped_by_their_cells_and_an_empty_text_matches_empty_cells(
    migration: Migration, rule: str, left: list[str]
) -> None:
    path = migration(f"tickets.{rule}", tickets="ticket_id,subject,Trashed\n1,a,yes\n2,b,\n3,c,  \n")
    assert [s for s, skip in rows(path, "tickets", "subject", "_skip") if skip is None] == left


def test_skip_uses_the_values_of_the_file(migration: Migration) -> None:
    path = migration(
        'tickets.values.status = { gone = "closed" }\ntickets.skip.status = ["closed"]',
        tickets="ticket_id,status\n1,gone\n2,closed\n",
    )
    assert rows(path, "tickets", "status", "_skip") == [("closed", None), ("closed", "skip.status")]


def test_skip_of_a_header_that_is_not_there_is_refused(migration: Migration) -> None:
    assert "'Trash' (for skip)" in refusal(migration('tickets.skip.Trash = ["x"]', tickets="ticket_id\n1\n"))
    assert "'Trash' (for only)" in refusal(migration('tickets.only.Trash = ["x"]', tickets="ticket_id\n1\n"))


# -- values of cells


def test_only_exact_null_values_are_empty_cells(migration: Migration) -> None:
    path = migration(
        'tickets.nulls = ["NULL", "000000000000000AAA"]\ntickets.defaults.queue = "none"',
        tickets="ticket_id,subject,queue,Extra\n1,NULL,NULL,NULL\n2,null,a NULL,000000000000000AAA\n",
    )
    assert rows(path, "tickets", "subject", "queue", "custom.Extra") == [
        (None, "none", None),
        ("null", "a NULL", None),
    ]


def test_an_extract_keeps_the_first_group_and_leaves_other_cells_unchanged(migration: Migration) -> None:
    path = migration(
        r"""tickets.extract.subject = '^(.*?)\s*\(\d+\)$'""",
        tickets="ticket_id,subject\n1,Ada (12)\n2,Bo\n3,(7)\n",
    )
    assert rows(path, "tickets", "subject") == ["Ada", "Bo", "(7)"]


def test_a_handle_is_an_address_or_a_phone_number_by_what_it_looks_like(migration: Migration) -> None:
    path = migration(
        'tickets.columns = { requester_email = "Handle", requester_phone = "Handle" }\n'
        """tickets.matching = { requester_email = '@', requester_phone = '^[+0-9]' }""",
        tickets="ticket_id,Handle\n1,a@b.example\n2,+4520304050\n3,bob\n",
    )
    assert rows(path, "tickets", "requester_email", "requester_phone") == [
        ("a@b.example", None),
        (None, "+4520304050"),
        (None, None),
    ]


def tags(prepare, path: Path) -> list[list[str]]:
    return [list(job.tags) for job in prepare(path).parts.jobs()]


@pytest.mark.parametrize(
    ("separator", "cell", "expected"),
    [
        (" ", "late refund vip", ["late", "refund", "vip"]),
        ("/", "a/b c", ["a", "b c"]),
        ("##", "a##b,c", ["a", "b,c"]),
        (None, "late refund", ["late refund"]),
        (None, "a; b ;c", ["a", "b", "c"]),
        (None, "['a', 'b']", ["a", "b"]),
    ],
)
def test_lists_can_have_another_separator(
    migration: Migration, prepare, separator: str | None, cell: str, expected: list[str]
) -> None:
    words = f'tickets.separators.tags = "{separator}"' if separator else ""
    content = table(["ticket_id", "requester_email", "tags", "opening_text"], ["1", "a@b.example", cell, "x"])
    assert tags(prepare, migration(words, tickets=content)) == [expected]


@pytest.mark.parametrize(
    ("cell", "repaired"),
    [
        ("52 267", "52267"),
        ("52\u202f267", "52267"),
        ("52\u00a0267", "52267"),
        ("1000.0", "1000"),
        ("1000.00", "1000"),
        ("10.50", "10.50"),
        ("A-1.0", "A-1.0"),
        ("0012", "0012"),
    ],
)
def test_ids_are_repaired_only_if_set(migration: Migration, cell: str, repaired: str) -> None:
    content = table(["ticket_id", "requester_id", "subject"], [cell, cell, cell])
    kept = rows(migration(tickets=content), "tickets", "ticket_id", "requester_id", "subject")
    assert kept == [(cell, cell, cell)]
    path = migration('tickets.ids = "repair"', tickets=content)
    assert rows(path, "tickets", "ticket_id", "requester_id", "subject") == [(repaired, repaired, cell)]


def test_a_quote_against_spreadsheets_is_removed_if_set(migration: Migration) -> None:
    cells = ["'+45 20304050", "'=1+1", "'-x", "'@bob", "''=x", "'quoted'", "it's"]
    content = table(["ticket_id", "subject"], *([str(n), cell] for n, cell in enumerate(cells)))
    assert rows(migration(tickets=content), "tickets", "subject") == cells
    assert rows(migration("tickets.unquote = true", tickets=content), "tickets", "subject") == [
        "+45 20304050", "=1+1", "-x", "@bob", "''=x", "'quoted'", "it's",
    ]  # fmt: skip


def test_escapes_in_texts_are_replaced_if_set(migration: Migration) -> None:
    content = table(["ticket_id", "opening_text"], ["1", r"one\ntwo\rthree\tfour\\"])
    assert rows(migration(tickets=content), "tickets", "opening_text") == [r"one\ntwo\rthree\tfour\\"]
    path = migration("tickets.text_escapes = true", tickets=content)
    assert rows(path, "tickets", "opening_text") == ["one\ntwo\nthree\tfour\\\\"]


def test_an_escaped_crlf_is_one_line_end(migration: Migration) -> None:
    content = table(["ticket_id", "opening_text"], ["1", r"two\r\nthree"])
    assert rows(migration("tickets.text_escapes = true", tickets=content), "tickets", "opening_text") == [
        "two\nthree"
    ]


@pytest.mark.parametrize(
    ("cell", "region", "expected"),
    [
        ("20 30 40 50", "DK", "+4520304050"),
        ("0045 20304050", "DK", "+4520304050"),
        ("+45 20-30-40-50", None, "+4520304050"),
        ("(020) 7946 0018", "GB", "+442079460018"),
        ("030 123456", "DE", "+4930123456"),
        ("+4520304050", "DE", "+4520304050"),
        ("'+4520304050", None, "+4520304050"),
        ("20 30 40 50", None, "20 30 40 50"),
        ("12", "DK", "12"),
        ("unknown", "DK", "unknown"),
    ],
)
def test_phone_numbers_become_e164(
    migration: Migration, cell: str, region: str | None, expected: str
) -> None:
    words = f'region = "{region}"' if region else ""
    path = migration(words, tickets=table(["ticket_id", "requester_phone"], ["1", cell], ["2", ""]))
    assert rows(path, "tickets", "requester_phone") == [expected, None]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("Ada Lovelace <ada@b.example>", "ada@b.example"),
        ('"Lovelace, Ada" <ada@b.example>', "ada@b.example"),
        ("<ada@b.example>", "ada@b.example"),
        ("mailto:ada@b.example", "ada@b.example"),
        ("Ada < ada@b.example > ", "ada@b.example"),
        ("ada@b.example", "ada@b.example"),
        ("Lovelace, Ada <ada@b.example>;", "ada@b.example"),
        ("ada@b.example <ada@b.example>", "ada@b.example"),
        ('"ada@b.example, or so" <ada@b.example>', "ada@b.example"),
        ("Ada @ Home <mailto:ada@b.example>", "ada@b.example"),
        ("Ada <no address>", "Ada <no address>"),
        ("Ole <ole@b.example>, Mia <mia@b.example>", "Ole <ole@b.example>, Mia <mia@b.example>"),
        ("ole@b.example; Mia <mia@b.example>", "ole@b.example; Mia <mia@b.example>"),
        ("ole@b.example, mia@b.example", "ole@b.example, mia@b.example"),
    ],
)
def test_an_e_mail_address_may_have_a_name_in_front(migration: Migration, cell: str, expected: str) -> None:
    path = migration(tickets=table(["ticket_id", "requester_email"], ["1", cell]))
    assert rows(path, "tickets", "requester_email") == [expected]


LISTS = [
    ("ole@b.example", ["ole@b.example"]),
    ("ole@b.example; mia@b.example,", ["ole@b.example", "mia@b.example"]),
    ("Ole <ole@b.example>, Mia <mia@b.example>", ["ole@b.example", "mia@b.example"]),
    ('"Hansen, Per" <per@b.example>; mia@b.example', ["per@b.example", "mia@b.example"]),
    ("Hansen, Per <per@b.example>; Berg, Mia <mia@b.example>", ["per@b.example", "mia@b.example"]),
    ('["Hansen, Per <per@b.example>", "mia@b.example"]', ["per@b.example", "mia@b.example"]),
    ("['per@b.example', 'mia@b.example']", ["per@b.example", "mia@b.example"]),
    ("mailto:ole@b.example|Mia", ["ole@b.example", "Mia"]),
    ("per@b.example <per@b.example>", ["per@b.example"]),
    ("Hansen, Per, jr. <per@b.example>, mia@b.example", ["per@b.example", "mia@b.example"]),
    ("undisclosed-recipients:;", ["undisclosed-recipients:"]),
    ('"unclosed <per@b.example>', ["per@b.example"]),
]


@pytest.mark.parametrize(("cell", "expected"), LISTS)
def test_a_list_of_addresses_may_have_names_with_commas(
    migration: Migration, prepare: Any, cell: str, expected: list[str]
) -> None:
    path = migration(
        tickets="ticket_id,requester_email,created_at,opening_text\n1,a@b.example,2024-01-01T00:00:00Z,hi\n",
        messages=table(
            ["ticket_id", "created_at", "direction", "text", "to_email", "cc"],
            ["1", "2024-01-01T00:00:00Z", "inbound", "a", cell, cell],
        ),
    )
    ready = prepare(path)
    good = ready.tables["messages"].good.select("to_email", "cc").collect()
    if "@" in expected[0]:
        assert good.rows() == [(expected[0], expected)]
    else:
        assert good.is_empty()
        assert [rule for (rule,) in ready.tables["messages"].fates.select("rule").collect().rows()] == [
            "to_email.format"
        ]


# -- values and defaults


def test_values_are_mapped_case_aside_and_emptied_by_an_empty_text(migration: Migration) -> None:
    path = migration(
        'tickets.values.channel = { Web = "contact_form", trash = "", "*" = "email" }\n'
        'tickets.values.queue = { a = "b", b = "c" }',
        tickets="ticket_id,channel,queue\n1,WEB,a\n2,Trash,b\n3,pigeon,A\n4,,x\n",
    )
    assert rows(path, "tickets", "channel", "queue") == [
        ("contact_form", "b"),
        (None, "c"),
        ("email", "b"),
        (None, "x"),
    ]


def test_values_with_a_sharp_s_are_found(migration: Migration) -> None:
    path = migration(
        'tickets.values.status = { "Abschluß" = "closed" }', tickets="ticket_id,status\n1,Abschluß\n"
    )
    assert rows(path, "tickets", "status") == ["closed"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            'tickets.values.status = { "*" = "clsoed" }',
            "source.tickets.values.status: 'clsoed' is not one of open, ",
        ),
        (
            'tickets.defaults.status = "Closed"',
            "source.tickets.defaults.status: 'Closed' is not one of open, ",
        ),
        (
            'tickets.defaults.channel = "telegram"',
            "source.tickets.defaults.channel: 'telegram' is not one of ",
        ),
        (
            'messages.values.public = { x = "maybe" }',
            "source.messages.values.public: 'maybe' is not one of true, ",
        ),
    ],
)
def test_a_value_that_the_column_cannot_have_is_refused(migration: Migration, words: str, said: str) -> None:
    path = migration(
        words, tickets="ticket_id,status,channel\n1,a,\n", messages="ticket_id,public,text\n1,x,y\n"
    )
    assert said in refusal(path)


# -- headers


REPEATED = table(
    ["ticket_id", "Labels", "Status", "Labels", "Status", "Extra", "Extra"],
    ["1", "a", "open", "b, c", "closed", "x", "y"],
    ["2", "", "open", "", "", "", ""],
)


def test_a_repeated_header_is_one_list_for_a_list_column(migration: Migration) -> None:
    path = migration('tickets.columns.tags = "Labels"', tickets=REPEATED.replace("Status", "State"))
    assert rows(path, "tickets", "tags", "custom.Extra") == [('["a","b, c"]', '["x","y"]'), (None, None)]


def test_a_repeated_header_of_a_scalar_column_is_refused(migration: Migration) -> None:
    text = refusal(migration('tickets.columns.tags = "Labels"', tickets=REPEATED))
    assert "1 header(s) occur more than once: 'Status'; choose one of each, e.g. 'Status (1)'" in text


PRESET = """
title = "A preset of the test"
about = "Nothing."
sources = ["https://example.com"]
[[tickets]]
headers = ["Labels"]
columns = { ticket_id = "ticket_id", status = "Status", tags = "Labels", subject = "Not there" }
"""


def test_a_preset_means_the_first_of_repeated_headers_and_may_name_what_is_not_there(
    migration: Migration, tmp_path: Path
) -> None:
    (tmp_path / "own.toml").write_text(PRESET)
    path = migration('preset = "./own.toml"', tickets=REPEATED)
    assert rows(path, "tickets", "status", "tags", "subject") == [
        ("open", '["a","b, c"]', None),
        ("open", None, None),
    ]


def test_the_migration_has_precedence_over_its_preset(migration: Migration, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(PRESET)
    source = 'preset = "./own.toml"\ntickets.columns.subject = "Extra2"\ntickets.defaults.queue = "q"'
    path = migration(source, tickets=REPEATED.replace("Extra,Extra", "Extra,Extra2"))
    assert rows(path, "tickets", "subject", "queue", "tags") == [
        ("y", "q", '["a","b, c"]'),
        (None, "q", None),
    ]
    path = migration('preset = "./own.toml"\ntickets.columns.status = "Status"', tickets=REPEATED)
    assert "1 header(s) occur more than once: 'Status'" in refusal(path)


def test_names_of_files_must_differ_where_they_are_part_of_ids(migration: Migration, tmp_path: Path) -> None:
    for year in ("2023", "2024"):
        (tmp_path / year).mkdir()
        (tmp_path / year / "t.csv").write_text("subject\nHi\n")
    path = migration('tickets.columns.ticket_id = "{_file}-{_row}"', tickets="subject\nYo\n")
    text = path.read_text("utf-8")
    path.write_text(text.replace('["tickets.csv"]', '["tickets.csv", "2023/t.csv"]'), "utf-8")
    assert rows(path, "tickets", "ticket_id") == ["tickets.csv-1", "t.csv-1"]
    path.write_text(text.replace('["tickets.csv"]', '["2023/t.csv", "2024/t.csv"]'), "utf-8")
    said = refusal(path)
    assert "source.tickets.columns.ticket_id: {_file} is the same for" in said
    assert "2023/t.csv and" in said


def test_a_column_with_a_reserved_name_is_refused(migration: Migration) -> None:
    assert "this program reserves the column name _record; rename the column" in refusal(
        migration(tickets="ticket_id,_record\n1,2\n")
    )


def test_columns_with_two_spellings_of_a_number_are_two(migration: Migration) -> None:
    path = migration(
        'messages.each.column = "Comment {n}"\nmessages.columns = { ticket_id = "ticket_id", text = "each" }',
        tickets="ticket_id,Comment 1,Comment 01,Comment 2\n1,a,b,c\n",
    )
    assert sorted(rows(path, "messages", "text")) == ["a", "b", "c"]


def test_a_duration_of_parquet_is_a_text(migration: Migration, tmp_path: Path) -> None:
    frame = pl.DataFrame({"ticket_id": ["1"], "took": pl.Series([90_000], dtype=pl.Duration("ms"))})
    frame.write_parquet(tmp_path / "t.parquet")
    path = migration(tickets="ticket_id\n1\n")
    path.write_text(path.read_text("utf-8").replace("tickets.csv", "t.parquet"), "utf-8")
    assert rows(path, "tickets", "custom.took") == ["PT1M30S"]


def test_a_key_with_dots_is_found_inside_a_cell(migration: Migration) -> None:
    path = migration(
        'tickets.columns = { subject = "about.short.text", tags = "labels[].the.name" }',
        tickets=table(
            ["ticket_id", "about", "labels"],
            ["1", '{"short.text": "Hi"}', '[{"the.name": "a"}, {"the": {"name": "b"}}]'],
        ),
    )
    assert rows(path, "tickets", "subject", "tags") == [("Hi", '["a", "b"]')]


def test_a_title_that_looks_like_the_first_of_several_is_its_own(migration: Migration) -> None:
    path = migration(
        'tickets.columns.status = "state (1)"',
        tickets="ticket_id,state,state,state (1)\n1,open,closed,pending\n",
    )
    assert rows(path, "tickets", "status") == ["pending"]


def test_a_file_that_the_preset_does_not_know_is_refused_with_the_expected_headers(
    migration: Migration, tmp_path: Path
) -> None:
    (tmp_path / "own.toml").write_text(PRESET)
    text = refusal(migration('preset = "./own.toml"', tickets="ticket_id,Tags\n1,a\n"))
    assert "does not match the tickets file of the preset, which has the headers Labels" in text
    assert "to read a file that the preset does not know, map its columns in source.tickets.columns" in text
    assert "its header has: ticket_id, Tags" in text


def test_a_file_that_the_preset_does_not_know_is_read_if_the_migration_maps_its_columns(
    migration: Migration, tmp_path: Path
) -> None:
    (tmp_path / "own.toml").write_text(PRESET)
    (tmp_path / "more.csv").write_text("Nr,Subject\n2,two\n")
    path = migration(
        'preset = "./own.toml"\ntickets.columns.ticket_id = ["Nr", "Id"]', tickets="Id,Labels\n1,a\n"
    )
    text = path.read_text("utf-8").replace('"tickets.csv"', '"tickets.csv", "more.csv"')
    path.write_text(text, "utf-8")
    assert rows(path, "tickets", "ticket_id", "subject") == [("1", None), ("2", "two")]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ('tickets.columns.statsu = "S"', "source.tickets.columns.statsu: is not a column of tickets; did you mean status?"),
        ('tickets.values.chanel = { a = "b" }', "source.tickets.values.chanel: is not a column of tickets; did you mean channel?"),
        ('tickets.defaults.zzz = "x"', "source.tickets.defaults.zzz: is not a column of tickets; known columns: ticket_id, subject,"),
        ("""tickets.extract.subjekt = '(.)'""", "did you mean subject?"),
        ("""tickets.matching.requester_mail = '@'""", "did you mean requester_email?"),
        ('tickets.separators.tag = " "', "did you mean tags?"),
        ('tickets.times.create_at = "dmy"', "did you mean created_at?"),
        ('tickets.lookups.quee = { from = "g", on = "a", key = "b", value = "c" }', "did you mean queue?"),
        ('tickets.colums = {}', "source.tickets.colums: unknown key; did you mean columns?"),
        ('openning = "always"', "source.openning: unknown key; did you mean opening?"),
    ],
)  # fmt: skip
def test_an_unknown_name_is_refused_with_the_nearest_known_one(
    migration: Migration, words: str, hint: str
) -> None:
    assert hint in refusal(migration(words, tickets="ticket_id,S\n1,x\n"))


# -- opening messages


OPENED = {
    "tickets": table(
        ["ticket_id", "requester_email", "created_at", "opening_text"],
        ["1", "a@b.example", "2024-01-01T10:00:00Z", "Same  text"],
        ["2", "a@b.example", "2024-01-01T10:00:00Z", "In the mail"],
        ["3", "a@b.example", "2024-01-01T10:00:00Z", "My printer"],
        ["4", "a@b.example", "2024-01-01T10:00:00Z", "Alone"],
    ),
    "messages": table(
        ["message_id", "ticket_id", "created_at", "author_email", "author_role", "direction", "text"],
        ["m1", "1", "2024-01-02T10:00:00Z", "a@b.example", "end_user", "inbound", "same text"],
        ["m2", "2", "2024-01-01T10:09:00Z", "a@b.example", "end_user", "inbound", "In the mail, and its footer"],
        ["m3", "3", "2024-01-01T10:05:00Z", "lene@nordlys.example", "agent", "outbound", "Which one?"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("opening", "begins"),
    [
        (None, {"1": "1:opening", "2": "2:opening", "3": "3:opening", "4": "4:opening"}),
        ("always", {"1": "1:opening", "2": "2:opening", "3": "3:opening", "4": "4:opening"}),
        ("unless_repeated", {"1": "m1", "2": "m2", "3": "3:opening", "4": "4:opening"}),
        ("unless_messages", {"1": "m1", "2": "m2", "3": "m3", "4": "4:opening"}),
    ],
)
def test_when_the_text_of_a_ticket_s_row_is_its_first_message(
    migration: Migration, prepare, opening: str | None, begins: dict[str, str]
) -> None:
    ready = prepare(migration(f'opening = "{opening}"' if opening else "", **OPENED))
    jobs = {job.ticket_id: job for job in ready.parts.jobs()}
    assert {id_: job.messages[0].message_id for id_, job in jobs.items()} == begins
    filtered = sum(not id_.endswith(":opening") for id_ in begins.values())
    books = ready.books["messages"]
    assert (books.read, books.places["filtered"], books.places["left"]) == (7, filtered, 7 - filtered)
    assert ready.books.balanced


def test_an_opening_message_is_the_requester_s_and_has_the_ticket_s_time(
    migration: Migration, prepare
) -> None:
    jobs = {job.ticket_id: job for job in prepare(migration(**OPENED)).parts.jobs()}
    (message,) = jobs["4"].messages
    assert (message.direction, message.author.email, message.text) == ("inbound", "a@b.example", "Alone")
    assert message.created_at == datetime(2024, 1, 1, 10, tzinfo=UTC)
