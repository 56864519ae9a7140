"""Smaller variants of trained models: pruned, quantised, factorised, hashed or distilled; measured like their source.

Names and options are known without torch; `compress` imports it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workloads.compression.methods import METHODS

if TYPE_CHECKING:
    from pathlib import Path

    from workloads.interactions.prepared import PreparedData

__all__ = ["METHODS", "compress"]


def compress(
    folder: str | Path, method: str, out: str | Path, data: PreparedData | None = None, **options: Any
) -> dict[str, Any]:
    """Make a variant of the model in a folder, measure it, and write it to another folder.

    Parameters
    ----------
    folder
        A model folder (`workloads.model_folder`).
    method
        One of `METHODS`, or several joined by ``+``, carried out in that order.
    out
        The variant's folder.
    data
        What the model was trained on: for importance, fine-tuning, and the accuracy on its test part. Without it,
        methods that can do without are carried out on the weights alone and accuracy is not measured.
    **options
        Fields of `workloads.compression.options.CompressOptions`.

    Returns
    -------
    dict
        The variant's card.

    Raises
    ------
    InputError
        A method that is unknown, does not apply to this model, or needs data that is not given.
    MissingDependencyError
        torch, torchao or safetensors is not installed.
    """
    from workloads.compression.options import CompressOptions
    from workloads.compression.pipeline import compress_folder

    return compress_folder(folder, method, out, data, CompressOptions.from_values(options))
