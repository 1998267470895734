"""What crosses between processes while a loss is computed, with gradients.

Faces are split over the processes by rows of the batch, classes by columns of the logits. A loss gathers the rows,
multiplies them with the class centres it holds, and adds up or normalises over the columns of all processes. Every
function here is the identity, or plain torch, in a single process.

The collectives are DTensor's. ``torch.distributed.tensor.parallel.loss_parallel`` gives silently wrong gradients to
anything but cross-entropy that is computed under it, so it is never in force outside ``cross_entropy``.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from facebench.ranks import world

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor
    from torch.distributed.device_mesh import DeviceMesh


def gathered(rows: Tensor) -> Tensor:
    """The rows of all processes, those of the first process on top.

    In backward, the parts of the gradient that all processes found for a row are added up and returned to the process
    that owns it, times the number of processes: so that averaging the network's gradients over processes, as
    DistributedDataParallel does, gives the gradient of the loss over all rows. Whatever is computed from the result
    must therefore be a *part* that the process alone computes (its own classes); terms that need no classes of other
    processes are better computed from the process's own rows, as means.

    Args:
        rows: (n, ...), n equal in all processes.

    Returns:
        (n * processes, ...).
    """
    size = world().size
    if size == 1:
        return rows
    from torch.distributed.tensor import DTensor, Partial, Replicate, Shard

    own = rows.view_as(rows)
    if own.requires_grad:
        own.register_hook(lambda gradient: gradient * size)  # type: ignore[no-untyped-call]
    split = DTensor.from_local(own, _mesh(rows.device.type), [Shard(0)], run_check=False)
    whole = split.redistribute(placements=[Replicate()])
    together: Tensor = whole.to_local(grad_placements=[Partial()]) if own.requires_grad else whole.to_local()
    return together


def summed(part: Tensor) -> Tensor:
    """The sum over all processes; in backward each part receives the gradient of the sum."""
    if world().size == 1:
        return part
    from torch.distributed.tensor import DTensor, Partial, Replicate

    parts = DTensor.from_local(part, _mesh(part.device.type), [Partial()], run_check=False)
    total: Tensor = parts.redistribute(placements=[Replicate()]).to_local()
    return total


def largest(part: Tensor) -> Tensor:
    """The element-wise maximum over all processes, without gradient."""
    if world().size == 1:
        return part.detach()
    found = part.detach().clone()
    torch.distributed.all_reduce(found, torch.distributed.ReduceOp.MAX)
    return found


def row_maxima(values: Tensor) -> Tensor:
    """(N,), the largest value of each row over the columns of all processes, without gradient.

    Args:
        values: (N, C'), this process's columns; where columns are fewer than processes, some have none.
    """
    values = values.detach()
    return largest(values.amax(dim=1) if values.shape[1] else values.new_full((len(values),), -torch.inf))


def averaged(value: Tensor) -> Tensor:
    """The mean over all processes, without gradient."""
    size = world().size
    if size == 1:
        return value.detach()
    found = value.detach().clone()
    torch.distributed.all_reduce(found)
    return found.div_(size)


def share_first(tensors: Iterable[Tensor]) -> None:
    """Gives all processes the values that the first one has, in place."""
    if world().size > 1:
        for tensor in tensors:
            torch.distributed.broadcast(tensor, src=0)


def split_rows(local: Tensor, total: int) -> Tensor:
    """This process's block of rows as a tensor that knows of the others'; the block itself in a single process.

    Args:
        local: (n, ...), the rows that ``rows_here(total)`` names.
        total: Rows in all processes together.
    """
    if world().size == 1:
        return local
    from torch.distributed.tensor import DTensor, Shard

    shape = torch.Size((total, *local.shape[1:]))
    strides = torch.empty(shape, device="meta").stride()
    return DTensor.from_local(local, _mesh(local.device.type), [Shard(0)], run_check=False, shape=shape, stride=strides)


def own_rows(tensor: Tensor) -> Tensor:
    """The plain block of rows that this process holds of a tensor made by ``split_rows``; gradients flow through."""
    if world().size == 1:
        return tensor
    from torch.distributed.tensor import DTensor

    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def is_split(tensor: Tensor) -> bool:
    """Whether other processes hold further rows of a tensor."""
    if world().size == 1:
        return False
    from torch.distributed.tensor import DTensor

    return isinstance(tensor, DTensor)


def rows_here(total: int) -> range:
    """Which of ``total`` rows this process holds when they are split into equal blocks, the last ones shorter."""
    return rows_of(total, world().rank)


def rows_of(total: int, rank: int) -> range:
    """The same of any process: every block but the last ones is as large as that of rank 0."""
    block = -(-total // world().size)
    return range(min(rank * block, total), min((rank + 1) * block, total))


def cross_entropy(logits: Tensor, columns: Tensor, *, widest: int) -> Tensor:
    """Minus the logarithm of each row's softmax at its own column, over the columns of all processes.

    Args:
        logits: (N, C'), this process's columns of the same N rows; float32 or float64.
        columns: int64 (N,), the own column where this process holds it, else -1; in a single process never -1.
        widest: The largest C' of all processes.

    Returns:
        (N,), the same in all processes.
    """
    if world().size == 1:
        return functional.cross_entropy(logits, columns, reduction="none")
    found: Tensor = _ShardedCrossEntropy.apply(logits, columns, widest)  # type: ignore[no-untyped-call]
    return found


def entropy(logits: Tensor, *, eps: float = 0.0) -> Tensor:
    """The entropy of each row's softmax over the columns of all processes, in nats, without gradient.

    Args:
        logits: (N, C'), this process's columns of the same N rows; float32 or float64, finite.
        eps: Added to each probability before its logarithm is taken, as some published code does; that lowers the
            entropy, by 0.6 nats for 85742 equal probabilities and 1e-5.

    Returns:
        (N,), in 0..ln C where ``eps`` is 0, the same in all processes.
    """
    with torch.no_grad():
        below = logits - row_maxima(logits)[:, None]
        powers = below.exp()
        total = summed(powers.sum(dim=1))
        if eps:
            share = powers.div_(total[:, None])
            return -summed((share * (share + eps).log_()).sum(dim=1))
        # Both terms are at least 0, so nothing cancels.
        return total.log() - summed(below.mul_(powers).sum(dim=1)) / total


class _ShardedCrossEntropy(torch.autograd.Function):
    """Cross-entropy under ``loss_parallel``, closed in itself: outside nobody meets its traps."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, columns: Tensor, widest: int) -> Tensor:
        from torch.distributed.tensor import DTensor, Replicate, Shard
        from torch.distributed.tensor.parallel import loss_parallel

        mesh, rank = _mesh(logits.device.type), world().rank
        here = columns + rank * widest
        target = summed(torch.where(columns >= 0, here, 0))
        with torch.enable_grad(), loss_parallel():
            own = logits.detach().requires_grad_()
            # Equal widths are what a Shard promises. A column this low has no probability and gets no gradient.
            lowest = torch.finfo(logits.dtype).min / 4
            padded = functional.pad(own, (0, widest - own.shape[1]), value=lowest)
            whole = DTensor.from_local(padded, mesh, [Shard(1)], run_check=False)
            goal = DTensor.from_local(target, mesh, [Replicate()], run_check=False)
            losses = functional.cross_entropy(whole, goal, reduction="none")
        ctx.own, ctx.losses = own, losses
        found: Tensor = losses.to_local().detach()  # type: ignore[attr-defined]
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        from torch.distributed.tensor import DTensor, Replicate
        from torch.distributed.tensor.parallel import loss_parallel

        upstream = DTensor.from_local(
            gradients[0].contiguous(), _mesh(gradients[0].device.type), [Replicate()], run_check=False
        )
        with torch.enable_grad(), loss_parallel():
            (found,) = torch.autograd.grad(ctx.losses, ctx.own, upstream)
        del ctx.own, ctx.losses
        return found, None, None


def _mesh(device: str) -> DeviceMesh:
    """All processes in a row."""
    return _mesh_of(device, world().size)


@functools.cache
def _mesh_of(device: str, size: int) -> DeviceMesh:
    from torch.distributed.device_mesh import init_device_mesh

    return init_device_mesh(device, (size,))
