"""Verification of pairs: LFW and every list of pairs like it."""
