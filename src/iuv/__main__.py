"""``python -m iuv``: the same as the ``iuv`` command."""

from iuv.cli.app import main

main()
