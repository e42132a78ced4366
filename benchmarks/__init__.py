"""Speed, accuracy and cost, measured beside the bare library."""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # as in the engine's process, and before anything imports numpy
