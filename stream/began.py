"""When the command began: loaded before everything else, so that start-up can be told from work."""

import time

BEGAN_S = time.perf_counter()
