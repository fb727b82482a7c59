"""The catalogues agree with each other, with the program's records, and with the templates."""

from __future__ import annotations

import re
import string
import time
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from markupsafe import Markup

import minipaas.surface
from minipaas.model import steps
from minipaas.model.launch import Launch
from minipaas.model.observed import HealthState, InstanceState
from minipaas.model.release import ImageRef
from minipaas.model.route import Backend, Route, RouteEntry
from minipaas.plan.rollout import describe_failure
from minipaas.surface.i18n import EN, LANGUAGES, Moment, Names, Span, catalogue, message
from minipaas.surface.i18n.catalogue import HERE, PLURALS, Text, clock, load
from tests.surface.small import instance

TEMPLATES = sorted((Path(minipaas.surface.__file__).parent / "templates").glob("*.html"))
ZH = catalogue("zh")
OTHERS = [language for language in LANGUAGES if language != "en"]


def placeholders(text: Text) -> set[str]:
    forms = [text] if isinstance(text, str) else list(text.values())
    return {name for form in forms for _, name, *_ in string.Formatter().parse(form) if name is not None}


def test_there_is_a_file_for_each_language_and_no_other() -> None:
    assert {path.stem for path in HERE.glob("*.toml")} == set(LANGUAGES) == set(PLURALS)


@pytest.mark.parametrize("language", OTHERS)
def test_every_language_has_the_same_keys_and_placeholders(language: str) -> None:
    here, there = load("en"), load(language)
    assert sorted(here.keys() ^ there.keys()) == [], "in one of both only"
    assert {key for key in here if placeholders(here[key]) != placeholders(there[key])} == set()


@pytest.mark.parametrize("language", LANGUAGES)
def test_plurals_have_the_forms_of_their_language(language: str) -> None:
    for key, text in load(language).items():
        assert text or key == "list.sentences", key
        if not isinstance(text, str):
            assert set(text) == set(PLURALS[language]), key


@pytest.mark.parametrize("language", OTHERS)
def test_what_counts_in_one_language_counts_in_all(language: str) -> None:
    here, there = load("en"), load(language)
    assert {key for key in here if isinstance(here[key], str) != isinstance(there[key], str)} == set()


def test_chinese_is_chinese() -> None:
    """Texts without a single Han character are names, or nothing but placeholders."""
    plain = {
        key
        for key, text in load("zh").items()
        if not re.search(r"[\u4e00-\u9fff]", text if isinstance(text, str) else text["other"])
        and re.search("[a-zA-Z]{2}", re.sub(r"{\w+}|minipaas|Podman|CPU", "", str(text)).replace("other", ""))
    }
    assert plain == set()


# -- saying ----------------------------------------------------------------------------------------------------------


def test_plurals_are_chosen_by_number() -> None:
    assert EN.say(message("overview.apps", n=1)) == "1 app"
    assert EN.say(message("overview.apps", n=0)) == "0 apps"
    assert ZH.say(message("overview.apps", n=1)) == "1 个应用"


def test_names_are_joined_and_cut() -> None:
    assert EN.say(message("box.starting", n=2, names=Names(("a", "b")))) == "a, b are starting."
    many = Names(tuple("abcdefgh"), 3)
    assert EN.say(message("box.starting", n=8, names=many)) == "a, b, c and 5 more are starting."
    assert ZH.say(message("box.starting", n=8, names=many)) == "a、b、c等另外 5 个 正在启动。"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (-1, "0 s"), (0.4, "0.4 s"), (3, "3 s"), (40.4, "40 s"), (61, "1 min 1 s"), (120, "2 min"), (900, "15 min"),
        (7500, "2 h 5 min"), (50_000, "13 h"), (200_000, "2 d"),
    ],
)  # fmt: skip
def test_spans(seconds: float, told: str) -> None:
    assert EN.say(message("need.restarts_since", app="a", gap=Span(seconds), since="x")) == (
        f"a restarts every {told} since x"
    )


def test_a_moment_is_a_clock_for_text_and_a_time_element_for_the_page() -> None:
    at = time.time()
    told = message("need.down_since", app="<b>", since=Moment(at))
    assert EN.say(told) == f"<b> is down since {time.strftime('%H:%M', time.localtime(at))}"
    html = EN.html(message("box.need", n=1, what=Names((told,))))
    assert "&lt;b&gt; is down since <time datetime=" in html
    assert f'data-clock="{at}"' in html
    assert clock(0).startswith("19") or clock(0).startswith("1970")
    assert clock(1e30) == "?"


def test_a_span_stays_on_one_line_of_the_page() -> None:
    told = message("app.restarts_since", gap=Span(40), since="x")
    assert EN.say(told) == "It restarts every 40 s since x."
    assert EN.html(told) == "It restarts every 40\u00a0s since x."


def test_what_is_filled_in_is_escaped_unless_it_is_markup() -> None:
    assert EN("foot.box", id="<i>") == "box &lt;i&gt;"
    assert EN("foot.box", id=Markup("<i></i>")) == "box <i></i>"
    assert EN.html(message("box.trouble", why="<i>{x}")) == "This box has trouble: &lt;i&gt;{x}."
    assert EN.html("<plain>") == "&lt;plain&gt;"


# -- records ---------------------------------------------------------------------------------------------------------

DIGEST = "sha256:" + "a" * 64
ENTRY = RouteEntry(Route("shop.local", "/"), "shop", "web", (Backend("c", "127.0.0.1", 1),))
EMPTY = RouteEntry(Route("shop.local", "/"), "shop", "web", ())
DOUBLE = RouteEntry(Route("shop.local", "/"), "shop", "web", ENTRY.backends * 2)
HELD = RouteEntry(Route("shop.local", "/"), "shop", "web", (), held=True)
VALUES: dict[str, Any] = {
    "app": "shop", "service": "web", "slot": 2, "volume": "minipaas-shop.data", "change": 1, "timeout": 1.0,
    "image": ImageRef(manifest=DIGEST, config=DIGEST, size=1, platform="linux/amd64"), "instance": "c", "name": "old",
    "backend": Backend("c", "127.0.0.1", 1), "host": "h", "path": "/", "entries": (ENTRY,), "release": DIGEST,
    "version": "2.0", "instances": ("c",), "why": "replaced", "reason": "web #1 exited with code 1 before the switch",
}  # fmt: skip
EVENTS = ("confirmed", "restored", "lost", "removed", "stuck")


def every_title() -> list[tuple[str, str]]:
    """(kind, title) of each kind of step, as the program writes them."""
    found = []
    for kind in get_args(steps.Step):
        names = {field.name for field in msgspec.structs.fields(kind)}
        usual = {name: value for name, value in VALUES.items() if name in names}
        if "launch" in names:
            launches = [launch(attempt) for attempt in (0, 3)] if kind is steps.StartInstance else [launch(0)]
            found += [(kind.__name__, kind(**usual, launch=one).title) for one in launches]
        elif kind is steps.FinishChange:
            found += [(kind.__name__, kind(**usual, event=event).title) for event in EVENTS]
        elif kind is steps.SetRoutes:
            ways = ((), (ENTRY,), (HELD,), (ENTRY, ENTRY), (ENTRY, EMPTY), (DOUBLE,))
            found += [(kind.__name__, kind(app="shop", entries=one).title) for one in ways]
        elif kind is steps.ProveRoutes:
            found += [(kind.__name__, kind(**usual, confirms=last).title) for last in (False, True)]
        else:
            found.append((kind.__name__, kind(**usual).title))
    return found


def launch(attempt: int) -> Launch:
    names = {field.name for field in msgspec.structs.fields(Launch)}
    values = {"service": "web", "slot": 2, "attempt": attempt}
    return Launch(**{name: values.get(name) for name in names})  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "title"), every_title(), ids=lambda one: one)
def test_every_step_is_told_in_every_language(kind: str, title: str) -> None:
    for language in OTHERS:
        told = catalogue(language).retell(title, f"step.{kind}")
        assert told != title
        assert re.search(r"[\u4e00-\u9fff]", told)
        assert "web" not in title or "web" in told, "what was filled in stays"
    assert EN.retell(title, f"step.{kind}") == title


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        ("stop web #2 (replaced)", "停止 web #2（被替换）"),
        ("stop web #2 (failed its health check: GET /: 503)", "停止 web #2（健康检查失败：GET /: 503）"),
        ("stop web #2 (some new reason)", "停止 web #2（some new reason）"),
    ],
)
def test_a_reason_inside_a_title_is_told_too(english: str, chinese: str) -> None:
    assert ZH.retell(english, "step.StopInstance") == chinese


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        ("exit code 1", "退出码 1"),
        ("exit code 139 (signal 11)", "退出码 139（信号 11）"),
        (
            "web #1 exited with code 1 (attempt 3) before the switch\nTraceback",
            "web #1 在切换前退出，退出码 1（第 3 次尝试）\nTraceback",
        ),
        ("GET /healthz: 503", "GET /healthz: 503"),
        ("", ""),
        ("x" * 10_000, "x" * 10_000),
        ("{not} a {format}", "{not} a {format}"),
    ],
)  # fmt: skip
def test_what_nothing_fits_stays_as_it_is(english: str, chinese: str) -> None:
    assert ZH.retell(english, "phrase") == chinese


@pytest.mark.parametrize("when", ["before the switch", "after the switch"])
@pytest.mark.parametrize(
    "values",
    [
        {"state": InstanceState.EXITED, "exit_code": 1},
        {"state": InstanceState.EXITED, "exit_code": 1, "attempt": 2},
        {"state": InstanceState.EXITED, "exit_code": 137, "oom_killed": True},
        {"state": InstanceState.EXITED, "exit_code": 137, "oom_killed": True, "attempt": 2},
        {"health": HealthState.UNHEALTHY, "health_detail": "GET /: 503"},
        {"health": HealthState.UNHEALTHY},
    ],
    ids=str,
)
def test_why_a_change_failed_is_told_as_the_planner_writes_it(when: str, values: dict[str, object]) -> None:
    reason = f"web #1 {describe_failure(instance(**values))} {when}"
    told = ZH.retell(reason, "phrase")
    assert told.startswith("web #1 在切换")
    assert "the switch" not in told


# -- templates -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_templates_hold_no_text_of_their_own(path: Path) -> None:
    """What people read is in the catalogues; names of programs are the same everywhere."""
    text = re.sub(r"{#.*?#}|{%.*?%}|{{.*?}}", "", path.read_text("utf-8"), flags=re.DOTALL)
    labels = re.findall(r'\b(?:title|alt|aria-label|placeholder|label)="([^"]*)"', text)
    bare = re.sub(r"<[^>]*>|&\w+;", " ", text)
    assert re.findall(r"[A-Za-z\u4e00-\u9fff]{2,}", bare.replace("minipaas", "")) == []
    assert [label for label in labels if re.search("[A-Za-z]{2}", label)] == []


def test_every_text_that_a_template_names_is_there() -> None:
    calls = [call for path in TEMPLATES for call in re.findall(r"\bt\(([^()]*)", path.read_text("utf-8"))]
    named = {key for call in calls for key in re.findall(r'"([a-z_]+\.[A-Za-z_.]+)"', call)}
    assert len(named) > 100
    assert {key for key in named if not EN.has(key) and not key.endswith(("_", "."))} == set()
