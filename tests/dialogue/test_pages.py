"""The pages about dialogues tell the truth: their code runs, and their tables are complete."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import msgspec
import pytest

from insession.dialogue import Dialogue, Scope, Session
from insession.dialogue.settings import Settings
from tests.programs import ROOT, run

PAGE = (ROOT / "docs" / "dialogue.md").read_text()
MIGRATION = (ROOT / "docs" / "migration-dialogue.md").read_text()


@pytest.mark.processes
@pytest.mark.parametrize("page", ["dialogue.md", "migration-dialogue.md"])
def test_the_code_of_a_page_runs(page: str, tmp_path: Path) -> None:
    path = ROOT / "docs" / page
    environ = {"PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}
    done = run(sys.executable, "-W", "error", "-m", "tests.pages", str(path), cwd=tmp_path, environ=environ)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{path.read_text().count('```python')} blocks\n"


def test_each_sample_of_the_document_has_a_counterpart() -> None:
    samples = re.split(r"```php\n", MIGRATION)[1:]
    assert [re.findall(r"class \w+|function __\w+", sample)[0] for sample in samples] == [
        "class MyPipe",
        "function __onStart",
        "class Scope",
        "function __onDependTo",
    ]
    for sample in samples:
        assert sample.count("```python\n") >= 1


def test_the_table_of_settings_is_complete() -> None:
    settings = PAGE.partition("## Settings")[2].partition("## Words")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| `([^`]*)` \|", settings, re.MULTILINE))
    assert {name: ast.literal_eval(value) for name, value in rows.items()} == msgspec.structs.asdict(Settings())


def test_the_members_of_the_session_are_told_of() -> None:
    table = PAGE.partition("## The session")[2].partition("## Data")[0]
    told = set(re.findall(r"\b\w+\b", " ".join(re.findall(r"`([^`]*)`", table))))
    assert {name for name in vars(Session) if not name.startswith("_")} <= told


def test_the_table_of_words_is_complete() -> None:
    words = PAGE.partition("## Words")[2]
    given = ["session", "user", "platform", "chat", "conversation", "incomingMessage"]
    for word in (*(f"{one}Id" for one in given), "chatbotName", "weekDay", "beSneak", "toInstance", "incomingMessage"):
        assert word in words
    for word in ("chatbotConfig", "hostConfig", "contextRepo", "intentRepo", "memoryRepo", "sessionPipes"):
        assert word in words
    for word in ("sessionExpireSeconds", "conversationProviders", "SessionDataIdentity", "SessionInstance"):
        assert word in words
    ours = " ".join(line.rpartition(" | ")[2] for line in words.splitlines())
    for name in Scope.__struct_fields__:
        assert f"`{name}`" in ours
    for name in ("bot_config", "config", "contexts", "intents", "memories", "sneak", "adopt", "message", "nlu", "log"):
        assert f"{name}" in ours
        assert hasattr(Session, name)
    for name in ("pipes", "expire", "driver", "memory_driver"):
        assert f"`{name}`" in ours.replace("/", "` `")
        assert name in msgspec.structs.asdict(Settings()) or name in Dialogue.__init__.__annotations__


@pytest.mark.parametrize("page", ["dialogue.md", "migration-dialogue.md", "decisions/dialogue.md"])
def test_links_lead_somewhere(page: str) -> None:
    path = ROOT / "docs" / page
    for link in re.findall(r"\]\(([^)#:]+)(?:#[\w-]+)?\)", path.read_text()):
        assert (path.parent / link).exists(), link
