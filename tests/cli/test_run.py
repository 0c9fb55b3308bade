"""The program as its users start it, against a sandbox on a real socket."""

import http.server
import json
import stat
import threading
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from importer.errors import ConfigError
from importer.migration import file as config
from importer.sandbox import Settings, running
from importer.sandbox.server import Running

SECRET = "t0p-s3cret-token"


def posts(sandbox: Running) -> tuple[int, int, int]:
    """Users, conversations, and messages with the notes among them."""
    users, conversations, messages, notes = (
        sandbox.store.count(name) for name in ("users", "conversations", "messages", "notes")
    )
    return users, conversations, messages + notes


def report(folder: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((folder / "nordlys.report" / "report.json").read_text("utf-8"))
    return value


BOTH = pytest.mark.parametrize("api", ["dixa", "integrations"])
FAST = ("--rate", 500, "--burst", 50)


@BOTH
def test_a_run_imports_everything_once_and_a_second_one_nothing_more(dixa_import, sandbox, samples) -> None:
    first = dixa_import("run", samples / "helpdesk.toml", "--base-url", sandbox.url, *FAST)
    assert first.code == 0, first.err
    value = report(samples)
    assert value["balanced"]
    assert value["tickets"] == {
        "read": 13, "imported": 12, "partial": 0, "already_there": 0, "filtered": 1, "rejected": 0,
        "failed": 0, "in_doubt": 0, "left": 0,
    }  # fmt: skip
    assert value["messages"]["imported"] == 24
    assert value["attachments"]["imported"] == 5
    assert value["people"]["imported"] == 7
    before = posts(sandbox)
    assert before[1:] == (12, 24)

    second = dixa_import("run", samples / "helpdesk.toml", "--base-url", sandbox.url, *FAST)
    assert second.code == 0, second.err
    assert posts(sandbox) == before
    assert report(samples)["tickets"]["already_there"] == 12
    assert report(samples)["balanced"]


@pytest.mark.parametrize("api", ["integrations"])
def test_messages_stand_in_order_with_author_direction_time_and_text(dixa_import, sandbox, samples) -> None:
    assert dixa_import("run", samples / "helpdesk.toml", "--base-url", sandbox.url, *FAST).code == 0
    rows = sandbox.store.all(
        "SELECT m.direction, u.email, m.text FROM messages m JOIN users u ON u.id = m.author_id "
        "WHERE csid = (SELECT csid FROM messages WHERE text LIKE '%Ticket 5001%') ORDER BY m.n"
    )
    assert [(row["direction"], row["email"]) for row in rows] == [
        ("inbound", "ase.mueller@kunde.example"),
        ("internal", "lene@nordlys.example"),
        ("outbound", "lene@nordlys.example"),
        ("inbound", "ase.mueller@kunde.example"),
    ]
    assert rows[0]["text"].startswith(
        "[Ticket 5001: Wo bleibt meine Bestellung?]\n[2023-11-02 08:14:03 UTC, Åse Müller]\n\nGuten Tag,\n\n"
    )
    assert "Sendung verfolgen" in rows[2]["text"]
    assert "<p>" not in rows[2]["text"]
    assert rows[3]["text"].endswith("Angekommen. Danke! 🎉")


@pytest.mark.parametrize("api", ["integrations"])
def test_a_contact_form_run_brings_in_every_message_once(dixa_import, sandbox, samples) -> None:
    path = samples / "helpdesk.toml"
    text = path.read_text("utf-8").replace('kind = "callback"', 'kind = "contact_form"')
    text = text.replace('endpoint = "+4512345678"', 'endpoint = "imported@email.dixa.io"').replace(
        'tags = ["imported"]', ""
    )
    path.write_text(text, "utf-8")
    done = dixa_import("run", path, "--base-url", sandbox.url, *FAST)
    assert done.code == 0, done.err
    # 5010 begins with an agent's message, 5004 and 5008 with an attachment: a line says which ticket it is.
    assert posts(sandbox)[1:] == (12, 24 + 3)


def test_success_csv_maps_old_ids_to_new_ones_and_failed_csv_names_the_rest(
    dixa_import, sandbox, samples
) -> None:
    assert dixa_import("run", samples / "helpdesk.toml", "--base-url", sandbox.url, *FAST).code == 0
    success = (samples / "nordlys.report" / "success.csv").read_text().splitlines()
    assert success[0] == "ticket_id,dixa_id,messages,state,reason"
    assert {line.split(",")[0] for line in success[1:]} == {str(n) for n in range(5001, 5014) if n != 5012}
    assert {int(line.split(",")[1]) for line in success[1:]} == set(range(4711, 4723))
    failed = (samples / "nordlys.report" / "failed.csv").read_text().splitlines()
    assert failed[1:] == ["5012,filtered,skip.status,"]


def test_rejects_end_with_3_and_hold_the_source_rows(dixa_import, sandbox, samples) -> None:
    tickets = samples / "export" / "tickets.csv"
    tickets.write_text(tickets.read_text("utf-8").replace(",widget_chat,", ",telegram,"), "utf-8")
    done = dixa_import("run", samples / "helpdesk.toml", "--base-url", sandbox.url, *FAST)
    assert done.code == 3, done.err
    assert report(samples)["balanced"]
    rejects = (samples / "nordlys.report" / "rejects" / "tickets.csv").read_text("utf-8").splitlines()
    assert (
        rejects[0]
        == "_line,_column,_rule,_value,_message,_source," + tickets.read_text("utf-8").splitlines()[0]
    )
    assert rejects[1].startswith("3,Channel,channel.enum,telegram,")
    assert tickets.read_text("utf-8").splitlines()[2] in rejects[1]


def test_strict_sends_nothing_when_something_is_rejected(dixa_import, sandbox, samples) -> None:
    tickets = samples / "export" / "tickets.csv"
    tickets.write_text(tickets.read_text("utf-8").replace(",widget_chat,", ",telegram,"), "utf-8")
    done = dixa_import("run", samples / "helpdesk.toml", "--base-url", sandbox.url, "--strict")
    assert done.code == 6
    assert not sandbox.statuses


@pytest.mark.parametrize("arguments", [("plan",), ("run", "--dry-run"), ("validate",)])
def test_a_dry_run_sends_nothing_and_needs_no_token(dixa_import, sandbox, samples, arguments) -> None:
    done = dixa_import(*arguments, samples / "helpdesk.toml", token=None)
    assert done.code == 0, done.err
    assert not sandbox.statuses
    assert not (samples / "nordlys.checkpoint").exists()


@BOTH
def test_the_plan_is_what_the_run_sends(dixa_import, sandbox, samples, api: str) -> None:
    planned = json.loads(dixa_import("--json", "plan", samples / "helpdesk.toml").out)["plan"]
    assert dixa_import("run", samples / "helpdesk.toml", "--base-url", sandbox.url, *FAST).code == 0
    assert (planned["conversations"], planned["messages"], planned["people_to_create_at_most"]) == (12, 24, 7)
    # Beside the plan: queues, endpoints, tags and the default agent's own look-up, or queues, endpoints,
    # attributes, agents and the organization.
    more = {"integrations": 4, "dixa": 5}[api]
    assert report(samples)["requests"]["sent"] == planned["requests"] + more


def test_no_token(dixa_import, sandbox, samples) -> None:
    done = dixa_import("run", samples / "helpdesk.toml", "--base-url", sandbox.url, token=None)
    assert done.code == 4
    assert "DIXA_API_TOKEN" in done.err
    assert not sandbox.statuses


def test_a_wrong_token(dixa_import, sandbox, samples) -> None:
    done = dixa_import("run", samples / "helpdesk.toml", "--base-url", sandbox.url, token="wrong")
    assert done.code == 4
    assert "refuses the token" in done.err
    assert posts(sandbox)[1:] == (0, 0)


def test_an_unreachable_host(dixa_import, samples) -> None:
    done = dixa_import(
        "run", samples / "helpdesk.toml", "--base-url", "http://127.0.0.1:9", "--max-outage", 1
    )
    assert done.code == 5
    assert "no connection" in done.err
    assert "Traceback" not in done.err


LACKS = {
    "dixa": ("queue: 'Import'", "e-mail endpoint: 'other@", "custom attribute of conversations: 'Number'"),
    "integrations": ("queue: 'Import'", "endpoint (for kind = 'callback')", "tag: 'history'"),
}


@BOTH
def test_everything_the_account_lacks_is_named_before_the_first_post(
    dixa_import, sandbox, samples, api: str
) -> None:
    path = samples / "helpdesk.toml"
    text = path.read_text("utf-8")
    for old, new in (
        ('queue = "Imported"', 'queue = "Import"'),
        ("+4512345678", "+4500000000"),
        ("imported@email", "other@email"),
        ("Old ticket id", "Number"),
        ('tags = ["imported"]', 'tags = ["history"]'),
        ("migration@nordlys", "nobody@nordlys"),
    ):
        text = text.replace(old, new)
    path.write_text(text, "utf-8")
    done = dixa_import("run", path, "--base-url", sandbox.url, *FAST)
    assert done.code == 2
    for part in (*LACKS[api], "people.default_agent"):
        assert part in done.err
    assert posts(sandbox)[1:] == (0, 0)


@BOTH
def test_an_unknown_agent_without_a_default_keeps_its_ticket_back(dixa_import, samples, api: str) -> None:
    path = samples / "helpdesk.toml"
    text = path.read_text("utf-8").replace('default_agent = "migration@nordlys.example"', "#")
    path.write_text(text, "utf-8")
    with running(
        Settings(api=api, rate=0, agents=("lene@nordlys.example", "omar@nordlys.example"))
    ) as sandbox:
        done = dixa_import("run", path, "--base-url", sandbox.url, *FAST)
        assert done.code == 3, done.err
        assert sandbox.store.one("SELECT 1 FROM users WHERE email = 'gone@nordlys.example'") is None
    value = report(samples)
    assert value["balanced"]
    # 5007 has a message of a system author without address, 5011 one of the unknown agent.
    assert value["tickets"]["rejected"] == 2
    assert value["unknown_agents"] == ["email:gone@nordlys.example"]


@BOTH
def test_the_token_and_the_texts_stand_nowhere(dixa_import, samples, api: str) -> None:
    with running(Settings(api=api, rate=0, token=SECRET, agents=("migration@nordlys.example",))) as sandbox:
        log = samples / "run.log"
        done = dixa_import(
            "-vv",
            "--log-file",
            log,
            "run",
            samples / "helpdesk.toml",
            "--base-url",
            sandbox.url,
            *FAST,
            token=SECRET,
        )
        assert done.code == 0, done.err
    report_files = [path for path in (samples / "nordlys.report").rglob("*") if path.is_file()]
    for path in [*report_files, samples / "nordlys.checkpoint", log]:
        assert SECRET.encode() not in path.read_bytes(), path
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE((samples / "nordlys.report").stat().st_mode) == 0o700
    assert SECRET not in done.out + done.err
    assert b"Bestellung 4711" not in (samples / "nordlys.checkpoint").read_bytes() + log.read_bytes()


def test_the_token_may_come_from_a_file_or_a_command(dixa_import, sandbox, samples, tmp_path) -> None:
    (tmp_path / "token").write_text("sandbox\n")
    for flag, value in (("--token-file", tmp_path / "token"), ("--token-command", "echo sandbox")):
        done = dixa_import(
            "run", samples / "helpdesk.toml", "--base-url", sandbox.url, *FAST, flag, value, token=None
        )
        assert done.code == 0, done.err


def test_json_is_the_report_and_nothing_else_on_stdout(dixa_import, sandbox, samples) -> None:
    done = dixa_import("--json", "run", samples / "helpdesk.toml", "--base-url", sandbox.url, *FAST)
    assert json.loads(done.out) == report(samples)


def test_another_target_is_refused(dixa_import, sandbox, samples) -> None:
    assert dixa_import("run", samples / "helpdesk.toml", "--base-url", sandbox.url, *FAST).code == 0
    done = dixa_import("run", samples / "helpdesk.toml", "--base-url", "http://127.0.0.1:9")
    assert done.code == 7
    assert "belongs to another" in done.err


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("run",), 2, "Missing argument"),
        (("run", "nowhere.toml"), 2, "no such migration file"),
        (("rnu", "x"), 2, "No such command"),
        (("status", "nowhere.toml"), 2, "no such migration file"),
        (("demo", "--into", "/proc/nowhere"), 2, "cannot be written"),
    ],
)
def test_wrong_usage(dixa_import, arguments, code: int, text: str) -> None:
    done = dixa_import(*arguments)
    assert (done.code, text in done.err, "Traceback" in done.err) == (code, True, False)


def test_flags_stand_over_the_environment_and_that_over_the_file(dixa_import, samples) -> None:
    def seconds(*flags: object, **environment: str) -> float:
        dixa_import.environment = environment
        value: float = json.loads(dixa_import("--json", "plan", samples / "helpdesk.toml", *flags).out)[
            "plan"
        ]["seconds_at_the_limit"]
        return value

    slow = seconds()
    assert seconds(DIXA_IMPORT_RATE="5") == pytest.approx(2 * slow, rel=0.05)
    assert seconds("--rate", 20, DIXA_IMPORT_RATE="5") == pytest.approx(slow / 2, rel=0.05)


def test_status_tells_what_the_checkpoint_holds(dixa_import, sandbox, samples) -> None:
    assert dixa_import("status", samples / "helpdesk.toml").code == 2
    assert dixa_import("run", samples / "helpdesk.toml", "--base-url", sandbox.url, *FAST).code == 0
    value = json.loads(dixa_import("--json", "status", samples / "helpdesk.toml").out)
    assert value["tickets"]["imported"] == 12
    assert value["messages"]["imported"] == 24
    assert value["running"] is None
    assert value["last_exit_code"] == 0
    assert value["balanced"]


def test_a_host_that_is_not_dixa_is_named_as_such(dixa_import, samples) -> None:
    handler = http.server.SimpleHTTPRequestHandler
    handler.log_message = lambda *_: None  # type: ignore[method-assign, assignment]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        done = dixa_import("run", samples / "helpdesk.toml", "--base-url", url)
        server.shutdown()
    assert done.code == 2
    assert "Check that this is the address of the API in target.api (dixa)" in done.err


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("target.base_url", "https://user:secret@integrations.dixa.io", "must not hold a user name"),
        ("source.tickets.delimiter", "§§", "source.tickets.delimiter"),
    ],
)
def test_configuration_that_could_not_work_is_refused(samples, key: str, value: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        config.load_migration(samples / "helpdesk.toml", {key: value})


def test_the_requester_that_init_proposes_is_nobody_s_address(dixa_import, sandbox, migration) -> None:
    path = migration(tickets="ticket_id,opening_text\n1,hello\n")
    words = path.read_text("utf-8") + 'default_requester = "unknown@example.com"\n'
    path.write_text(words, "utf-8")
    done = dixa_import("run", path, "--base-url", sandbox.url, *FAST)
    assert done.code == 2
    assert "people.default_requester: 1 tickets name no requester" in done.err
    assert sandbox.statuses == {}


def test_status_after_a_later_export_tells_of_that_one(dixa_import, sandbox, samples) -> None:
    path, fast = samples / "helpdesk.toml", ("--base-url", sandbox.url, "--rate", 500, "--burst", 50)
    assert dixa_import("run", path, *fast).code == 0
    for name, ticket_id in (("tickets", "Ticket ID"), ("messages", "ticket_id")):
        file = samples / "export" / f"{name}.csv"
        frame = pl.read_csv(file, infer_schema=False)
        frame = frame.with_columns(pl.concat_str(pl.lit("9"), ticket_id).alias(ticket_id))
        if name == "tickets":
            frame = frame.head(2).with_columns(Channel=pl.Series(["email", "telegram"]))
        frame.write_csv(file)
    assert dixa_import("run", path, *fast).code == 3
    done = dixa_import("--json", "status", path)
    value = json.loads(done.out)
    assert (done.code, value["balanced"]) == (0, True)
    places = value["tickets"]
    assert (places["read"], places["imported"], places["rejected"], places["left"]) == (2, 1, 1, 0)
    words = dixa_import("status", path).out
    rejects = samples / "nordlys.report" / "rejects"
    assert (
        f"- Correct the rejected rows in {rejects / 'messages.csv'}, {rejects / 'tickets.csv'}, and add them to "
        f"source.messages.files and source.tickets.files in {path}."
    ) in words
    assert "failed.csv names all tickets that were not imported, and why." in words
    assert f"  dixa-import run {path}\n" in words
