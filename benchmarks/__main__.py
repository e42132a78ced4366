"""All comparisons but those of accuracy, the event bus and the cost at rest, one after the other.

python -m benchmarks [--rounds N]
"""

from __future__ import annotations

import argparse
import asyncio

from benchmarks import daemon, engine, length, models

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    asyncio.run(length.main(length.MINUTES))
    asyncio.run(daemon.main(rounds))
    engine.main(models.NAMES, list(engine.SPEECH), rounds)
