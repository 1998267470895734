"""Pure functions from scores to numbers: the part of facebench that must never be wrong."""
