"""IARPA Janus benchmarks A, B and C: templates of several pictures, verified one to one and searched one to many."""
