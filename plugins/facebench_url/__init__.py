"""URL: embeddings of several blocks, each with a confidence of its own, from faces varied on purpose."""
