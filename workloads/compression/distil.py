"""Distillation: a smaller model of the same kind learns from the teacher's scores and from the labels (Hinton 2015).

Models that score pairs learn the teacher's score, of the rows and of as many random items beside them. Models that
score every item learn the teacher's distribution over the catalogue, softened by a temperature; those that predict
ratings, its ratings. Where a model searches stored item vectors, the student's are computed anew every few steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from workloads.compression.options import STUDENTS
from workloads.compression.students import student_config
from workloads.compression.subject import Step, Subject
from workloads.compression.tuning import source_settings, train, trained_on_validation
from workloads.errors import InputError

if TYPE_CHECKING:
    from workloads.interactions.prepared import PreparedData
    from workloads.interactions.rows import Rows
    from workloads.models.base import ModelModule

__all__ = ["Lesson", "apply", "item_logits"]

_REFRESH_STEPS = 20
_FARTHEST_LOGIT = 12.0


def apply(subject: Subject) -> Step:
    """Train a student.

    Raises
    ------
    InputError
        There is no data, or the model is too narrow for a student.
    """
    options = subject.options
    data = subject.needs_data("distil")
    config = student_config(subject.config, STUDENTS[options.student])
    if config == subject.config:
        raise InputError(
            "--student", f"{subject.model} is too narrow for {options.student} of it", "use another method"
        )
    settings = replace(source_settings(subject), refit=trained_on_validation(subject.card))
    if options.train_epochs:
        settings = settings.with_(epochs=options.train_epochs)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        student = subject.module.build(config)
    lesson = Lesson(subject.module, subject.config, subject.network.to(options.device), options)
    result = train(
        subject,
        settings,
        "distilling",
        module=lesson,
        network=student,
        config=config,
        loss=lesson.loss,
        after_step=lesson.refresher(data, config),
    )
    subject.network.cpu()
    record = {
        **options.pick("student", "teacher_weight", "temperature"),
        "training": {"epochs": result.epochs, "seconds": round(result.seconds, 1), "refit": result.refit},
    }
    return Step(config, result.network.cpu().eval(), record)


class Lesson:
    """A model's module whose training batches carry the teacher's inputs too, and the loss that reads them.

    Parameters
    ----------
    module, teacher_config, teacher
        The model, its sizes and its trained network, on the device of training.
    options
        Weight and temperature of what the teacher says.
    """

    def __init__(self, module: ModelModule, teacher_config: Any, teacher: nn.Module, options: Any) -> None:
        self._module, self._config, self._options = module, teacher_config, options
        self._teacher = teacher.eval().requires_grad_(False)
        self._inputs = len(module.example_inputs(teacher_config, 1, np.random.default_rng(0)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def training_batch(self, rows: Rows, config: Any, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
        """Inputs to be scored by both, then the label loss's batch."""
        asked = self._module.inputs(rows, config)
        if self._module.UNIT == "items":
            others = rows.with_items(generator.integers(1, rows.data.items, len(rows)))
            asked = tuple(np.concatenate(pair) for pair in zip(asked, self._module.inputs(others, config)))
        return *asked, *self._module.training_batch(rows, config, generator)

    def loss(self, student: nn.Module, *batch: torch.Tensor) -> torch.Tensor:
        """Labels and teacher, weighted."""
        asked, labelled = batch[: self._inputs], batch[self._inputs :]
        weight = self._options.teacher_weight
        label_loss = student.loss(*labelled)  # type: ignore[operator]
        return (1.0 - weight) * label_loss + weight * self._teacher_loss(student, asked)

    def refresher(self, data: PreparedData, config: Any) -> Callable[[nn.Module], None] | None:
        """Computes the student's stored item vectors anew every few steps; None where there are none."""
        if "item_vectors" not in dict(self._teacher.named_buffers()):
            return None
        steps = 0

        def refresh(student: nn.Module) -> None:
            nonlocal steps
            if steps % _REFRESH_STEPS == 0:
                self._module.refresh(student, data, config, "train")
            steps += 1

        return refresh

    def _teacher_loss(self, student: nn.Module, asked: tuple[torch.Tensor, ...]) -> torch.Tensor:
        answer = _scores if self._module.UNIT == "items" else item_logits
        with torch.no_grad():
            wanted = answer(self._teacher, asked)
        given = answer(student, asked)
        if self._teacher.predicts_rating:
            return F.mse_loss(given, wanted)
        soft = self._options.temperature
        if self._module.UNIT == "items":
            wanted = torch.sigmoid(_logit(wanted) / soft)
            return F.binary_cross_entropy_with_logits(_logit(given) / soft, wanted) * soft**2
        wanted, given = (F.log_softmax(scores[:, 1:] / soft, dim=1) for scores in (wanted, given))
        return F.kl_div(given, wanted, reduction="batchmean", log_target=True) * soft**2


def item_logits(network: nn.Module, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """``logits[request, item]`` as the model's own loss has them: cosines over temperature where it learns those."""
    if hasattr(network, "temperature"):
        query = F.normalize(network.query(*inputs))  # type: ignore[operator]
        return query @ network.get_buffer("item_vectors").T / cast(float, network.temperature)
    return network.scores(*inputs)  # type: ignore[operator]


def _scores(network: nn.Module, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
    return network.score(*inputs)  # type: ignore[operator]


def _logit(probability: torch.Tensor) -> torch.Tensor:
    return torch.logit(probability, 1e-6).clamp(-_FARTHEST_LOGIT, _FARTHEST_LOGIT)
