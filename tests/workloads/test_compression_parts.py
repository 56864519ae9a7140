"""Parts of compression: low rank, padded layers, sizes of students, names of methods, options."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from tests.workloads.compression_subjects import DATA  # noqa: E402
from workloads.compression.low_rank import factors  # noqa: E402
from workloads.compression.methods import METHODS, steps_of  # noqa: E402
from workloads.compression.options import CompressOptions  # noqa: E402
from workloads.compression.padded_linear import PaddedLinear  # noqa: E402
from workloads.compression.students import student_config  # noqa: E402
from workloads.errors import InputError  # noqa: E402
from workloads.models import MODEL_NAMES, model_module  # noqa: E402


def test_low_rank_factors_are_the_nearest_product() -> None:
    layer = nn.Linear(12, 10)
    pair = factors(layer, 4)
    values = torch.linalg.svdvals(layer.weight.detach())
    product = pair[1].weight @ pair[0].weight
    assert float(((layer.weight - product).detach() ** 2).sum()) == pytest.approx(
        float((values[4:] ** 2).sum()), rel=1e-4
    )
    full = factors(layer, 10)
    x = torch.randn(3, 12)
    torch.testing.assert_close(full(x), layer(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sizes", [(16, 8), (13, 9), (9, 16)])
@pytest.mark.parametrize("shape", [(5,), (2, 3), (30,)])
def test_a_padded_layer_computes_the_same(sizes: tuple[int, int], shape: tuple[int, ...]) -> None:
    layer = nn.Linear(*sizes)
    padded = PaddedLinear.of(layer)
    assert padded.weight.shape[0] % 8 == 0
    assert padded.weight.shape[1] % 8 == 0
    values = torch.randn(*shape, sizes[0])
    torch.testing.assert_close(padded(values), layer(values))


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_students_are_narrower_and_can_be_built(name: str) -> None:
    module = model_module(name)
    teacher = module.config_for(DATA)
    counts = [teacher.parameter_count()]
    for share in (0.5, 0.25):
        student = student_config(teacher, share)
        with torch.device("meta"):
            built = module.build(student)
        inputs = module.example_inputs(student, 2, np.random.default_rng(0))
        assert all(
            a.shape == b.shape for a, b in zip(inputs, module.example_inputs(teacher, 2, np.random.default_rng(0)))
        )
        counts.append(student.parameter_count())
        del built
    assert counts == sorted(counts, reverse=True)
    assert len(set(counts)) == 3


def test_steps_keep_their_order_or_say_which_one_to_use() -> None:
    assert steps_of("structured+int8-dynamic") == ("structured", "int8-dynamic")
    assert all(steps_of(method) == (method,) for method in METHODS)
    with pytest.raises(InputError, match="did you mean structured"):
        steps_of("structred")
    with pytest.raises(InputError, match=r"write structured\+int8-dynamic"):
        steps_of("int8-dynamic+structured")
    for wrong in ("int8-dynamic+int8-weight", "bf16+bf16", "distil+hashed", "bf16+int8-legacy", "", "+"):
        with pytest.raises(InputError):
            steps_of(wrong)


@pytest.mark.parametrize(
    ("option", "value"),
    [("amount", 0.0), ("ratio", 1.0), ("student", "tiny"), ("rows_per_vector", 1), ("temperature", 0.0)],
)
def test_wrong_options_are_named(option: str, value: Any) -> None:
    with pytest.raises(InputError, match=option.replace("_", "-")):
        CompressOptions(**{option: value})
    with pytest.raises(InputError, match="has no options"):
        CompressOptions.from_values({"amuont": 0.5})
