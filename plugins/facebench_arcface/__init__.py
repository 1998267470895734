"""ArcFace and its family: softmax over cosines, with a margin between a face and its own class."""
