"""Prints the scalars of TensorBoard event files, as TensorBoard itself reads them, as JSON.

Usage: read_tensorboard.py LOGDIR
Needs the package `tensorboard` (not TensorFlow).
"""

import json
import sys
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

found = {}
for folder in sorted({path.parent for path in Path(sys.argv[1]).rglob("*tfevents*")}):
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    accumulator.Reload()
    found[folder.name] = {
        tag: [[e.step, e.value, e.wall_time] for e in accumulator.Scalars(tag)]
        for tag in accumulator.Tags()["scalars"]
    }
json.dump(found, sys.stdout)
