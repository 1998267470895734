"""Class centres: the last matrix of a classifier, whole or split over processes, all of it or a sample.

Every loss that tells identities apart owns a ``ClassCentres`` and calls it once per step. It gathers the batch of all
processes, multiplies it with the classes that this process holds, and says which column is each face's own. The loss
decides what happens to those cosines; ``ClassCosines`` brings them together again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import nn

from facebench.blocks import block_products
from facebench.margins import cosine_logits, filter_others
from facebench.ranks import world
from facebench.sharding import cross_entropy, gathered, own_rows, row_maxima, rows_here, rows_of, split_rows, summed
from facebench.softmax import margin_softmax, margined_softmax

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from facebench.classoptions import ClassOptions
    from facebench.margins import Margin

# Rows drawn with one seed. Fixed, so that any block of rows can be drawn without the others.
_DRAWN = 4096


@dataclass(frozen=True, slots=True)
class ClassCosines:
    """Cosines between the faces of all processes and the classes at hand in this one.

    Attributes:
        cosine: (N, C'), with gradient; float32 or float64. N counts the faces of all processes, C' the classes that
            this process holds and, where classes are sampled, drew.
        column: int64 (N,), the column of each face's own class, -1 where another process holds it.
        vectors: (N, D), the raw embeddings of all processes, detached.
        labels: int64 (N,), the classes of all processes' faces.
        widest: The largest C' of all processes.
    """

    cosine: Tensor
    column: Tensor
    vectors: Tensor
    labels: Tensor
    widest: int

    @property
    def here(self) -> Tensor:
        """Bool (N,): whether this process holds the face's own class."""
        return self.column >= 0

    def own(self) -> Tensor:
        """(N,), the cosine of each face with its own class; only where ``here``, else a value without meaning."""
        # With fewer classes, or drawn ones, than processes some have no columns; the graph must be there all the same.
        return self.cosine.gather(1, self._place).squeeze(1) if self.cosine.shape[1] else self.cosine.sum(dim=1)

    @property
    def _place(self) -> Tensor:
        """(N, 1), ``column``, or any where it is -1."""
        return (self.column if world().size == 1 else self.column.clamp(min=0))[:, None]

    def others(self) -> Tensor:
        """Bool (N, C'): True but in the column of the own class."""
        mask = torch.ones_like(self.cosine, dtype=torch.bool)
        if not mask.shape[1]:
            return mask
        return mask.scatter_(1, self._place, ~self.here[:, None])

    def placed(self, values: Tensor, own: Tensor) -> Tensor:
        """(N, C'), ``values`` with those of each face's own class replaced; gradients flow through both.

        Args:
            values: (N, C').
            own: (N,); ignored where not ``here``.
        """
        if not values.shape[1]:
            return values.clone()  # like the result below, the caller's to change
        column = self._place
        found = own[:, None]
        if world().size > 1:
            found = torch.where(self.here[:, None], found, values.gather(1, column))
        return values.scatter(1, column, found)

    def replaced(self, own: Tensor) -> Tensor:
        """(N, C'), the cosines with each face's own replaced, as ``placed`` does it."""
        return self.placed(self.cosine, own)

    def cross_entropy(self, logits: Tensor) -> Tensor:
        """(N,), minus the logarithm of the softmax at the own class, over the classes of all processes.

        Args:
            logits: (N, C') for the columns of ``cosine``.
        """
        return cross_entropy(logits, self.column, widest=self.widest)

    def margined(self, margin: Margin, scale: float, *, filter_above: float = 0.0) -> tuple[Tensor, dict[str, Tensor]]:
        """The mean loss of scale * phi against scale * cosine, these ``filtered``, and what ``terms`` tells."""
        if world().size == 1 and not filter_above:
            found = margined_softmax(self.cosine, self.column, margin, scale)
            return found.loss, found.terms()
        own = self.own()
        logits = self.filtered(filter_above).replaced(margin(own).along(own)).mul_(scale)
        return self.cross_entropy(logits).mean(), self.terms()

    def filtered(self, threshold: float) -> ClassCosines:
        """These cosines after ``filter_others``; themselves where the threshold is 0."""
        if not threshold:
            return self
        return replace(self, cosine=filter_others(self.cosine, self.others(), threshold))

    def everywhere(self, own: Tensor) -> Tensor:
        """(N,), values that are known only where ``here``, made known to all processes."""
        return own if world().size == 1 else summed(torch.where(self.here, own, 0))

    @torch.no_grad()
    def nearness(self) -> tuple[Tensor, Tensor]:
        """(N,) and bool (N,), in all processes: the cosine with the own class, and whether no other is nearer."""
        own = self.everywhere(self.own())
        return own, own >= row_maxima(self.cosine)

    def terms(self) -> dict[str, Tensor]:
        """For the log: the mean cosine with the own class, and how often that class is the nearest."""
        own, nearest = self.nearness()
        return {"target_cosine": own.mean(), "accuracy": nearest.mean(dtype=own.dtype)}


class ClassCentres(nn.Module):
    """One centre, or several, for each class.

    In a single process ``weight`` is the whole matrix. Among several it is a DTensor of which each process holds a
    block of rows, with the values it would have in the whole matrix: where the blocks begin changes nothing else.

    Sampling (Partial FC, An et al., CVPR 2022): in training, a step uses the classes of the batch and others drawn by
    chance until ``sample_rate`` of all classes are there; if the batch alone has more, no others. Unlike the authors'
    code the draw is over all classes and not over each process's, so that the number of processes does not decide it.
    Only drawn centres move, with their own momentum, as in the authors' first version; ``update_unsampled`` lets all of
    them move, as in their second.

    Args:
        num_classes: C.
        embedding_size: D.
        options: Sampling.
        subcentres: K centres for each class; a face's cosine with a class is the largest of them (Deng et al., ECCV
            2020).
        std: The centres start as N(0, std^2); only their directions matter, and how fast these can turn.

    Attributes:
        weight: (C, K * D), raw: a row for each class, its centres side by side.
    """

    seed: Tensor
    steps: Tensor

    def __init__(
        self, num_classes: int, embedding_size: int, options: ClassOptions, *, subcentres: int = 1, std: float = 0.01
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.embedding_size = embedding_size
        self.subcentres = subcentres
        self.options = options
        self.classes = rows_here(num_classes)
        # One number from torch's generator, which every process seeds alike before it builds a loss.
        seed = int(torch.randint(2**62, ()))
        local = _drawn(self.classes, subcentres * embedding_size, seed).mul_(std)
        self.weight = nn.Parameter(split_rows(local, num_classes), requires_grad=not self.lends)
        self.register_buffer("seed", torch.tensor(seed))
        self.register_buffer("steps", torch.tensor(0))
        # The centres of one step while the optimiser has them, and which rows of ``weight`` they are.
        self.active = nn.Parameter(local.new_empty(0, local.shape[1])) if self.lends else None
        self._lent: Tensor | None = None

    @property
    def samples(self) -> bool:
        """Whether a step uses a part of the classes only."""
        return self.options.sample_rate < 1

    @property
    def lends(self) -> bool:
        """Whether the optimiser sees the centres of a step only, so that no others move."""
        return self.samples and not self.options.update_unsampled

    def forward(self, vectors: Tensor, labels: Tensor) -> ClassCosines:
        """Cosines of the faces of all processes with this process's classes.

        Args:
            vectors: (n, D), this process's embeddings, raw; n is the same in all processes.
            labels: int64 (n,), in 0..C-1.
        """
        rows, goal = gathered(vectors), gathered(labels)
        weight, column, widest = self._at_hand(goal)
        if self.subcentres == 1:
            cosine = cosine_logits(rows, weight)
        else:
            cosine = cosine_logits(rows, weight.reshape(-1, self.embedding_size))
            cosine = cosine.view(len(cosine), -1, self.subcentres).amax(dim=2)
        return ClassCosines(cosine, column, rows.detach(), goal, widest)

    def products(self, vectors: Tensor, labels: Tensor, blocks: int) -> ClassCosines:
        """As ``forward``, but vectors keep their lengths and every block of a centre has length 1.

        Args:
            vectors: (n, D), float32 or float64; n is the same in all processes.
            labels: int64 (n,).
            blocks: K, a divisor of D.
        """
        rows, goal = gathered(vectors), gathered(labels)
        weight, column, widest = self._at_hand(goal)
        return ClassCosines(block_products(rows, weight, blocks), column, rows.detach(), goal, widest)

    def margin_softmax(
        self, vectors: Tensor, labels: Tensor, margin: Margin, scale: float, *, filter_above: float = 0.0
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross-entropy of scale * phi against scale * cosine, in the fewest operations that the case at hand allows.

        Args:
            vectors: (n, D), as ``forward`` has them.
            labels: int64 (n,).
            margin: Phi of the cosines with the own class.
            scale: s.
            filter_above: As ``ClassCosines.filtered``; 0 filters nothing.

        Returns:
            The mean loss of the faces of all processes, and what ``ClassCosines.terms`` tells.
        """
        if self.subcentres == 1 and not filter_above and world().size == 1:
            weight, column, _ = self._at_hand(labels)
            found = margin_softmax(vectors, weight, column, margin, scale)
            return found.loss, found.terms()
        cosines: ClassCosines = self(vectors, labels)
        return cosines.margined(margin, scale, filter_above=filter_above)

    def _at_hand(self, goal: Tensor) -> tuple[Tensor, Tensor, int]:
        """Centres of a step in this process, each face's column among them or -1, and the most of any process."""
        if self.training and self.samples:
            return self._sampled(goal)
        if world().size == 1:
            return self.weight, goal, self.num_classes
        column = _place(goal, self.classes.start, self.classes.stop)
        return own_rows(self.weight), column, len(rows_of(self.num_classes, 0))

    def _drawn_classes(self, goal: Tensor) -> Tensor:
        """The classes of this step, in order: those of all processes' faces, and others by chance."""
        generator = torch.Generator(goal.device).manual_seed(int(self.seed) + int(self.steps))
        self.steps += 1
        chance = torch.rand(self.num_classes, generator=generator, device=goal.device)
        chance[goal] = 2.0
        count = max(int(self.options.sample_rate * self.num_classes), int((chance > 1).sum()))
        return chance.topk(count).indices.sort().values

    def _sampled(self, goal: Tensor) -> tuple[Tensor, Tensor, int]:
        """Centres of the classes drawn for this step, each face's column among them, and the widest draw."""
        drawn = self._drawn_classes(goal)
        stops = [rows_of(self.num_classes, rank).stop for rank in range(world().size)]
        edges = torch.tensor([0, *stops], device=goal.device)
        cuts: list[int] = torch.searchsorted(drawn, edges).tolist()
        low, high = cuts[world().rank], cuts[world().rank + 1]
        column = _place(torch.searchsorted(drawn, goal), low, high)
        rows = drawn[low:high] - self.classes.start
        if self.active is None:
            weight = own_rows(self.weight)[rows]
        else:
            weight, self._lent = self.active, rows
            weight.data = own_rows(self.weight.detach())[rows]
        return weight, column, max(b - a for a, b in pairwise(cuts))

    @property
    def transient(self) -> set[str]:
        """What of its state belongs to a training under way and not to what was learnt."""
        kept = {f"kept_{name}" for name, _ in self._kept()}
        return kept | {"active"} if self.active is not None else kept

    def prepare(self, optimizer: torch.optim.Optimizer) -> None:
        """Makes room for what the optimiser keeps of each centre, when it sees only some of them at a time."""
        if self.active is None:
            return
        names = ("exp_avg", "exp_avg_sq") if "betas" in optimizer.defaults else ("momentum_buffer",)
        for name in names:
            kept = torch.zeros_like(own_rows(self.weight.detach()))
            self.register_buffer(f"kept_{name}", split_rows(kept, self.num_classes))

    def lend(self, optimizer: torch.optim.Optimizer) -> None:
        """Hands the optimiser what it knows of this step's centres; call before its step."""
        if self.active is None or self._lent is None:
            return
        state = optimizer.state[self.active]
        if "betas" in optimizer.defaults:
            fused = self.active.device if self.active.is_cuda else None
            state.setdefault("step", torch.zeros((), dtype=torch.float32, device=fused))
        for name, kept in self._kept():
            state[name] = kept[self._lent]

    def collect(self, optimizer: torch.optim.Optimizer) -> None:
        """Takes this step's centres back; call after the optimiser's step."""
        if self.active is None or self._lent is None:
            return
        state = optimizer.state[self.active]
        own_rows(self.weight.detach())[self._lent] = self.active.detach()
        for name, kept in self._kept():
            found = state.pop(name, None)
            if found is not None:
                kept[self._lent] = found
        self.active.data, self.active.grad, self._lent = self.active.data[:0], None, None

    def _kept(self) -> Iterator[tuple[str, Tensor]]:
        """What is kept for the optimiser: name and (classes here, K * D)."""
        for name, buffer in self.named_buffers(recurse=False):
            if name.startswith("kept_"):
                yield name.removeprefix("kept_"), own_rows(buffer)


def _place(number: Tensor, first: int, stop: int) -> Tensor:
    """Numbers counted from ``first``; -1 for those outside ``first`` to ``stop``."""
    return torch.where((number >= first) & (number < stop), number - first, -1)


def _drawn(rows: range, width: int, seed: int) -> Tensor:
    """Rows of a matrix of standard normal values, of which any block can be drawn without the others."""
    found = torch.empty(len(rows), width)
    generator = torch.Generator()
    for block in range(rows.start // _DRAWN, -(-rows.stop // _DRAWN)):
        first = block * _DRAWN
        values = torch.randn(_DRAWN, width, generator=generator.manual_seed(seed + block))
        here = range(max(first, rows.start), min(first + _DRAWN, rows.stop))
        found[here.start - rows.start : here.stop - rows.start] = values[here.start - first : here.stop - first]
    return found
