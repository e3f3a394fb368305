#!/usr/bin/env python3
"""Steps of training and inference beside PyTorch in eager mode: time and memory, in one run.

Both sides run the same U-Net on random images in turn, each in a process of its own with the same
number of threads: a pre-training step (masked reconstruction, forward, backward, AdamW), a
fine-tuning step (Dice and cross-entropy), and inference; and the same of the 3D U-Net on volumes of
64x64x64 with four channels. Memory is the growth of the process above what it held before the network
was made.

    python3 benches/peers/training.py --write         # CPU: cpu and libtorch, widths 16, 32, 64
    python3 benches/peers/training.py --device libtorch:0 --precision bf16

With --methods it is one pre-training step of each method instead, beside the same step in methods/:

    python3 benches/peers/training.py --methods all --write
    python3 benches/peers/training.py --methods mae,moco --size 48 --width 4 --steps 1 --rounds 2 --repeat 1

There the two sides must agree on the number of trained parameters and, within a factor, on the loss
of the first round: where they do not, there is no row, and nothing is written.

--write puts the table into docs/benchmarks.md. Needs PyTorch 2.9 (and for methods NumPy and SciPy) in
the Python that --python names (default: this one) and, for libtorch, scripts/libtorch before.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DOCS = os.path.join(ROOT, "docs/benchmarks.md")
BEGIN, END = "<!-- benches/peers/training.py writes from here -->", "<!-- to here (training) -->"
OF_METHODS = "<!-- benches/peers/training.py --methods writes from here -->", "<!-- to here (methods) -->"
METHODS = ("amlp", "simclr", "byol", "swav", "moco", "densecl", "gl", "pcrl", "vox2vec", "mae", "simmim",
           "maskfeat", "convmae", "beit2", "bootmae", "selfmedmae")
# First losses of two sides that take the same step, on other random numbers, are within this factor.
ALIKE = 3.0
# Steps per measurement where they are not --steps: each compares 20,480 pixels with each other.
STEPS = {"vox2vec": 1}
BATCH = {16: 8, 32: 8, 64: 4}
# Steps on volumes: width, batch, side, channels.
VOLUME = (16, 1, 64, 4)


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


def machine():
    with open("/proc/cpuinfo") as f:
        names = [line.split(":", 1)[1].strip() for line in f if line.startswith("model name")]
    return f"{os.cpu_count()} cores of {names[0] if names else 'an unknown processor'}"


def write(lines, begin, end):
    with open(DOCS) as f:
        text = f.read()
    head, rest = text.split(begin)
    tail = rest.split(end)[1]
    with open(DOCS, "w") as f:
        f.write(head + begin + "\n\n" + "\n".join(lines) + "\n\n" + end + tail)


def differs(results):
    """Why two sides are not one network at one step; nothing where they are."""
    counts = {side: found[0]["parameters"] for side, found in results.items()}
    if len(set(counts.values())) > 1:
        return f"parameters differ: {counts}"
    first = {side: statistics.median(r["losses"][0] for r in found) for side, found in results.items()}
    if max(first.values()) > ALIKE * min(first.values()):
        return f"first losses differ: {first}"
    return ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tasks", default="pretrain,finetune,predict,finetune3d,predict3d")
    parser.add_argument("--methods", default="", help="all, or names with commas between; at the first of --widths")
    parser.add_argument("--widths", "--width", default="16,32,64")
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
    parser.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    parser.add_argument("--note", default="", help="a word on the machine, for the table")
    parser.add_argument("--ours", help="programs built before, instead of building one: PATH, or "
                        "DEVICE=PATH with commas between")
    a = parser.parse_args()
    devices = a.device.split(",")
    if a.ours:
        built = dict(part.split("=", 1) if "=" in part else (None, part) for part in a.ours.split(","))
    else:
        built = {None: build("libtorch" if any(d.startswith("libtorch") for d in devices) else "")}
    ours = {device: built.get(device) or built[None] for device in devices}
    theirs = [a.python, os.path.join(ROOT, "benches/peers/step.py")]
    gpu = any(":" in d for d in devices)
    version = subprocess.run([a.python, "-c", "import torch; print(torch.__version__)"], check=True,
                             stdout=subprocess.PIPE, text=True).stdout.strip()
    sides = devices + ["torch"]
    methods = METHODS if a.methods == "all" else tuple(filter(None, a.methods.split(",")))
    lines = [
        f"{machine()}, {a.threads} threads on both sides{a.note and ', ' + a.note}; PyTorch {version} in eager mode;",
        f"images of {a.size} x {a.size}, {a.precision}. Speed is PyTorch's time over ours, by the clock (and by",
        "processor time); memory is ours over PyTorch's.",
        "",
    ]

    def run(task, width, batch, size, channels, options=()):
        """What each side measured in turn."""
        case = ["--task", task, "--width", str(width), "--batch", str(batch), "--size", str(size),
                "--channels", str(channels), "--rounds", str(a.rounds), *(options or ("--steps", str(a.steps)))]
        results = {side: [] for side in sides}
        for _ in range(a.repeat):
            for side in sides:
                if side == "torch":
                    command = theirs + case + ["--threads", str(a.threads), "--precision", a.precision,
                                               "--device", "cuda" if gpu else "cpu"]
                    command += ["--channels-last"] if a.channels_last else []
                else:
                    command = [ours[side], *case, "--device", side]
                    command += ["--precision", a.precision] if a.precision != "f32" else []
                results[side].append(measure(command, a.threads))
        return results

    def row(results, *names):
        median = {}
        for side, found in results.items():
            times = [statistics.median(t for r in found for t in r[k]) for k in ("seconds", "cpu")]
            median[side] = [*times, statistics.median(r["bytes"] for r in found)]
        t, c, m = median["torch"]
        # Processor time comes in hundredths of a second: of a short step there may be none.
        cells = [f"{t / mt:.2f} x ({f'{c / mc:.2f}' if mc else '-'}), {mm / m:.2f}"
                 for mt, mc, mm in (median[d] for d in devices)]
        put(f"| {' | '.join(map(str, names))} | {t * 1e3:.3g} ms, {m / 2**20:.0f} MiB | " + " | ".join(cells) + " |")

    def put(line):
        lines.append(line)
        print(line, flush=True)

    print(*lines, sep="\n", flush=True)
    heads = " | ".join(f"`{d}`: speed, memory" for d in devices)
    if methods:
        width, batch = int(a.widths.split(",")[0]), a.batch or 8
        lines[2] += f" Width {width}, batch {batch}."
        put(f"| method | PyTorch | {heads} |")
        put("|---|---:|" + "---:|" * len(devices))
        refused = []
        for method in methods:
            options = ("--method", method, "--steps", str(STEPS.get(method, a.steps)))
            results = run("pretrain", width, batch, a.size, 1, options)
            wrong = differs(results)
            if wrong:
                refused.append(f"{method}: {wrong}")
                print(refused[-1], file=sys.stderr, flush=True)
            else:
                row(results, method)
        if refused:
            sys.exit("\n".join(["not the same step:", *refused]))
    else:
        put(f"| step | width | batch | PyTorch | {heads} |")
        put("|---|---:|---:|---:|" + "---:|" * len(devices))
        for task in a.tasks.split(","):
            cases = [(w, a.batch or BATCH.get(w, 4), a.size, 1) for w in map(int, a.widths.split(","))]
            for case in [VOLUME] if task.endswith("3d") else cases:
                row(run(task, *case), task, *case[:2])
    if a.write:
        write(lines, *(OF_METHODS if methods else (BEGIN, END)))


if __name__ == "__main__":
    main()
