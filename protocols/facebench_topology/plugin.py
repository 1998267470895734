"""What this package offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facebench import ProtocolSpec, ReportSpec, hookimpl, option, options
from facebench_topology.options import TopologyOptions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from facebench import EvalProtocol, Renderer


@options
class TopologyReportOptions:
    """What the report lets its user set."""

    title: str = option(default="Shape of latent spaces", help="heading of the report", min_length=1)


def _topology(options: TopologyOptions) -> EvalProtocol:
    from facebench_topology.protocol import Topology

    return Topology(options)


def _report(options: TopologyReportOptions) -> Renderer:
    from facebench_topology.report import TopologyReport

    return TopologyReport(options.title)


@hookimpl
def facebench_protocols() -> Iterable[ProtocolSpec]:
    """Topology."""
    return [
        ProtocolSpec(
            name="topology",
            summary="topology: whether embeddings keep the structure of the pictures, or have merely shrunk",
            cites=(
                "Dan et al., TopoFR: A Closer Look at Topology Alignment on Face Recognition, NeurIPS 2024",
                "Moor et al., Topological Autoencoders, ICML 2020",
            ),
            options=TopologyOptions,
            build=_topology,
            layout="any faces below DATA_ROOT, named with protocol.topology.data: a folder, .tar, .csv list, .bin pack "
            "or .rec; without it DATA_ROOT/lfw/lfw_112x112.tar (or the folder, or lfw.bin)",
        )
    ]


@hookimpl
def facebench_reports() -> Iterable[ReportSpec]:
    """Method against method."""
    return [
        ReportSpec(
            name="topology",
            summary="topology.md: results of the protocol topology side by side, their batches over one axis",
            options=TopologyReportOptions,
            build=_report,
        )
    ]
