"""``python -m facebench`` is the command ``facebench``."""

from facebench.cli import main

main()
