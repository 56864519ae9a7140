"""A JSON file read into its pydantic model, with errors in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from workloads.errors import InputError
from workloads.field_words import problem

__all__ = ["read_document"]

Model = TypeVar("Model", bound=BaseModel)


def read_document(path: Path, model: type[Model], *, absent: str, invalid: str, no_json: str) -> Model:
    """Read and check a file; the last three say what to do where it cannot be read, is not valid, or is no JSON.

    Raises
    ------
    InputError
        Names the file, and the first field that is wrong.
    """
    try:
        return model.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise InputError(str(path), f"cannot be read ({error.strerror})", absent) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path} {place}".rstrip(), problem(first), invalid) from None
    except ValueError as error:
        raise InputError(str(path), f"is not JSON ({error})", no_json) from None
