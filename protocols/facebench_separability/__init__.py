"""Separability: whether the identities of a set of faces are truly apart, and the faces of each truly together."""
