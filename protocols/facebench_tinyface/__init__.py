"""TinyFace: identification of faces of about 20 x 16 pixels among 153,428 distractors."""
