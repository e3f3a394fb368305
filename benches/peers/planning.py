#!/usr/bin/env python3
"""Deciding what to run: amlp-run beside DVC and Snakemake, on graphs of one shape and size.

    cargo build --release && cargo bench --bench fill_store --no-run
    python3 benches/peers/planning.py [--sizes 10,100,1000,10000] [--repeat 5]

The graph is that of a study with one row and many seeds: three shared stages, five per seed, one
table. Two questions, each a whole command, timed from start to end:

  plan     nothing has run: what would run?   (amlp-run plan; dvc status; snakemake -n)
  no-op    all has run: a run starts nothing  (amlp-run run; dvc repro; snakemake)

DVC and Snakemake get the graph as a researcher would write it (foreach; wildcards) with empty
commands. Their outputs are written beforehand, and DVC's lock file too, so that neither runs
anything. Peers are installed from PyPI into a virtual environment outside the clone. Tools are run
in turn; the median counts. A command that takes longer than the limit is shown as such.
"""

import argparse
import hashlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# What each stage reads, as `amlp-run plan --format json` lists it.
SHARED = {"phantom": [], "index": ["phantom"], "prepare": ["index", "phantom"]}
EACH = {
    "split": ["index"],
    "cluster": ["prepare", "split"],
    "pretrain": ["prepare", "split", "cluster"],
    "finetune": ["index", "prepare", "split", "pretrain"],
    "evaluate": ["index", "prepare", "split", "finetune"],
}

MANIFEST = """\
name = "planning"
seeds = [{seeds}]

[data.hecktor]
layout = "hecktor2020"
phantom = {{ kind = "hecktor2020", cases = 8, scale = 0.2 }}

[prepare]
crop.size = [32, 32]

[slices]
per_case = 4

[backbone]
width = 2
depth = 2

[amlp]
patch = 8

[pretrain]
epochs = 1
batch = 8

[finetune]
epochs = 1
batch = 8

[[study]]
table = "T"
title = "Planning"
data = ["hecktor/CT"]
labels = [100]
metrics = ["DSC"]

[[study.variant]]
name = "AMLP"
"""


def main():
    options = parse()
    peers = environment(options.venv)
    rows = []
    for size in options.sizes:
        seeds = max(1, round((size - len(SHARED) - 1) / len(EACH)))
        with tempfile.TemporaryDirectory(prefix="amlp-planning-") as folder:
            folder = Path(folder)
            tools = [
                Amlp(folder / "amlp", seeds, options),
                Dvc(folder / "dvc", seeds, peers, options.limit),
                Snakemake(folder / "snakemake", seeds, peers),
            ]
            for question in ["plan", "no-op"]:
                for tool in tools:
                    tool.prepare(question)
                times = {tool.name: [] for tool in tools}
                for _ in range(options.repeat):
                    for tool in tools:
                        if None not in times[tool.name]:
                            times[tool.name].append(tool.time(question, options.limit))
                row = [tools[0].stages, question]
                for tool in tools:
                    taken = times[tool.name]
                    row.append(None if None in taken else statistics.median(taken))
                rows.append(row)
                print(line(row, options.limit), file=sys.stderr, flush=True)
    print(table(rows, options, peers))


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="10,100,1000,10000")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--limit", type=float, default=600, help="seconds for one command")
    target = os.environ.get("CARGO_TARGET_DIR", ROOT / "target")
    parser.add_argument("--binary", type=Path, default=Path(target) / "release" / "amlp-run")
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    parser.add_argument("--venv", type=Path, default=cache / "amlp-run" / "peers")
    options = parser.parse_args()
    options.sizes = [int(size) for size in options.sizes.split(",")]
    return options


def environment(venv):
    """The folder of the peers' programs; installs them where they are missing."""
    bin = venv / "bin"
    if not (bin / "snakemake").exists() or not (bin / "dvc").exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([bin / "pip", "-q", "install", "dvc", "snakemake"], check=True)
    return bin


class Tool:
    def __init__(self, folder, seeds):
        self.folder, self.seeds = folder, seeds
        folder.mkdir(parents=True)

    def time(self, question, limit):
        """Seconds of the command that answers `question`; none where it takes too long."""
        start = time.perf_counter()
        try:
            done = subprocess.run(
                self.command(question), cwd=self.folder, capture_output=True, timeout=limit
            )
        except subprocess.TimeoutExpired:
            return None
        taken = time.perf_counter() - start
        self.check(question, done)
        return taken

    def check(self, question, done):
        if done.returncode != 0:
            sys.exit(f"{self.name}, {question}: {done.stderr.decode()[-2000:]}")

    def graph(self):
        """Every stage: name, the names that it reads."""
        yield from SHARED.items()
        for seed in range(self.seeds):
            for name, reads in EACH.items():
                yield f"{name}@{seed}", [r if r in SHARED else f"{r}@{seed}" for r in reads]
        yield "table", [f"evaluate@{seed}" for seed in range(self.seeds)]


def out(stage):
    return stage.replace("@", "_") + ".out"


class Amlp(Tool):
    name = "amlp-run"

    def __init__(self, folder, seeds, options):
        super().__init__(folder, seeds)
        self.binary, self.options = options.binary, options
        self.write(range(seeds))
        plan = [self.binary, "plan", "planning.toml", "--format", "json"]
        listed = subprocess.run(plan, cwd=folder, capture_output=True, check=True)
        self.stages = len(json.loads(listed.stdout)["stages"])

    def write(self, seeds):
        text = MANIFEST.format(seeds=", ".join(map(str, seeds)))
        (self.folder / "planning.toml").write_text(text)

    def prepare(self, question):
        if question == "plan":
            return
        run = [self.binary, "run", "planning.toml", "--quiet"]
        self.write([0])
        subprocess.run(run, cwd=self.folder, capture_output=True, check=True)
        self.write(range(self.seeds))
        fill = ["cargo", "bench", "-q", "--bench", "fill_store", "--"]
        fill += [self.folder / "planning.toml", self.folder / ".amlp"]
        subprocess.run(fill, cwd=ROOT, capture_output=True, check=True)
        # Makes the table, which is not what is measured.
        subprocess.run(run, cwd=self.folder, capture_output=True, check=True)

    def command(self, question):
        if question == "plan":
            return [self.binary, "plan", "planning.toml"]
        return [self.binary, "run", "planning.toml"]

    def check(self, question, done):
        super().check(question, done)
        if question == "no-op" and b"0 ran" not in done.stderr:
            sys.exit(f"amlp-run was to run nothing: {done.stderr.decode()[-2000:]}")


class Dvc(Tool):
    name = "DVC"

    def __init__(self, folder, seeds, peers, limit):
        super().__init__(folder, seeds)
        self.binary, self.limit, self.slow = peers / "dvc", limit, False
        subprocess.run([self.binary, "init", "--no-scm", "-q"], cwd=folder, check=True)
        config = [self.binary, "config", "core.analytics", "false"]
        subprocess.run(config, cwd=folder, check=True)
        stages = {}
        for name, reads in self.graph():
            base, _, seed = name.partition("@")
            if seed:
                if base not in stages:
                    reads = [r.replace(f"@{seed}", "@${item}") for r in reads]
                    stages[base] = {
                        "foreach": list(range(seeds)),
                        "do": self.stage(f"{base}@${{item}}", reads),
                    }
            else:
                stages[name] = self.stage(name, reads)
        # JSON is YAML.
        (folder / "dvc.yaml").write_text(json.dumps({"stages": stages}))

    def stage(self, name, reads):
        stage = {"cmd": f"touch {out(name)}", "outs": [{out(name): {"cache": False}}]}
        if reads:
            stage["deps"] = [out(read) for read in reads]
        return stage

    def prepare(self, question):
        if question == "plan":
            return
        empty = hashlib.md5(b"").hexdigest()
        entry = lambda name: {"path": out(name), "hash": "md5", "md5": empty, "size": 0}
        lock = {}
        for name, reads in self.graph():
            (self.folder / out(name)).touch()
            lock[name] = {"cmd": f"touch {out(name)}", "outs": [entry(name)]}
            if reads:
                lock[name]["deps"] = sorted((entry(r) for r in reads), key=lambda e: e["path"])
        text = json.dumps({"schema": "2.0", "stages": lock})
        (self.folder / "dvc.lock").write_text(text)
        # The first run fills its own memory of hashes, which is not what is measured. Where even
        # that takes too long, so does every other.
        fill = [self.binary, "repro", "-q"]
        try:
            subprocess.run(fill, cwd=self.folder, check=True, timeout=self.limit)
        except subprocess.TimeoutExpired:
            self.slow = True

    def time(self, question, limit):
        return None if self.slow else super().time(question, limit)

    def command(self, question):
        return [self.binary, "status" if question == "plan" else "repro"]

    def check(self, question, done):
        super().check(question, done)
        if question == "no-op" and b"Running stage" in done.stdout:
            sys.exit(f"DVC was to run nothing: {done.stdout.decode()[-2000:]}")


class Snakemake(Tool):
    name = "Snakemake"

    def __init__(self, folder, seeds, peers):
        super().__init__(folder, seeds)
        self.binary = peers / "snakemake"
        rules, known = [f'rule all:\n    input: "{out("table")}"\n'], set()
        for name, reads in self.graph():
            base, _, seed = name.partition("@")
            if base in known:
                continue
            known.add(base)
            name, reads = ([x.replace("@0", "@{seed}") for x in y] for y in ([name], reads))
            inputs = ", ".join(f'"{out(read)}"' for read in reads)
            if base == "table":
                inputs = f'expand("{out("evaluate@{seed}")}", seed=range({seeds}))'
            rule = f"rule {base}:\n"
            if inputs:
                rule += f"    input: {inputs}\n"
            rules.append(rule + f'    output: "{out(name[0])}"\n    shell: "touch {{output}}"\n')
        (folder / "Snakefile").write_text("\n".join(rules))

    def prepare(self, question):
        if question == "plan":
            return
        for moment, (name, _) in enumerate(self.graph()):
            path = self.folder / out(name)
            path.touch()
            os.utime(path, (1e9 + moment, 1e9 + moment))

    def command(self, question):
        # Any one of the triggers suffices, and fewer are less work.
        command = [self.binary, "--rerun-triggers", "mtime", "--nocolor"]
        return command + (["-n", "--quiet"] if question == "plan" else ["--cores", "1"])

    def check(self, question, done):
        super().check(question, done)
        if question == "no-op" and b"Nothing to be done" not in done.stderr + done.stdout:
            sys.exit(f"Snakemake was to run nothing: {done.stderr.decode()[-2000:]}")


def seconds(value, limit):
    return f"> {limit:.0f} s" if value is None else f"{value:.3g} s"


def line(row, limit):
    stages, question, ours, *others = row
    cells = [f"{stages:,}", question, seconds(ours, limit)]
    for other in others:
        ratio = (limit if other is None else other) / ours
        cells.append(f"{seconds(other, limit)} ({'> ' if other is None else ''}{ratio:.0f} x)")
    return "| " + " | ".join(cells) + " |"


def table(rows, options, peers):
    version = lambda *command: subprocess.run(
        command, capture_output=True, text=True, check=True
    ).stdout.split()[-1]
    dvc, snakemake = version(peers / "dvc", "--version"), version(peers / "snakemake", "--version")
    lines = [
        f"{os.cpu_count()} cores, {platform.system()}; {options.repeat} runs of each in turn, medians.",
        "",
        f"| stages | question | amlp-run | DVC {dvc} | Snakemake {snakemake} |",
        "|---:|---|---:|---:|---:|",
    ]
    return "\n".join(lines + [line(row, options.limit) for row in rows])


if __name__ == "__main__":
    main()
