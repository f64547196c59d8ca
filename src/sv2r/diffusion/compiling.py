"""Networks compiled for the shapes that a job has: no sooner than its batch size is known."""

from __future__ import annotations

import logging
from typing import Any

# Shapes of one network before new ones run uncompiled; torch's own limit is 8, which seven batch
# sizes and a second size of picture already pass.
SHAPES = 64
_LOG = logging.getLogger("sv2r.diffusion")


class Compilation:
    """The networks of a pipeline that are to be compiled, once `start` is called.

    Until then they run as they are: while batch sizes are tried, each would be compiled in vain.
    Where a network is made of blocks that repeat, and little else (Flux), the blocks are compiled,
    which takes a fraction of the time; others are compiled whole.
    """

    def __init__(self) -> None:
        self._networks: list[_Network] = []

    def add(self, network: Any, *, regional: bool = False) -> None:
        """Let a network be compiled; what wraps its ``forward`` later stays outside.

        regional: whether its repeated blocks are compiled instead of the whole.
        """
        blocks = regional and bool(getattr(network, "_repeated_blocks", None))
        self._networks.append(_Network(network, regional=blocks))

    def start(self) -> None:
        """Compile from the next batch on; again, it changes nothing."""
        for network in self._networks:
            network.start()

    def __bool__(self) -> bool:
        """Return whether there is a network to compile."""
        return bool(self._networks)


class _Network:
    """One network, compiled once for every shape that it meets."""

    def __init__(self, network: Any, *, regional: bool) -> None:
        self._network = network
        self._regional = regional
        self._run = network.forward
        self._started = False
        self._told = False
        network.forward = self._forward

    def start(self) -> None:
        if self._started:
            return
        self._started = True
        if self._regional:
            self._network.compile_repeated_blocks(dynamic=False)
        else:
            import torch

            self._run = torch.compile(self._run, dynamic=False)

    def _forward(self, *args: Any, **kwargs: Any) -> Any:
        if not self._started:
            return self._run(*args, **kwargs)
        # The first step's latents are laid out otherwise than the later ones', which would cost a
        # second compilation.
        if args:
            args = (args[0].contiguous(), *args[1:])
        else:
            kwargs["hidden_states"] = kwargs["hidden_states"].contiguous()
        return self._limited(*args, **kwargs)

    def _limited(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the network makes, and say once where torch compiles no further shape."""
        from torch._dynamo import config
        from torch._dynamo.exc import FailOnRecompileLimitHit

        if not self._told:
            try:
                with config.patch(recompile_limit=SHAPES, fail_on_recompile_limit_hit=True):
                    return self._run(*args, **kwargs)
            except FailOnRecompileLimitHit:
                self._told = True
            _LOG.warning(
                "%s has met more than %d shapes of picture: what is new from now on runs "
                "uncompiled; choose fit tile or scale, or leave --translator.compile out",
                *(type(self._network).__name__, SHAPES),
            )
        with config.patch(recompile_limit=SHAPES):
            return self._run(*args, **kwargs)
