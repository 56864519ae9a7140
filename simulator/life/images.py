"""Container images: pulled over the shared store once a node, and kept there while the node is open."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import simpy

from simulator.life.plan import Image
from simulator.storage import WeightStore

__all__ = ["ImageCache"]


class ImageCache:
    """Which images each node holds, or is pulling.

    Containers that start while their image is under way wait for that one pull. A pull goes on when those that waited
    for it are cancelled, and ends with the node.
    """

    def __init__(self, env: simpy.Environment, store: WeightStore) -> None:
        self._env = env
        self._store = store
        self._there: dict[int, dict[str, simpy.Event]] = {}
        self._pulls: dict[tuple[int, str], simpy.Process] = {}

    def have(self, node: int, image: Image) -> None:
        """The node holds the image from now on, without a pull."""
        self._there.setdefault(node, {}).setdefault(image.name, self._env.event().succeed())

    def pull(self, node: int, image: Image) -> Generator[simpy.Event, Any, None]:
        """Wait until the node holds the image."""
        there = self._there.setdefault(node, {})
        if image.name not in there:
            there[image.name] = self._env.event()
            self._pulls[node, image.name] = self._env.process(self._pull(node, image))
        if not there[image.name].processed:
            yield there[image.name]

    def forget(self, node: int) -> None:
        """The node is closed or lost, with all that it held."""
        for name in self._there.pop(node, {}):
            pull = self._pulls.pop((node, name), None)
            if pull is not None:
                pull.interrupt()

    def _pull(self, node: int, image: Image) -> Generator[simpy.Event, Any, None]:
        try:
            yield from self._store.load(node, image.size_bytes, "image")
        except simpy.Interrupt:
            return
        del self._pulls[node, image.name]
        self._there[node][image.name].succeed()
