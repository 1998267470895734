"""ArcFace: additive angular margin softmax."""
