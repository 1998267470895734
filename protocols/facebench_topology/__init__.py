"""Topology: whether embeddings keep the structure of the pictures, or have merely their scale."""
