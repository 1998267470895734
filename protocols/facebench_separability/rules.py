"""How the numbers are made, in words that go into every result."""

from __future__ import annotations

RULES = {
    "embedding": "of the face as it is, without its mirror image; similarity is the cosine",
    "order": "identities are sorted by name, the first key of each; first-occurrence and greedy depend on it, strict "
    "does not",
    "identities-separable": "share of identities that are separate at a cosine similarity; the count stands beside it. "
    "first-occurrence: similarity to every earlier identity at most the threshold, which is what the released code of "
    "Vec2Face counts and DCFace's equations 11 and 12 say; strict: to every other identity, as Vec2Face's procedure is "
    "described; greedy: to every earlier identity that was accepted, a packing, as DCFace's is described. All three "
    "shares fall as a set grows: compare sets of one size, or the curves by size. There is no interval: whether an "
    "identity is separate depends on all others, so Wilson's does not hold, and identities drawn with replacement "
    "would repeat some, which are never separate",
    "threshold@fmr": "the lowest similarity that at most that share of impostor pairs of faces is above. Means of "
    "identities have less noise than faces, so the share of pairs of identities above it is another one (pairs-above)",
    "nearest-similarity": "of each identity to the nearest other one: mean; median and percentiles beside it",
    "similarity-between": "mean over all pairs of identities; effective-dimension is 1 / variance of the same, in how "
    "many dimensions random directions would be as spread",
    "intra-similarity": "mean over all pairs of faces of an identity, then over identities; neither more nor less is "
    "better by itself: 1 is a set of copies",
    "similarity-to-centre": "reference: mean over an identity's faces, which the mean contains, so it is inflated; "
    "leave-one-out: to the mean of the other faces",
    "consistency": "DCFace's, in similarity: share of an identity's faces more similar to its mean than the threshold, "
    "then mean over identities. Of copies it is 1",
    "uniqueness": "DCFace's, in similarity: identities whose mean is not above the threshold with any earlier one, as "
    "a share; the same number as identities-separable by first-occurrence. Published at 0.3",
    "diversity": "DCFace's is not measured: it asks which real pictures of the very same label lie within the "
    "neighbourhoods of generated ones, in a network for style, and there are none of people who do not exist. "
    "1 - intra-similarity is no substitute: an identity network is trained to see no style",
    "genuine and impostor": "pairs of faces of one and of two people: all, or a random sample without replacement "
    "where there are more than protocol.separability.pairs",
    "eer": "root of 1 - x = TAR(x) on the linearly interpolated ROC",
    "fnmr@fmr, tar@far": "strict: the largest share of impostors accepted that does not exceed the rate. FNMR at 1e-2 "
    "and 1e-3 are elsewhere called FMR100 and FMR1000",
    "fdr": "Fisher's discriminant ratio, (mean genuine - mean impostor)^2 / (variance + variance): half of d' squared",
    "interval": "identities drawn with replacement, each with all its faces; of an impostor pair both count. EER and "
    "AUC have one where there are at most half a million pairs, nothing has one where no error was seen",
}
BESIDE = (
    "metrics that end in -beside: the same of real people, cut to as many identities and, of each, as many faces "
    "(the first by name) where there are more; what these reach is what this network can tell apart"
)
FRECHET = (
    "|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) between the raw embeddings of the judged faces and those of the part "
    "that is its rule, in the space of the evaluated network: not FID, and to be compared within one network and one "
    "number of faces only"
)
LEAKAGE = (
    "the nearest reference identity of each face (image-to-centre) and of each identity's mean (centre-to-centre); "
    "leakage is the share above the threshold. {images} Real people who are not in the reference are the yardstick "
    "(-beside): what they reach is chance. Both kinds are needed: a generated set was once cleared by its means while "
    "single pictures of it were people of the training set"
)
MEANS = {
    "raw": "mean of the embeddings of all its faces as the network gives them, as published",
    "unit": "mean of the embeddings of all its faces scaled to unit length, not as published",
}
