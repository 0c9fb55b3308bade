"""report.html: what it says, that nothing in it comes alive, and how it stands in a real browser.

The browser tests need a Chromium (Debian's package, or any that CHROMIUM names) and are skipped without one.
"""

import base64
import json
import os
import re
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from importer.books import Books
from importer.model import State
from importer.report.files import summary
from importer.report.html import LONGEST, page, plain, visible
from importer.report.months import LABELS, chart
from importer.report.months import LONGEST as LONGEST_CHART
from importer.report.rejects import Problem

ZERO = dict.fromkeys(
    ("read", "imported", "already_there", "filtered", "rejected", "failed", "in_doubt", "left", "partial"), 0
)
REPORT: dict[str, Any] = {
    "version": 1,
    "command": "validate",
    "migration": "acme-zendesk",
    "exit_code": 6,
    "balanced": True,
    "tickets": {**ZERO, "read": 10, "filtered": 1, "rejected": 2, "left": 7},
    "messages": {**ZERO, "read": 1200, "filtered": 12, "rejected": 24, "left": 1164},
    "attachments": {**ZERO, "read": 88, "left": 88},
    "people": {**ZERO, "read": 31, "left": 31},
    "requests": {"sent": 0, "status_429": 0, "retried": 0, "seconds": 0.0},
    "problems": [
        {
            "table": "messages", "rule": "created_at.type", "state": "rejected", "count": 12, "first_line": 7,
            "message": "no time that can be read, such as 2024-03-01 14:05 or 2024-03-01T14:05:00Z",
            "examples": ["export/messages.csv:7: Created: '31/31/2023'", "export/messages.csv:19: Created: 'soon'"],
        },
        {
            "table": "tickets", "rule": "message_rejected", "state": "rejected", "count": 2, "first_line": None,
            "message": "one of its messages is rejected, so the ticket is held back whole", "examples": [],
        },
        {
            "table": "tickets", "rule": "skip.status", "state": "filtered", "count": 1, "first_line": None,
            "message": "left out by source.tickets.skip.status", "examples": [],
        },
    ],
    "files": [
        {
            "table": "tickets", "path": "export/tickets.csv", "kind": "csv", "encoding": "cp1252", "delimiter": ";",
            "rows": 10, "notes": ["encoding found out from 3,000 bytes that are no ASCII"],
        },
        {
            "table": "messages", "path": "export/messages.parquet", "kind": "parquet", "encoding": "", "delimiter": "",
            "rows": 1200, "notes": [],
        },
    ],
    "findings": [
        {
            "table": "messages", "name": "mojibake", "count": 31, "total": 1200,
            "message": "texts look as if UTF-8 had been read as cp1252",
            "examples": ["export/messages.csv:7: text: 'Ã¦bleskiver til jul'"],
        }
    ],
    "losses": [{"what": "CC and BCC", "count": 31, "why": "the Integrations API has no field for them"}],
    "statistics": {
        "messages_per_month": [["2023-01", 120], ["2023-02", 90], ["2023-05", 400]],
        "by_channel": [["email", 900], ["", 3]],
        "by_direction": [["inbound", 500], ["outbound", 600], ["internal", 100]],
        "text_bytes": {"total": 1234567, "mean": 310, "largest": 90000},
        "messages_per_ticket": {"mean": 4.2, "largest": 120},
    },
    "forecast": {"requests": 4000, "seconds": 400.0},
}  # fmt: skip
BARE: dict[str, Any] = {key: REPORT[key] for key in list(REPORT)[: list(REPORT).index("problems") + 1]}
EMPTY: dict[str, Any] = {
    **BARE, "exit_code": 0, "problems": [], **dict.fromkeys(("tickets", "messages", "attachments", "people"), ZERO),
}  # fmt: skip
TEN_YEARS = {
    **REPORT,
    "statistics": {
        **REPORT["statistics"],
        "messages_per_month": [
            [f"{2015 + month // 12}-{month % 12 + 1:02}", 400 + 35 * month + (month * 7919) % 900]
            for month in range(120)
            if month not in (50, 51, 52)
        ],
    },
}
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg onload=alert(1)>",
    "javascript:alert(1)",
    "https://evil.example/?leak",
    "</style><style>*{display:none}</style></title></textarea><!--",
    "{{ 7*7 }}{% raw %}",
    "\u202eexe.slx\u2066\u200b\x00\x1b[2J\ufeff",
    "\ud800 lone",
    "Z" + "\u0301" * 200,
    "unbroken" * 500,
)


def replaced(value: Any, text: str) -> Any:
    """The same structure with a text in place of every value, and in place of every key the page does not
    know."""
    if isinstance(value, Mapping):
        return {key: replaced(item, text) for key, item in value.items()}
    return [replaced(item, text) for item in value] if isinstance(value, list) else text


def texts_replaced(value: Any, text: str) -> Any:
    """The same, but numbers and what steers the page stay, so that all of it is shown."""
    if isinstance(value, Mapping):
        stays = ("command", "state")
        return {k: item if k in stays else texts_replaced(item, text) for k, item in value.items()}
    if isinstance(value, list):
        months = value and isinstance(value[0], list) and str(value[0][0])[:2] == "20"
        return value if months else [texts_replaced(item, text) for item in value]
    return text if isinstance(value, str) else value


class Outline(HTMLParser):
    """Elements with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    VOID = frozenset({"meta", "link", "rect"})

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(attrs)))
        self.text += " "
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self.text += " "
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data

    @property
    def words(self) -> str:
        return " ".join(self.text.split())


def words(report: Mapping[str, Any]) -> str:
    return Outline(page(report)).words


# What it says.


@pytest.mark.parametrize(
    ("command", "tickets", "headline"),
    [
        ("validate", {"read": 10, "left": 7, "rejected": 2, "filtered": 1}, "7 of 10 tickets are ready; 2 are rejected, 1 is skipped."),
        ("plan", {"read": 10, "left": 10}, "All 10 tickets are ready."),
        ("run --dry-run", {"read": 2000, "left": 1, "rejected": 1999}, "1 of 2,000 tickets is ready; 1,999 are rejected."),
        ("validate", {"read": 3, "rejected": 3}, "None of the 3 tickets is ready; 3 are rejected."),
        ("validate", {"read": 1, "left": 1}, "The one ticket is ready."),
        ("validate", {"read": 1, "rejected": 1}, "The one ticket is rejected."),
        ("validate", {"read": 2, "already_there": 2}, "All 2 tickets are in Dixa already."),
        ("plan", {"read": 1, "already_there": 1}, "The one ticket is in Dixa already."),
        ("validate", {}, "No tickets were read."),
        ("run", {"read": 10, "imported": 6, "already_there": 2, "partial": 1, "left": 2}, "8 of 10 tickets are in Dixa (1 of them incomplete); 2 are not yet sent."),
        ("run", {"read": 1, "imported": 1, "partial": 1}, "The one ticket is in Dixa (incomplete)."),
        ("run", {"read": 4, "failed": 2, "in_doubt": 1, "left": 1}, "None of the 4 tickets is in Dixa; 2 could not be sent, 1 is in doubt, 1 is not yet sent."),
        ("retry", {"read": 4, "imported": 4}, "All 4 tickets are in Dixa."),
    ],
)  # fmt: skip
def test_headline(command: str, tickets: dict[str, int], headline: str) -> None:
    assert headline in words({**BARE, "command": command, "tickets": {**ZERO, **tickets}})


def test_where_all_is_in_dixa_already_nothing_is_wrong_with_the_export() -> None:
    text = words({**EMPTY, "command": "plan", "tickets": {**ZERO, "read": 2, "already_there": 2}})
    assert "Nothing is left to send." in text
    assert "names the right export" not in text


def test_order_of_the_sections() -> None:
    ids = [dict(attrs)["id"] for tag, attrs in Outline(page(REPORT)).elements if tag == "h2"]
    assert ids == [
        "counts", "findings", "losses", "rejected", "filtered", "files", "months", "messages", "next",
    ]  # fmt: skip


@pytest.mark.parametrize("report", [{}, BARE, EMPTY, {**BARE, "problems": [], "statistics": {}, "files": []}])
def test_what_is_missing_is_left_out(report: dict[str, Any]) -> None:
    ids = [dict(attrs)["id"] for tag, attrs in Outline(page(report)).elements if tag == "h2"]
    rejected = ["rejected", "filtered"] if report.get("problems") else []
    assert ids == ["counts", *rejected, "next"]


def test_left_is_good_in_a_dry_run_only() -> None:
    dry, real = words(REPORT), words({**REPORT, "command": "run"})
    assert "good ready to be imported" in dry
    assert "left not tried yet" in real
    assert "good ready" not in real


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 130])
@pytest.mark.parametrize("command", ["validate", "run"])
def test_each_exit_code_has_words_and_a_next_step(code: int, command: str) -> None:
    outline = Outline(page({**REPORT, "exit_code": code, "command": command}))
    assert any(
        ("class", f"standing {tone}") in attrs
        for _, attrs in outline.elements
        for tone in ("good", "warn", "bad")
    )
    assert "dixa-import" in outline.words


def test_rejects_name_rule_place_value_and_how_many_more() -> None:
    said = words(REPORT)
    assert "created_at.type export/messages.csv:7 Created: '31/31/2023'" in said
    assert "and 10 more" in said
    assert "Held back because of other records" in said


def test_books_that_do_not_balance_say_where() -> None:
    tickets = {**ZERO, "read": 10, "left": 7}
    said = words({**REPORT, "balanced": False, "tickets": tickets})
    assert "Not all records are accounted for: of 10 tickets read, 7 are accounted for." in said


def test_next_commands_name_the_migration_file() -> None:
    assert "dixa-import validate 'my export/helpdesk.toml'" in words(
        {**REPORT, "migration_file": "my export/helpdesk.toml"}
    )
    assert "dixa-import validate MIGRATION.toml" in words(REPORT)


def test_the_reason_of_a_stop_is_quoted() -> None:
    said = words(
        {**REPORT, "command": "run", "exit_code": 4, "error": "401 from <dev.dixa.io>:\nno such token"}
    )
    assert "401 from <dev.dixa.io>: no such token" in said


def test_small_ones_are_said_together() -> None:
    many = [[f"channel-{number}", 20 - number] for number in range(20)]
    said = words({**REPORT, "statistics": {"by_channel": many}})
    assert "channel-11 9" in said
    assert "8 others 36" in said
    assert "channel-12" not in said


def test_the_value_of_report_json_is_a_page() -> None:
    problem = Problem(
        "tickets", "status.enum", State.REJECTED, 2, 3, "none of open, closed", ("t.csv:3: status: 'x'",)
    )
    value = json.loads(json.dumps(summary("validate", "acme", Books(), [problem], exit_code=6)))
    assert "status.enum t.csv:3 status: 'x' and 1 more" in words(value)


def test_empty_names_are_said() -> None:
    assert "not said 3" in words(REPORT)


# Messages per month.


def test_gaps_between_months_are_zeros() -> None:
    found = chart([("2023-11", 4), ("2024-02", 2)])
    assert found is not None
    assert [(bar.name, bar.count) for bar in found.bars] == [
        ("November 2023", 4), ("December 2023", 0), ("January 2024", 0), ("February 2024", 2),
    ]  # fmt: skip
    assert found.years[0].counts == (*[None] * 10, 4, 0)


def test_order_and_repetition_of_months_do_not_matter() -> None:
    assert chart([("2024-02", 2), ("2023-11", 1), ("2023-11", 3)]) == chart([("2023-11", 4), ("2024-02", 2)])


@pytest.mark.parametrize("nothing", [[], [("", 3)], [("2023-13", 1), ("soon", 1)]])
def test_no_month_no_chart(nothing: list[tuple[str, int]]) -> None:
    assert chart(nothing) is None


def test_months_far_away_are_named_instead_of_drawn() -> None:
    found = chart([("0001-01", 3), ("1970-01", 5), ("2015-01", 80), ("2024-12", 90), ("9999-12", 1), ("", 2)])
    assert found is not None
    assert found.outside == (("0001-01", 3), ("1970-01", 5), ("9999-12", 1))
    assert (len(found.bars), found.undated) == (120, 2)


@pytest.mark.parametrize("months", [1, 2, 12, 13, 120, 360, 5000])
def test_labels_have_room(months: int) -> None:
    found = chart([(f"{1990 + month // 12:04}-{month % 12 + 1:02}", month) for month in range(months)])
    assert found is not None
    assert len(found.bars) == sum(span.months for span in found.spans) <= LONGEST_CHART
    assert len([span for span in found.spans if span.label]) <= LABELS + 1
    assert all(0 < line.percent <= 100 for line in found.lines)
    assert len(found.lines) <= 5


# Nothing comes alive.


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("put", [replaced, texts_replaced])
def test_data_makes_no_element_and_no_attribute(put: Callable[[Any, str], Any], text: str) -> None:
    report = {**REPORT, "error": "x", "migration_file": "x"}
    hostile, tame = Outline(page(put(report, text))), Outline(page(put(report, "tame")))
    odd = ("mark", (("class", "odd"),))
    assert [e for e in hostile.elements if e != odd] == [e for e in tame.elements if e != odd]
    assert not hostile.open


def test_nothing_to_click_load_or_run() -> None:
    outline = Outline(page(texts_replaced(REPORT, "https://evil.example/")))
    assert not {tag for tag, _ in outline.elements} & {
        "a",
        "script",
        "img",
        "iframe",
        "form",
        "object",
        "base",
        "input",
    }
    names = {name for _, attrs in outline.elements for name, _ in attrs}
    assert not [
        name for name in names if name.startswith("on") or name in ("src", "action", "srcset", "target")
    ]
    assert [dict(attrs)["href"] for _, attrs in outline.elements if "href" in dict(attrs)] == ["data:,"]


def test_policy_lets_nothing_load_or_run() -> None:
    policy = next(
        dict(attrs)["content"]
        for _, attrs in Outline(page({})).elements
        if ("http-equiv", "Content-Security-Policy") in attrs
    )
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:")


@pytest.mark.parametrize("report", [REPORT, *(texts_replaced(REPORT, text) for text in HOSTILE)])
def test_what_cannot_be_seen_is_never_in_the_page(report: dict[str, Any]) -> None:
    html = page(report)
    assert all(character.isprintable() or character == "\n" for character in html)
    assert html.encode("utf-8")


def test_odd_characters_are_called_by_their_names() -> None:
    assert visible("a\u202eb<\t\t") == (
        'a<mark class="odd">right-to-left override</mark>b&lt;<mark class="odd">tab ×2</mark>'
    )
    assert plain("a\x1b\ud800\u00a0") == "a‹U+001B›‹U+D800›‹no-break space›"
    assert visible("x" * (LONGEST + 5)).endswith('<mark class="odd">5 more characters</mark>')


@pytest.mark.parametrize(
    "value", [None, True, "7", float("nan"), float("inf"), 10**400, -3, [], {}, [[1]], [{"a": 1}]]
)
def test_no_value_makes_the_page_fail(value: Any) -> None:
    for key in REPORT:
        assert page({**REPORT, key: value})
    assert page(
        {key: dict.fromkeys(item, value) if isinstance(item, dict) else item for key, item in REPORT.items()}
    )
    rows = ("problems", "findings", "files", "losses")
    assert page({key: [dict.fromkeys(REPORT[key][0], value)] for key in rows})


# What stands in the templates.


def _luminance(color: str) -> float:
    digits = color.lstrip("#")
    digits = digits if len(digits) == 6 else "".join(2 * digit for digit in digits)
    parts = [int(digits[n : n + 2], 16) / 255 for n in (0, 2, 4)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_of_all_texts_is_aa() -> None:
    style = files("importer.report").joinpath("templates/style.css").read_text("utf-8")
    for colors in re.findall(r":root \{([^}]*)\}", style):
        named = dict(re.findall(r"--([a-z]+): (#[0-9a-f]{3,6})", colors))
        for ink in ("ink", "quiet", "good", "warn", "bad"):
            assert _contrast(named[ink], named["paper"]) >= 4.5, ink
        assert _contrast(named["ink"], named["odd"]) >= 4.5
        assert _contrast(named["ink"], named["raised"]) >= 4.5
        assert _contrast(named["bar"], named["paper"]) >= 3


# In a browser.


class Chromium:
    """A headless Chromium, spoken to through two pipes (its DevTools protocol, no socket)."""

    def __init__(self, program: str, profile: Path) -> None:
        ours, theirs = os.pipe(), os.pipe()
        flags = (
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-dev-shm-usage", "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank",
        )  # fmt: skip
        self.process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{ours[0]} 4>&{theirs[1]}', "bash", program, *flags],
            pass_fds=(ours[0], theirs[1]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(ours[0])
        os.close(theirs[1])
        self.into, self.out = ours[1], theirs[0]
        self.rest, self.number, self.session = b"", 0, ""
        self.events: list[dict[str, Any]] = []

    def begin(self) -> None:
        """Raises OSError where the browser does not start."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.into, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self.number:
            self.events.append(answer)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def _next(self, seconds: float = 30.0) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.out], [], [], max(end - time.monotonic(), 0))
            chunk = os.read(self.out, 1 << 20) if ready else b""
            if not chunk:
                raise OSError("the browser does not answer")
            self.rest += chunk
        message, _, self.rest = self.rest.partition(b"\0")
        return json.loads(message)

    def open(self, path: Path, *, width: int = 1000, scheme: str = "light") -> None:
        self.events.clear()
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=800,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Page.navigate", url=path.as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())

    def value(self, expression: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def picture(self) -> bytes:
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        return base64.b64decode(answer["data"])

    def seen(self, *methods: str) -> list[dict[str, Any]]:
        self.call("Runtime.evaluate", expression="0")
        return [event["params"] for event in self.events if event.get("method") in methods]

    def close(self) -> None:
        os.close(self.into)
        os.close(self.out)
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _program() -> str | None:
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome", "chrome")
    return next((path for name in names if name and (path := shutil.which(name))), None)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    program = _program()
    if program is None:
        pytest.skip("there is no Chromium here")
    chromium = Chromium(program, tmp_path_factory.mktemp("chromium"))
    try:
        chromium.begin()
    except OSError as error:
        chromium.close()
        pytest.skip(f"{program} does not start here: {error}")
    yield chromium
    chromium.close()


PAGES = {
    "whole": REPORT,
    "bare": BARE,
    "empty": EMPTY,
    "ten-years": TEN_YEARS,
    **{f"hostile-{number}": texts_replaced(TEN_YEARS, text) for number, text in enumerate(HOSTILE)},
}


@pytest.fixture(params=PAGES)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "report.html"
    path.write_text(page(PAGES[request.param]), "utf-8")
    return path


def test_nothing_runs_is_asked_for_or_complained_of(browser: Chromium, path: Path) -> None:
    browser.open(path)
    asked = [event["request"]["url"] for event in browser.seen("Network.requestWillBeSent")]
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
    assert not browser.seen(
        "Log.entryAdded",
        "Runtime.consoleAPICalled",
        "Runtime.exceptionThrown",
        "Page.javascriptDialogOpening",
    )


@pytest.mark.parametrize("width", [360, 768, 1400])
def test_the_page_never_scrolls_sideways(browser: Chromium, path: Path, width: int) -> None:
    browser.open(path, width=width)
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.value("document.body.scrollWidth") <= width


def test_light_and_dark_differ(browser: Chromium, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(page(REPORT), "utf-8")
    shots = []
    for scheme in ("light", "dark"):
        browser.open(path, scheme=scheme)
        shots.append((browser.value("getComputedStyle(document.body).backgroundColor"), browser.picture()))
    assert shots[0][0] != shots[1][0]
    assert shots[0][1] != shots[1][1]


def test_nothing_moves_while_loading(browser: Chromium, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(page(TEN_YEARS), "utf-8")
    browser.open(path, width=360)
    shifted = """new Promise(done => {
        let sum = 0;
        new PerformanceObserver(list => list.getEntries().forEach(entry => sum += entry.value))
            .observe({type: "layout-shift", buffered: true});
        requestAnimationFrame(() => requestAnimationFrame(() => done(sum)));
    })"""
    assert browser.value(shifted) == 0


def test_every_month_is_drawn_and_its_year_can_be_read(browser: Chromium, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(page(TEN_YEARS), "utf-8")
    browser.open(path, width=360)
    wide = "[...document.querySelectorAll('.plot .bar')].map(bar => bar.getBoundingClientRect().width)"
    bars = browser.value(wide)
    assert len(bars) == 117
    assert min(bars) > 1.5
    cut = "[...document.querySelectorAll('.axis span')].filter(s => s.textContent && s.scrollWidth > s.clientWidth + 1).length"
    assert browser.value(cut) == 0


def test_a_screen_reader_gets_the_months_as_a_table(browser: Chromium, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(page(REPORT), "utf-8")
    browser.open(path)
    browser.value("document.querySelector('details').open = true")
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    said = [
        (node["role"]["value"], node.get("name", {}).get("value")) for node in nodes if not node["ignored"]
    ]
    assert ("columnheader", "Feb") in said
    assert ("rowheader", "2023") in said
    assert ("cell", "400") in said
