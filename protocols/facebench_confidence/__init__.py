"""Confidence: whether a network's confidences fall as pictures get worse, and whether its blocks are independent."""
