"""Vec2Face: faces from identity vectors, and data sets of people who do not exist."""
