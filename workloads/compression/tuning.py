"""Training after a cut, and training of models that take another's place: the source's own recipe, briefly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import nn

from workloads.compression.subject import Subject

if TYPE_CHECKING:
    import torch

    from workloads.interactions.prepared import PreparedData
    from workloads.training.fitting import FitResult, Progress
    from workloads.training.settings import TrainSettings

__all__ = ["fine_tune", "seen_data", "source_settings", "train", "trained_on_validation"]


_USUAL_EPOCHS = 9
"""Of a source whose card does not tell."""


def fine_tune(
    subject: Subject, network: nn.Module, config: Any = None, after_step: Callable[[nn.Module], None] | None = None
) -> tuple[nn.Module, dict[str, Any] | None]:
    """Train a network that was cut for a few epochs more.

    The optimiser starts anew at a share of the recipe's learning rate, which then falls to zero. A source that was
    trained on training and validation part together is tuned on both, for the number of epochs given; another one
    keeps its best epoch on the validation part.

    Returns
    -------
    tuple
        The network in evaluation mode, and what was done; None where there is no data or no epoch is asked for.
    """
    options = subject.options
    if subject.data is None:
        return network.eval(), None
    epochs = _epochs(subject)
    if epochs == 0:
        subject.module.refresh(network, seen_data(subject), subject.config if config is None else config, "train")
        return network.eval(), None
    settings = source_settings(subject)
    share = options.finetune_lr_share
    table_lr = None if settings.embedding_lr is None else settings.embedding_lr * share
    settings = settings.with_(
        lr=settings.lr * share,
        embedding_lr=table_lr,
        epochs=epochs,
        warmup_steps=0,
        decay="cosine",
        refit=False,
    )
    network.requires_grad_(True)
    on_both = trained_on_validation(subject.card)
    result = train(
        subject, settings, "fine-tuning", network=network, config=config, on_both=on_both, after_step=after_step
    )
    described = {"epochs": result.epochs, "lr": settings.lr, "seconds": round(result.seconds, 1), "on_both": on_both}
    return result.network.cpu().eval(), described


def train(
    subject: Subject,
    settings: TrainSettings,
    phase: str,
    *,
    network: nn.Module,
    module: Any = None,
    config: Any = None,
    on_both: bool = False,
    after_step: Callable[[nn.Module], None] | None = None,
    loss: Callable[..., torch.Tensor] | None = None,
) -> FitResult:
    """Train on the subject's data and tell how far it is.

    ``on_both`` trains on training and validation part together, without early stopping.
    """
    from workloads.training import fit

    data = subject.needs_data(phase)
    if on_both:
        data = data.with_validation_in_training()

    def tell(progress: Progress) -> None:
        done = (progress.epoch - 1) * progress.steps + progress.step
        subject.tell(phase, done, progress.epochs * progress.steps)

    return fit(
        subject.module if module is None else module,
        subject.config if config is None else config,
        data,
        settings,
        network=network,
        progress=tell,
        loss=loss,
        after_step=after_step,
    )


def source_settings(subject: Subject) -> TrainSettings:
    """How the source was trained, or its model's recipe, on the device and with the seed of the options."""
    from workloads.training import TrainSettings, recipe_for

    stored = subject.card.get("training", {}).get("settings")
    settings = TrainSettings.from_dict(stored) if stored else recipe_for(subject.model).settings
    return replace(
        settings,
        device=subject.options.device,
        seed=subject.options.seed,
        dropout=None,  # the configuration says what the source was trained with
        processes=1,
        accumulate=1,
        checkpoint_every=0,
    )


def seen_data(subject: Subject) -> PreparedData:
    """The data with what the source was trained on as its training part."""
    from workloads.training.session import data_of_card

    return data_of_card(subject.card, subject.needs_data("training"), subject.model)


def _epochs(subject: Subject) -> int:
    """Epochs of fine-tuning: as asked, or a third of what the source took, a model that overfits after few included."""
    if subject.options.finetune_epochs is not None:
        return subject.options.finetune_epochs
    return max(1, round(subject.card.get("training", {}).get("epochs", _USUAL_EPOCHS) / 3))


def trained_on_validation(card: dict[str, Any]) -> bool:
    """Whether the source has seen the validation part."""
    return bool(card.get("training", {}).get("refit", False))
