"""The command `keras-byorn`, as `python -m keras_byorn`."""

import sys

from keras_byorn_cli import main

if __name__ == "__main__":
    sys.exit(main())
