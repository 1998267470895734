"""Offers the networks. Nothing here waits for torch: each ``build`` imports its family when a network is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facebench import BackboneSpec, Preprocess, hookimpl, option, options

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from facebench_backbones.network import FaceNetwork

PREPROCESS = Preprocess(size=(112, 112), color="rgb", mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5))

_RESIDUAL = (
    'Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", CVPR 2019',
    'He et al., "Deep Residual Learning for Image Recognition", CVPR 2016',
)
_MOBILE = ('Chen et al., "MobileFaceNets: Efficient CNNs for Accurate Real-Time Face Verification", CCBR 2018',)
_TRANSFORMER = (
    'Dosovitskiy et al., "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale", ICLR 2021',
    'An et al., "Killing Two Birds with One Stone: Efficient and Robust Training of Face Recognition CNNs by '
    'Partial FC", CVPR 2022',
)


_CONFIDENCE = (
    "blocks of the embedding, each of unit length, that get a confidence from a second head, as url wants it; 0: none"
)


@options
class IResNetOptions:
    """What the IResNets let their user set."""

    embedding_size: int = option(default=512, help="length of the embedding", ge=8, le=8192)
    confidence: int = option(default=0, help=_CONFIDENCE, ge=0, le=1024)
    dropout: float = option(default=0.0, help="share of values dropped before the last layer in training", ge=0, lt=1)


@options
class MobileFaceNetOptions:
    """What the MobileFaceNets let their user set."""

    embedding_size: int = option(default=512, help="length of the embedding", ge=8, le=8192)
    confidence: int = option(default=0, help=_CONFIDENCE, ge=0, le=1024)


@options
class VitOptions:
    """What the transformers let their user set."""

    embedding_size: int = option(default=512, help="length of the embedding", ge=8, le=8192)
    confidence: int = option(default=0, help=_CONFIDENCE, ge=0, le=1024)
    drop_path: float = option(
        default=0.1,
        help="share of samples that skip the last block in training, growing from 0 at the first",
        ge=0,
        lt=1,
    )
    token_masking: float = option(default=0.1, help="share of image patches hidden in training", ge=0, le=0.9)
    recompute: bool = option(default=False, help="compute blocks twice to save memory in training; same result")


@options
class TinyNetOptions:
    """What the small network lets its user set."""

    embedding_size: int = option(default=128, help="length of the embedding", ge=8, le=8192)
    confidence: int = option(default=0, help=_CONFIDENCE, ge=0, le=1024)


@hookimpl
def facebench_backbones() -> Iterable[BackboneSpec]:
    """All networks of this package."""
    return [*_iresnets(), *_mobilefacenets(), *_vits(), *_tinynets()]


def _iresnets() -> Iterator[BackboneSpec]:
    for depth, millions in ((18, 24.0), (34, 34.1), (50, 43.6), (100, 65.2), (200, 118.8)):

        def build(options: IResNetOptions, depth: int = depth) -> FaceNetwork:
            from facebench_backbones.iresnet import iresnet

            return iresnet(
                depth,
                embedding_size=options.embedding_size,
                dropout=options.dropout,
                confidence=options.confidence,
            )

        yield BackboneSpec(
            name=f"iresnet{depth}",
            summary=f"residual network for faces, {millions} M parameters",
            cites=_RESIDUAL,
            options=IResNetOptions,
            build=build,
            preprocess=PREPROCESS,
        )


def _mobilefacenets() -> Iterator[BackboneSpec]:
    def build(options: MobileFaceNetOptions) -> FaceNetwork:
        from facebench_backbones.mobilefacenet import mobilefacenet

        return mobilefacenet(embedding_size=options.embedding_size, confidence=options.confidence)

    def build_large(options: MobileFaceNetOptions) -> FaceNetwork:
        from facebench_backbones.mobilefacenet import mobilefacenet_large

        return mobilefacenet_large(embedding_size=options.embedding_size, confidence=options.confidence)

    for name, millions, builder in (("mobilefacenet", 2.1, build), ("mobilefacenet_large", 6.3, build_large)):
        yield BackboneSpec(
            name=name,
            summary=f"depthwise convolutions for small devices, {millions} M parameters",
            cites=_MOBILE,
            options=MobileFaceNetOptions,
            build=builder,
            preprocess=PREPROCESS,
        )


def _vits() -> Iterator[BackboneSpec]:
    for size, millions in (("t", 19.1), ("s", 76.0), ("b", 113.8), ("l", 255.7)):

        def build(options: VitOptions, size: str = size) -> FaceNetwork:
            from facebench_backbones.vit import vit

            return vit(
                size,
                embedding_size=options.embedding_size,
                drop_path=options.drop_path,
                token_masking=options.token_masking,
                recompute=options.recompute,
                confidence=options.confidence,
            )

        yield BackboneSpec(
            name=f"vit_{size}",
            summary=f"vision transformer on 144 patches, {millions} M parameters",
            cites=_TRANSFORMER,
            options=VitOptions,
            build=build,
            preprocess=PREPROCESS,
        )


def _tinynets() -> Iterator[BackboneSpec]:
    def build(options: TinyNetOptions) -> FaceNetwork:
        from facebench_backbones.tinynet import tinynet

        return tinynet(embedding_size=options.embedding_size, confidence=options.confidence)

    def build_small(options: TinyNetOptions) -> FaceNetwork:
        from facebench_backbones.tinynet import tinynet32

        return tinynet32(embedding_size=options.embedding_size, confidence=options.confidence)

    yield BackboneSpec(
        name="tinynet",
        summary="small network for trials without an accelerator, 0.5 M parameters",
        options=TinyNetOptions,
        build=build,
        preprocess=PREPROCESS,
    )
    yield BackboneSpec(
        name="tinynet32",
        summary="small network for pictures of 32 x 32 and trials with them, 0.5 M parameters",
        options=TinyNetOptions,
        build=build_small,
        preprocess=Preprocess(size=(32, 32), color=PREPROCESS.color, mean=PREPROCESS.mean, std=PREPROCESS.std),
    )
