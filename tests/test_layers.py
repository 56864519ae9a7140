"""The house: imports run one way, each heavy dependency has one home, and importing is quick and needs no torch."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ("workloads", "simulator", "optimizer", "recfleet")
"""Each may import those before it."""

HOMES = {
    "torch": "workloads",
    "torchao": "workloads",
    "transformers": "workloads",
    "safetensors": "workloads",
    "simpy": "simulator",
    "numba": "simulator",
    "pulp": "optimizer",
    "ortools": "optimizer",
    "statsmodels": "optimizer",
    "matplotlib": "recfleet",
    "typer": "recfleet",
    "rich": "recfleet",
    "ray": "recfleet",
    "jinja2": "recfleet",
}
NEEDS_TORCH = ("workloads/models/", "workloads/profiler/", "workloads/training/", "workloads/compression/")
"""Folders of modules that are imported only to build or to measure a model."""

SLOW_TO_IMPORT = (
    "numba",
    "pandas",
    "matplotlib",
    "torch",
    "ortools",
    "pulp",
    "scipy",
    "pyarrow",
    "statsmodels",
    "rich",
)
NAMES_OF_DISTRIBUTIONS = {"yaml": "pyyaml"}
IF_THERE = {"pynvml"}
"""Used where installed, done without where not."""


@dataclass(frozen=True)
class Import:
    """An import statement: the module of ours that has it, what it names, and when it is carried out."""

    path: str
    line: int
    module: str
    is_late: bool
    is_for_types: bool

    @property
    def top(self) -> str:
        return self.module.partition(".")[0]

    @property
    def layer(self) -> str:
        return self.path.partition("/")[0]

    def __str__(self) -> str:
        return f"{self.path}:{self.line} imports {self.module}"


def _imports(tree: ast.AST, path: str, late: bool = False, for_types: bool = False) -> Iterator[Import]:
    for node in ast.iter_child_nodes(tree):
        is_late = late or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if isinstance(node, ast.Import):
            yield from (Import(path, node.lineno, a.name, late, for_types) for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            assert node.module
            yield Import(path, node.lineno, node.module, late, for_types)
        elif isinstance(node, ast.Call) and _imports_by_name(node):
            yield Import(path, node.lineno, str(node.args[0].value), late, for_types)  # type: ignore[attr-defined]
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.body:
                yield from _imports(ast.Module([child], []), path, is_late, True)
            for child in node.orelse:
                yield from _imports(ast.Module([child], []), path, is_late, for_types)
        else:
            yield from _imports(node, path, is_late, for_types)


def _imports_by_name(node: ast.Call) -> bool:
    """``import_module("x")`` with the name written out."""
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    name = node.args[0] if node.args else None
    return called in ("import_module", "__import__") and isinstance(name, ast.Constant) and isinstance(name.value, str)


@cache
def all_imports() -> tuple[Import, ...]:
    found: list[Import] = []
    for layer in LAYERS:
        for path in sorted((ROOT / layer).rglob("*.py")):
            found += _imports(ast.parse(path.read_bytes()), path.relative_to(ROOT).as_posix())
    return tuple(found)


def listed(wrong: list[Import]) -> str:
    return "\n".join(map(str, wrong))


def test_the_reader_of_imports_finds_them_all() -> None:
    source = """
import a.b, c
from d.e import f
if TYPE_CHECKING:
    import g
else:
    import h
def one():
    import i
    class Two:
        from j import k
try:
    import l
except ImportError:
    import_module("m.n")
x = lambda: importlib.import_module("o")
"""
    found = {(i.module, i.is_late, i.is_for_types) for i in _imports(ast.parse(source), "workloads/x.py")}
    assert found == {
        ("a.b", False, False), ("c", False, False), ("d.e", False, False), ("g", False, True), ("h", False, False),
        ("i", True, False), ("j", True, False), ("l", False, False), ("m.n", False, False), ("o", True, False),
    }  # fmt: skip
    assert len(all_imports()) > 500
    assert {i.layer for i in all_imports()} == set(LAYERS)


def test_imports_run_one_way() -> None:
    """Whenever they are carried out, and for types too."""
    wrong = [i for i in all_imports() if i.top in LAYERS and LAYERS.index(i.top) > LAYERS.index(i.layer)]
    assert not wrong, listed(wrong)


def test_each_heavy_dependency_has_one_home() -> None:
    wrong = [i for i in all_imports() if i.top in HOMES and HOMES[i.top] != i.layer]
    assert not wrong, listed(wrong)


def test_torch_is_imported_late_or_where_nothing_else_is() -> None:
    """At module level only by modules of models and profiling, which others import inside functions."""
    needs_torch = {"torch", "torchao", "transformers", "safetensors"}
    eager = [i for i in all_imports() if not (i.is_late or i.is_for_types)]
    wrong = [i for i in eager if i.top in needs_torch and not i.path.startswith(NEEDS_TORCH)]
    assert not wrong, listed(wrong)
    with_torch = {i.path for i in eager if i.top in needs_torch}
    modules = {path.removesuffix(".py").replace("/", ".") for path in with_torch}
    leaks = [i for i in eager if i.module in modules and not i.path.startswith(NEEDS_TORCH)]
    assert not leaks, listed(leaks)


def test_nothing_of_ours_imports_tests_or_scripts() -> None:
    wrong = [i for i in all_imports() if i.top in ("tests", "scenarios", "notebooks", "benchmarks")]
    assert not wrong, listed(wrong)


def test_whatever_is_imported_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [name for extra in project["optional-dependencies"].values() for name in extra]
    declared = {_distribution(requirement) for requirement in [*project["dependencies"], *extras]}
    at_home = {*LAYERS, *sys.stdlib_module_names, *IF_THERE}
    outside = [i for i in all_imports() if i.top not in at_home]
    missing = [i for i in outside if _name(i) not in declared]
    assert not missing, listed(missing)
    required = {_distribution(requirement) for requirement in project["dependencies"]}
    eager = [i for i in outside if not (i.is_late or i.is_for_types or i.path.startswith(NEEDS_TORCH))]
    optional = [i for i in eager if _name(i) not in required]
    assert not optional, f"needed at once, but only in an extra:\n{listed(optional)}"


def _name(found: Import) -> str:
    return NAMES_OF_DISTRIBUTIONS.get(found.top, found.top)


def _distribution(requirement: str) -> str:
    return requirement.partition("[")[0].partition(">")[0].partition("=")[0].partition("<")[0].strip().lower()


# --- in a fresh process -------------------------------------------------------------------------------


def fresh(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_everything_imports_without_torch() -> None:
    """Every module but those of models and profiling; `None` in `sys.modules` makes ``import torch`` fail."""
    modules = [
        path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
        for layer in LAYERS
        for path in sorted((ROOT / layer).rglob("*.py"))
        if path.name != "__main__.py"
    ]
    with_torch = {i.path.removesuffix(".py").replace("/", ".") for i in all_imports() if _needs_torch_at_once(i)}
    code = f"""
import importlib, sys
blocked = ("torch", "torchao", "transformers", "safetensors")
for name in blocked:
    sys.modules[name] = None
for name in {[m for m in modules if m not in with_torch]!r}:
    try:
        importlib.import_module(name)
    except ImportError as error:
        if not name.startswith({tuple(f.replace("/", ".") for f in NEEDS_TORCH)!r}):
            raise
print("fine")
"""
    assert fresh(code) == "fine\n"


def _needs_torch_at_once(found: Import) -> bool:
    return found.top in ("torch", "torchao", "transformers", "safetensors") and not (
        found.is_late or found.is_for_types
    )


@pytest.mark.parametrize("package", LAYERS)
def test_importing_a_package_is_light_and_silent(package: str) -> None:
    code = f"import {package}, json, sys; print(json.dumps(sorted({{m.partition('.')[0] for m in sys.modules}})))"
    lines = fresh(code).splitlines()
    assert len(lines) == 1
    loaded = set(json.loads(lines[0]))
    assert not loaded & set(SLOW_TO_IMPORT)
    assert "numpy" not in loaded, "not even numpy is needed to import a package"


def test_help_is_light() -> None:
    code = "import sys; from recfleet.cli import run; run(['--help']); print(*sorted(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    assert "compare" in done.stdout
    assert not loaded & {"numba", "pandas", "matplotlib", "torch", "ortools", "pulp", "scipy", "pyarrow", "simpy"}


def test_import_is_quick() -> None:
    """Less than half a second beyond Python's own start; the best of three, for machines that are busy."""
    code = "import time; began = time.perf_counter(); import recfleet; print(time.perf_counter() - began)"
    assert min(float(fresh(code)) for _ in range(3)) < 0.5
