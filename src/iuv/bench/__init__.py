"""How fast, how large and how exact: the measurements of ``iuv bench``."""
