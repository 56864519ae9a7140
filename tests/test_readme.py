"""What README and docs promise: commands that exist, Python that runs, links that lead somewhere."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from markdown_it import MarkdownIt
from markdown_it.token import Token

from recfleet import cli
from tests.short_demo import ROOT, read_summary, write_short_demo

README = ROOT / "README.md"
PAGES = [
    README,
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "notebooks").glob("*.md")),
]
HEAVY = ("compare", "compress", "plan", "profile", "train")
"""Parsed only; the options and the files that they name must exist."""
SAYS_NO = {"lp": 1}
"""Exit code of a result that says no: the worked case of `recfleet lp` is infeasible for most seeds, and says so."""


def tokens(page: Path) -> list[Token]:
    return MarkdownIt().enable("table").parse(page.read_text(encoding="utf-8"))


def inline(page: Path, kind: str) -> Iterator[Token]:
    for token in tokens(page):
        yield from (child for child in token.children or () if child.type == kind)


def shell_lines(page: Path) -> list[str]:
    """Lines of indented blocks, and of fenced ones in no language or a shell's."""
    blocks = [
        t for t in tokens(page) if t.type == "code_block" or (t.type == "fence" and t.info in ("", "sh", "shell"))
    ]
    return [line.strip() for block in blocks for line in block.content.splitlines()]


def python_blocks(page: Path) -> list[str]:
    return [token.content for token in tokens(page) if token.type == "fence" and token.info == "python"]


def commands(page: Path) -> list[str]:
    """Every ``recfleet ...`` of a page, from its blocks and, where a command is named in full, from its sentences."""
    named = [" ".join(token.content.split()) for token in inline(page, "code_inline")]
    found = [line for line in (*shell_lines(page), *named) if line.startswith("recfleet ")]
    return list(dict.fromkeys(" ".join(shlex.split(line, comments=True)) for line in found))


def parse(arguments: list[str]) -> dict[str, Any]:
    """Parse as the command would, down to the last sub-command, without running it; return the parameters."""
    command = typer.main.get_command(cli._app(arguments))
    context = command.make_context("recfleet", list(arguments))
    while hasattr(command, "resolve_command") and (rest := [*context._protected_args, *context.args]):
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)
    return dict(context.params)


def test_the_readme_has_commands_and_python() -> None:
    assert len(commands(README)) >= 5
    assert len(python_blocks(README)) == 3


@pytest.mark.parametrize("line", commands(README))
def test_a_command_of_the_readme_is_understood(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = shlex.split(line)[1:]
    if arguments[0] in HEAVY:
        if len(arguments) > 1:
            parameters = parse(arguments)
            assert (ROOT / parameters.get("scenario", "")).exists()
        else:
            assert cli.run([*arguments, "--help"]) == 0
        return
    code, (out, err) = cli.run(arguments), capsys.readouterr()
    assert code in (0, SAYS_NO.get(arguments[0], 0)), err
    assert "defect" not in err
    assert out.strip()


@pytest.mark.parametrize(
    "line", ["recfleet compare demo.yaml --polices hpa", "recfleet trace generat", "recfleet compare"]
)
def test_a_wrong_command_is_not_understood(line: str) -> None:
    with pytest.raises(Exception, match=r"(?i)no such|missing"):
        parse(shlex.split(line)[1:])


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    spoken = {token.content for page in PAGES for token in inline(page, "code_inline")} | set(shell_lines(README))
    targets = {match[1] for text in spoken if (match := re.fullmatch(r"make ([a-z-]+)", text))}
    assert {"demo", "test", "check", "bench"} <= targets
    missing = {target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)}
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_compiles(page: Path) -> None:
    for block in python_blocks(page):
        compile(block, str(page), "exec")


def my_policy() -> str:
    (block,) = [block for block in python_blocks(README) if "class MyPolicy" in block]
    return block


def test_my_policy_is_under_twenty_lines() -> None:
    assert len(my_policy().strip().splitlines()) < 20


def test_my_policy_competes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my_policy.py").write_text(my_policy())
    scenario = write_short_demo(tmp_path / "demo.yaml", duration_s=300.0)
    monkeypatch.chdir(tmp_path)
    asked = ["--policies", "my_policy.py:MyPolicy,static_peak", "--out", "mine", "--workers", "1"]
    assert cli.run(["compare", scenario.name, *asked]) == 0, capsys.readouterr().err
    assert "MyPolicy" in capsys.readouterr().out
    mine, static = read_summary(tmp_path / "mine")
    assert (mine["policy"], static["policy"]) == ("MyPolicy", "static_peak")
    assert int(mine["completed"]) > 0.9 * int(mine["requests"])
    assert float(mine["cost_usd"]) > 0


def test_the_first_example_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = [block for block in python_blocks(README) if "rf.compare" in block]
    (tmp_path / "scenarios").mkdir()
    write_short_demo(tmp_path / "scenarios" / "demo.yaml", duration_s=180.0)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(textwrap.dedent(block), "README.md", "exec"), names)
    assert names["comparison"].policies == ("static_peak", "mip")


def links(page: Path) -> list[str]:
    targets = [str(token.attrGet("href")) for token in inline(page, "link_open")]
    targets += [str(token.attrGet("src")) for token in inline(page, "image")]
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def anchors(page: Path) -> set[str]:
    """Ids of a page's headings, as code hosts make them."""
    found = tokens(page)
    texts = [found[i + 1].content for i, token in enumerate(found) if token.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in texts}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target in links(page):
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and there.suffix == ".md" and anchor not in anchors(there)):
            broken.append(target)
    assert not broken, f"{page.relative_to(ROOT)}: {broken}"


def test_the_readme_leads_to_every_page() -> None:
    seen, ahead = set[Path](), [README]
    while ahead:
        page = ahead.pop()
        if page in seen or page.suffix != ".md" or not page.exists():
            continue
        seen.add(page)
        ahead += [(page.parent / target.partition("#")[0]).resolve() for target in links(page)]
    lost = {page.name for page in PAGES if page.parent.name == "docs"} - {page.name for page in seen}
    assert not lost, f"no link from the README leads to {sorted(lost)}"
