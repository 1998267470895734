"""From an identity's vector to those of its pictures: noise is added, and the length is kept.

Every picture has random numbers of its own, which follow from seed, identity and picture, so that pictures may be drawn
in any order and any portions. The number of pictures decides beside these only which sigma each of them gets: here
each identity has its exact share of every sigma, where the released script shuffles those of all identities together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facebench import ConfigError
from facebench_vec2face.drawing import MASKS, NOISE, ORDER

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Singles = npt.NDArray[np.float32]
    Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Perturbed:
    """Vectors of pictures, in blocks of identities.

    Attributes:
        vectors: float32 (B * M, D), each as long as its identity's.
        sigmas: float64 (B * M,), what each was perturbed by.
    """

    vectors: Singles
    sigmas: Doubles


def allocate(images: int, shares: Sequence[float]) -> npt.NDArray[np.int64]:
    """How many of an identity's pictures get each sigma: whole numbers by the method of largest remainders.

    Args:
        images: M.
        shares: (K,), 0 or more, not all 0; equal remainders favour the earlier one.

    Returns:
        (K,), summing to M; none is a whole picture away from its share.
    """
    weights = np.asarray(shares, dtype=np.float64)
    # What rounding errors of the product make of a whole number must not be cut down to the one below.
    quotas = np.round(images * (weights / weights.sum()), 9)
    counts: npt.NDArray[np.int64] = np.floor(quotas).astype(np.int64)
    first = np.argsort(counts - quotas, kind="stable")[: images - counts.sum()]
    counts[first] += 1
    return counts


def sigmas_of(identity: int, images: int, *, sigmas: Sequence[float], shares: Sequence[float], seed: int) -> Doubles:
    """The sigma of each picture of an identity, (M,): the exact shares, in an order of the identity's own."""
    each = np.repeat(np.asarray(sigmas, dtype=np.float64), allocate(images, shares))
    return np.random.default_rng((seed, ORDER, identity)).permutation(each)


def perturb(vector: Singles, sigmas: Doubles, random: np.random.Generator) -> Singles:
    """Vectors near another one, of the same length: ``w = v + sigma * eps``, brought back to the norm of ``v``.

    Args:
        vector: v, (D,).
        sigmas: (M,).
        random: Gives each eps, N(0, 1) in each coordinate, one after another.

    Returns:
        float32 (M, D). Where v has variance 1 in each coordinate, cosines to it are about 1 / sqrt(1 + sigma^2).
    """
    centre = vector.astype(np.float64)
    moved = centre + sigmas[:, None] * random.standard_normal((len(sigmas), len(centre)))
    lengths = np.linalg.norm(moved, axis=1, keepdims=True)
    moved *= np.linalg.norm(centre) / np.where(lengths > 0, lengths, 1)
    return moved.astype(np.float32)


def perturbed(
    vectors: Singles, *, first: int, images: int, sigmas: Sequence[float], shares: Sequence[float], seed: int
) -> Perturbed:
    """The vectors of all pictures of some identities.

    Args:
        vectors: (B, D), of the identities from number ``first`` on.
        first: Number of the first of them.
        images: M, pictures of each.
        sigmas: (K,).
        shares: (K,), of each sigma among an identity's pictures.
        seed: Of the drawing.
    """
    found = np.empty((len(vectors), images, vectors.shape[1]), dtype=np.float32)
    each = np.empty((len(vectors), images))
    for place, vector in enumerate(vectors):
        identity = first + place
        each[place] = sigmas_of(identity, images, sigmas=sigmas, shares=shares, seed=seed)
        found[place] = perturb(vector, each[place], np.random.default_rng((seed, NOISE, identity)))
    return Perturbed(found.reshape(-1, vectors.shape[1]), each.reshape(-1))


def picture_seeds(count: int, *, first: int, images: int, seed: int, stream: int = MASKS) -> npt.NDArray[np.int64]:
    """A seed for each picture of some identities, (count * M,), in blocks of identities; not negative.

    Args:
        count: B, identities.
        first: Number of the first.
        images: M; more of them change no seed of the earlier ones.
        seed: Of the drawing.
        stream: What the seeds are for.
    """
    identities = range(first, first + count)
    each = [np.random.default_rng((seed, stream, number)).integers(2**63, size=images) for number in identities]
    return np.concatenate(each) if each else np.empty(0, dtype=np.int64)


def at_cosine(vector: Singles, cosine: float, random: np.random.Generator) -> Singles:
    """A random vector of the same length at an exact cosine to another one, (D,): a sibling, or a case for a test.

    ``w = |v| (c u + sqrt(1 - c^2) p)`` with ``u = v / |v|`` and a random unit vector ``p`` at right angles to it.

    Args:
        vector: v, (D,), D at least 2, not 0.
        cosine: c, from -1 to 1.
        random: Decides the direction.

    Raises:
        ConfigError: On another cosine, or where v has no direction or no other one exists.
    """
    length = np.linalg.norm(vector.astype(np.float64))
    if not -1 <= cosine <= 1 or not length > 0 or len(vector) < 2:
        raise ConfigError(
            f"a vector at cosine {cosine:g} to one of length {length:g} in {len(vector)} dimensions does not exist"
        )
    unit = vector.astype(np.float64) / length
    aside = random.standard_normal(len(unit))
    for _ in range(2):  # once more, since in few dimensions much may cancel
        aside -= (aside @ unit) * unit
        aside /= np.linalg.norm(aside)
    found: Doubles = length * (cosine * unit + np.sqrt(1 - cosine**2) * aside)
    return found.astype(np.float32)
