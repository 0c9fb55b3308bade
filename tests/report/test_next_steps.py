"""What to do next: advice follows the cause, and a reader is never sent to a file that does not hold the answer."""

import itertools
from typing import Any

import pytest

from importer.errors import ExitCode
from importer.model import State
from importer.report.next_steps import facts_of, next_steps

ZERO = {state.value: 0 for state in State}
REJECTS = {"acme.report/rejects/tickets.csv": "tickets"}


def steps(command: str = "run", code: int = 0, **more: Any) -> list[tuple[str, str]]:
    counts = {key: more.pop(key) for key in list(more) if key in ZERO}
    tickets = {"read": sum(counts.values()), **ZERO, **counts}
    report = {
        "command": command,
        "exit_code": code,
        "migration_file": "acme.toml",
        "tickets": tickets,
        **more,
    }
    return [(step.words, step.line) for step in next_steps(facts_of(report))]


def commands(*arguments: Any, **more: Any) -> list[str]:
    return [line for _, line in steps(*arguments, **more) if line]


def said(*arguments: Any, **more: Any) -> str:
    return "\n".join(words for words, _ in steps(*arguments, **more))


def test_a_clean_check_leads_to_the_plan_then_to_one_ticket_then_to_all() -> None:
    assert commands("validate", 0, left=7) == [
        "dixa-import plan acme.toml",
        "dixa-import run acme.toml --limit 1",
        "dixa-import run acme.toml",
    ]
    assert commands("plan", 0, left=7) == [
        "dixa-import run acme.toml --limit 1",
        "dixa-import run acme.toml",
    ]


def test_rejected_rows_are_corrected_in_the_file_that_has_them_and_go_back_to_its_table() -> None:
    for command, code in (("validate", 6), ("plan", 6), ("run", 3), ("retry", 3), ("status", 0)):
        assert (
            "Correct the rejected rows in acme.report/rejects/tickets.csv, and add it to source.tickets.files "
            "in acme.toml."
        ) in said(command, code, rejected=1, rejects=REJECTS)


def test_what_dixa_refused_is_in_failed_csv_and_in_no_file_of_rejects() -> None:
    text = said("run", 3, imported=4, rejected=1)
    assert "failed.csv names the rejected tickets" in text
    assert "rejects" not in text


def test_times_without_a_zone_are_one_setting_and_no_correction_of_rows() -> None:
    text = said("validate", 6, rejected=3, zoneless=2_511, rejects=REJECTS)
    assert text.startswith(
        "Set source.timezone in acme.toml, for example to Europe/Copenhagen. Times without a time zone: 2,511."
    )
    assert "Correct the rejected rows" not in text


def test_placeholders_are_named_before_a_run_by_validate_too() -> None:
    for command in ("validate", "plan"):
        text = said(command, 0, left=1, placeholders=["conversation.endpoint"])
        assert "Replace these placeholders in acme.toml before you run: conversation.endpoint." in text


def test_an_export_without_a_ready_ticket_is_questioned() -> None:
    assert "names the right export" in said("validate", 0, filtered=4)
    assert "names the right export" not in said("validate", 0, already_there=4)


def test_flags_that_a_run_needs_too_are_part_of_the_next_command() -> None:
    """A rehearsal against a sandbox must not lead to the real account."""
    flags = ["--base-url", "http://127.0.0.1:8484"]
    shown = commands("plan", 0, left=1, flags=flags)
    assert shown[-1] == "dixa-import run acme.toml --base-url http://127.0.0.1:8484"
    assert "--base-url" in commands("run", 3, partial=1, imported=1, flags=flags)[0]
    assert commands("run", 0, imported=1, flags=flags)[-1] == "dixa-import status acme.toml"


def test_a_file_name_with_a_blank_is_quoted() -> None:
    (first, *_) = commands("validate", 0, left=1, migration_file="my export/a.toml")
    assert first == "dixa-import plan 'my export/a.toml'"


def test_agents_are_mapped_before_more_tickets_are_imported() -> None:
    text = said("run", 3, imported=1, left=2, agents_file="acme.agents.csv")
    assert "Map the agents in acme.agents.csv (column `agent`) before you go on" in text


def test_what_lacks_something_is_retried_and_what_is_left_is_run() -> None:
    assert commands("run", 3, imported=2, partial=1) == [
        "dixa-import retry acme.toml",
        "dixa-import status acme.toml",
    ]
    for state in ("failed", "in_doubt", "left"):
        assert commands("run", 3, **{state: 1})[0] == "dixa-import run acme.toml"


@pytest.mark.parametrize("code", [5, 8, 130])
def test_a_run_that_was_stopped_is_run_again_whatever_the_counts_say(code: int) -> None:
    assert commands("run", code, imported=1)[0] == "dixa-import run acme.toml"


@pytest.mark.parametrize(
    ("code", "words"),
    [(1, "Read the error above"), (2, "Change what the error above names"), (4, "Check the token"), (7, "will not help")],
)  # fmt: skip
def test_a_run_that_failed_names_the_cause_first(code: int, words: str) -> None:
    assert words in steps("run", code, left=1)[0][0]


def test_nothing_is_proposed_while_a_run_is_in_progress() -> None:
    assert commands("status", 0, left=5, running="process 7") == []


def test_nothing_left_is_said_only_where_nothing_is() -> None:
    done = "Nothing is left to send; a later export sends only what is new. Read Dixa back and compare it with the export:"
    assert done in said("run", 0, imported=3)
    for state in ("rejected", "failed", "in_doubt", "left", "partial"):
        assert done not in said("run", 3, imported=3, **{state: 1})


def test_a_run_that_finds_nothing_to_import_is_questioned() -> None:
    for command in ("run", "retry", "status"):
        for counts in ({"filtered": 4}, {}):
            assert "No ticket is in Dixa." in said(command, 0, **counts)
            assert "Nothing is left to send; a later" not in said(command, 0, **counts)
        assert "No ticket is in Dixa." not in said(command, 0, filtered=4, already_there=1)
    assert "No ticket is in Dixa." not in said("run", 5)


def test_every_ending_of_every_command_leads_somewhere() -> None:
    for command, code, state in itertools.product(
        ("validate", "plan", "run --dry-run", "run", "retry", "status"), ExitCode, State
    ):
        assert steps(command, code, **{state.value: 1}), (command, code, state)


def after_verify(code: int, **report: Any) -> str:
    value = {"command": "verify", "migration_file": "acme.toml", "exit_code": code, **report}
    return "\n".join(f"{step.words} {step.line}" for step in next_steps(facts_of(value)))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("note missing", "dixa-import verify acme.toml --fix"),
        ("conversation tag", "dixa-import verify acme.toml --fix"),
        ("conversation missing", "Conversations are gone"),
        ("message twice", "in Dixa twice"),
        ("person merged", "People were merged"),
        ("message text", "Dixa cannot change a message"),
        ("conversation state", "another state"),
    ],
)
def test_what_to_do_with_each_kind_of_difference_is_said(kind: str, words: str) -> None:
    assert words in after_verify(10, differences={kind: 1})
    assert words not in after_verify(10, differences={f"{kind} (mark-up only)": 1})


def test_after_fix_a_run_adds_what_is_missing() -> None:
    said = after_verify(10, differences={"note missing": 1}, verified={"to_be_added": 1})
    assert "dixa-import run acme.toml" in said
    assert "--fix" not in said


def test_an_adopt_that_was_stopped_goes_on_with_adopt() -> None:
    assert commands("adopt", 130, left=3)[0] == "dixa-import adopt acme.toml"
    assert "dixa-import run acme.toml" not in commands("adopt", 130, left=3)
    assert commands("adopt", 0, left=3)[0] == "dixa-import run acme.toml"
    assert "dixa-import run acme.toml" not in commands("run", 7, left=3)
