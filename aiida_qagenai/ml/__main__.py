"""Entry point of ``python -m aiida_qagenai.ml``."""

import sys

from aiida_qagenai.ml.cli import main

if __name__ == '__main__':
    sys.exit(main())
