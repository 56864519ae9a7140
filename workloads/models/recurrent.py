"""Reading a sequence with an LSTM whose hidden units can be removed."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["LstmReader", "lstm_count"]


class LstmReader(nn.Module):
    """An LSTM over a padded sequence, and a linear layer from its last state to a vector.

    Parameters
    ----------
    dim
        Channels of a step, and of the result.
    hidden
        Units of the LSTM.
    length
        Positions of a sequence.

    Notes
    -----
    Sequences are padded on the left. They are moved to the left edge before they are read, and the state is taken at
    the last true step, so that padding has no effect on the result; an empty sequence gives the state after one step
    of zeros.
    """

    def __init__(self, dim: int, hidden: int, length: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(dim, hidden, batch_first=True)
        self.out = nn.Linear(hidden, dim)
        self.register_buffer("place", torch.arange(length))

    def forward(self, ids: torch.Tensor, table: nn.Embedding) -> torch.Tensor:
        """``vector[row, channel]`` of ``ids[row, position]``, looked up in ``table``."""
        steps = (ids > 0).sum(dim=1, keepdim=True)
        place = (self.get_buffer("place") - steps) % ids.shape[1]
        states, _ = self.lstm(table(ids.gather(1, place)))
        last = (steps - 1).clamp(min=0)
        state = states.gather(1, last[:, :, None].expand(-1, 1, states.shape[2])).squeeze(1)
        return self.out(state)


def lstm_count(dim: int, hidden: int) -> int:
    """Numbers in an `LstmReader`.

    Examples
    --------
    >>> lstm_count(2, 3)
    92
    """
    return 4 * hidden * (dim + hidden + 2) + hidden * dim + dim
