"""The documents' tables are those that the kept results give."""

from __future__ import annotations

import pytest

from tests.benchmarks.docs_tables import DOCS, TABLES, with_tables


@pytest.mark.parametrize(("file", "name"), sorted(TABLES))
def test_tables_are_current(file: str, name: str) -> None:
    text = (DOCS / file).read_text(encoding="utf-8")
    assert with_tables(text, {name: TABLES[file, name]()}) == text, "run python -m tests.benchmarks.docs_tables"


def test_a_table_without_its_place_is_told() -> None:
    with pytest.raises(ValueError, match="0 places are marked for the table 'x'"):
        with_tables("no marks", {"x": "| a |"})
