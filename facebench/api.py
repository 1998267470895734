"""The same power from Python as from the command line: ``facebench.run``, ``train`` and ``evaluate``.

A script that ``torchrun`` started in several processes calls ``run`` and ``train`` in all of them; they join, work
together, and each is given the same answer.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from facebench.config import load, merged
from facebench.embeddings import Embeddings
from facebench.evaluating import evaluate_embeddings
from facebench.host import Host
from facebench.launching import together
from facebench.progress import Bars
from facebench.runner import Outcome, Trained
from facebench.runner import run as run_settings
from facebench.runner import train as train_settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from facebench.config import Settings
    from facebench.results import Result


def run(
    plugin: str,
    protocols: str | Sequence[str],
    *,
    config: Path | str | None = None,
    changes: Mapping[str, Any] | None = None,
    finetune: Path | str | Mapping[str, Any] | None = None,
    validate: str | Sequence[str] = (),
    host: Host | None = None,
    fresh: bool = False,
    quiet: bool = False,
    **settings: Any,
) -> Outcome:
    """Trains or loads a method, evaluates it, and stores the results.

    Args:
        plugin: A trainer or embedder by name.
        protocols: One protocol's name, or several.
        config: A TOML file to start from.
        changes: Nested values over the file, as ``--set`` would: ``{"loss": {"margin": 0.4}}``.
        finetune: Weights that the training starts from; ``{"weights": ..., "classes": "kept"}`` keeps class centres.
        validate: Protocols on which the network is evaluated while it is trained.
        host: The plugins; started if not given.
        fresh: Do everything again, even what is stored.
        quiet: Show no bars.
        **settings: Any field of ``facebench.config.Settings``: ``weights``, ``data_root``, ``seed``, ``device``,
            ``out`` and so on.

    Returns:
        The run's folder and one result per protocol.

    Raises:
        FacebenchError: When names, options, data or weights cannot be used.

    Example:
        >>> import facebench
        >>> outcome = facebench.run("onnx", "lfw", weights="model.onnx", data_root="data")  # doctest: +SKIP
        >>> outcome.results[0].metric("accuracy").value  # doctest: +SKIP
        0.9945
    """
    said = {"plugin": plugin, "protocols": _names(protocols)}
    loaded = _loaded(config, changes, settings, said, finetune, validate)
    host = host or Host.start()
    with together(loaded, host.catalog) as here:
        return run_settings(loaded, host, progress=Bars(quiet=quiet or not here.first), fresh=fresh)


def train(
    plugin: str,
    *,
    config: Path | str | None = None,
    changes: Mapping[str, Any] | None = None,
    finetune: Path | str | Mapping[str, Any] | None = None,
    validate: str | Sequence[str] = (),
    host: Host | None = None,
    fresh: bool = False,
    quiet: bool = False,
    **settings: Any,
) -> Trained:
    """Trains a method and evaluates nothing, or finds that it was trained before.

    Args:
        plugin: A trainer by name.
        config: A TOML file to start from.
        changes: Nested values over the file, as ``--set`` would.
        finetune: Weights that the training starts from; ``{"weights": ..., "classes": "kept"}`` keeps class centres.
        validate: Protocols on which the network is evaluated while it is trained.
        host: The plugins; started if not given.
        fresh: Train again, even if the same was trained before.
        quiet: Show no bars.
        **settings: Any field of ``facebench.config.Settings``: ``train_data``, ``backbone``, ``seed`` and so on.

    Returns:
        The checkpoint, in the run's folder, and the values of the last epoch.

    Raises:
        FacebenchError: When names, options or data cannot be used.

    Example:
        >>> import facebench
        >>> trained = facebench.train("arcface", train_data={"name": "faces/"})  # doctest: +SKIP
        >>> facebench.run("arcface", "lfw", weights=trained.checkpoint.folder)  # doctest: +SKIP
    """
    loaded = _loaded(config, changes, settings, {"plugin": plugin}, finetune, validate)
    host = host or Host.start()
    with together(loaded, host.catalog) as here:
        return train_settings(loaded, host, progress=Bars(quiet=quiet or not here.first), fresh=fresh)


def _loaded(
    config: Path | str | None,
    changes: Mapping[str, Any] | None,
    settings: Mapping[str, Any],
    said: dict[str, Any],
    finetune: Path | str | Mapping[str, Any] | None,
    validate: str | Sequence[str],
) -> Settings:
    """What a call asks for."""
    if finetune is not None:
        said["finetune"] = {"weights": finetune} if isinstance(finetune, (str, Path)) else dict(finetune)
    if validate:
        said["validation"] = _names(validate)
    return load(Path(config) if config else None, flags=merged(changes or {}, settings, said))


def _names(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def evaluate(
    embeddings: Embeddings | Path | str,
    protocol: str,
    *,
    data_root: Path | str | None = None,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    subject: str = "",
    host: Host | None = None,
) -> Result:
    """Evaluates embeddings that exist already; no network, no pictures.

    Args:
        embeddings: The embeddings, or an ``.npz`` file that ``Embeddings.load`` reads. Keys must be the protocol's.
        protocol: The protocol's name.
        data_root: Where the protocol's lists lie; None for its demo layout.
        options: The protocol's options.
        seed: For intervals.
        subject: What to call the method in the result; the file's name by default.
        host: The plugins; started if not given.

    Returns:
        The result; it is not stored.

    Raises:
        UnknownName: When there is no such protocol.
        ConfigError: When an option cannot be used.
        DataError: When the lists are missing or name a face that has no embedding.
    """
    given = embeddings if isinstance(embeddings, Embeddings) else Path(embeddings)
    root = Path(data_root) if data_root else None
    host = host or Host.start()
    return evaluate_embeddings(
        given, protocol, host=host, data_root=root, options=options, seed=seed, subject=subject
    ).result
