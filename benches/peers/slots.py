#!/usr/bin/env python3
"""What slots gain, and what the runner itself costs.

    cargo build --release
    python3 benches/peers/slots.py [--repeat 3]

Gain: the same independent trainings (one row, many seeds; data prepared beforehand) with one slot of
one thread, then with two, in turn on fresh copies of one store; medians and their ratio.

Cost: the smoke run of the ablation study from an empty store. What of the slots' time no stage used
is the runner's own: starting processes, deciding, publishing in between, and slots that stand idle
at the end of the graph. Read from the run's log of events.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

MANIFEST = """\
name = "slots"
seeds = [{seeds}]

[data.hecktor]
layout = "hecktor2020"
phantom = {{ kind = "hecktor2020", cases = 20, scale = 0.25 }}

[prepare]
crop.size = [48, 48]

[slices]
per_case = 8

[split]
seed = 1

[backbone]
width = 8
depth = 3

[finetune]
epochs = 40
batch = 8

[[study]]
table = "S"
title = "Slots"
data = ["hecktor/CT"]
labels = [100]
metrics = ["DSC"]

[[study.variant]]
name = "Sup"
pretext = "none"
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=12)
    target = os.environ.get("CARGO_TARGET_DIR", ROOT / "target")
    parser.add_argument("--binary", type=Path, default=Path(target) / "release" / "amlp-run")
    options = parser.parse_args()
    gain(options)
    cost(options)


def gain(options):
    with tempfile.TemporaryDirectory(prefix="amlp-slots-") as folder:
        folder = Path(folder)
        manifest = folder / "slots.toml"
        manifest.write_text(MANIFEST.format(seeds="1"))
        run = [options.binary, "run", manifest, "--quiet", "--threads", "1"]
        subprocess.run(run, check=True, capture_output=True)
        seeds = ", ".join(str(seed) for seed in range(2, 2 + options.seeds))
        manifest.write_text(MANIFEST.format(seeds=seeds))
        times = {1: [], 2: []}
        for _ in range(options.repeat):
            for jobs in times:
                store = folder / "copy"
                shutil.copytree(folder / ".amlp", store)
                start = time.perf_counter()
                command = run + ["--jobs", str(jobs), "--store", store]
                subprocess.run(command, check=True, capture_output=True)
                times[jobs].append(time.perf_counter() - start)
                shutil.rmtree(store)
        one, two = (statistics.median(times[jobs]) for jobs in (1, 2))
        print(
            f"{options.seeds} trainings, one thread each: one slot {one:.1f} s, "
            f"two slots {two:.1f} s, {one / two:.2f} times as fast"
        )


def cost(options):
    with tempfile.TemporaryDirectory(prefix="amlp-slots-") as folder:
        store = Path(folder) / "store"
        command = [options.binary, "run", ROOT / "experiments/ablation.toml", "-p", "smoke"]
        command += ["--quiet", "--store", store, "--results", Path(folder) / "results"]
        subprocess.run(command, check=True, capture_output=True)
        (log,) = (store / "runs").glob("*/events.jsonl")
        events = [json.loads(line) for line in log.read_text().splitlines()]
        stages = sum(e["event"]["wall_s"] for e in events if e["event"]["type"] == "done")
        (end,) = (e["event"] for e in events if e["event"]["type"] == "run_finished")
        slots = os.cpu_count()
        own = 1 - stages / (slots * end["wall_s"])
        print(
            f"smoke run: {end['ran']} stages, {end['wall_s']:.0f} s on {slots} slots, "
            f"{stages:.0f} s inside stages; the runner's own share is {100 * own:.1f} %"
        )


if __name__ == "__main__":
    main()
