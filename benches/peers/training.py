#!/usr/bin/env python3
"""Steps of training and inference beside PyTorch in eager mode: time and memory, in one run.

Both sides run the same U-Net on random images in turn, each in a process of its own with the same
number of threads: a pre-training step (masked reconstruction, forward, backward, AdamW), a
fine-tuning step (Dice and cross-entropy), and inference. Memory is the growth of the process above
what it held before the network was made.

    python3 benches/peers/training.py                 # CPU: cpu and libtorch, widths 16, 32, 64
    python3 benches/peers/training.py --device libtorch:0 --precision bf16

Needs PyTorch 2.9 in the Python that --python names (default: this one) and, for libtorch,
scripts/libtorch before.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BATCH = {16: 8, 32: 8, 64: 4}


def build(features):
    command = ["cargo", "bench", "--bench", "step", "--no-run", "--message-format", "json"]
    command += ["--features", features] if features else []
    out = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in out.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "step":
            return message["executable"]
    sys.exit("cargo built no benchmark")


def measure(command, threads):
    env = dict(os.environ)
    for name in ("RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        env[name] = str(threads)
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=env, cwd=ROOT)
    return json.loads(out.stdout.strip().splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tasks", default="pretrain,finetune,predict")
    parser.add_argument("--widths", default="16,32,64")
    parser.add_argument("--device", default="cpu,libtorch", help="ours, with commas between")
    parser.add_argument("--precision", default="f32", choices=("f32", "bf16"))
    parser.add_argument("--channels-last", action="store_true", help="PyTorch's side")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--batch", type=int, help="default: 8, at width 64 4")
    parser.add_argument("--steps", type=int, default=3, help="steps per measurement")
    parser.add_argument("--rounds", type=int, default=4, help="measurements, and one to warm up")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--ours", help="a program built before, instead of building it")
    a = parser.parse_args()
    devices = a.device.split(",")
    ours = a.ours or build("libtorch" if any(d.startswith("libtorch") for d in devices) else "")
    theirs = [a.python, os.path.join(ROOT, "benches/peers/step.py")]
    gpu = any(":" in d for d in devices)
    version = subprocess.run([a.python, "-c", "import torch; print(torch.__version__)"], check=True,
                             stdout=subprocess.PIPE, text=True).stdout.strip()
    sides = devices + ["torch"]
    print(f"PyTorch {version}, {a.threads} threads, {a.size} x {a.size}, {a.precision}\n")
    print("| step | width | batch | PyTorch | " + " | ".join(f"{d}: speed, memory" for d in devices) + " |")
    print("|---|---:|---:|---:|" + "---:|" * len(devices))
    for task in a.tasks.split(","):
        for width in map(int, a.widths.split(",")):
            batch = a.batch or BATCH.get(width, 4)
            case = ["--task", task, "--width", str(width), "--batch", str(batch), "--size", str(a.size),
                    "--steps", str(a.steps), "--rounds", str(a.rounds)]
            seconds = {side: [] for side in sides}
            memory = {side: [] for side in sides}
            for _ in range(a.repeat):
                for side in sides:
                    if side == "torch":
                        command = theirs + case + ["--threads", str(a.threads), "--precision", a.precision,
                                                   "--device", "cuda" if gpu else "cpu"]
                        command += ["--channels-last"] if a.channels_last else []
                    else:
                        command = [ours, *case, "--device", side]
                        command += ["--precision", a.precision] if a.precision != "f32" else []
                    result = measure(command, a.threads)
                    seconds[side] += result["seconds"]
                    memory[side].append(result["bytes"])
            t = statistics.median(seconds["torch"])
            m = statistics.median(memory["torch"])
            cells = [f"{t / statistics.median(seconds[d]):.2f} x, {statistics.median(memory[d]) / m:.2f}"
                     for d in devices]
            print(f"| {task} | {width} | {batch} | {t * 1e3:.3g} ms, {m / 2**20:.0f} MiB | "
                  + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
