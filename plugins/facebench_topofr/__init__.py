"""TopoFR: the structure of a batch of faces, kept on the way from pixels to embeddings."""
