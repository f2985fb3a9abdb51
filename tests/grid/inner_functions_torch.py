"""Ways to compile or transform a function inside a training step that torch has."""

import torch
from torch.utils import checkpoint


def compiled(backend, **arguments):
    return lambda compute: torch.compile(compute, backend=backend, **arguments)


def checkpointed(compute):
    return lambda x: checkpoint.checkpoint(compute, x, use_reentrant=False)


def reentrant(compute):
    return lambda x: checkpoint.checkpoint(compute, x, use_reentrant=True)


def vmap(compute):
    return torch.func.vmap(compute)


def out_of_sight(compute):
    """Traced by torch when it is first called, with whatever number it saw then."""
    traced = {}

    def run(x):
        if x.device.type == "meta":  # Keras infers shapes
            return compute(x)
        if x.shape not in traced:
            traced[x.shape] = torch.jit.trace(lambda x: compute(x), x, check_trace=False)
        return traced[x.shape](x)

    return run


def jvp(compute):
    return lambda x: torch.func.jvp(compute, (x,), (torch.zeros_like(x),))[0]


WAYS = {
    "torch.compile(backend='eager')": compiled("eager"),
    "torch.compile(backend='aot_eager')": compiled("aot_eager"),
    "torch.compile": compiled("inductor"),
    "torch.utils.checkpoint": checkpointed,
    "torch.utils.checkpoint, reentrant": reentrant,
    "torch.func.vmap": vmap,
    "torch.func.jvp": jvp,
    "torch.jit.trace": out_of_sight,
}
