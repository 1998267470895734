"""The host: finds plugins, loads each on its own, and keeps the catalog of what they offer.

A broken plugin must never take the rest down. So every entry point is loaded, checked and asked separately; whatever
goes wrong is kept as a ``Problem`` with the plugin's name and the reason, shown by ``facebench plugins`` and repeated
when somebody asks for a name that the plugin might have offered.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, fields
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

import pluggy

from facebench import hooks, specs
from facebench.contracts import Preprocess
from facebench.declare import unusable
from facebench.errors import ConfigError, PluginError, UnknownName

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from importlib.metadata import EntryPoint

log = logging.getLogger(__name__)

OFFERS: dict[str, type[specs.Spec]] = {
    "backbones": specs.BackboneSpec,
    "losses": specs.LossSpec,
    "trainers": specs.TrainerSpec,
    "embedders": specs.EmbedderSpec,
    "generators": specs.GeneratorSpec,
    "datasets": specs.DatasetSpec,
    "protocols": specs.ProtocolSpec,
    "reports": specs.ReportSpec,
}
SINGULAR = {kind: kind[:-1] for kind in OFFERS} | {"losses": "loss"}
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
# What the further fields of specs must hold.
_TEXTS = ("backbone", "loss", "downstream", "source", "licence", "layout")
_FIELDS: dict[str, type] = {name: str for name in _TEXTS} | {"cites": tuple, "demo": Mapping, "preprocess": Preprocess}


@dataclass(frozen=True, slots=True)
class Plugin:
    """One entry point.

    Attributes:
        name: Its name.
        module: The module it points to.
        distribution: The installed package it belongs to.
        version: That package's version.
    """

    name: str
    module: str
    distribution: str
    version: str

    @property
    def bundled(self) -> bool:
        """Whether it comes with facebench itself."""
        return self.distribution == "facebench"

    def __str__(self) -> str:
        return f"{self.name} ({f'{self.distribution} {self.version}'.rstrip()})"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a plugin, or one of its offers, is not available."""

    plugin: Plugin
    reason: str


@dataclass(frozen=True, slots=True)
class Offer:
    """A spec and where it came from."""

    kind: str
    spec: Any
    plugin: Plugin


class Catalog:
    """All offers by kind and name."""

    def __init__(
        self, offers: Iterable[Offer], problems: Sequence[Problem], clashes: dict[tuple[str, str], str]
    ) -> None:
        self._offers = {(offer.kind, offer.spec.name): offer for offer in offers}
        self._problems = problems
        self._clashes = clashes

    def __iter__(self) -> Iterator[Offer]:
        return iter(self._offers.values())

    def names(self, kind: str) -> list[str]:
        """The names offered of a kind, sorted."""
        return sorted(name for known, name in self._offers if known == kind)

    def find(self, kind: str, name: str) -> Offer | None:
        """The offer of that name, or None."""
        return self._offers.get((kind, name))

    def get(self, kind: str, name: str) -> Offer:
        """The offer of that name.

        Raises:
            UnknownName: When there is none; plugins that failed to load are mentioned, since one may have had it.
            PluginError: When two plugins claim the name.
        """
        offer = self.find(kind, name)
        if offer is not None:
            return offer
        raise self.missing(SINGULAR[kind], [kind], name)

    def missing(self, what: str, kinds: Sequence[str], name: str) -> PluginError | UnknownName:
        """The error for a name that none of the kinds has, with what is known about why."""
        for kind in kinds:
            if (kind, name) in self._clashes:
                return PluginError(self._clashes[kind, name])
        for problem in self._problems:
            if name in (problem.plugin.name, problem.plugin.module):
                return PluginError(f"{what} {name!r} is not available: plugin {problem.plugin}: {problem.reason}")
        broken = ", ".join(sorted({problem.plugin.name for problem in self._problems}))
        hint = f"plugins with problems: {broken} (see 'facebench plugins')" if broken else ""
        return UnknownName(what, name, {name for kind in kinds for name in self.names(kind)}, hint)


class Host:
    """The plugins of this process.

    Attributes:
        plugins: Those that loaded.
        problems: What went wrong, by plugin.
        catalog: What the loaded ones offer.
    """

    def __init__(self, points: Iterable[EntryPoint]) -> None:
        self._manager = pluggy.PluginManager(hooks.GROUP)
        self._manager.add_hookspecs(hooks)
        self.problems: list[Problem] = []
        self.plugins: list[Plugin] = []
        for plugin, point in self._without_clashes(points):
            self._load(plugin, point)
        self.catalog = self._collect()

    @classmethod
    def start(cls, *, blocked: Iterable[str] = (), third_party: bool | None = None) -> Host:
        """Loads the installed plugins.

        Args:
            blocked: Entry-point names to leave out.
            third_party: Whether to load packages other than facebench's own. None asks the environment:
                ``FACEBENCH_PLUGINS=off`` says no.

        Raises:
            UnknownName: When a blocked name is not installed, since a misspelt block would block nothing.
            ConfigError: When ``FACEBENCH_PLUGINS`` says neither on nor off.
        """
        if third_party is None:
            third_party = _switched_on("FACEBENCH_PLUGINS")
        installed = list(entry_points(group=hooks.GROUP))
        unwanted = set(blocked)
        for name in sorted(unwanted - {point.name for point in installed}):
            raise UnknownName("plugin to leave out", name, {point.name for point in installed})
        chosen = [p for p in installed if p.name not in unwanted and (third_party or _plugin(p).bundled)]
        return cls(chosen)

    def hooks_of(self, plugin: Plugin) -> list[str]:
        """The hooks a loaded plugin fills."""
        module = self._manager.get_plugin(plugin.name)
        callers = self._manager.get_hookcallers(module) if module is not None else None
        return sorted(caller.name for caller in callers or ())

    def tell(self, telling: str, **facts: Any) -> None:
        """Calls a telling in every plugin; one that raises is logged and the others are still told."""
        for implementation in getattr(self._manager.hook, telling).get_hookimpls():
            wanted = {name: facts[name] for name in implementation.argnames}
            try:
                implementation.function(**wanted)
            except (Exception, SystemExit):
                log.warning("plugin %s failed in %s", implementation.plugin_name, telling, exc_info=True)

    def _without_clashes(self, points: Iterable[EntryPoint]) -> Iterator[tuple[Plugin, EntryPoint]]:
        """Settles entry points of equal name: ours stays; of two strangers neither can be preferred."""
        by_name: dict[str, dict[Plugin, EntryPoint]] = {}
        for point in points:
            by_name.setdefault(point.name, {})[_plugin(point)] = point
        # Ours first, so that an offer of ours is never the one refused.
        for _, same in sorted(by_name.items(), key=lambda item: not any(plugin.bundled for plugin in item[1])):
            if len(same) == 1:
                yield from same.items()
                continue
            listed = " and ".join(sorted(f"{plugin.distribution} ({plugin.module})" for plugin in same))
            for plugin, point in same.items():
                if plugin.bundled:
                    yield plugin, point
                else:
                    self.problems.append(Problem(plugin, f"the plugin name {plugin.name!r} is claimed by {listed}"))

    def _load(self, plugin: Plugin, point: EntryPoint) -> None:
        try:
            with redirect_stdout(sys.stderr):  # what a stranger prints must not get into somebody's --json
                module = point.load()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # an import may even call sys.exit
            self.problems.append(Problem(plugin, f"import failed: {_said(error)}"))
            return
        try:
            self._manager.register(module, name=plugin.name)
            self._manager.check_pending()
        except Exception as error:  # pluggy reads every name of the module, and a module may answer with anything
            if self._manager.get_plugin(plugin.name) is not None:
                self._manager.unregister(name=plugin.name)
            self.problems.append(Problem(plugin, f"its hooks do not fit: {_said(error)}"))
            return
        self.plugins.append(plugin)

    def _collect(self) -> Catalog:
        by_module = {plugin.name: plugin for plugin in self.plugins}
        claims: dict[tuple[str, str], list[Offer]] = {}
        for kind in OFFERS:
            caller = getattr(self._manager.hook, f"facebench_{kind}")
            for implementation in caller.get_hookimpls():
                plugin = by_module[implementation.plugin_name]
                for spec in self._ask(kind, plugin, implementation.function):
                    claims.setdefault((kind, spec.name), []).append(Offer(kind, spec, plugin))
        kept, clashes = self._settle(claims)
        return Catalog(kept, self.problems, clashes)

    def _ask(self, kind: str, plugin: Plugin, function: Any) -> list[Any]:
        """The well-formed specs of one offer; the others become problems."""
        try:
            with redirect_stdout(sys.stderr):
                offered = list(function() or ())
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self.problems.append(Problem(plugin, f"facebench_{kind} failed: {_said(error)}"))
            return []
        good = []
        for spec in offered:
            reason = _malformed(kind, spec)
            if reason:
                self.problems.append(Problem(plugin, f"facebench_{kind} offered {reason}"))
            else:
                good.append(spec)
        return good

    def _settle(self, claims: dict[tuple[str, str], list[Offer]]) -> tuple[list[Offer], dict[tuple[str, str], str]]:
        kept, clashes = [], {}
        for (kind, name), offers in claims.items():
            ours = [offer for offer in offers if offer.plugin.bundled]
            winner = ours[0] if ours else offers[0] if len(offers) == 1 else None
            if winner is not None:
                kept.append(winner)
            if len(offers) > 1:
                listed = " and ".join(str(offer.plugin) for offer in offers)
                reason = f"the {SINGULAR[kind]} name {name!r} is claimed by {listed}"
                if winner is None:
                    clashes[kind, name] = f"{reason}; leave one out with --no-plugin"
                self.problems.extend(Problem(offer.plugin, reason) for offer in offers if offer is not winner)
        return kept, clashes


def _switched_on(variable: str) -> bool:
    told = os.environ.get(variable, "on").strip().lower()
    if told in ("off", "0", "false", "no"):
        return False
    if told in ("", "on", "1", "true", "yes"):
        return True
    raise ConfigError(f"{variable} is {told!r}; it must be 'on' or 'off'")


def _plugin(point: EntryPoint) -> Plugin:
    try:
        name, version = (point.dist.name, point.dist.version) if point.dist else (None, None)
    except Exception:  # an installation that was interrupted may leave entry points without metadata
        name, version = None, None
    return Plugin(point.name, point.value, distribution=name or "unknown", version=version or "")


def _said(error: BaseException) -> str:
    first = next((line for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _malformed(kind: str, spec: Any) -> str:
    """What is wrong with an offered spec, or an empty string."""
    wanted = OFFERS[kind]
    if not isinstance(spec, wanted):
        return f"a {type(spec).__name__} instead of a {wanted.__name__}"
    if not isinstance(spec.name, str) or not _NAME.fullmatch(spec.name):
        return f"the name {spec.name!r}; names are lower-case letters, digits, '-', '_' and '.'"
    if not isinstance(spec.summary, str) or not spec.summary.strip():
        return f"{spec.name!r} without a summary"
    if not callable(spec.build):
        return f"{spec.name!r} with a build that cannot be called"
    for what in ("options", "drawing"):
        reason = unusable(getattr(spec, what)) if hasattr(spec, what) else ""
        if reason:
            return f"{spec.name!r} whose {what} {reason}"
    for field in fields(spec):
        if not isinstance(value := getattr(spec, field.name), _FIELDS.get(field.name, object)):
            return f"{spec.name!r} whose {field.name} is {value!r}"
    if not all(isinstance(paper, str) for paper in spec.cites):
        return f"{spec.name!r} whose cites are not all strings"
    return ""
