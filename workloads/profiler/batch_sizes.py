"""Which batch sizes are measured where a profile's settings name none."""

from __future__ import annotations

__all__ = ["default_batch_sizes"]

_LARGEST_BATCH = {
    ("biased_mf", "cpu"): 128,
    ("biased_mf", "cuda"): 1024,
    ("neumf", "cpu"): 2048,
    ("neumf", "cuda"): 32768,
    ("two_tower", "cpu"): 128,
    ("two_tower", "cuda"): 1024,
    ("autoencoder", "cpu"): 64,
    ("autoencoder", "cuda"): 1024,
    ("lstm_two_tower", "cpu"): 64,
    ("lstm_two_tower", "cuda"): 1024,
    ("dlrm", "cpu"): 2048,
    ("dlrm", "cuda"): 32768,
    ("sasrec", "cpu"): 64,
    ("sasrec", "cuda"): 1024,
    ("bert4rec", "cpu"): 32,
    ("bert4rec", "cuda"): 512,
    ("bert_reranker", "cpu"): 16,
    ("bert_reranker", "cuda"): 512,
}
_ELSEWHERE = 64


def default_batch_sizes(model: str, device_kind: str) -> tuple[int, ...]:
    """Rising sizes up to the largest batch that makes sense for the model there.

    Powers of two and the sizes half-way between them. On CUDA also, from 18 up, sizes an eighth above each power of
    two: matrix products are cut into tiles of 16 to 256 rows and handed to the multiprocessors in waves, so that time
    steps up shortly after a power of two and then stays; without those sizes the step would look like a ramp.
    """
    largest = _LARGEST_BATCH.get((model, device_kind), _ELSEWHERE)
    eighths = (8, 9, 12) if device_kind == "cuda" else (8, 12)
    powers = range(largest.bit_length())
    sizes = {eighth * 2**power // 8 for power in powers for eighth in eighths if _whole(eighth, power)}
    return tuple(sorted(size for size in sizes if size <= largest))


def _whole(eighth: int, power: int) -> bool:
    """Whether ``eighth / 8 * 2 ** power`` is a size: whole, and far enough from its neighbours to tell them apart."""
    return {8: True, 9: power >= 4, 12: power >= 1}[eighth]
