"""The device that was asked for, refused in one line where it is not there."""

from __future__ import annotations

import torch

from workloads.errors import InputError

__all__ = ["usable_device"]


def usable_device(kind: str) -> torch.device:
    """``cpu``, ``cuda``, or one of several GPUs by its number, as ``cuda:1``.

    Raises
    ------
    InputError
        It is none of these, or torch does not see it.
    """
    name, colon, number = kind.partition(":")
    if name not in ("cpu", "cuda") or (colon and not (name == "cuda" and number.isdecimal())):
        raise InputError("--device", f"{kind!r} is not known", "use cpu, cuda or the number of a GPU, as in cuda:1")
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("--device", "cuda was asked for, but torch sees no CUDA device", "use --device cpu")
    if number and int(number) >= torch.cuda.device_count():
        raise InputError(
            "--device", f"{kind} is not there, torch sees {torch.cuda.device_count()}", "use --device cuda"
        )
    return torch.device(kind)
