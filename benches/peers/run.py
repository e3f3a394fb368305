#!/usr/bin/env python3
"""What surrounds training, beside what a user would otherwise call, on the same files in turn.

    cargo build --release
    python3 benches/peers/run.py                       # all rows but the build
    python3 benches/peers/run.py read score --repeat 9
    python3 benches/peers/run.py build                 # a cold build on two cores, some minutes

Rows: read, prepare, score, cluster, loader, build. Peers come from PyPI into a virtual environment
outside the clone, which is made on first use. Data are the program's own phantoms at full size.
Both sides use one thread (--threads), run in turn in processes that stay alive, and start with
their inputs in the page cache; the median of the repetitions counts. A ratio above 1 says how many
times as long the peer takes, by the clock and by processor time. `--write` puts the rows into
docs/benchmarks.md. Deciding, slots and training steps are
measured by planning.py, slots.py and training.py beside this file.
"""

import argparse
import importlib.metadata
import itertools
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
DOCS = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- benches/peers/run.py writes from here -->", "<!-- to here -->"

# What peers are made of: names on PyPI, and what must be importable.
PACKAGES = "numpy scipy nibabel SimpleITK torch==2.9.0 monai medpy surface-distance scikit-learn".split()
MODULES = "numpy, scipy, nibabel, SimpleITK, torch, monai, medpy, surface_distance, sklearn"

MODALITIES = ["flair", "t1", "t1ce", "t2"]
REGIONS = {"WT": [1, 2, 4], "TC": [1, 4], "ET": [4]}
CROP = 160
PATCH = 16


def main():
    options = parse()
    if options.rows == ["build"]:
        return finish(options, build(options))
    inside(options)
    with tempfile.TemporaryDirectory(prefix="amlp-peers-") as folder:
        bench = Bench(options, Path(folder))
        rows = []
        for name in options.rows:
            rows += build(options) if name == "build" else ROWS[name](bench)
        bench.close()
    finish(options, rows)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join([*ROWS, "build"]))
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="of both sides")
    parser.add_argument("--images", type=int, default=1000, help="images to cluster")
    parser.add_argument("--cases", type=int, default=2, help="phantoms at full size")
    parser.add_argument("--device", default="cpu", help="of the training whose loader is watched")
    parser.add_argument("--write", action="store_true", help="put the rows into docs/benchmarks.md")
    parser.add_argument("--note", default="", help="a word on the machine, for the table")
    target = os.environ.get("CARGO_TARGET_DIR", ROOT / "target")
    parser.add_argument("--binary", type=Path, default=Path(target) / "release" / "amlp-run")
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    parser.add_argument("--venv", type=Path, default=cache / "amlp-run" / "imaging-peers")
    options = parser.parse_args()
    options.rows = options.rows or list(ROWS)
    unknown = set(options.rows) - {*ROWS, "build"}
    if unknown:
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    return options


def inside(options):
    """Goes on in the virtual environment, with as many threads as asked for."""
    if "AMLP_PEERS" in os.environ:
        return
    python = options.venv / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", options.venv], check=True)
    if subprocess.run([python, "-c", f"import {MODULES}"], capture_output=True).returncode != 0:
        install = [options.venv / "bin" / "pip", "-q", "install", *PACKAGES]
        subprocess.run(install, check=True)
    threads = str(options.threads)
    names = ["OMP", "OPENBLAS", "MKL", "RAYON", "NUMEXPR"]
    os.environ.update({f"{name}_NUM_THREADS": threads for name in names})
    os.environ["AMLP_PEERS"] = "1"
    os.execv(python, [python, *sys.argv])


class Row:
    """A comparison: what, the aim, our seconds, and those of each peer; pairs (wall, processor)."""

    def __init__(self, what, aim, ours, peers, unit=1.0):
        self.what, self.aim, self.unit = what, aim, unit
        self.ours, self.peers = ours, peers

    def lines(self):
        wall, processor = self.ours
        best = min(cpu for _, cpu in self.peers.values())
        for name, (peer_wall, peer_processor) in self.peers.items():
            aim = f"{self.aim:g} x" if peer_processor == best else "-"
            yield (
                f"| {self.what} | {name} | {short(wall * self.unit)} | {short(peer_wall * self.unit)}"
                f" | {peer_wall / wall:.2f} x | {peer_processor / processor:.2f} x | {aim} |"
            )


def short(seconds):
    for factor, unit in [(1, "s"), (1e3, "ms"), (1e6, "us")]:
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.2g} us"


class Bench:
    """The data, our process, and the clock."""

    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.server = subprocess.Popen(
            ["cargo", "bench", "-q", "--bench", "ours"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        data = folder / "phantoms"
        command = [options.binary, "phantom", "brats2018", "--out", data]
        command += ["--cases", str(options.cases), "--seed", "1"]
        # Making them is not what is measured.
        free = {k: v for k, v in os.environ.items() if k != "RAYON_NUM_THREADS"}
        subprocess.run(command, check=True, capture_output=True, env=free)
        self.cases = sorted(path.parent for path in data.glob("*/*/*_seg.nii.gz"))

    def file(self, suffix, case=0):
        return self.cases[case] / f"{self.cases[case].name}_{suffix}.nii.gz"

    def ask(self, task, **arguments):
        """Our answer to one task, and its seconds."""
        line = {"task": task, **{k: plain(v) for k, v in arguments.items()}}
        self.server.stdin.write(json.dumps(line) + "\n")
        self.server.stdin.flush()
        answer = self.server.stdout.readline()
        if not answer:
            sys.exit(f"our side ended at {line}")
        return json.loads(answer)

    def compare(self, what, aim, ours, peers, agree):
        """`ours()` and every peer in turn; `agree(our result, name, peer's result)` must hold."""
        times = {name: [] for name in ["ours", *peers]}
        for turn in range(self.options.repeat + 1):
            answer = ours()
            found = {name: clock(peer) for name, peer in peers.items()}
            for name, (_, _, result) in found.items():
                agree(answer["result"], name, result)
            # The first turn warms up.
            if turn > 0:
                times["ours"].append((answer["wall"], answer["cpu"]))
                for name, (wall, cpu, _) in found.items():
                    times[name].append((wall, cpu))
        ours, *others = (median(taken) for taken in times.values())
        row = Row(what, aim, ours, dict(zip(peers, others)))
        print(*row.lines(), sep="\n", file=sys.stderr, flush=True)
        return row

    def close(self):
        self.server.stdin.close()
        self.server.wait()


def plain(value):
    if isinstance(value, list):
        return [plain(v) for v in value]
    return str(value) if isinstance(value, Path) else value


def clock(work):
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return time.perf_counter() - wall, time.process_time() - cpu, result


def median(pairs):
    return tuple(statistics.median(values) for values in zip(*pairs))


def near(a, b, tolerance, what):
    if abs(a - b) > tolerance * max(1.0, abs(a)):
        sys.exit(f"{what}: {a} and {b} are not the same")


# ---- reading ----


def read(bench):
    import nibabel
    import numpy as np
    import SimpleITK as sitk

    rows = []
    for what, suffix, task, kind in [
        ("reading an image, gzip int16 to f32", "t1", "read", np.float32),
        ("reading labels, gzip", "seg", "read_labels", np.uint8),
    ]:
        path = str(bench.file(suffix))

        def by_nibabel():
            image = nibabel.load(path)
            if kind == np.float32:
                return image.get_fdata(dtype=np.float32)
            return np.asarray(image.dataobj)

        def by_itk():
            return sitk.GetArrayFromImage(sitk.ReadImage(path)).astype(kind)

        rows.append(
            bench.compare(
                f"{what}, 240 x 240 x 155",
                1.5,
                lambda: bench.ask(task, path=path),
                {"nibabel": by_nibabel, "SimpleITK": by_itk},
                lambda ours, name, array: near(ours, float(array.sum(dtype=np.float64)), 1e-9, name),
            )
        )
    return rows


# ---- preparing ----


def prepare(bench):
    import nibabel
    import numpy as np
    import SimpleITK as sitk
    from monai import transforms as mt

    out = bench.folder / "prepared"
    out.mkdir(exist_ok=True)
    case = bench.cases[0]
    files = [str(bench.file(m)) for m in MODALITIES]
    seg = str(bench.file("seg"))
    first = (240 - CROP) // 2
    window = slice(first, first + CROP)

    def normalise(v):
        """Clip to percentiles of what is not 0, then the z-score of it; in (z, y, x)."""
        inside = v != 0
        values = v[inside]
        low, high = np.percentile(values, [1, 99])
        values = np.clip(values, low, high)
        values = (values - values.mean()) / values.std()
        scored = np.zeros_like(v)
        scored[inside] = values
        return scored[:, window, window]

    # A file that takes the place of another is written to the disk at once.
    fresh = itertools.count()

    def write(image, label, **more):
        np.savez(out / f"peer{next(fresh)}.npz", image=image, label=label, **more)
        return image, label

    # Both skip resampling: the grid has 1 mm already, as that of BraTS.
    def by_nibabel():
        channels = []
        for path in files:
            image = nibabel.load(path)
            assert image.header.get_zooms() == (1, 1, 1)
            channels.append(image.get_fdata(dtype=np.float32).T)
        label = np.asarray(nibabel.load(seg).dataobj).T[:, window, window]
        return finish_case(channels, label)

    def by_itk():
        channels = []
        for path in files:
            image = sitk.ReadImage(path)
            assert image.GetSpacing() == (1, 1, 1)
            channels.append(sitk.GetArrayFromImage(image).astype(np.float32))
        label = sitk.GetArrayFromImage(sitk.ReadImage(seg))[:, window, window]
        return finish_case(channels, label)

    def finish_case(channels, label):
        shown = np.any([c[:, window, window] != 0 for c in channels], axis=0)
        image = np.stack([normalise(c) for c in channels])
        return write(image, label, foreground=shown.mean(axis=(1, 2), dtype=np.float32))

    # Percentiles of the whole volume: MONAI has no others.
    monai = mt.Compose(
        [
            mt.LoadImaged(["image", "label"]),
            mt.EnsureChannelFirstd(["image", "label"]),
            mt.Orientationd(["image", "label"], "LPS", labels=None),
            mt.Spacingd(["image", "label"], (1, 1, 1), mode=("nearest", "nearest")),
            mt.ClipIntensityPercentilesd("image", 1, 99, channel_wise=True),
            mt.NormalizeIntensityd("image", nonzero=True, channel_wise=True),
            mt.CenterSpatialCropd(["image", "label"], (CROP, CROP, -1)),
        ]
    )

    def by_monai():
        done = monai({"image": files, "label": seg})
        return write(done["image"].numpy(), done["label"].numpy())

    def agree(ours, name, written):
        for path in out.glob("peer*.npz"):
            path.unlink()
        # It clips elsewhere.
        if name == "MONAI":
            return
        image, label = written
        sums = [s for c in image for s in (c.mean(dtype=float), np.square(c, dtype=float).mean())]
        for a, b in zip(ours, [*sums, float(label.sum(dtype=np.int64))], strict=True):
            near(a, b, 1e-4, name)

    return [
        bench.compare(
            "preparing a case: four modalities and labels, from files to a file",
            3,
            lambda: bench.ask("prepare", folder=case, out=out / "ours.safetensors"),
            {"nibabel + NumPy": by_nibabel, "SimpleITK + NumPy": by_itk, "MONAI": by_monai},
            agree,
        )
    ]


# ---- scoring ----


def score(bench):
    import medpy.metric.binary as medpy
    import nibabel
    import numpy as np
    import surface_distance as sd
    import torch
    from monai.metrics import compute_dice, compute_hausdorff_distance
    from scipy import ndimage

    torch.set_num_threads(bench.options.threads)
    reference, prediction = bench.file("seg"), bench.folder / "prediction.nii.gz"
    # What a network might say: the tumour moved a little, thicker, and two crumbs elsewhere.
    image = nibabel.load(reference)
    truth = np.asarray(image.dataobj)
    wrong = np.roll(truth, (2, 1, 1), (0, 1, 2))
    wrong = np.where(wrong == 0, ndimage.grey_dilation(wrong, 3), wrong)
    wrong[118:122, 60:64, 70:73] = 2
    wrong[150:153, 120:123, 90:92] = 4
    nibabel.save(nibabel.Nifti1Image(wrong.astype(np.uint8), image.affine), prediction)

    def pair():
        p, g = nibabel.load(prediction), nibabel.load(reference)
        spacing = [float(s) for s in g.header.get_zooms()]
        p, g = np.asarray(p.dataobj), np.asarray(g.dataobj)
        masks = [(np.isin(p, labels), np.isin(g, labels)) for labels in REGIONS.values()]
        return masks, spacing

    def by_surface_distance():
        masks, spacing = pair()
        rows = []
        for p, g in masks:
            surfaces = sd.compute_surface_distances(g, p, spacing)
            hd95 = sd.compute_robust_hausdorff(surfaces, 95)
            rows.append([sd.compute_dice_coefficient(g, p), hd95])
        return rows

    def by_medpy():
        masks, spacing = pair()
        return [[medpy.dc(p, g), medpy.hd95(p, g, spacing)] for p, g in masks]

    def by_monai():
        masks, spacing = pair()
        p, g = (torch.from_numpy(np.stack(m)[None]) for m in zip(*masks))
        dice = compute_dice(p, g)[0]
        hd95 = compute_hausdorff_distance(p, g, True, percentile=95, spacing=spacing)[0]
        return [[float(d), float(h)] for d, h in zip(dice, hd95)]

    def agree(ours, name, rows):
        for (dice, hd95), (their_dice, their_hd95) in zip(ours, rows):
            near(dice, their_dice, 1e-3, f"Dice of {name}")
            # surface-distance weighs by area, MedPy pools both directions.
            near(hd95, their_hd95, 1e-6 if name == "MONAI" else 0.5, f"HD95 of {name}")

    return [
        bench.compare(
            "Dice and HD95 of WT, TC, ET on a pair of 240 x 240 x 155, reading included",
            5,
            lambda: bench.ask("score", prediction=prediction, reference=reference),
            {"MONAI": by_monai, "MedPy": by_medpy, "surface-distance": by_surface_distance},
            agree,
        )
    ]


# ---- clustering ----


def cluster(bench):
    import warnings

    import numpy as np
    from sklearn.cluster import DBSCAN, AgglomerativeClustering, KMeans
    from sklearn.manifold import TSNE
    from sklearn.neighbors import NearestNeighbors

    warnings.simplefilter("ignore")
    prepared = []
    for i, case in enumerate(bench.cases):
        path = bench.folder / f"case{i}.safetensors"
        bench.ask("prepare", folder=case, out=path)
        prepared.append(path)
    patches = bench.folder / "patches.f32"
    images = bench.ask(
        "patches", prepared=prepared, images=bench.options.images, side=PATCH, out=patches
    )
    count, dim = (CROP // PATCH) ** 2, PATCH * PATCH
    data = np.fromfile(patches, np.float32).reshape(images, count, dim)

    def kmeans(x):
        return KMeans(2, init="random", n_init=1, max_iter=100).fit_predict(x)

    def hierarchical(x):
        return AgglomerativeClustering(2, linkage="ward").fit_predict(x)

    def tsne(method):
        def run(x):
            embed = TSNE(2, perplexity=20, init="random", max_iter=500, method=method)
            return kmeans(embed.fit_transform(x))

        return run

    def dbscan(x):
        distances, _ = NearestNeighbors(n_neighbors=4).fit(x).kneighbors()
        return DBSCAN(eps=np.quantile(distances[:, -1], 0.9), min_samples=4).fit_predict(x)

    rows = []
    for name, aim, peers in [
        ("kmeans", 20, {"scikit-learn": kmeans}),
        ("hierarchical", 5, {"scikit-learn": hierarchical}),
        ("dbscan", 5, {"scikit-learn": dbscan}),
        (
            "tsne",
            5,
            {"scikit-learn, exact": tsne("exact"), "scikit-learn, Barnes-Hut": tsne("barnes_hut")},
        ),
    ]:
        # Every image once, in turn by tenths; the first image warms up.
        totals = {who: [0.0, 0.0] for who in ["ours", *peers]}
        edges = [images * i // 10 for i in range(11)]
        ask = lambda a, b: bench.ask(
            "cluster", patches=patches, per_image=count, dim=dim, **{"from": a, "to": b}, method=name
        )
        ask(0, 1)
        for peer in peers.values():
            peer(data[0])
        for a, b in zip(edges, edges[1:]):
            answer = ask(a, b)
            add(totals["ours"], answer["wall"], answer["cpu"])
            for who, peer in peers.items():
                wall, cpu, _ = clock(lambda: [peer(x) for x in data[a:b]])
                add(totals[who], wall, cpu)
        ours, *others = ([t / images for t in total] for total in totals.values())
        what = f"{name} of the {count} patches of an image, mean over {images:,} images"
        row = Row(what, aim, ours, dict(zip(peers, others)))
        print(*row.lines(), sep="\n", file=sys.stderr, flush=True)
        rows.append(row)
    return rows


def add(total, wall, cpu):
    total[0] += wall
    total[1] += cpu


# ---- the loader, and the build: figures of our own ----

LOADER = """\
name = "loader"
seeds = [1]

[data.brats2018]
layout = "brats2018"
phantom = {{ kind = "brats2018", cases = 6 }}

[slices]
per_case = 24

[backbone]
width = {width}

[pretrain]
epochs = 4
batch = 24

[finetune]
epochs = 4
batch = 24
augment = "light"

[[study]]
table = "L"
title = "Loader"
data = ["brats2018/FLAIR"]
labels = [100]
metrics = ["DSC"]

[[study.variant]]
name = "AMLP"
"""


def loader(bench):
    """Share of a training's time in which it waited for its next batch, by the run's own log."""
    folder = bench.folder / "loader"
    folder.mkdir()
    # On a GPU the paper's width; a processor needs hours for it.
    width = 8 if bench.options.device == "cpu" else 64
    (folder / "loader.toml").write_text(LOADER.format(width=width))
    command = [bench.options.binary, "run", "loader.toml", "--quiet", "--jobs", "1"]
    command += ["--device", bench.options.device]
    free = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env=free)
    (log,) = folder.glob(".amlp/runs/*/events.jsonl")
    events = [json.loads(line)["event"] for line in log.read_text().splitlines()]
    kinds = {e["key"]: e["kind"] for e in events if e["type"] == "started"}
    figures = []
    for kind in ["pretrain", "finetune"]:
        told = [e["progress"] for e in events if e["type"] == "progress" and kinds[e["key"]] == kind]
        shares = [p["waiting"] for p in told if p["step"] == p["steps"]]
        # The first epoch also reads the files and compiles kernels.
        share = statistics.mean(shares[1:])
        figures.append(
            Figure(
                f"{kind} on {bench.options.device}, width {width}, batches of 24 slices of 160 x 160:"
                " waiting for the loader",
                f"{100 * share:.2f} % of the time",
                "< 2 %",
            )
        )
    return figures


def build(options):
    """A cold build of the default features on two cores, sources fetched before."""
    subprocess.run(["cargo", "fetch", "-q", "--locked"], cwd=ROOT, check=True)
    with tempfile.TemporaryDirectory(prefix="amlp-build-") as folder:
        command = ["cargo", "build", "-q", "--release", "--locked", "-j", "2"]
        if shutil.which("taskset"):
            command = ["taskset", "-c", "0,1", *command]
        wall, _, _ = clock(
            lambda: subprocess.run(
                command, cwd=ROOT, check=True, env={**os.environ, "CARGO_TARGET_DIR": folder}
            )
        )
    minutes = f"{int(wall // 60)} min {wall % 60:.0f} s"
    return [Figure("cold build, default features, two cores, sources fetched", minutes, "-")]


class Figure:
    """A number of our own."""

    def __init__(self, what, figure, aim):
        self.what, self.figure, self.aim = what, figure, aim

    def lines(self):
        yield f"| {self.what} | {self.figure} | {self.aim} |"


# ---- the page ----


def page(options, rows):
    """The section of docs/benchmarks.md."""
    note = f" {options.note[0].upper()}{options.note[1:]}." if options.note else ""
    threads = "one thread" if options.threads == 1 else f"{options.threads} threads"
    lines = [f"{processor()}, {os.cpu_count()} cores, {platform.system()}.{note}"]
    compared = [row for row in rows if isinstance(row, Row)]
    if compared:
        names = [package.split("==")[0] for package in PACKAGES]
        versions = {name: importlib.metadata.version(name) for name in names}
        lines[0] += (
            f" Both sides with {threads}; medians of {options.repeat} turns. Peers: Python"
            f" {platform.python_version()}, "
            + ", ".join(f"{name} {version}" for name, version in versions.items())
            + "."
        )
        lines += [
            "",
            "| what | peer | ours | peer's | times as fast, clock | processor time | aim |",
            "|---|---|---:|---:|---:|---:|---:|",
        ]
        lines += [line for row in compared for line in row.lines()]
    figures = [row for row in rows if isinstance(row, Figure)]
    if figures:
        lines += ["", "| what | figure | aim |", "|---|---:|---:|"]
        lines += [line for row in figures for line in row.lines()]
    return "\n".join(lines) + "\n"


def processor():
    try:
        info = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    names = [line.split(":")[1].strip() for line in info.splitlines() if "model name" in line]
    vectors = "AVX-512" if " avx512f" in info else "AVX2" if " avx2" in info else "no AVX2"
    return f"{names[0]} ({vectors})" if names else platform.machine()


def finish(options, rows):
    text = page(options, rows)
    print(text)
    if options.write:
        before, rest = DOCS.read_text().split(BEGIN)
        after = rest.split(END)[1]
        DOCS.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}")


ROWS = {"read": read, "prepare": prepare, "score": score, "cluster": cluster, "loader": loader}

if __name__ == "__main__":
    main()
