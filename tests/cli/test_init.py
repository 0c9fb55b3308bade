"""`init` recognises an export and writes a migration file for it; `presets` lists the known exports."""

import json
import os
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner, Result

from importer.cli.group import Session
from importer.cli.group import dixa_import as group
from importer.errors import ConfigError, SourceError
from importer.migration import file as config
from importer.migration import presets
from importer.read.scan import scan
from importer.read.table import Scanned
from importer.resources import SAMPLES

LOOK_ALIKES = SAMPLES / "presets"
ODD = (
    "Docket;Title;Description;Opened_At;E-mail;Mobile Phone;State;Labels\n"
    "A1;Hello;My printer is dead;02.01.2024 10:00;ada@b.example;20 30 40 50;Open;a, b\n"
    "A2;World;Größe?;31.01.2024 11:00;Bo <bo@d.example>;;Done;\n"
)

Here = Callable[..., Result]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    """Run the program in an empty folder, within this process."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(group, [str(argument) for argument in arguments], obj=Session())

    return run


def told(result: Result) -> str:
    assert result.exception is None, result.exception
    return result.stdout


def refused(result: Result, kind: type[Exception]) -> str:
    assert isinstance(result.exception, kind), result.exception
    return str(result.exception)


def toml(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text("utf-8"))


def scanned(path: Path, workdir: Path) -> dict[str, Scanned]:
    loaded = config.load_migration(path)
    return scan(loaded.source, loaded.folder, workdir)


# -- known exports


@pytest.mark.parametrize("name", presets.names())
def test_every_look_alike_is_recognised_and_its_migration_file_loads(
    here: Here, tmp_path: Path, name: str
) -> None:
    arguments = ("--into", tmp_path / "m.toml", "--timezone", "Europe/Copenhagen", "--region", "DK")
    value = json.loads(told(here("--json", "init", LOOK_ALIKES / name, *arguments)))
    assert (value["preset"], value["strangers"], value["migration_file"]) == (
        name,
        [],
        str(tmp_path / "m.toml"),
    )
    # Every file has a place, and each place names the headers by which it was recognised.
    files = {path.name for path in (LOOK_ALIKES / name).iterdir()}
    assert {Path(file["path"]).name for file in value["files"]} == files
    assert all(file["by"] and 0 < file["known"] <= file["of"] for file in value["files"])
    tables = scanned(tmp_path / "m.toml", tmp_path)
    assert "tickets" in tables
    written = toml(tmp_path / "m.toml")
    assert written["source"]["preset"] == name
    assert (written["source"]["timezone"], written["source"]["region"]) == ("Europe/Copenhagen", "DK")


def test_init_shows_the_preset_and_how_much_of_each_file_is_mapped(here: Here, tmp_path: Path) -> None:
    shutil.copy(LOOK_ALIKES / "freshdesk-csv" / "tickets.csv", tmp_path)
    file = json.loads(told(here("--json", "init", "tickets.csv", "--into", "g.toml")))["files"][0]
    assert file["known"] < file["of"]
    lines = told(here("init", "tickets.csv", "--into", "f.toml")).splitlines()
    headers = ", ".join(presets.load("freshdesk-csv").tickets[0].headers)
    assert lines[:2] == [
        "This is freshdesk-csv: Freshdesk, CSV of the ticket list.",
        f"  tickets.csv (cp1252, ';'): tickets; has {headers}; {file['known']} of {file['of']} columns mapped",
    ]
    assert lines[2].startswith("    encoding cp1252 (guessed by charset-normalizer from ")
    assert lines[3:] == [
        "Set source.timezone if the times have no time zone (or give --timezone).",
        "f.toml has 5 lines marked `# TODO`: what only you can know.",
        "",
        "Next:",
        "- Edit f.toml, then check the export:",
        "  dixa-import validate f.toml",
    ]


def test_a_known_time_zone_is_not_asked_for(here: Here) -> None:
    folder = LOOK_ALIKES / "freshdesk-csv"
    assert "Set source.timezone" not in told(
        here("init", folder, "--into", "a.toml", "--timezone", "Europe/Rome")
    )
    assert presets.load("zendesk-fivetran").timezone == "UTC"
    assert "Set source.timezone" not in told(
        here("init", LOOK_ALIKES / "zendesk-fivetran", "--into", "b.toml")
    )


def test_without_into_the_file_is_named_after_the_preset(here: Here, tmp_path: Path) -> None:
    told(here("init", LOOK_ALIKES / "gorgias"))
    assert toml(tmp_path / "gorgias.toml")["name"] == "gorgias"


def test_files_may_be_named_one_by_one_or_by_a_glob(here: Here, tmp_path: Path) -> None:
    shutil.copytree(LOOK_ALIKES / "gorgias", tmp_path / "export")
    told(here("init", "export/tickets.csv", "export/messages.csv", "--into", "a.toml"))
    told(here("init", "export/*.csv", "--into", "b.toml"))
    a, b = (toml(tmp_path / name)["source"] for name in ("a.toml", "b.toml"))
    assert a == b
    assert (a["tickets"]["files"], a["messages"]["files"]) == (
        ["export/tickets.csv"],
        ["export/messages.csv"],
    )


def test_paths_are_relative_to_the_migration_file(here: Here, tmp_path: Path) -> None:
    shutil.copytree(LOOK_ALIKES / "gorgias", tmp_path / "export")
    (tmp_path / "deep" / "er").mkdir(parents=True)
    told(here("init", "export", "--into", "deep/er/m.toml"))
    assert toml(tmp_path / "deep" / "er" / "m.toml")["source"]["tickets"]["files"] == [
        "../../export/tickets.csv"
    ]
    assert scanned(tmp_path / "deep" / "er" / "m.toml", tmp_path)["tickets"].table.frame.collect().height


def test_lookup_files_are_listed_under_lookups(here: Here, tmp_path: Path) -> None:
    told(here("init", LOOK_ALIKES / "zendesk-fivetran", "--into", "z.toml"))
    lookups = toml(tmp_path / "z.toml")["source"]["lookups"]
    assert [Path(file).name for file in lookups["tags"]["files"]] == ["ticket_tag.csv"]
    assert "group.csv" in [Path(file).name for file in lookups["groups"]["files"]]


def test_a_file_is_not_a_lookup_if_another_file_is_only_that(here: Here, tmp_path: Path) -> None:
    told(here("init", LOOK_ALIKES / "zendesk-fivetran", "--into", "z.toml"))
    lookups = toml(tmp_path / "z.toml")["source"]["lookups"]
    assert [Path(file).name for file in lookups["groups"]["files"]] == ["group.csv"]


def test_unknown_files_among_known_ones_are_named_and_skipped(here: Here, tmp_path: Path) -> None:
    shutil.copytree(LOOK_ALIKES / "gorgias", tmp_path / "export")
    (tmp_path / "export" / "weather.csv").write_text("day,rain\n1,2\n")
    assert "  export/weather.csv: not recognised; skipped\n" in told(
        here("init", "export", "--into", "a.toml")
    )
    value = json.loads(told(here("--json", "init", "export", "--into", "b.toml")))
    assert (value["preset"], value["strangers"]) == ("gorgias", ["export/weather.csv"])
    assert "weather" not in (tmp_path / "a.toml").read_text("utf-8")


def test_the_columns_of_the_preset_are_shown_in_comments(here: Here, tmp_path: Path) -> None:
    told(here("init", LOOK_ALIKES / "gorgias", "--into", "a.toml"))
    lines = (tmp_path / "a.toml").read_text("utf-8").splitlines()
    for name, sources in presets.load("gorgias").tickets[0].columns.items():
        assert f"#   {name} = {' | '.join(sources)}" in lines


def test_an_export_without_texts_is_imported_with_its_subjects(here: Here, tmp_path: Path) -> None:
    for name, empty in (("zendesk-csv", "import"), ("gorgias", None)):
        told(here("init", LOOK_ALIKES / name, "--into", f"{name}.toml"))
        assert toml(tmp_path / f"{name}.toml")["conversation"].get("empty") == empty


# -- a preset by name


def test_a_preset_can_be_given(here: Here, tmp_path: Path) -> None:
    own = '\ntitle = "Ours"\nabout = "Of the test."\nsources = ["https://example.com"]\n[[tickets]]\nheaders = ["Docket"]\ncolumns = { ticket_id = "Docket" }\n'
    (tmp_path / "ours.toml").write_text(own)
    (tmp_path / "odd.csv").write_text(ODD)
    out = told(here("init", "odd.csv", "--preset", "./ours.toml", "--into", "m.toml"))
    assert "This is ./ours.toml: Ours." in out
    assert "tickets; has Docket; 1 of 8 columns mapped" in out
    frame = scanned(tmp_path / "m.toml", tmp_path)["tickets"].table.frame.collect()
    assert frame["ticket_id"].to_list() == ["A1", "A2"]


def test_a_given_preset_that_does_not_fit_is_refused(here: Here, tmp_path: Path) -> None:
    (tmp_path / "odd.csv").write_text(ODD)
    text = refused(here("init", "odd.csv", "--preset", "zendesk"), SourceError)
    assert text.startswith("the preset 'zendesk' fits none of the 1 file(s)")
    assert "dixa-import presets zendesk" in text
    assert not (tmp_path / "zendesk.toml").exists()


def test_a_preset_that_does_not_exist_is_refused_with_a_list(here: Here) -> None:
    text = refused(here("init", LOOK_ALIKES / "gorgias", "--preset", "gorgeous"), ConfigError)
    assert text == f"source.preset: there is no preset 'gorgeous'; choose one of {', '.join(presets.names())}"


# -- unknown exports


def test_an_unknown_csv_is_mapped_by_common_headers(here: Here, tmp_path: Path) -> None:
    (tmp_path / "odd export.csv").write_text(ODD)
    out = told(here("init", "odd export.csv", "--timezone", "Europe/Berlin"))
    assert out.splitlines()[0].startswith("No preset knows this export")
    assert "  odd export.csv (utf-8, ';'): tickets; 7 of 8 columns mapped; not mapped: Docket\n" in out
    source = toml(tmp_path / "odd-export.toml")["source"]
    assert source["tickets"]["columns"] == {
        "ticket_id": "row-{_row}",
        "subject": "Title",
        "opening_text": "Description",
        "status": "State",
        "tags": "Labels",
        "created_at": "Opened_At",
        "requester_email": "E-mail",
        "requester_phone": "Mobile Phone",
    }
    text = (tmp_path / "odd-export.toml").read_text("utf-8")
    assert (
        "# No column of ids was recognised, so tickets are identified by row number. Do not move rows.\n"
        in text
    )
    assert 'columns.ticket_id = "row-{_row}" # TODO: name the column of ids if there is one\n' in text
    assert "# These headers are not mapped and are kept as custom fields (custom.HEADER): Docket\n" in text
    assert "# These columns were not found: requester_id, requester_name, channel, queue," in text


def test_an_unknown_csv_is_planned_correctly(here: Here, tmp_path: Path, prepare) -> None:
    (tmp_path / "odd.csv").write_text(ODD)
    told(here("init", "odd.csv", "--timezone", "Europe/Berlin", "--region", "DK", "--into", "m.toml"))
    ready = prepare(tmp_path / "m.toml")
    jobs = list(ready.parts.jobs())
    assert [
        (
            j.ticket_id,
            j.subject,
            j.requester.email,
            j.requester.phone,
            j.status,
            list(j.tags),
            j.messages[0].text,
        )
        for j in jobs
    ] == [
        ("row-1", "Hello", "ada@b.example", "+4520304050", "open", ["a", "b"], "My printer is dead"),
        ("row-2", "World", "bo@d.example", None, "closed", [], "Größe?"),
    ]
    assert [j.created_at and j.created_at.isoformat() for j in jobs] == [
        "2024-01-02T09:00:00+00:00",
        "2024-01-31T10:00:00+00:00",
    ]


@pytest.mark.parametrize(
    ("no", "yes"), [("False", "True"), ("No", "Yes"), ("n", "Y"), ("0", "1"), ("f", "t"), ("no", "perhaps")]
)
def test_unknown_files_are_joined_by_their_headers_and_flags_are_inverted(
    here: Here, tmp_path: Path, prepare, no: str, yes: str
) -> None:
    (tmp_path / "cases.csv").write_text(
        "ticket id,subject,requester id,created\n1,Hello,u1,2024-01-02T10:00:00Z\n"
    )
    (tmp_path / "notes.csv").write_text(
        "comment id,ticket id,author id,private,body,created\n"
        f"c1,1,u1,{no},hi,2024-01-02T10:00:00Z\nc2,1,u2,{yes},secret,2024-01-02T11:00:00Z\n"
    )
    (tmp_path / "users.csv").write_text(
        "user id,email,name,type\nu1,a@b.example,Ada,customer\nu2,b@b.example,Bo,Agent\n"
    )
    out = told(here("init", "cases.csv", "notes.csv", "users.csv", "--into", "m.toml"))
    assert "notes.csv (utf-8, ','): messages; has comment id, ticket id; 6 of 6 columns mapped\n" in out
    assert "users.csv (utf-8, ','): people; has email, name, user id; 4 of 4 columns mapped\n" in out
    (job,) = prepare(tmp_path / "m.toml").parts.jobs()
    assert [(m.direction, m.author.email, m.text) for m in job.messages] == [
        ("inbound", "a@b.example", "hi"),
        ("internal", "b@b.example", "secret"),
    ]


def test_an_unknown_parquet_file_is_mapped(here: Here, tmp_path: Path, prepare) -> None:
    pl.DataFrame(
        {
            "CASE_NUMBER": [1001, 1002],
            "SUMMARY": ["Hello", "World"],
            "BODY": ["one", "two"],
            "CREATED_AT": pl.Series(["2024-01-02T10:00:00", "2024-01-03T10:00:00"]).str.to_datetime(
                time_unit="ns"
            ),
            "REQUESTER_EMAIL": ["a@b.example", "c@d.example"],
            "TAGS": [["a"], []],
            "MOOD": ["good", "bad"],
        }
    ).write_parquet(tmp_path / "cases.parquet")
    out = told(here("init", "cases.parquet", "--timezone", "UTC", "--into", "m.toml"))
    assert "  cases.parquet (Parquet): tickets; 6 of 7 columns mapped; not mapped: MOOD\n" in out
    ready = prepare(tmp_path / "m.toml")
    assert [(j.ticket_id, j.subject, list(j.tags), j.messages[0].text) for j in ready.parts.jobs()] == [
        ("1001", "Hello", ["a"], "one"),
        ("1002", "World", [], "two"),
    ]
    assert ready.tables["tickets"].good.collect()["custom.MOOD"].to_list() == ["good", "bad"]


def test_missing_times_of_an_unknown_export_are_asked_for(here: Here, tmp_path: Path) -> None:
    (tmp_path / "odd.csv").write_text("id,title\n1,a\n")
    told(here("init", "odd.csv"))
    text = (tmp_path / "odd.toml").read_text("utf-8")
    assert "# No column of creation times was recognised, and Dixa API v1 needs a time.\n" in text
    assert (
        '# defaults.created_at = "2020-01-01T00:00:00Z" # TODO: map created_at, or set this default\n' in text
    )
    assert '\nempty = "import" # TODO: check that the export has no texts\n' in text
    assert config.load_migration(tmp_path / "odd.toml").conversation.empty == "import"


def test_files_with_slightly_different_headers_are_one_table(here: Here, tmp_path: Path, prepare) -> None:
    (tmp_path / "1.csv").write_text(
        "ticket id,subject,requester email,description,created\n1,Hello,a@b.example,one,2024-01-02T10:00:00Z\n"
    )
    (tmp_path / "2.csv").write_text(
        "ticket id,title,requester email,description,created,priority\n"
        "2,World,a@b.example,two,2024-01-02T10:00:00Z,high\n"
    )
    (tmp_path / "3.csv").write_text(
        "ticket id,requester email,description,created\n3,a@b.example,three,2024-01-02T10:00:00Z\n"
    )
    told(here("init", "1.csv", "2.csv", "3.csv", "--into", "m.toml"))
    columns = toml(tmp_path / "m.toml")["source"]["tickets"]["columns"]
    assert (columns["subject"], columns["requester_email"]) == (["subject", "title", ""], "requester email")
    assert [(j.ticket_id, j.subject) for j in prepare(tmp_path / "m.toml").parts.jobs()] == [
        ("1", "Hello"),
        ("2", "World"),
        ("3", None),
    ]


def test_the_first_column_of_a_repeated_header_is_mapped_and_the_others_are_kept(
    here: Here, tmp_path: Path, prepare
) -> None:
    (tmp_path / "odd.csv").write_text(
        "id,subject,Description,Description,email,created\n1,a,one,two,a@b.example,2024-01-02T10:00:00Z\n"
    )
    told(here("init", "odd.csv", "--into", "m.toml"))
    line = (
        'columns.opening_text = "Description (1)" # TODO: several columns have this header; '
        "(1) is the first, (2) the second\n"
    )
    assert line in (tmp_path / "m.toml").read_text("utf-8")
    ready = prepare(tmp_path / "m.toml")
    (job,) = ready.parts.jobs()
    assert [m.text for m in job.messages] == ["one"]
    assert ready.tables["tickets"].good.collect()["custom.Description (2)"].to_list() == ["two"]


def test_ids_of_rows_without_ids_contain_the_file_name(here: Here, tmp_path: Path, prepare) -> None:
    for name in ("1.csv", "2.csv"):
        (tmp_path / name).write_text(
            "subject,email,description,created\na,a@b.example,x,2024-01-02T10:00:00Z\n"
        )
    told(here("init", "1.csv", "2.csv", "--into", "m.toml"))
    assert [j.ticket_id for j in prepare(tmp_path / "m.toml").parts.jobs()] == ["1.csv-1", "2.csv-1"]


def test_files_that_this_program_wrote_are_skipped(here: Here, tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "odd.csv").write_text("id,title,status\n1,a,nonsense\n")
    told(here("init", "export", "--into", "export/m.toml", "--timezone", "UTC"))
    told(here("validate", "export/m.toml"))
    (tmp_path / "export" / "m.agents.csv").write_text("person,name,agent\nlene,Lene,\n")
    rejects = tmp_path / "export" / "m.report" / "rejects" / "tickets.csv"
    assert rejects.exists()
    out = told(here("init", "export", "--into", "again.toml"))
    assert toml(tmp_path / "again.toml")["source"]["tickets"]["files"] == ["export/odd.csv"]
    assert "rejects" not in out
    out = told(here("init", "export/odd.csv", "export/m.agents.csv", rejects, "--into", "third.toml"))
    assert (
        "  export/m.agents.csv: was written by this program and is not part of the export; skipped\n" in out
    )
    assert (
        "  export/m.report/rejects/tickets.csv: was written by this program and is not part of the export; skipped\n"
        in out.replace(f"{tmp_path}/", "")
    )


def test_a_missing_file_of_tickets_is_named(here: Here, tmp_path: Path) -> None:
    out = told(here("init", LOOK_ALIKES / "gorgias" / "messages.csv", "--into", "m.toml"))
    (line,) = (line for line in out.splitlines() if line.startswith("No file of tickets was found"))
    headers = ", ".join(presets.load("gorgias").tickets[0].headers)
    assert line.startswith(f"No file of tickets was found (expected a file with {headers}")
    assert line.endswith("). Name it in source.tickets.files.")
    assert toml(tmp_path / "m.toml")["source"]["tickets"]["files"] == []


def test_structs_and_lists_of_a_parquet_file_are_mapped(here: Here, tmp_path: Path, prepare) -> None:
    author = {"email": "lene@b.example"}
    pl.DataFrame(
        {
            "id": [7],
            "requester": [{"name": "Ada", "email": "ada@b.example"}],
            "subject": ["Hello"],
            "tags": [[{"name": "vip"}, {"name": "late"}]],
            "created_at": ["2024-01-02T10:00:00Z"],
            "messages": [
                [
                    {
                        "id": 1,
                        "body": "one",
                        "created_at": "2024-01-02T10:00:00Z",
                        "public": True,
                        "author": author,
                    },
                    {
                        "id": 2,
                        "body": "two",
                        "created_at": "2024-01-02T11:00:00Z",
                        "public": False,
                        "author": author,
                    },
                ]
            ],
        }
    ).write_parquet(tmp_path / "t.parquet")
    out = told(here("init", "t.parquet", "--into", "m.toml"))
    assert "  t.parquet (Parquet): messages; has messages; 5 of 6 columns mapped\n" in out
    assert toml(tmp_path / "m.toml")["source"]["messages"]["columns"]["author_email"] == "each.author.email"
    (job,) = prepare(tmp_path / "m.toml", people__default_agent="agent@b.example").parts.jobs()
    assert (job.ticket_id, job.requester.name, job.requester.email) == ("7", "Ada", "ada@b.example")
    assert list(job.tags) == ["vip", "late"]
    assert [(m.message_id, m.text, m.direction) for m in job.messages] == [
        ("1", "one", "outbound"),
        ("2", "two", "internal"),
    ]


def test_columns_of_tickets_in_rows_of_messages_are_mapped(here: Here, tmp_path: Path, prepare) -> None:
    (tmp_path / "odd.csv").write_text(
        "conversation id,subject,customer email,sender,sender email,private,message,sent at,status\n"
        "1,Hi,cu@b.example,Cu,cu@b.example,no,Hello,2024-01-02T10:00:00Z,open\n"
    )
    told(here("init", "odd.csv", "--into", "m.toml"))
    assert toml(tmp_path / "m.toml")["source"]["tickets"]["columns"] == {
        "subject": "subject",
        "requester_email": "customer email",
        "status": "status",
    }
    (job,) = prepare(tmp_path / "m.toml").parts.jobs()
    assert (job.subject, job.requester.email) == ("Hi", "cu@b.example")


GERMAN = (
    "Ticketnummer;Betreff;Status;Absender;E-Mail;Nachricht;Erstellt am;Intern;Bearbeiter\n"
    "T-1;Verspätet;Geschlossen;Klaus;klaus@b.example;Wo ist mein Paket?;13.02.2024 09:10;Nein;Anna\n"
    "T-1;Verspätet;Geschlossen;Anna;anna@shop.example;Ist unterwegs.;13.02.2024 10:30;Nein;Anna\n"
    "T-1;Verspätet;Geschlossen;Anna;anna@shop.example;Kunde nervt;13.02.2024 10:31;Ja;Anna\n"
    "T-2;Rückgabe;Beim Lager;Petra;petra@b.example;Zurück?;14.02.2024 16:00;Nein;\n"
)


def test_rows_of_messages_in_another_language_are_planned_correctly(
    here: Here, tmp_path: Path, prepare
) -> None:
    (tmp_path / "nachrichten.csv").write_text(GERMAN, "utf-8")
    told(here("init", "nachrichten.csv", "--timezone", "Europe/Berlin", "--into", "m.toml"))
    text = (tmp_path / "m.toml").read_text("utf-8")
    assert 'values.status."Geschlossen" = "closed"\n' in text
    assert (
        'values.status."Beim Lager" = "closed" # TODO: unknown value; choose open, pending or closed\n'
        in text
    )
    jobs = list(prepare(tmp_path / "m.toml").parts.jobs())
    assert [
        (j.ticket_id, j.status, j.requester.email, [(m.direction, m.author.email) for m in j.messages])
        for j in jobs
    ] == [
        (
            "T-1",
            "closed",
            "klaus@b.example",
            [
                ("inbound", "klaus@b.example"),
                ("outbound", "anna@shop.example"),
                ("internal", "anna@shop.example"),
            ],
        ),
        ("T-2", "closed", "petra@b.example", [("inbound", "petra@b.example")]),
    ]


def test_the_agents_are_asked_for_where_no_column_shows_them(here: Here, tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("Ticket ID,Author,Message\n1,Bo,one\n1,Lene,two\n1,Bo,three\n")
    told(here("init", "log.csv", "--into", "m.toml"))
    text = (tmp_path / "m.toml").read_text("utf-8")
    assert (
        "# TODO: no column says who is an agent, so all senders count as agents. List the agents:\n" in text
    )
    assert '# columns.author_role = "Author"' in text
    assert "# No column says whether a message is public, so all become private notes.\n" in text
    assert '# defaults.public = "true" # TODO: set this default if none of them is a private note\n' in text


def test_rows_of_messages_are_recognised_by_repeated_ids(here: Here, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("Ticket ID,Text\n1,one\n1,two\n1,three\n2,four\n")
    (tmp_path / "b.csv").write_text("Ticket ID,Text\n1,one\n2,two\n3,three\n4,four\n")
    (tmp_path / "c.csv").write_text("Ticket ID,Text\n1,one\n1,one\n2,two\n2,two\n")
    tables = {
        name: json.loads(told(here("--json", "init", f"{name}.csv", "--into", f"{name}.toml")))["files"][0][
            "table"
        ]
        for name in "abc"
    }
    assert tables == {"a": "messages", "b": "tickets", "c": "tickets"}


def test_replies_are_not_a_second_file_of_tickets(here: Here, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "Ticket ID,Subject,Requester Email,Created\n1,Hi,a@b.example,2024-01-02\n"
    )
    (tmp_path / "r.csv").write_text(
        "Reply ID,Ticket ID,From,To,CC,Date,Text,Files\n7,1,a@b.example,s@b.example,,2024-01-02,Hi,\n"
    )
    value = json.loads(told(here("--json", "init", "t.csv", "r.csv", "--into", "m.toml")))
    assert [(Path(f["path"]).name, f["table"]) for f in value["files"]] == [
        ("t.csv", "tickets"),
        ("r.csv", "messages"),
    ]
    assert toml(tmp_path / "m.toml")["source"]["messages"]["columns"] == {
        "message_id": "Reply ID",
        "ticket_id": "Ticket ID",
        "created_at": "Date",
        "author_email": "From",
        "to_email": "To",
        "cc": "CC",
        "text": "Text",
        "attachments": "Files",
    }


def test_comments_in_json_cells_are_messages(here: Here, tmp_path: Path, prepare) -> None:
    comments = [
        {
            "id": 1,
            "email": "cu@b.example",
            "body": "Hello",
            "created_at": "2024-01-01T10:00:00Z",
            "public": True,
        },
        {
            "id": 2,
            "email": "l@b.example",
            "body": "note",
            "created_at": "2024-01-01T11:00:00Z",
            "public": False,
        },
    ]
    pl.DataFrame(
        {
            "id": ["1", "2"],
            "subject": ["Hi", "Yo"],
            "requester": ['{"email": "cu@b.example", "name": "Cu"}', '{"email": "du@b.example"}'],
            "comments": [json.dumps(comments), "[]"],
        }
    ).write_csv(tmp_path / "tickets.csv")
    out = told(here("init", "tickets.csv", "--into", "m.toml"))
    assert "tickets.csv (utf-8, ','): messages; has comments; 5 of 5 columns mapped\n" in out
    assert "not mapped" not in out
    (job,) = prepare(tmp_path / "m.toml").parts.jobs()
    assert [(m.direction, m.author.email, m.text) for m in job.messages] == [
        ("inbound", "cu@b.example", "Hello"),
        ("internal", "l@b.example", "note"),
    ]


def test_files_of_a_folder_that_are_not_tables_are_named(here: Here, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "t.csv").write_text("id,subject\n1,Hi\n")
    (folder / "part-2.csv").write_text("")
    (folder / "comments.jsonl").write_text("{}\n")
    (folder / "logo.png").write_bytes(b"\x89PNG")
    lines = told(here("init", "export", "--into", "m.toml")).splitlines()
    assert "  export/part-2.csv: is empty; skipped" in lines
    assert "  export/comments.jsonl: is not CSV or Parquet; skipped. Is it part of the export?" in lines
    assert not any("logo.png" in line for line in lines)
    assert (
        refused(here("init", "export/part-2.csv"), SourceError)
        == "export/part-2.csv: is empty; a header line is expected"
    )


def test_one_of_several_files_may_have_no_ids(here: Here, tmp_path: Path, prepare) -> None:
    (tmp_path / "a.csv").write_text("id,subject,body,email,created\n7,Hi,one,a@b.example,2024-01-02T10:00Z\n")
    (tmp_path / "b.csv").write_text("subject,body,email,created\nYo,two,c@d.example,2024-01-02T10:00Z\n")
    told(here("init", "a.csv", "b.csv", "--into", "m.toml"))
    assert toml(tmp_path / "m.toml")["source"]["tickets"]["columns"]["ticket_id"] == ["id", "{_file}-{_row}"]
    jobs = prepare(tmp_path / "m.toml").parts.jobs()
    assert sorted(job.ticket_id for job in jobs) == ["7", "b.csv-1"]


def test_a_known_export_without_texts_is_imported_with_its_subjects(here: Here, tmp_path: Path) -> None:
    lines = (LOOK_ALIKES / "freshdesk-csv" / "tickets.csv").read_bytes().decode("cp1252").splitlines()
    header = lines[0].split(";")
    assert "Description" in header
    (tmp_path / "t.csv").write_text(";".join(h for h in header if h != "Description") + "\n")
    told(here("init", "t.csv", "--into", "without.toml"))
    told(here("init", LOOK_ALIKES / "freshdesk-csv" / "tickets.csv", "--into", "with.toml"))
    assert toml(tmp_path / "without.toml")["conversation"].get("empty") == "import"
    assert "empty" not in toml(tmp_path / "with.toml")["conversation"]


def test_comments_in_numbered_columns_are_messages(here: Here, tmp_path: Path, prepare) -> None:
    (tmp_path / "tickets.csv").write_text(
        "Case No,Created,Subject,Email,Status,Description,Comment 10,Comment 10 Author,Comment 10 Date,"
        "Comment 1,Comment 1 Author,Comment 1 Date,Comment 2,Comment 2 Author,Comment 2 Date,Shelf 1\n"
        "7,2024-01-01T10:00Z,Hi,cu@b.example,Open,Help,tenth,cu,2024-01-02T10:00Z,first,Lene,2024-01-02T10:00Z,,,,A\n"
        "8,2024-01-01T10:00Z,Yo,cu@b.example,Open,Help,,,,,,,second,Bo,2024-01-02T10:00Z,B\n"
    )
    out = told(here("init", "tickets.csv", "--into", "m.toml"))
    assert (
        "tickets.csv (utf-8, ','): messages; has Comment 10, Comment 1, Comment 2; 3 of 4 columns mapped\n"
        in out
    )
    source = toml(tmp_path / "m.toml")["source"]
    assert source["messages"]["each"] == {"column": "Comment {n}"}
    assert source["messages"]["columns"] == {
        "ticket_id": "Case No",
        "created_at": "each.Comment {n} Date",
        "author_name": "each.Comment {n} Author",
        "text": "each",
    }
    ready = prepare(tmp_path / "m.toml")
    assert {
        job.ticket_id: [
            (m.text, m.author_name, str(m.created_at)[:10]) for m in job.messages if m.text != "Help"
        ]
        for job in ready.parts.jobs()
    } == {
        "7": [("first", "Lene", "2024-01-02"), ("tenth", "cu", "2024-01-02")],
        "8": [("second", "Bo", "2024-01-02")],
    }
    custom = {
        n for columns in ready.tables["tickets"].scanned.columns for n in columns if n.startswith("custom.")
    }
    assert custom == {"custom.Shelf 1"}


def test_headers_with_line_ends_stay_comments(here: Here, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(
        '"Ticket\nID","Mood\nname = ""x""",Direction,Text\n1,good,in,hello\n1,bad,out,"bye\nbye"\n'
    )
    told(here("init", "m.csv", "--into", "m.toml"))
    written = toml(tmp_path / "m.toml")
    assert (written["name"], written["source"]["messages"]["columns"]["text"]) == ("m", "Text")


def test_texts_that_are_not_mapped_are_named(here: Here, tmp_path: Path) -> None:
    history = "2024-01-05 11:00 Juan: we look at it; 2024-01-05 12:00 Maria: thank you all"
    (tmp_path / "t.csv").write_text(f"id,subject,Mood,History\n1,Hi,good,{history}\n2,Yo,bad,\n")
    out = told(here("init", "t.csv", "--into", "m.toml"))
    assert "    columns with texts that are not mapped: History" in out.splitlines()


def test_only_the_first_rows_of_a_large_file_are_read(here: Here, tmp_path: Path) -> None:
    rows = [f"{n},Hi,{'Åben' if n < 20_000 else 'Lukket'}" for n in range(20_002)]
    (tmp_path / "t.csv").write_text("\n".join(["id,subject,status", *rows]) + "\n", "utf-8")
    told(here("init", "t.csv", "--into", "m.toml"))
    text = (tmp_path / "m.toml").read_text("utf-8")
    assert 'values.status."Åben" = "open"' in text
    assert "Lukket" not in text
    assert (
        "# The values of status were taken from the first rows only. validate rejects values that are not listed.\n"
        in text
    )


def test_a_header_with_quotes_and_backslashes_is_written_as_toml(here: Here, tmp_path: Path) -> None:
    name = 'we"ird\\ ’ file.csv'
    (tmp_path / name).write_text('id,"e-""mail"\n1,x\n')
    told(here("init", name, "--into", "m.toml"))
    assert toml(tmp_path / "m.toml")["source"]["tickets"]["files"] == [name]
    assert config.load_migration(tmp_path / "m.toml").name == "m"


def test_files_without_a_known_header_are_refused_with_their_headers(here: Here, tmp_path: Path) -> None:
    (tmp_path / "weather.csv").write_text("day,rain\n1,2\n")
    text = refused(here("init", "weather.csv"), SourceError)
    assert text == (
        "no column has a known name; map the columns by hand (docs/migration-file.md):\n  weather.csv: day, rain"
    )
    assert not (tmp_path / "weather.toml").exists()


def test_attachments_without_messages_are_refused_with_their_headers(here: Here, tmp_path: Path) -> None:
    (tmp_path / "att.csv").write_text("message_id,url\n1,https://files.example/1\n")
    text = refused(here("init", "att.csv"), SourceError)
    assert text == (
        "no column has a known name; map the columns by hand (docs/migration-file.md):\n"
        "  att.csv: message_id, url"
    )


def test_all_unreadable_files_are_reported_at_once(here: Here, tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "binary.parquet").write_bytes(b"nothing")
    text = refused(here("init", "nowhere.csv", "empty.csv", "*.tsv", "binary.parquet"), SourceError)
    for part in (
        "nowhere.csv: the file does not exist",
        "empty.csv: is empty; a header line is expected",
        "*.tsv: no file matches this pattern",
        "binary.parquet: is not a Parquet file",
    ):
        assert part in text


# -- invalid flags


def test_an_existing_file_is_not_overwritten(here: Here, tmp_path: Path) -> None:
    for into in ("mine.toml", "gorgias.toml"):
        (tmp_path / into).write_text("my own words")
        arguments = ("--into", into) if into == "mine.toml" else ()
        text = refused(here("init", LOOK_ALIKES / "gorgias", *arguments), ConfigError)
        assert text == f"{into}: exists already; name another file with --into"
        assert (tmp_path / into).read_text() == "my own words"


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("--timezone", "Mars/Olympus"), id="zone"),
        pytest.param(("--region", "dk"), id="region"),
    ],
)
def test_a_zone_or_region_that_does_not_exist_is_refused(here: Here, arguments: tuple[str, str]) -> None:
    result = here("init", LOOK_ALIKES / "gorgias", "--into", "m.toml", *arguments)
    assert isinstance(result.exception, ConfigError)


def test_a_folder_that_does_not_exist_is_refused(here: Here) -> None:
    text = refused(here("init", LOOK_ALIKES / "gorgias", "--into", "no/where.toml"), ConfigError)
    assert "where.toml: cannot be written" in text


# -- the program


@pytest.mark.parametrize("name", ["zendesk-fivetran"])
def test_the_migration_file_is_valid_without_an_edit(dixa_import, tmp_path: Path, name: str) -> None:
    path = tmp_path / "m.toml"
    done = dixa_import(
        "init", LOOK_ALIKES / name, "--into", path, "--timezone", "Europe/Copenhagen", token=None
    )
    assert (done.code, done.err) == (0, "")
    assert f"This is {name}: " in done.out
    assert done.out.endswith(f"Next:\n- Edit {path}, then check the export:\n  dixa-import validate {path}\n")
    assert path.stat().st_mode & 0o777 == 0o600
    done = dixa_import("--json", "validate", path, token=None)
    assert done.code == 0, done.out + done.err
    value = json.loads(done.out)
    assert value["balanced"]
    assert value["tickets"]["left"] > 0


def test_values_that_only_the_user_knows_are_asked_for_before_a_run(dixa_import, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "ticket_id,subject,requester_email,created_at,body\n1,a,a@b.example,2024-01-02 10:00,hi\n"
    )
    path = tmp_path / "m.toml"
    assert dixa_import("init", tmp_path / "t.csv", "--into", path).code == 0
    done = dixa_import("validate", path)
    assert done.code == 6
    assert (
        f"- Set source.timezone in {path}, for example to Europe/Copenhagen. Times without a time zone: 1. "
        "The rows need no correction.\n" in done.out
    )
    path.write_text(path.read_text("utf-8").replace("# timezone = ", "timezone = "), "utf-8")
    done = dixa_import("plan", path)
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[lines.index("Next:") + 1] == (
        f"- Replace these placeholders in {path} before you run: conversation.endpoint, people.default_agent, "
        "people.default_requester."
    )
    assert lines[-2:] == ["- Import everything:", f"  dixa-import run {path}"]
    assert "\n  conversations      1\n" in done.out


def test_an_error_is_one_line_with_exit_code_2(dixa_import, tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text("x")
    done = dixa_import("init", LOOK_ALIKES / "gorgias", "--into", tmp_path / "m.toml")
    assert (done.code, done.out) == (2, "")
    assert done.err == f"Error: {tmp_path / 'm.toml'}: exists already; name another file with --into\n"


# -- presets


def test_presets_lists_all_presets_with_their_titles(here: Here) -> None:
    lines = told(here("presets")).splitlines()
    assert lines[0].split() == ["preset", "export"]
    assert dict(line.split(maxsplit=1) for line in lines[2:-2]) == {
        name: preset.title for name, preset in presets.everything()
    }
    assert lines[-1] == "More about one: dixa-import presets NAME"


def test_presets_as_json(here: Here) -> None:
    assert json.loads(told(here("--json", "presets"))) == {
        "version": 1,
        "command": "presets",
        "migration": None,
        "exit_code": 0,
        "error": None,
        "presets": [{"name": name, "title": preset.title} for name, preset in presets.everything()],
        "next": [],
    }


@pytest.mark.parametrize("name", presets.names())
def test_a_preset_is_shown_with_its_mapping_and_its_sources(here: Here, name: str) -> None:
    preset, out = presets.load(name), told(here("presets", name))
    assert out.splitlines()[0] == preset.title
    assert "".join(preset.about.split()) in "".join(out.split())
    assert f"Times without a zone: {preset.timezone or 'set source.timezone'}" in out
    for table in ("tickets", "messages", "people", "attachments"):
        for part in preset.parts(table):
            assert (
                f"{table}: from the rows of {part.read}"
                if part.read
                else f"{table}: a file with {', '.join(part.headers)}"
            ) in out
            for column, sources in part.columns.items():
                assert f"  {column:<18} {' | '.join(sources)}" in out
    assert all(f"lookup {lookup}: a file with " in out for lookup in preset.lookups)
    assert out.rstrip().endswith(preset.sources[-1])


@pytest.mark.parametrize("name", presets.names())
def test_the_json_of_a_preset_is_a_valid_preset(here: Here, name: str) -> None:
    value = json.loads(told(here("--json", "presets", name)))
    assert presets.Preset.model_validate(value.pop("preset")) == presets.load(name)
    assert value == {
        "version": 1,
        "command": "presets",
        "migration": None,
        "exit_code": 0,
        "error": None,
        "next": [],
    }


def test_a_preset_can_be_shown_by_its_path(here: Here, tmp_path: Path) -> None:
    shutil.copy(Path(presets.FOLDER) / "gorgias.toml", tmp_path / "ours.toml")
    assert told(here("presets", "ours.toml")) == told(here("presets", "gorgias"))


def test_a_missing_or_invalid_preset_is_refused(here: Here, tmp_path: Path) -> None:
    assert "there is no preset 'nope'; choose one of freshdesk, " in refused(
        here("presets", "nope"), ConfigError
    )
    (tmp_path / "bad.toml").write_text('title = "x"\nabout = "y"\nsources = []\ntabels = 1\n')
    assert "bad.toml: is not a preset:\n  tabels: Extra inputs" in refused(
        here("presets", "bad.toml"), ConfigError
    )
    assert os.listdir(tmp_path) == ["bad.toml"]


def test_validate_asks_for_a_missing_file_of_tickets(dixa_import, tmp_path: Path) -> None:
    messages = SAMPLES / "presets" / "gorgias" / "messages.csv"
    assert dixa_import("init", messages, "--into", tmp_path / "g.toml").code == 0
    done = dixa_import("validate", tmp_path / "g.toml")
    assert done.code == 2
    assert "name one in source.tickets.files" in done.err
