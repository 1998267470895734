"""Checks of what takes part in an evaluation: data sets, embedders, protocols, reports."""

from __future__ import annotations

import math
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from facebench.contracts import Evaluation, Face, Features
from facebench.embeddings import Embeddings
from facebench.results import Result
from facebench.testing.broken import require
from facebench.testing.toys import toy_result

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from facebench.contracts import Embedder, EvalProtocol, FaceDataset
    from facebench.results import Metric
    from facebench.specs import ProtocolSpec, ReportSpec


def check_dataset(faces: FaceDataset, *, training: bool = False) -> None:
    """A data set has one unique key and one label per face, and gives the same pixels each time.

    Args:
        faces: The set.
        training: Whether labels must run from 0 to C-1, C at least 2, none left out.
    """
    who, count = f"data set {faces.name!r}", len(faces)
    require(count > 0, f"{who}: holds no face")
    require(len(faces.keys) == count, f"{who}: {len(faces.keys)} keys for {count} faces")
    twice = [key for key, times in Counter(faces.keys).items() if times > 1]
    require(not twice, f"{who}: key {twice[:1]} occurs more than once")
    labels = np.asarray(faces.labels)
    require(labels.shape == (count,), f"{who}: labels have shape {labels.shape} for {count} faces")
    require(labels.dtype == np.int64 and labels.min() >= -1, f"{who}: labels must be int64 and at least -1")
    require(bool(faces.fingerprint), f"{who}: has no fingerprint")
    if training:
        classes = int(labels.max()) + 1
        full = classes >= 2 and np.array_equal(np.unique(labels), np.arange(classes))
        require(full, f"{who}: labels must run from 0 to C-1, C at least 2, none left out")
    places = np.unique([0, count // 2, count - 1]).astype(np.int64)
    for place in places.tolist():
        face, again = faces[place], faces[place]
        pixels = face.image
        require(isinstance(face, Face), f"{who}: item {place} is {type(face).__name__}, not Face")
        picture = pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3
        require(picture, f"{who}: face {face.key!r} is {pixels.dtype} {pixels.shape}, not uint8 (H, W, 3)")
        told = (face.key, face.label) == (faces.keys[place], int(labels[place]))
        require(told, f"{who}: item {place} has key and label {face.key!r}, {face.label}, the lists say otherwise")
        require(np.array_equal(pixels, again.image), f"{who}: face {face.key!r} has other pixels the second time")
    batch = getattr(faces, "batch", None)
    if batch is not None:
        same = np.array_equal(batch(places), np.stack([faces[place].image for place in places.tolist()]))
        require(same, f"{who}: batch() gives other pixels than one face at a time")


def check_embedder(embedder: Embedder, *, seed: int = 0) -> None:
    """An embedder gives finite float32 vectors of its stated size, face by face, the same each time.

    Args:
        embedder: Built and loaded.
        seed: Of the random pictures.
    """
    height, width = embedder.preprocess.size
    images = np.random.default_rng(seed).integers(0, 256, (3, height, width, 3), dtype=np.uint8)
    features = embedder.embed(images)
    require(isinstance(features, Features), f"embedder: embed returned {type(features).__name__}, not Features")
    vectors, wanted = features.vectors, (3, embedder.embedding_size)
    found = f"{vectors.dtype} {vectors.shape}"
    require(
        vectors.dtype == np.float32 and vectors.shape == wanted, f"embedder: vectors are {found}, not float32 {wanted}"
    )
    require(bool(np.isfinite(vectors).all()), "embedder: vectors are not finite")
    again = embedder.embed(images).vectors
    require(np.array_equal(again, vectors), "embedder: the same pictures gave other vectors the second time")
    alone = embedder.embed(images[1:2]).vectors[0]
    same = np.allclose(alone, vectors[1], rtol=1e-2, atol=1e-3 * float(np.abs(vectors).max()))
    require(same, "embedder: a face's vector depends on the other faces of its batch")
    require(bool(embedder.fingerprint), "embedder: has no fingerprint")


def check_protocol(spec: ProtocolSpec, *, ranks: bool = True, confidence: int = 0, seed: int = 0) -> None:
    """A protocol prefers embeddings that know the identity, whatever the order of rows, and its result is JSON.

    Args:
        spec: Evaluated on its demo faces, with its default options.
        ranks: Whether one-hot identities must reach the best value and random vectors stay well below; switch off for
            measures of something else than recognition.
        confidence: K, for protocols that evaluate predicted confidences; random ones are given.
        seed: Of the random vectors and the evaluation.
    """
    who, random = f"protocol {spec.name!r}", np.random.default_rng(seed)
    protocol: EvalProtocol = spec.build(spec.options())
    faces = protocol.faces(None)
    check_dataset(faces)
    embedded = partial(_embeddings, faces, confidence=_confidences(len(faces), confidence, seed))
    perfect = _evaluated(who, protocol, embedded(_codes(faces, random)), faces, seed)
    noise = random.normal(size=(len(faces), 64)).astype(np.float32)
    chance = _evaluated(who, protocol, embedded(noise), faces, seed)
    repeated = _evaluated(who, protocol, embedded(noise), faces, seed)
    require(repeated.metrics == chance.metrics, f"{who}: the same embeddings and seed gave other metrics")
    codes = _codes(faces, random)
    middling = codes + (random.normal(size=codes.shape) / math.sqrt(codes.shape[1])).astype(np.float32)
    order = random.permutation(len(faces))
    straight = _evaluated(who, protocol, embedded(middling), faces, seed)
    moved = _evaluated(who, protocol, embedded(middling, order, extra=True), faces, seed)
    for one, two in zip(straight.metrics, moved.metrics, strict=True):
        same = one.value == two.value or math.isclose(one.value or 0.0, two.value or 0.0, rel_tol=1e-6, abs_tol=1e-9)
        require(same, f"{who}: {one.name} is {one.value}, but {two.value} with the rows in another order")
    for evaluation in (perfect, chance):
        result = toy_result(spec.name, evaluation)
        require(Result.model_validate_json(result.to_json()) == result, f"{who}: the result does not survive JSON")
    if ranks:
        _check_ranks(who, perfect.metrics[0], chance.metrics[0])


def _check_ranks(who: str, perfect: Metric, chance: Metric) -> None:
    best = 1.0 if perfect.higher_is_better else 0.0
    value, poor = perfect.value, chance.value
    require(value is not None and poor is not None, f"{who}: the headline {perfect.name} has no value on demo faces")
    if value is not None and poor is not None and perfect.unit == "fraction":
        require(abs(value - best) < 1e-6, f"{who}: perfect embeddings reach {perfect.name} {value}, not {best}")
        require(abs(poor - best) > 0.25, f"{who}: random embeddings reach {chance.name} {poor}, near the best {best}")


def check_report(spec: ReportSpec, out: Path) -> None:
    """A report format writes files below the folder it is given, for one result and for several.

    Args:
        spec: Built with its default options.
        out: An empty folder.
    """
    who = f"report {spec.name!r}"
    for count in (1, 3):
        folder = out / str(count)
        results = [toy_result(f"toy-{place}") for place in range(count)]
        files = list(spec.build(spec.options()).render(results, folder))
        require(bool(files), f"{who}: wrote nothing for {count} results")
        for file in files:
            require(file.is_file() and folder in file.parents, f"{who}: {file} is not a file below {folder}")


def _codes(faces: FaceDataset, random: np.random.Generator) -> npt.NDArray[np.float32]:
    """One direction per identity, and one for each face of nobody known."""
    labels = np.array(faces.labels)
    unknown = labels < 0
    labels[unknown] = labels.max() + 1 + np.arange(unknown.sum())
    _, place = np.unique(labels, return_inverse=True)
    count = int(place.max()) + 1
    codes = np.eye(count, dtype=np.float32) if count <= 4096 else random.normal(size=(count, 4096)).astype(np.float32)
    return codes[place]


def _confidences(faces: int, count: int, seed: int) -> npt.NDArray[np.float32] | None:
    """Random confidences above 0, (N, K); None where none are asked for."""
    random = np.random.default_rng((seed, count))
    return random.lognormal(size=(faces, count)).astype(np.float32) if count else None


def _embeddings(
    faces: FaceDataset,
    vectors: npt.NDArray[np.float32],
    order: npt.NDArray[np.int64] | None = None,
    *,
    extra: bool = False,
    confidence: npt.NDArray[np.float32] | None = None,
) -> Embeddings:
    """Embeddings of the faces, their mirrors alike; optionally in another order and with one face too many."""
    keys = np.asarray(faces.keys, dtype=np.str_)
    if order is not None:
        keys, vectors = keys[order], vectors[order]
        confidence = None if confidence is None else confidence[order]
    if extra:
        keys = np.append(keys, "a face that nobody asked for")
        vectors = np.vstack([vectors, vectors[:1]])
        confidence = None if confidence is None else np.vstack([confidence, confidence[:1]])
    return Embeddings(keys=keys, vectors=vectors, mirrored=vectors, confidence=confidence, fingerprint="0" * 16)


def _evaluated(who: str, protocol: EvalProtocol, embeddings: Embeddings, faces: FaceDataset, seed: int) -> Evaluation:
    evaluation = protocol.evaluate(embeddings, faces, seed=seed)
    require(isinstance(evaluation, Evaluation), f"{who}: evaluate returned {type(evaluation).__name__}")
    require(bool(evaluation.metrics), f"{who}: found no metric")
    names = Counter((one.name, one.rule, one.score, one.mirror) for one in evaluation.metrics)
    twice = [name for name, times in names.items() if times > 1]
    require(not twice, f"{who}: two metrics are both called {twice[:1]}")
    lengths = {name: len(values) for name, values in evaluation.scores.items()}
    require(len(set(lengths.values())) <= 1, f"{who}: arrays of scores differ in length: {lengths}")
    return evaluation
