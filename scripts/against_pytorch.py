#!/usr/bin/env python3
"""Times crosspike and PyTorch models of the same network in turn, on the same weights and images.

    pip install numpy safetensors torch spikingjelly
    scripts/against_pytorch.py --make CIFAR_DIR          # once: trains the networks a little, then measures
    scripts/against_pytorch.py [--threads 1,2] [--peers eager,compiled,spikingjelly] [--instructions amx,avx2]

CIFAR_DIR holds CIFAR-10 in its binary layout (data_batch_1.bin, https://www.cs.toronto.edu/~kriz/cifar.html). The
networks are VGG5 and VGG9, batch 16, 20 steps, Poisson inputs, and, where --networks names it, resnet20 of 4 steps
and direct inputs; a few dozen steps of training give them the spike rates of trained ones. They are kept in --cache.

The peers are PyTorch step by step, as most users write it (`eager`), all steps of a layer at once behind
`torch.compile` (`compiled`), and SpikingJelly's neurons with all steps at once (`spikingjelly`). crosspike and its
peers are kept to each set of --instructions (CROSSPIKE_INSTRUCTIONS; what PyTorch, oneDNN, MKL and its compiler
take), by default the processor's widest.

Every measurement is a process of its own, so that its peak memory is its own: each peer and each set in turn,
--rounds times; in it runs warm up and the median of --runs counts, and the table has the medians of these, with the
ratio to the fastest peer. The eager model is the one below, or `BnttSnn` of FOLDER/reference_snn.py. Before anything
is timed, both compute the logits and spikes of the same images, given directly, and must agree but for the few spikes
that rounding decides.
"""

import argparse
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

ROOT = Path(__file__).resolve().parent.parent
ITERATIONS = {"vgg5": 80, "vgg9": 60, "resnet20": 120}
ENCODING = {"resnet20": "direct"}
BATCH = 16


# What keeps PyTorch to the sets of instructions that crosspike is kept to: ATen, oneDNN, MKL, and the vectors of
# `torch.compile` in bits.
KEPT_TO = {
    "portable": ("default", "SSE41", "SSE4_2", 1),
    "avx2": ("avx2", "AVX2", "AVX2", 256),
    "avx-vnni": ("avx2", "AVX2_VNNI", "AVX2", 256),
    "avx512-vnni": ("avx512", "AVX512_CORE_VNNI", "AVX512", 512),
    "amx": ("avx512", "DEFAULT", "AVX512", 512),
}


class Spike(torch.autograd.Function):
    """[v > 0] with the gradient 0.3·max(0, 1 − |v|)."""

    @staticmethod
    def forward(ctx, v):
        ctx.save_for_backward(v)
        return (v > 0).to(v.dtype)

    @staticmethod
    def backward(ctx, gradient):
        (v,) = ctx.saved_tensors
        return gradient * 0.3 * torch.clamp(1 - v.abs(), min=0)


class Scale(nn.Module):
    """Batch norms through time: one norm a step, a scale and no shift."""

    def __init__(self, kind, channels, steps):
        super().__init__()
        self.norms = nn.ModuleList(kind(channels, eps=1e-4, momentum=0.1) for _ in range(steps))
        for norm in self.norms:
            norm.bias = None


class Snn(nn.Module):
    """The network of a model file (arXiv:2010.01729): u ← λ·u + BN_t(W·s), a spike iff u > θ, then u ← u − θ."""

    def __init__(self, model):
        super().__init__()
        self.steps, self.leak, self.theta = model["steps"], model["neuron"]["leak"], model["neuron"]["threshold"]
        shape = model["input"]
        channels, height, width = shape["channels"], shape["height"], shape["width"]
        self.weights, self.scales, self.pools, self.names = nn.ModuleList(), nn.ModuleList(), [], []
        counted = {"conv": 0, "fc": 0}
        for item in model["layers"] + [{"fc": model["classes"]}]:
            ((kind, size),) = item.items()
            if kind == "pool":
                self.pools[-1] = size
                height, width = height // size, width // size
                continue
            counted[kind] += 1
            if kind == "conv":
                self.weights.append(nn.Conv2d(channels, size, 3, padding=1, bias=False))
                self.scales.append(Scale(nn.BatchNorm2d, size, self.steps))
            else:
                self.weights.append(nn.Linear(channels * height * width, size, bias=False))
                self.scales.append(Scale(nn.BatchNorm1d, size, self.steps))
                height = width = 1
            channels = size
            self.pools.append(1)
            self.names.append(f"{kind}{counted[kind]}")
            nn.init.xavier_uniform_(self.weights[-1].weight, gain=2)
        del self.scales[-1]

    def forward(self, x, encode="poisson", trace=None):
        membranes, total = [0.0] * len(self.scales), 0.0
        for t in range(self.steps):
            s = torch.sign(x) * (2 * torch.rand_like(x) <= x.abs()).to(x.dtype) if encode == "poisson" else x
            for i, scale in enumerate(self.scales):
                s = s.flatten(1) if isinstance(self.weights[i], nn.Linear) else s
                u = self.leak * membranes[i] + scale.norms[t](self.weights[i](s))
                s = Spike.apply(u / self.theta - 1)
                membranes[i] = u - s.detach() * self.theta
                if trace is not None:
                    trace.setdefault(f"spikes.{self.names[i]}", []).append(s.detach())
                s = F.avg_pool2d(s, self.pools[i]) if self.pools[i] > 1 else s
            total = total + self.weights[-1](s.flatten(1))
        return total / self.steps

    def at_once(self, x, encode, neurons):
        """The same, layer by layer over all steps at once: `neurons(i, currents)` makes spikes of `[steps, ...]`."""
        encoded = [torch.sign(x) * (2 * torch.rand_like(x) <= x.abs()).to(x.dtype) for _ in range(self.steps)]
        s = torch.stack(encoded if encode == "poisson" else [x] * self.steps)
        for i, scale in enumerate(self.scales):
            flat = s.flatten(2) if isinstance(self.weights[i], nn.Linear) else s
            currents = self.weights[i](flat.flatten(0, 1)).unflatten(0, (self.steps, -1))
            s = neurons(i, torch.stack([norm(step) for norm, step in zip(scale.norms, currents)]))
            if self.pools[i] > 1:
                s = F.avg_pool2d(s.flatten(0, 1), self.pools[i]).unflatten(0, (self.steps, -1))
        return self.weights[-1](s.flatten(2)).mean(0)

    def seed_state_dict(self):
        """Tensors under their published names."""
        tensors = {f"{name}.weight": layer.weight.detach() for name, layer in zip(self.names, self.weights)}
        for name, scale in zip(self.names, self.scales):
            norm = name.replace("conv", "bntt") if "conv" in name else {"fc1": "bntt_fc"}.get(name, f"bntt_{name}")
            for t, one in enumerate(scale.norms):
                tensors |= {f"{norm}.{t}.{key}": value for key, value in one.state_dict().items()}
        return tensors


class AtOnce(nn.Module):
    """A network of `Snn` with all steps of a layer at once, and neurons in plain PyTorch."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def neurons(self, _, currents):
        u, spikes = 0.0, []
        for current in currents:
            u = self.net.leak * u + current
            spikes.append(Spike.apply(u / self.net.theta - 1))
            u = u - spikes[-1].detach() * self.net.theta
        return torch.stack(spikes)

    def forward(self, x, encode):
        return self.net.at_once(x, encode, self.neurons)


class SpikingJelly(nn.Module):
    """The same with SpikingJelly's neurons."""

    def __init__(self, net):
        super().__init__()
        from spikingjelly.activation_based import functional, neuron, surrogate

        # decay_input leaves the current whole: u ← (1 − 1/τ)·u + x.
        settings = {"tau": 1 / (1 - net.leak), "decay_input": False, "v_threshold": net.theta, "v_reset": None}
        settings |= {"surrogate_function": surrogate.PiecewiseQuadratic(), "detach_reset": True, "step_mode": "m"}
        self.net, self.reset = net, functional.reset_net
        self.nodes = nn.ModuleList(neuron.LIFNode(**settings) for _ in net.scales)

    def forward(self, x, encode):
        self.reset(self.nodes)
        return self.net.at_once(x, encode, lambda i, currents: self.nodes[i](currents))


PEERS = {
    "eager": lambda net: net,
    "compiled": lambda net: torch.compile(AtOnce(net)),
    "spikingjelly": SpikingJelly,
}


class Residual(nn.Module):
    """A residual network of a model file, layer by layer over all steps at once, as multi-step simulators run it:
    batch norms for all steps, skips into currents, and a static input whose convolution is made once."""

    def __init__(self, model):
        super().__init__()
        self.steps, self.leak, self.theta = model["steps"], model["neuron"]["leak"], model["neuron"]["threshold"]
        self.entries, self.convs, self.norms = [], nn.ModuleDict(), nn.ModuleDict()
        channels, last = {"input": model["input"]["channels"]}, "input"
        for item in model["layers"]:
            if "pool" in item:
                continue
            table = item["conv"] if isinstance(item["conv"], dict) else {"channels": item["conv"]}
            name, source, kernel = item["name"], item.get("from", last), table.get("kernel", 3)
            width = channels[name] = table["channels"]
            self.convs[name] = nn.Conv2d(
                channels[source], width, kernel, table.get("stride", 1), kernel // 2, bias=False
            )
            self.norms[name] = nn.BatchNorm2d(width)
            self.entries.append((name, source, item.get("joins"), item.get("add")))
            nn.init.xavier_uniform_(self.convs[name].weight, gain=2)
            last = last if "joins" in item else name
        self.readout = nn.Linear(channels[last], model["classes"], bias=False)
        self.joining = {joins: name for name, _, joins, _ in self.entries if joins}
        self.sources = {name: source for name, source, _, _ in self.entries}

    def current(self, name, signals):
        signal = signals[self.sources[name]]
        current = self.convs[name](signal)
        if self.sources[name] == "input":
            current = current.repeat(self.steps, 1, 1, 1)
        return self.norms[name](current)

    def forward(self, x, encode="direct", trace=None):
        signals = {"input": x}
        for name, _, joins, add in self.entries:
            if joins:
                continue
            current = self.current(name, signals)
            if name in self.joining:
                current = current + self.current(self.joining[name], signals)
            if add:
                current = current + signals[add]
            u, spikes = 0.0, []
            for step in current.unflatten(0, (self.steps, -1)):
                u = self.leak * u + step
                spikes.append(Spike.apply(u / self.theta - 1))
                u = u - spikes[-1].detach() * self.theta
            if trace is not None:
                trace[f"spikes.{name}"] = [spike.detach() for spike in spikes]
            signals[name] = torch.cat(spikes)
        return self.readout(signals[name].mean((2, 3))).unflatten(0, (self.steps, -1)).mean(0)

    def seed_state_dict(self):
        """Tensors under their published names."""
        tensors = {f"{name}.weight": conv.weight.detach() for name, conv in self.convs.items()}
        for name, norm in self.norms.items():
            tensors |= {f"bn_{name}.{key}": value.detach() for key, value in norm.state_dict().items()}
        return tensors | {"fc1.weight": self.readout.weight.detach()}


def build(arch, reference):
    """The PyTorch model of models/ARCH.toml."""
    model = tomllib.loads((ROOT / "models" / f"{arch}.toml").read_text())
    if any("add" in item for item in model["layers"]):
        return Residual(model)
    if reference is None:
        return Snn(model)
    sys.path.insert(0, str(reference))
    from reference_snn import BnttSnn

    return BnttSnn(arch, model["input"]["channels"], model["input"]["height"], model["classes"], model["steps"])


def optimiser(net):
    return torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)


def step(net, optimiser, images, labels, encoding):
    net.train()
    optimiser.zero_grad()
    loss = F.cross_entropy(net(images, encoding), labels)
    loss.backward()
    optimiser.step()
    return loss.item()


def make(arch, cifar, cache, reference):
    """Trains a network a little and stores it with 16 images."""
    torch.manual_seed(0)
    raw = np.fromfile(cifar / "data_batch_1.bin", np.uint8).reshape(-1, 3073)
    labels = torch.tensor(raw[:, 0].astype(np.int64))
    mean = np.array([0.4914, 0.4822, 0.4465])[:, None, None]
    std = np.array([0.2023, 0.1994, 0.2010])[:, None, None]
    images = torch.tensor(((raw[:, 1:].reshape(-1, 3, 32, 32) / 255 - mean) / std).astype(np.float32))
    net = build(arch, reference)
    sgd = optimiser(net)
    for i in range(ITERATIONS[arch]):
        chosen = torch.randint(0, len(images), (BATCH,))
        loss = step(net, sgd, images[chosen], labels[chosen], ENCODING.get(arch, "poisson"))
        print(f"\r{arch}: {i + 1} of {ITERATIONS[arch]} steps, loss {loss:.3f}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    cache.mkdir(parents=True, exist_ok=True)
    save_file({k: v.clone().contiguous() for k, v in net.seed_state_dict().items()}, cache / f"{arch}.safetensors")
    np.savez(cache / f"{arch}.images.npz", images=images[:BATCH].numpy(), labels=labels[:BATCH].numpy())


def load(arch, cache, reference):
    """The stored network and its images."""
    net = build(arch, reference)
    stored = load_file(cache / f"{arch}.safetensors")
    for name, value in net.seed_state_dict().items():
        value.copy_(stored[name])
    file = np.load(cache / f"{arch}.images.npz")
    return net, torch.tensor(file["images"]), torch.tensor(file["labels"])


def time_pytorch(peer, arch, work, threads, args):
    """In a process of its own: images a second and peak memory, as JSON."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    kept_to = KEPT_TO.get(os.environ.get("CROSSPIKE_INSTRUCTIONS"))
    if kept_to and peer == "compiled":
        from torch._inductor import config

        config.cpp.simdlen = kept_to[3]
    net, images, labels = load(arch, args.cache, args.reference)
    net = PEERS[peer](net)
    sgd = optimiser(net)

    def run():
        if work == "train":
            step(net, sgd, images, labels, ENCODING.get(arch, "poisson"))
            return
        net.eval()
        with torch.no_grad():
            net(images, ENCODING.get(arch, "poisson"))

    for _ in range(1 if peer == "eager" else 2):
        run()
    seconds = []
    for _ in range(args.runs):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"images_per_second": len(images) / statistics.median(seconds), "peak_bytes": peak_bytes()}))


def processor():
    """The processor's name."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", info.read_text()) if info.exists() else None
    return found[1] if found else platform.processor()


def peak_bytes():
    """This process's largest resident set. Linux's getrusage would count what its parent held before it started."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def round_to_grid(weights, largest_input):
    """As crosspike programs: multiples of 2^-g, g as large as keeps every sum of a column exact in float32."""
    columns = weights.double().flatten(1)
    g = 24 - int(np.ceil(np.log2(columns.abs().sum(1).max().item() * largest_input))) + 1
    while (columns * 2.0**g).round().abs().sum(1).max().item() * largest_input > 2**24:
        g -= 1
    return ((weights.double() * 2.0**g).round() / 2.0**g).float()


def verify(arch, args):
    """Stops unless both compute the same: logits and spikes of images given directly, on the weights as programmed."""
    net, images, _ = load(arch, args.cache, args.reference)
    images = torch.round(images.double() * 65536) / 65536  # the fixed-point numbers that a crossbar takes
    model = tomllib.loads((ROOT / "models" / f"{arch}.toml").read_text())
    largest, before = {}, 15  # the largest digit of an input, then the pixels of the pool before
    names = iter(n for n in net.seed_state_dict() if n.endswith(".weight") and not n.startswith("bn"))
    for item in model["layers"] + [{"fc": model["classes"]}]:
        if "pool" in item:
            before = 64 if item["pool"] == "global" else item["pool"] ** 2
        else:
            largest[next(names)], before = before, 1
    for name, value in net.seed_state_dict().items():
        if name in largest:
            value.copy_(round_to_grid(value, largest[name]))
    net = net.double().eval()
    trace = {}
    with torch.no_grad():
        ours = net(images, "direct", trace).numpy()
    spikes = {name.removeprefix("spikes."): [s.sum().item() for s in steps] for name, steps in trace.items()}
    with tempfile.TemporaryDirectory() as folder:
        command = [args.crosspike, "infer", "--model", ROOT / "models" / f"{arch}.toml", "--checkpoint"]
        command += [args.cache / f"{arch}.safetensors", "--data", f"images:{args.cache / arch}.images.npz"]
        command += [
            "--encoding",
            "direct",
            "--backend",
            "cpu",
            "--logits",
            f"{folder}/l.npy",
            "--json",
            f"{folder}/r.json",
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        theirs = np.load(f"{folder}/l.npy")[0]
        counted = json.loads(Path(f"{folder}/r.json").read_text())["spikes"]
    # crosspike's neurons add in float32, these in float64: of some 10 million spikes a few fall otherwise, and an image
    # in which one does has other logits.
    apart = np.abs(ours - theirs).max(1) > 1e-3
    differ = {name: sum(abs(a - b) for a, b in zip(counted[name], steps)) for name, steps in spikes.items()}
    share = max(differ[name] / sum(steps) for name, steps in spikes.items())
    print(
        f"{arch}: logits of {len(apart) - apart.sum()} of {len(apart)} images agree to 1e-3; "
        f"{sum(differ.values()):.0f} of {sum(map(sum, spikes.values())):.0f} spikes differ",
        file=sys.stderr,
    )
    if share > 1e-3 or apart.mean() > 0.5 or (apart.any() and not any(differ.values())):
        sys.exit(
            f"{arch}: PyTorch and crosspike do not compute the same: spikes that differ {differ}, logits of {apart}"
        )


def measure(command, instructions):
    """What a process printed that was kept to a set of instructions."""
    environment = dict(os.environ)
    if instructions:
        aten, onednn, mkl, _ = KEPT_TO[instructions]
        environment |= {"CROSSPIKE_INSTRUCTIONS": instructions, "ATEN_CPU_CAPABILITY": aten}
        environment |= {"ONEDNN_MAX_CPU_ISA": onednn, "MKL_ENABLE_INSTRUCTIONS": mkl}
    run = subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, cwd=ROOT, env=environment)
    return json.loads(run.stdout)


def compare(arch, work, threads, instructions, args):
    """Times all in turn, kept to a set of instructions; the rows of the table."""
    rust = [args.timer, work, f"models/{arch}.toml", args.cache / f"{arch}.safetensors"]
    rust += ["--gradient-bits", str(args.gradient_bits)]
    rust += [f"images:{args.cache / arch}.images.npz", "--limit", BATCH, "--threads", threads, "--runs", args.runs]
    rust += ["--direct"] if ENCODING.get(arch) == "direct" else []
    commands = {}
    # The residual model runs all steps of a layer at once already.
    for peer in args.peers.split(",") if arch not in ENCODING else ["eager"]:
        python = [sys.executable, __file__, "--pytorch", peer, arch, work, threads, "--cache", args.cache]
        python += ["--runs", args.runs] + (["--reference", args.reference] if args.reference else [])
        commands[peer] = python
    peers = list(commands)
    commands["crosspike"] = rust
    found = {name: [] for name in commands}
    for i in range(args.rounds):
        for name, command in commands.items():
            where = f"{arch}, {work}, {threads} threads: round {i + 1} of {args.rounds}, {name} {instructions}"
            print(f"\r{where:<90}", end="", file=sys.stderr, flush=True)
            found[name].append(measure(command, instructions))
    print(file=sys.stderr)
    rates = {name: statistics.median(m["images_per_second"] for m in runs) for name, runs in found.items()}
    peaks = {name: max(m["peak_bytes"] or 0 for m in runs) / 2**20 for name, runs in found.items()}
    best = max(peers, key=rates.get)
    least = min(peaks[peer] for peer in peers)
    rows = []
    for name in commands:
        ratio = "" if name in peers else f"{rates[name] / rates[best]:.2f}"
        memory = "" if name in peers else f"1/{least / peaks[name]:.1f}"
        kept_to = instructions or "all"
        rows.append(
            f"| {arch} | {work} | {threads} | {kept_to} | {name} | {rates[name]:.1f} | {ratio} | {peaks[name]:.0f} | {memory} |"
        )
    spikes = found["crosspike"][0]["spike_rates"]
    rates = ", ".join(f"{name} {100 * rate:.1f}" for name, rate in sorted(spikes.items()))
    print(f"{arch}, {work}: spikes per neuron and step, %: {rates}", file=sys.stderr)
    return "\n".join(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--make", type=Path, metavar="CIFAR_DIR", help="make the networks that are not there")
    parser.add_argument("--cache", type=Path, default=ROOT / "target" / "against_pytorch", help="where they are kept")
    parser.add_argument("--reference", type=Path, metavar="FOLDER", help="another PyTorch model")
    parser.add_argument("--networks", default="vgg5,vgg9")
    parser.add_argument("--work", default="infer,train")
    parser.add_argument("--threads", default=str(os.cpu_count()), help="thread counts, such as 1,2")
    parser.add_argument("--rounds", type=int, default=5, help="processes of each")
    parser.add_argument("--runs", type=int, default=3, help="runs of a process that count")
    parser.add_argument("--peers", default=",".join(PEERS), help="which PyTorch models, of " + ", ".join(PEERS))
    parser.add_argument("--gradient-bits", type=int, default=16, help="of crosspike's training: 16 or 23")
    parser.add_argument("--instructions", default="", help="sets that all are kept to, such as amx,avx512-vnni,avx2")
    parser.add_argument("--pytorch", nargs=4, metavar=("PEER", "NETWORK", "WORK", "THREADS"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.cache = args.cache.resolve()
    if args.pytorch:
        peer, arch, work, threads = args.pytorch
        time_pytorch(peer, arch, work, int(threads), args)
        return
    if os.getloadavg()[0] > 0.5:
        # PyTorch's threads wait for one another: what else runs slows it by far more than its share.
        print(f"other work is running (load {os.getloadavg()[0]:.1f}): the ratios will be wrong", file=sys.stderr)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
    subprocess.run(
        ["cargo", "build", "--release", "--bin", "crosspike", "--example", "time_network"], check=True, cwd=ROOT
    )
    args.crosspike, args.timer = target / "crosspike", target / "examples" / "time_network"
    networks = args.networks.split(",")
    for arch in networks:
        there = all((args.cache / f"{arch}.{ending}").exists() for ending in ("safetensors", "images.npz"))
        if not there and args.make is None:
            sys.exit(f"{args.cache} has no {arch}; --make CIFAR_DIR makes it")
        if not there:
            make(arch, args.make, args.cache, args.reference)
        verify(arch, args)
    print(f"{processor()}, PyTorch {torch.__version__}", file=sys.stderr)
    print(
        "| network | work | threads | instructions | with | images/s | over the best peer | peak MiB | of the leanest peer's |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for threads in args.threads.split(","):
        for arch in networks:
            for work in args.work.split(","):
                for instructions in args.instructions.split(","):
                    print(compare(arch, work, threads, instructions, args), flush=True)


if __name__ == "__main__":
    main()
