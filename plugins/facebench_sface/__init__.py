"""SFace: sigmoid-constrained hypersphere loss."""
