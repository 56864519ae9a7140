"""The strict YAML reader: every trap is an error at its line, ordinary values parse, nothing else ever escapes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.strict_yaml import read_yaml
from workloads.errors import InputError


def read(folder: Path, text: str | bytes) -> object:
    path = folder / "x.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_yaml(path).value


def refusal_of(path: Path) -> str | None:
    try:
        read_yaml(path)
    except InputError as error:
        return str(error)
    return None


# text, line, what the message says
TRAPS = {
    "duplicate key": ("a: 1\nb: 2\na: 3\n", 3, "'a' appears twice"),
    "duplicate key deep down": ("s:\n  - k: 1\n    l: 2\n    k: 3\n", 4, "'k' appears twice"),
    "duplicate key, once quoted": ('a: 1\n"a": 2\n', 2, "'a' appears twice"),
    "anchor": ("a: 1\nb: &x 5\n", 2, "'x'"),
    "alias": ("a: &x 5\nb: *x\n", 1, "'x'"),
    "merge key": ("a:\n  <<: {b: 1}\n", 2, "'<<'"),
    "tag": ("a: 1\nb: !!str 5\n", 2, "str"),
    "python tag": ("a: !!python/object/apply:os.system [ls]\n", 1, "python"),
    "own tag on a mapping": ("a:\n  b: !thing {c: 1}\n", 2, "!thing"),
    "no": ("a: 1\n\n# a comment\nb: no\n", 4, "'no'"),
    "Yes": ("b: Yes\n", 1, "'Yes'"),
    "on": ("b: [1, on]\n", 1, "'on'"),
    "OFF": ("b:\n- OFF\n", 2, "'OFF'"),
    "y": ("b: y\n", 1, "'y'"),
    "n": ("b: n\n", 1, "'n'"),
    "1e3": ("a: 2\nb: 1e3\n", 2, "'1e3'"),
    "1e-3": ("b: -1e-3\n", 1, "'-1e-3'"),
    "octal": ("b: 010\n", 1, "'010'"),
    "new octal": ("b: 0o10\n", 1, "'0o10'"),
    "hexadecimal": ("b: 0x1F\n", 1, "'0x1F'"),
    "binary": ("b: 0b11\n", 1, "'0b11'"),
    "underscores": ("b: 1_000\n", 1, "'1_000'"),
    "base 60": ("b: 12:30:00\n", 1, "base 60"),
    "base 60, short": ("b: 12:30\n", 1, "base 60"),
    "base 60, fraction": ("b: 1:30.5\n", 1, "base 60"),
    "infinity": ("b: .inf\n", 1, "finite"),
    "minus infinity": ("b: -.INF\n", 1, "finite"),
    "not a number": ("b: .NaN\n", 1, "finite"),
    "overflow": ("b: 1.5e999\n", 1, "finite"),
    "endless integer": (f"b: {'7' * 5000}\n", 1, "finite"),
    "tab as indentation": ("a:\n\tb: 1\n", 2, "not valid YAML"),
    "unclosed bracket": ("a: [1, 2\nb: 3\n", 2, "not valid YAML"),
    "unclosed quote": ('a: "x\n', 2, "not valid YAML"),
    "two documents": ("a: 1\n---\nb: 2\n", 2, "not valid YAML"),
    "bad indentation": ("a: 1\n  b: 2\n", 2, "not valid YAML"),
    "control character": ("a: 1\nb: \x01\n", 2, "U+0001"),
    "escape beyond Unicode": ('a: 1\nb: "\\UFFFFFFFF"\n', 2, "not valid YAML"),
    "escape just beyond Unicode": ('b: "\\U00110000"\n', 1, "not valid YAML"),
    "half a character": ('a: 1\nb: "\\ud800"\n', 2, "surrogate"),
    "key that is a list": ("[a, b]: 1\n", 1, "not a word"),
    "key of two lines": ('"a\\nb": 1\n', 1, "not a word"),
}


@pytest.mark.parametrize(("text", "line", "says"), TRAPS.values(), ids=TRAPS.keys())
def test_trap_is_an_error_at_its_line(tmp_path: Path, text: str, line: int, says: str) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path, text)
    assert error.value.where == f"{tmp_path / 'x.yaml'}:{line}"
    assert says in error.value.problem
    assert error.value.fix
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"a: \xff\xfe\n", "UTF-8"), (b"a: " + b"[" * 600 + b"]" * 600, "deeply"), (b"\x00", "U+0000")],
)
def test_unreadable_file(tmp_path: Path, content: bytes, says: str) -> None:
    with pytest.raises(InputError, match=rf"x\.yaml.*{says.replace('+', '.')}"):
        read(tmp_path, content)


@pytest.mark.parametrize("name", ["absent.yaml", "."])
def test_no_such_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_yaml(tmp_path / name)


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "---\n", "null\n", "~\n"])
def test_empty_document_is_none(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) is None


ORDINARY = """\
whole: 12
negative: -3
zero: 0
plus: +7
decimal: 0.25
short: .5
exponent: 1.5e-3
yes_in_quotes: "no"
number_in_quotes: '1e3'
true_value: true
also_true: True
false_value: FALSE
nothing: null
tilde: ~
empty:
word: least_outstanding
words: a sentence, with a comma
version: 1.2.3
day: 2026-11-22
path: data:trace.parquet
flow: {a: [1, 2.5, x], b: {}}
block:
  - c: 1
  - - 2
    - three
text: |
  two
  lines
"""


def test_ordinary_values(tmp_path: Path) -> None:
    value = read(tmp_path, ORDINARY)
    assert value == {
        "whole": 12, "negative": -3, "zero": 0, "plus": 7, "decimal": 0.25, "short": 0.5, "exponent": 0.0015,
        "yes_in_quotes": "no", "number_in_quotes": "1e3", "true_value": True, "also_true": True,
        "false_value": False, "nothing": None, "tilde": None, "empty": None, "word": "least_outstanding",
        "words": "a sentence, with a comma", "version": "1.2.3", "day": "2026-11-22", "path": "data:trace.parquet",
        "flow": {"a": [1, 2.5, "x"], "b": {}}, "block": [{"c": 1}, [2, "three"]], "text": "two\nlines\n",
    }  # fmt: skip
    assert [type(value[k]) for k in ("whole", "decimal", "true_value")] == [int, float, bool]  # type: ignore[index]


def test_every_value_knows_its_line(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(ORDINARY)
    document = read_yaml(path)
    lines = ORDINARY.splitlines()
    for key in ("whole", "flow", "block", "text"):
        assert lines[document.lines[key,] - 1].startswith(f"{key}:")
    assert document.where(("block", 1, 0)) == f"{path}:{lines.index('  - - 2') + 1} block[1][0]"
    assert document.where(("flow", "a", 2)) == f"{path}:{document.lines['flow',]} flow.a[2]"
    # What does not exist is named by the nearest parent that does; steps that are no keys are left out.
    assert document.where(("block", 0, "missing")) == f"{path}:{lines.index('  - c: 1') + 1} block[0]"
    assert document.where(("nowhere",)) == f"{path}:1"


_alphabet = st.sampled_from(list("ab1.e:-_ \n\t[]{},&*!|>'\"#%@`<?=~\\x0UFn\x00\x85\ufeff\u2028é"))
_texts = st.one_of(
    st.text(_alphabet, max_size=60),
    st.text(max_size=40),
    st.lists(st.sampled_from([*(t[0] for t in TRAPS.values() if len(t[0]) < 99), ORDINARY]), max_size=3).map("".join),
)


@settings(max_examples=250, deadline=None)
@given(_texts)
def test_any_text_parses_or_is_an_input_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.getbasetemp()
    path = folder / "fuzz.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    refusal = refusal_of(path)
    assert refusal is None or (refusal.startswith(f"{path}:") and "\n" not in refusal)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_parse_or_are_an_input_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.yaml"
    path.write_bytes(content)
    refusal = refusal_of(path)
    assert refusal is None or "\n" not in refusal


_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(-1e6, 1e6, allow_nan=False)
    | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc_z", min_size=1, max_size=8), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=80, deadline=None)
@given(_values)
def test_agrees_with_pyyaml_on_what_both_accept(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    """Values written with every string quoted read back as they were."""
    path = tmp_path_factory.getbasetemp() / "dumped.yaml"
    path.write_text(yaml.dump({"value": value}, Dumper=_Quoting), encoding="utf-8")
    refusal = refusal_of(path)
    if refusal is None:
        assert read_yaml(path).value == {"value": value}
    else:  # Floats are dumped as 1.0e-05, which is fine, or 1e-05, which is the trap that it looks like.
        assert "number for some YAML readers" in refusal


class _Quoting(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True


_Quoting.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))
