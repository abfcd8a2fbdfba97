"""Makes the goldens of tests/golden_networks.rs: networks of every operator and norm, run and trained by PyTorch in
plain loops.

    python3 tests/golden/networks/make.py

It needs torch and numpy (2.2.2 and 1.26 made the goldens that are here) and shares no code with crosspike: shapes,
operators, neurons and the readout are written from docs/guide.md. Each case is a folder: model.toml,
checkpoint.safetensors with weights and running statistics at random, frames.npz with integer inputs of every step,
and what PyTorch made of them:

- expected.npz: logits and spikes `[layers, steps]` of the trained network (running statistics), in float64;
- gradients.safetensors: of the batch's cross-entropy, batch statistics, float64, one tensor a parameter;
- after_sgd.safetensors: all tensors after two steps of SGD (rate 0.1, momentum 0.9, decay 1e-4);
- after_adamw.safetensors: after two of AdamW (rate 0.01, betas 0.9 and 0.99, decay 0.01) with labels smoothed by 0.1,
  where they do not
  hang on gradients that are nearly 0;
- train.json: how the network was trained, where that is not by the cross-entropy of its logits;
- gradients_KIND.safetensors, of the cases in SURROGATES: gradients by another surrogate, of width 0.8.

Seeds are searched until no potential comes nearer to a threshold than MARGIN, so that no spike hangs on a rounding.
"""

import json
import struct
import sys
import tomllib
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

HERE = Path(__file__).parent
MARGIN = 2e-5
IMAGES = 6
CASES = {
    "windows": """
        steps = 4
        classes = 5
        input = { channels = 2, height = 11, width = 10 }
        neuron = { leak = 0.9, threshold = 0.8 }
        layers = [
          { conv = { channels = 6, kernel = 5, stride = 2 } },
          { conv = { channels = 18, kernel = [3, 2], padding = [2, 0], dilation = [2, 1] } },
          { pool = 2 },
          { conv = { channels = 7, kernel = 1 } },
          { fc = 12 },
        ]""",
    "batch": """
        steps = 3
        classes = 4
        input = { channels = 3, height = 8, width = 8 }
        neuron = { leak = 0.5, threshold = 0.6 }
        norm = "batch"
        readout = { bias = true }
        layers = [
          { conv = { channels = 8, bias = true } },
          { conv = { channels = 17, kernel = 1, stride = 2 } },
          { conv = { channels = 9, kernel = 3, stride = 2 } },
          { pool = "global" },
          { fc = { width = 10, bias = true } },
        ]""",
    "plain": """
        steps = 5
        classes = 3
        input = { channels = 1, height = 9, width = 9 }
        neuron = { leak = 0.8, threshold = 1.0 }
        norm = "none"
        readout = { bias = true }
        layers = [
          { conv = { channels = 5, kernel = 4, padding = 0, bias = true } },
          { pool = 3 },
          { fc = { width = 16, bias = true } },
        ]""",
    "sequence": """
        steps = 4
        classes = 4
        input = { channels = 12, height = 1, width = 24 }
        neuron = { leak = 0.7, threshold = 0.7 }
        layers = [
          { conv1d = { channels = 8, kernel = 7, stride = 2, padding = 2 }, norm = "batch" },
          { pool = 2 },
          { conv1d = { channels = 10, dilation = 2, bias = true } },
          { fc = 9, norm = "none" },
        ]""",
    "resets": """
        steps = 6
        classes = 4
        input = { channels = 2, height = 7, width = 7 }
        neuron = { leak = 1.0, threshold = 0.8, reset = "zero" }
        norm = "batch"
        layers = [
          { conv = 9, neuron = { leak = 0.7, reset = -0.25, reset_at = "next" } },
          { conv = 6, neuron = { leak = 0.8, reset = "subtract", reset_at = "next" } },
          { pool = 2 },
          { fc = 12 },
          { fc = 10, neuron = { leak = 0.9, reset = "none" } },
        ]""",
    "currents": """
        steps = 6
        classes = 3
        input = { channels = 3, height = 6, width = 5 }
        neuron = { leak = 0.6, threshold = 0.5, scaled_input = true }
        norm = "batch"
        layers = [
          { conv = 8, neuron = { synaptic_leak = 0.5, refractory = 1 } },
          { conv = 17, neuron = { adaptation = 0.3, adaptation_leak = 0.8, scaled_input = false, reset = "zero" } },
          { fc = 11, neuron = { synaptic_leak = 0.4, reset_at = "next", refractory = 2, scaled_input = false } },
        ]""",
    "reached": """
        steps = 5
        classes = 3
        input = { channels = 2, height = 6, width = 6 }
        neuron = { leak = 0.5, threshold = 1.0, fires = "reached", reset = "zero" }
        norm = "none"
        layers = [
          { conv = 6 },
          { conv = { channels = 7, stride = 2 }, neuron = { leak = 1.0, reset = "subtract", synaptic_leak = 0.5 } },
          { fc = 8, neuron = { leak = 0.25, adaptation = 0.5, adaptation_leak = 0.5 } },
        ]""",
    "skips": """
        steps = 4
        classes = 4
        input = { channels = 2, height = 8, width = 8 }
        neuron = { leak = 0.5, threshold = 0.7 }
        norm = "batch"
        layers = [
          { name = "stem", conv = 9 },
          { name = "a1", conv = { channels = 9, bias = true } },
          { name = "a2", conv = 9, add = "stem" },
          { name = "b1", conv = { channels = 18, stride = 2 } },
          { name = "b2", conv = 18, norm = "none", neuron = { reset = "zero" } },
          { name = "short", conv = { channels = 18, kernel = 1, stride = 2 }, from = "a2", joins = "b2" },
          { name = "c", conv = 18, add = ["b1", "b2"], norm = "bntt" },
          { pool = "global" },
          { fc = 12 },
          { name = "side", fc = { width = 12, bias = true }, from = "input", joins = "fc1", norm = "none" },
        ]""",
    "behind": """
        steps = 4
        classes = 3
        input = { channels = 2, height = 7, width = 7 }
        neuron = { leak = 0.6, threshold = 0.9 }
        norm = "batch"
        layers = [
          { name = "stem", conv = 17 },
          { conv = 17 },
          { conv = 17, add_behind = "stem" },
          { name = "twice", conv = 17, add_behind = ["conv2", "stem"] },
          { pool = { window = 3, stride = 2, padding = 1 } },
          { conv = { channels = 6, bias = true } },
          { pool = { window = 2, kind = "sum" } },
          { name = "deep", fc = 9, norm = "none" },
          { fc = 9, add_behind = "deep" },
        ]""",
    "membranes": """
        steps = 5
        classes = 4
        input = { channels = 3, height = 6, width = 6 }
        neuron = { leak = 0.5, threshold = 0.6, reset = "zero", scaled_input = true }
        norm = "batch"
        layers = [
          { name = "m0", conv = 8 },
          { name = "m1", conv = 8, add_current = "m0" },
          { name = "m2", conv = { channels = 8, bias = true }, add_current = ["m1", "m0"], add = "m1", neuron = { synaptic_leak = 0.3 } },
          { pool = 2 },
          { name = "f1", fc = 10 },
          { name = "f2", fc = 10, add_current = "f1" },
        ]""",
    "branches": """
        steps = 4
        classes = 4
        input = { channels = 2, height = 9, width = 8 }
        neuron = { leak = 0.7, threshold = 0.6 }
        layers = [
          { name = "left", conv = 10 },
          { name = "right", conv = { channels = 7, kernel = 5 }, from = "input", norm = "batch" },
          { name = "both", concat = ["left", "right"] },
          { name = "large", pool = { window = 3, stride = 2, kind = "max" } },
          { conv = 5, from = "large" },
          { name = "small", pool = { window = [3, 2], stride = [2, 2], padding = [1, 1], kind = "max" }, from = "left" },
          { pool = { window = [1, 2], stride = [1, 1] }, from = "small" },
          { name = "all", concat = ["conv3", "large"] },
          { fc = 11 },
          { name = "other", fc = 11, from = "pool3", joins = "fc1", norm = "batch" },
        ]""",
    "recurrent": """
        steps = 6
        classes = 4
        input = { channels = 12, height = 1, width = 5 }
        neuron = { leak = 0.8, threshold = 0.7 }
        norm = "batch"
        layers = [
          { conv1d = { channels = 9, stride = 2 } },
          { name = "extra", fc = 13 },
          { name = "r1", fc = 18, from = "conv1", recurrent = true, neuron = { synaptic_leak = 0.4, reset = "zero" } },
          { name = "r2", fc = 13, norm = "none", add = "extra", neuron = { adaptation = 0.3, adaptation_leak = 0.7 } },
          { name = "home", fc = { width = 18, bias = true }, from = "r2", joins = "r1", delayed = true },
          { fc = 8 },
        ]""",
    "ring": """
        steps = 6
        classes = 4
        input = { channels = 12, height = 1, width = 2 }
        neuron = { leak = 0.8, threshold = 0.6 }
        norm = "none"
        layers = [
          { name = "a", fc = { width = 18, bias = true } },
          { name = "b", fc = { width = 20, bias = true } },
          { fc = { width = 18, bias = true }, from = "b", joins = "a", delayed = true },
        ]""",
    "loop": """
        steps = 5
        classes = 3
        input = { channels = 2, height = 6, width = 6 }
        neuron = { leak = 0.7, threshold = 0.6 }
        norm = "batch"
        layers = [
          { name = "eye", conv = 6 },
          { name = "wide", conv = 17 },
          { name = "low", conv = 7, from = "eye", recurrent = true },
          { name = "blur", pool = { window = 3, stride = 1, padding = 1 } },
          { name = "high", conv = { channels = 17, bias = true }, norm = "none", add_current = "wide" },
          { name = "sharp", pool = { window = 3, stride = 1, padding = 1, kind = "max" } },
          { name = "top", concat = ["sharp", "low"] },
          { name = "down", conv = { channels = 7, kernel = 1 }, from = "top", joins = "low", delayed = true },
          { pool = 2, from = "top" },
          { fc = 8 },
        ]""",
    "depthwise": """
        steps = 4
        classes = 4
        input = { channels = 4, height = 8, width = 8 }
        neuron = { leak = 0.7, threshold = 0.6 }
        norm = "batch"
        layers = [
          { conv = { channels = 20, groups = 2 } },
          { name = "deep", conv = { channels = 20, groups = 20, stride = 2 } },
          { name = "point", conv = { channels = 18, kernel = 1, bias = true } },
          { conv = { channels = 36, groups = 18, kernel = 5 }, norm = "bntt" },
          { pool = "global" },
          { fc = 9 },
        ]""",
    "pooled": """
        steps = 5
        classes = 4
        input = { channels = 2, height = 13, width = 12 }
        neuron = { leak = 0.7, threshold = 0.6, reset_at = "next" }
        norm = "none"
        layers = [
          { conv = { channels = 12, kernel = 5, bias = true }, pool_current = { window = 2, kind = "max" } },
          { name = "b", conv = 18, norm = "batch", pool_current = { window = 3, stride = 2, padding = 1 }, neuron = { reset_at = "spike" } },
          { name = "s", conv = { channels = 18, kernel = 1, bias = true }, from = "conv1", joins = "b", pool_current = { window = 3, stride = 2, padding = 1, kind = "max" } },
          { name = "c", conv = 18, norm = "bntt", pool_current = { window = 2, stride = 1, kind = "sum" } },
          { pool = 2 },
          { fc = { width = 12, bias = true } },
        ]""",
    "delays": """
        steps = 6
        classes = 4
        input = { channels = 2, height = 7, width = 6 }
        neuron = { leak = 0.7, threshold = 0.6 }
        norm = "batch"
        layers = [
          { name = "eye", conv = 9 },
          { delay = 2 },
          { name = "b", conv = { channels = 9, stride = 2 } },
          { name = "now", conv = { channels = 9, kernel = 1, stride = 2 }, from = "eye", joins = "b" },
          { name = "late", delay = 1 },
          { name = "c", fc = { width = 12, bias = true }, recurrent = true, norm = "none" },
          { name = "again", delay = 3, from = "c" },
          { name = "back", fc = 12, from = "again", joins = "c", delayed = true },
          { fc = 9, from = "c" },
        ]""",
    "last": """
        steps = 5
        classes = 4
        input = { channels = 2, height = 6, width = 6 }
        neuron = { leak = 0.8, threshold = 0.7 }
        norm = "batch"
        readout = { kind = "last", bias = true, neuron = { leak = 0.9, synaptic_leak = 0.5, scaled_input = true } }
        layers = [{ conv = 8 }, { pool = 2 }, { fc = 12 }]""",
    "largest": """
        steps = 5
        classes = 4
        input = { channels = 2, height = 6, width = 6 }
        neuron = { leak = 0.8, threshold = 0.7 }
        norm = "batch"
        readout = { kind = "largest" }
        layers = [{ conv = 8 }, { pool = 2 }, { fc = 12 }]""",
    "counts": """
        steps = 6
        classes = 3
        input = { channels = 2, height = 6, width = 6 }
        neuron = { leak = 0.8, threshold = 0.7, reset_at = "next" }
        norm = "batch"
        readout = { kind = "count", bias = true, neuron = { leak = 0.7, reset = "zero" } }
        layers = [{ conv = 8 }, { pool = 2 }, { fc = 12 }]""",
    "spikes": """
        steps = 6
        classes = 3
        input = { channels = 2, height = 6, width = 6 }
        neuron = { leak = 0.8, threshold = 0.7 }
        norm = "batch"
        readout = { kind = "count", bias = true }
        layers = [{ conv = 8 }, { pool = 2 }, { fc = 12, recurrent = true }]""",
    "steps": """
        steps = 5
        classes = 4
        input = { channels = 2, height = 7, width = 6 }
        neuron = { leak = 0.8, threshold = 0.7 }
        norm = "batch"
        readout = { bias = true }
        layers = [{ conv = 8 }, { pool = 2 }, { fc = 12 }]""",
    "first": """
        steps = 6
        classes = 4
        input = { channels = 2, height = 6, width = 6 }
        neuron = { leak = 0.8, threshold = 0.9 }
        norm = "batch"
        readout = { kind = "first" }
        layers = [{ conv = 8 }, { pool = 2 }, { fc = 12 }]""",
    "learned": """
        steps = 5
        classes = 4
        input = { channels = 2, height = 7, width = 6 }
        neuron = { leak = 0.7, threshold = 0.7, learned = { leak = "channel", threshold = "layer" } }
        norm = "batch"
        readout = { kind = "last", bias = true, neuron = { synaptic_leak = 0.4, scaled_input = true, learned = { leak = "neuron", synaptic_leak = "layer" } } }
        layers = [
          { name = "stem", conv = 18 },
          { pool = 2 },
          { conv = 8, neuron = { synaptic_leak = 0.4, reset_at = "next", learned = { leak = "neuron", threshold = "neuron", synaptic_leak = "channel" } } },
          { conv = 8, add_current = "conv2", neuron = { scaled_input = true, reset = "zero", learned = { leak = "layer" }, given = { threshold = "neuron" } } },
          { fc = 17, neuron = { adaptation = 0.3, adaptation_leak = 0.6, refractory = 1, given = { leak = "neuron", adaptation = "channel", adaptation_leak = "layer" }, learned = { threshold = "neuron" } } },
        ]""",
    "learned_loop": """
        steps = 6
        classes = 3
        input = { channels = 2, height = 5, width = 4 }
        neuron = { leak = 0.8, threshold = 0.6, learned = { leak = "neuron", threshold = "channel" } }
        norm = "none"
        readout = { kind = "count", bias = true, neuron = { synaptic_leak = 0.3, learned = { leak = "layer", threshold = "neuron", synaptic_leak = "neuron" } } }
        layers = [
          { conv = { channels = 7, bias = true }, recurrent = true, neuron = { synaptic_leak = 0.4, learned = { leak = "channel", synaptic_leak = "neuron" }, given = { threshold = "channel" } } },
          { fc = { width = 18, bias = true }, recurrent = true, neuron = { scaled_input = true, reset_at = "next" } },
        ]""",
}
# How some are trained: loss, the rates that spikes should have, the weight of the mean spikes of a neuron and step.
TRAINED = {
    "counts": {"loss": "counts", "rates": [0.75, 0.125], "rate_penalty": 0.5},
    "steps": {"loss": "steps", "rate_penalty": 0.25},
}
# Networks whose gradients are taken by other surrogates too.
SURROGATES = {"batch": ["triangle", "sigmoid"], "currents": ["arctan", "rectangle"], "windows": ["arctan"]}
# Networks whose weights, inputs and constants are few binary digits: potentials stand on their thresholds, exactly.
EXACT = {"reached"}


class Spike(torch.autograd.Function):
    """A spike iff v > 0, or v ≥ 0; backward by the surrogate in force: 0.3·max(0, 1 − |v|), or another."""

    surrogate = ("triangle", 1.0)

    nearest, met = float("inf"), 0

    @staticmethod
    def forward(ctx, v, reached):
        ctx.save_for_backward(v)
        away = v.detach().abs()
        Spike.nearest = min(Spike.nearest, away[away > 0].min().item())
        Spike.met += int((away == 0).sum())
        return ((v >= 0) if reached else (v > 0)).to(v.dtype)

    @staticmethod
    def backward(ctx, g):
        (v,) = ctx.saved_tensors
        kind, width = Spike.surrogate
        if kind == "triangle":
            slope = 0.3 * torch.clamp(1 - v.abs() / width, min=0)
        elif kind == "arctan":
            slope = 1 / width / (1 + (torch.pi * v / width) ** 2)
        elif kind == "sigmoid":
            s = torch.sigmoid(4 / width * v)
            slope = 4 / width * s * (1 - s)
        else:
            slope = (v.abs() < width / 2).to(v.dtype) / width
        return g * slope, None


class Neurons:
    """A layer's neurons, step by step, with constants of their own where they have some. Spikes of resets and
    adaptation are outside the gradient."""

    def __init__(self, neuron, like, own=None):
        self.neuron, self.own = neuron, own or {}
        self.u = self.i = self.a = self.s = self.rest = torch.zeros_like(like)

    def step(self, x):
        neuron = self.neuron
        f32 = lambda key, default: self.own.get(key, float(np.float32(neuron.get(key, default))))
        leak, threshold = f32("leak", 0.95), f32("threshold", 1.0)
        alpha, beta, rho = f32("synaptic_leak", 0), f32("adaptation", 0), f32("adaptation_leak", 0)
        reset, later = neuron.get("reset", "subtract"), neuron.get("reset_at", "spike") == "next"
        reset = 0.0 if reset == "zero" else reset
        after = {"subtract": lambda u, s: u - threshold * s, "none": lambda u, s: u}.get(
            reset, lambda u, s: torch.where(s > 0, torch.full_like(u, float(np.float32(reset))), u)
        )
        x = x * (1 - leak) if neuron.get("scaled_input") else x
        self.i = alpha * self.i + x
        self.a = rho * self.a + self.s
        resting = self.rest > 0
        u = torch.where(resting, self.u, leak * self.u + self.i)
        u = after(u, self.s) if later else u
        spike = Spike.apply((u - (threshold + beta * self.a)) / threshold, neuron.get("fires") == "reached")
        spike = torch.where(resting, torch.zeros_like(spike), spike)
        self.s = spike.detach()
        self.u = u if later else after(u, self.s)
        resting = torch.full_like(self.rest, neuron.get("refractory", 0))
        self.rest = torch.where(self.s > 0, resting, torch.clamp(self.rest - 1, min=0))
        return spike


def in_model(model, own):
    """An entry's neuron: its own numbers and tables stand before the model's tables, constant by constant."""
    own_tables = {key: table for table in ("given", "learned") for key in own.get(table, {})}
    kept = lambda table: {
        key: extent for key, extent in model.get(table, {}).items() if key not in own and key not in own_tables
    }
    return model | own | {table: kept(table) | own.get(table, {}) for table in ("given", "learned")}


def pair(value):
    return tuple(value) if isinstance(value, list) else (value, value)


def listed(value):
    return [value] if isinstance(value, str) else value or []


def window_of(pool, shape, along):
    """A pool's window, stride, padding and kind over a map, and the map that it gives."""
    table = pool if isinstance(pool, dict) else {"window": pool}
    whole = lambda value, rows: (rows, value) if along and not isinstance(value, list) else pair(value)
    window = shape[1:] if table["window"] == "global" else whole(table["window"], 1)
    stride = whole(table["stride"], 1) if "stride" in table else window
    of = (window, stride, whole(table.get("padding", 0), 0), table.get("kind", "average"))
    return of, (shape[0], *((s + 2 * p - w) // t + 1 for s, w, t, p in zip(shape[1:], *of[:3])))


def pooled(x, of):
    window, stride, padding, kind = of
    if kind == "max":
        return F.max_pool2d(x, window, stride, padding)
    return F.avg_pool2d(x, window, stride, padding) * (window[0] * window[1] if kind == "sum" else 1)


class Network:
    """A graph of layers with its parameters and running statistics under their names."""

    def __init__(self, model, generator):
        self.model, self.tensors, self.layers, self.items = model, {}, [], []
        self.learned = set()
        shapes = {"input": (model["input"]["channels"], model["input"]["height"], model["input"]["width"])}
        counts, last, convolved = {"conv": 0, "fc": 0, "pool": 0, "concat": 0, "delay": 0}, "input", {}
        for item in model["layers"]:
            kind = next(
                kind for kind in ("fc", "pool", "concat", "delay", "conv") if kind in item or kind + "1d" in item
            )
            counts[kind] += 1
            item = {"name": f"{kind}{counts[kind]}", "from": last, "kind": kind} | item
            name, shape, along = item["name"], shapes.get(item["from"]), convolved.get(item["from"], False)
            self.items.append(item)
            if kind == "concat":
                parts = [shapes[other] for other in item["concat"]]
                shape = (sum(part[0] for part in parts), *parts[0][1:])
            elif kind == "delay":
                pass
            elif kind == "pool":
                item["of"], shape = window_of(item["pool"], shape, along)
            else:
                shape = self.layer(item, shape, generator, along)
                if "joins" not in item:
                    self.constants(name, in_model(model.get("neuron", {}), item.get("neuron", {})), shape, generator)
            if "joins" not in item:
                shapes[name], last = shape, name
            convolved[name] = "conv1d" in item or kind == "delay" and along
        readout = {
            "kind": "readout",
            "name": f"fc{counts['fc'] + 1}",
            "norm": "none",
            "from": last,
            "bias": model.get("readout", {}).get("bias", False),
            "width": model["classes"],
        }
        self.add(readout, (model["classes"], int(np.prod(shapes[last]))), generator)
        if model.get("readout", {}).get("kind", "mean") != "mean":
            neuron = in_model(model.get("neuron", {}), model["readout"].get("neuron", {}))
            held = ("leak", "synaptic_leak") if model["readout"]["kind"] in ("last", "largest") else self.HELD
            self.constants(readout["name"], neuron, (model["classes"], 1, 1), generator, held)

    HELD = ("leak", "threshold", "synaptic_leak", "adaptation", "adaptation_leak")

    def constants(self, name, neuron, shape, generator, held=HELD):
        """Adds the constants of a layer's neurons that are tensors, around the model's value."""
        for table in ("given", "learned"):
            for key, extent in neuron.get(table, {}).items():
                if key in held:
                    size = {
                        "layer": (1,),
                        "channel": shape[:1],
                        "neuron": shape if shape[1] * shape[2] > 1 else shape[:1],
                    }[extent]
                    spread = torch.rand(size, generator=generator, dtype=torch.float64) * 0.3 - 0.15
                    self.tensors[f"{name}.{key}"] = (neuron[key] + spread).float().double()
                    self.learned |= {f"{name}.{key}"} if table == "learned" else set()

    def own(self, name):
        """A layer's constants that are tensors, over images and maps."""
        found = {key: self.tensors[f"{name}.{key}"] for key in self.HELD if f"{name}.{key}" in self.tensors}
        return {key: value if value.dim() == 3 else value[:, None, None] for key, value in found.items()}

    def layer(self, item, shape, generator, along):
        """Adds an item's matrix; gives the map that it sends."""
        norm = item.get("norm", "none" if item.get("delayed") else self.model.get("norm", "bntt"))
        kind = item["kind"]
        if kind == "fc":
            table = item["fc"] if isinstance(item["fc"], dict) else {"width": item["fc"]}
            width = table["width"]
            weight = (width, shape[0] * shape[1] * shape[2])
            layer, shape = {"kind": kind}, (width, 1, 1)
        else:
            along = "conv1d" in item
            table = item.get("conv1d", item.get("conv"))
            table = table if isinstance(table, dict) else {"channels": table}
            width = table["channels"]
            whole = lambda value, rows: (rows, value) if along else pair(value)
            kernel, stride = whole(table.get("kernel", 3), 1), whole(table.get("stride", 1), 1)
            dilation = whole(table.get("dilation", 1), 1)
            padding = tuple((k - 1) * d // 2 for k, d in zip(kernel, dilation))
            if "padding" in table:
                padding = whole(table["padding"], 0)
            groups = table.get("groups", 1)
            weight = (width, shape[0] // groups) + (kernel[1:] if along else kernel)
            size = [
                (s + 2 * p - d * (k - 1) - 1) // t + 1
                for s, p, d, k, t in zip(shape[1:], padding, dilation, kernel, stride)
            ]
            layer = {
                "kind": kind,
                "kernel": kernel,
                "stride": stride,
                "padding": padding,
                "dilation": dilation,
                "groups": groups,
            }
            shape = (width, *size)
        layer |= {
            "name": item["name"],
            "norm": norm,
            "bias": table.get("bias", False),
            "width": width,
            "before": None,
            "from": item["from"],
            "to": item.get("joins", item["name"]),
            "delayed": item.get("delayed", False),
        }
        if "pool_current" in item:
            layer["before"], shape = window_of(item["pool_current"], shape, along)
        self.add(layer, weight, generator)
        if item.get("recurrent"):
            back = layer | {
                "name": item["name"] + "_rec",
                "norm": "none",
                "bias": False,
                "from": item["name"],
                "delayed": True,
            }
            if kind == "conv":
                back |= {"kernel": (3, 3), "stride": (1, 1), "padding": (1, 1), "dilation": (1, 1)}
            self.add(back, (width, width) + ((3, 3) if kind == "conv" else ()), generator)
        return shape

    def add(self, layer, weight, generator):
        uniform = lambda shape, low, high: (
            torch.rand(shape, generator=generator, dtype=torch.float64) * (high - low) + low
        )
        bound = 2.0 / np.sqrt(np.prod(weight[1:]))
        exact = self.model["exact"]
        digits = lambda value: (value * 4).round() / 4 if exact else value
        put = lambda name, value: self.tensors.__setitem__(name, digits(value).float().double())
        put(layer["name"] + ".weight", uniform(weight, -bound, bound))
        width = layer["width"]
        if layer["bias"]:
            put(layer["name"] + ".bias", uniform((width,), -0.3, 0.3))
        for prefix in self.norms(layer):
            put(prefix + ".weight", uniform((width,), 0.6, 1.4))
            put(prefix + ".running_mean", uniform((width,), -0.3, 0.3))
            put(prefix + ".running_var", uniform((width,), 0.2, 1.0))
            if layer["norm"] == "batch":
                put(prefix + ".bias", uniform((width,), -0.2, 0.4))
        self.layers.append(layer)

    def norms(self, layer):
        start = {"bntt": "bntt", "batch": "bn"}.get(layer["norm"])
        if start is None:
            return []
        name = layer["name"]
        numbered = name.startswith("conv") and name[4:].isdigit()
        name = start + name[4:] if numbered else f"{start}_fc" if name == "fc1" else f"{start}_{name}"
        return [name] if layer["norm"] == "batch" else [f"{name}.{t}" for t in range(self.model["steps"])]

    def parameters(self):
        is_given = lambda name: name.split(".")[-1] in self.HELD and name not in self.learned
        return {name: value for name, value in self.tensors.items() if "running" not in name and not is_given(name)}

    def hold(self):
        """Holds learned constants to the values that they may have."""
        for name in self.learned:
            low, high = (1 / 1024, np.inf) if name.endswith(".threshold") else (0, 1)
            self.tensors[name] = self.tensors[name].clamp(low, high)

    def current(self, layer, x):
        weight, bias = self.tensors[layer["name"] + ".weight"], self.tensors.get(layer["name"] + ".bias")
        if layer["kind"] != "conv":
            return F.linear(x.flatten(1), weight, bias)[:, :, None, None]
        weight = weight.reshape(*weight.shape[:2], *layer["kernel"])
        return F.conv2d(x, weight, bias, layer["stride"], layer["padding"], layer["dilation"], layer["groups"])

    def normalised(self, layer, currents, training, statistics):
        """Currents of all steps [T, B, C, H, W] behind the layer's norms."""
        prefixes = self.norms(layer)
        if not prefixes:
            return currents
        groups = [currents] if layer["norm"] == "batch" else [current[None] for current in currents]
        epsilon, out = 1e-5 if layer["norm"] == "batch" else 1e-4, []
        for prefix, group in zip(prefixes, groups):
            mean, var = self.tensors[prefix + ".running_mean"], self.tensors[prefix + ".running_var"]
            if training:
                n = group.numel() / group.shape[2]
                mean = group.mean(dim=(0, 1, 3, 4))
                var = group.var(dim=(0, 1, 3, 4), unbiased=False)
                statistics[prefix] = (mean.detach(), var.detach() * n / max(n - 1, 1))
            of = lambda values: values[None, None, :, None, None]
            normed = (group - of(mean)) / torch.sqrt(of(var) + epsilon) * of(self.tensors[prefix + ".weight"])
            shift = self.tensors.get(prefix + ".bias")
            out.append(normed if shift is None else normed + of(shift))
        return torch.cat(out)

    def share(self, layer, signal, training, statistics):
        """A layer's share of a current of all steps, behind its norms and its pool."""
        normed = self.normalised(layer, torch.stack([self.current(layer, x) for x in signal]), training, statistics)
        return normed if layer["before"] is None else torch.stack([pooled(x, layer["before"]) for x in normed])

    def cycles(self):
        """Ranges of items that run step by step."""
        places = {item["name"]: i for i, item in enumerate(self.items)}
        ranges = sorted(
            (places[layer["to"]], places[layer["from"]] + 1) for layer in self.layers if layer.get("delayed")
        )
        united = []
        for first, end in ranges:
            if united and first < united[-1][1]:
                united[-1][1] = max(united[-1][1], end)
            else:
                united.append([first, end])
        return united

    def run(self, frames, training=False):
        """Logits, spikes by layer and step, and the batch's statistics; frames [B, T, C, H, W]."""
        sent, lent, spikes, statistics = {"input": list(frames.transpose(0, 1))}, {}, {}, {}
        self.fired, self.sizes = 0, {}
        steps, i = self.model["steps"], 0
        while i < len(self.items):
            end = next((end for first, end in self.cycles() if first == i), i + 1)
            items, i = self.items[i:end], end
            inside = (
                {item["name"] for item in items if "joins" not in item}
                if len(items) > 1
                or any(layer["from"] == items[0]["name"] and layer.get("delayed") for layer in self.layers)
                else set()
            )
            known, neurons = {}, {}
            for item in (item for item in items if item["kind"] in ("conv", "fc") and "joins" not in item):
                terms = [
                    self.share(layer, sent[layer["from"]], training, statistics)
                    for layer in self.layers
                    if layer.get("to") == item["name"] and layer["from"] not in inside
                ]
                terms += [torch.stack(sent[other]) for other in listed(item.get("add")) if other not in inside]
                terms += [torch.stack(lent[other]) for other in listed(item.get("add_current")) if other not in inside]
                known[item["name"]] = sum(terms) if terms else None
            for item in items:
                sent[item["name"]], lent[item["name"]], spikes[item["name"]] = [], [], []
            for t in range(steps):
                for item in items:
                    self.visit(item, t, inside, known, neurons, sent, lent, spikes)
        readout = self.layers[-1]
        values = torch.stack([self.current(readout, x) for x in sent[readout["from"]]]).flatten(2)
        self.by_step = values
        self.rate = self.fired / sum(len(frames) * steps * size for size in self.sizes.values())
        none = [0] * steps
        leads = lambda layer: layer["to"] == layer["name"]
        return (
            self.read(values),
            [spikes[layer["name"]] if leads(layer) else none for layer in self.layers[:-1]],
            statistics,
        )

    def read(self, values):
        """Logits from the readout's sums [T, B, classes]."""
        readout = self.model.get("readout", {})
        kind = readout.get("kind", "mean")
        if kind == "mean":
            return values.mean(0)
        neuron = self.model.get("neuron", {}) | readout.get("neuron", {})
        if kind in ("last", "largest"):
            own = {key: value[:, 0, 0] for key, value in self.own(self.layers[-1]["name"]).items()}
            f32 = lambda key, default: own.get(key, float(np.float32(neuron.get(key, default))))
            leak, alpha, u, i, all = f32("leak", 0.95), f32("synaptic_leak", 0), 0, 0, []
            for x in values:
                i = alpha * i + (x * (1 - leak) if neuron.get("scaled_input") else x)
                u = leak * u + i
                all.append(u)
            return u if kind == "last" else torch.stack(all).max(0).values
        own = {key: value[:, 0, 0] for key, value in self.own(self.layers[-1]["name"]).items()}
        neurons = Neurons(neuron, values[0], own)
        spikes = torch.stack([neurons.step(x) for x in values])
        if kind == "count":
            return spikes.sum(0)
        steps = torch.arange(len(values), 0, -1, dtype=torch.float64)[:, None, None]
        return (spikes * steps).max(0).values

    def visit(self, item, t, inside, known, neurons, sent, lent, spikes):
        """Runs an item at a step."""
        name = item["name"]
        if "joins" in item:
            return
        if item["kind"] == "pool":
            sent[name].append(pooled(sent[item["from"]][t], item["of"]))
            return
        if item["kind"] == "delay":
            past = sent[item["from"]]
            sent[name].append(past[t - item["delay"]] if t >= item["delay"] else torch.zeros_like(past[0]))
            return
        if item["kind"] == "concat":
            sent[name].append(torch.cat([sent[other][t] for other in item["concat"]], dim=1))
            return
        current = 0 if known[name] is None else known[name][t]
        for layer in self.layers:
            if layer.get("to") == name and layer["from"] in inside:
                source = sent[layer["from"]]
                if layer["delayed"]:
                    # Before the first step nothing was sent.
                    shape = (len(sent["input"][0]), self.tensors[layer["name"] + ".weight"].shape[1])
                    x = source[t - 1] if t > 0 else torch.zeros_like(self.blank(layer, current, shape))
                else:
                    x = source[t]
                current = current + self.current(layer, x)
        current = current + sum(sent[other][t] for other in listed(item.get("add")) if other in inside)
        current = current + sum(lent[other][t] for other in listed(item.get("add_current")) if other in inside)
        lent[name].append(current)
        neuron = self.model.get("neuron", {}) | item.get("neuron", {})
        neurons.setdefault(name, Neurons(neuron, current, self.own(name)))
        spike = neurons[name].step(current)
        spikes[name].append(int(spike.sum().item()))
        self.fired = self.fired + spike.sum()
        self.sizes[name] = spike[0].numel()
        sent[name].append(spike + sum(sent[other][t] for other in listed(item.get("add_behind"))))

    def blank(self, layer, current, shape):
        """Something of the shape that a delayed layer reads."""
        if layer["kind"] != "conv":
            return torch.empty(*shape, 1, 1, dtype=torch.float64)
        return torch.empty(*shape, *current.shape[2:], dtype=torch.float64)


def safetensors(path, tensors):
    """Writes f32 tensors, by hand: the format is a length, a JSON header and the data."""
    header, data = {}, b""
    for name in sorted(tensors):
        raw = tensors[name].detach().numpy().astype("<f4").tobytes()
        header[name] = {
            "dtype": "F32",
            "shape": list(tensors[name].shape),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    path.write_bytes(struct.pack("<Q", len(head)) + head + data)


def gradients_of(network, frames, labels, smoothing=0.0):
    """The gradient of every parameter, and the batch's statistics."""
    parameters = network.parameters()
    for value in parameters.values():
        value.requires_grad_(True)
    logits, _, statistics = network.run(frames, training=True)
    trained = TRAINED.get(network.model["case"], {})
    if trained.get("loss") == "counts":
        rates = torch.where(F.one_hot(labels, logits.shape[1]) > 0, *trained["rates"])
        loss = ((logits / network.model["steps"] - rates) ** 2).mean()
    elif trained.get("loss") == "steps":
        loss = (
            sum(F.cross_entropy(values, labels, label_smoothing=smoothing) for values in network.by_step)
            / network.model["steps"]
        )
    else:
        loss = F.cross_entropy(logits, labels, label_smoothing=smoothing)
    loss = loss + trained.get("rate_penalty", 0) * network.rate
    found = torch.autograd.grad(loss, list(parameters.values()))
    for name, value in parameters.items():
        network.tensors[name] = value.detach()
    return dict(zip(parameters, found)), statistics


def step(network, frames, labels, velocity):
    """One step of SGD in float64; gives the gradients."""
    gradients, statistics = gradients_of(network, frames, labels)
    for name, value in network.parameters().items():
        decay = 0 if name in network.learned else 1e-4
        velocity[name] = 0.9 * velocity.get(name, 0) + gradients[name] + decay * value
        network.tensors[name] = value - 0.1 * velocity[name]
    network.hold()
    track(network, statistics)
    return gradients


def step_adamw(network, frames, labels, optimiser, noise=0.0):
    """One step of PyTorch's own AdamW; gives the optimiser, whose parameters follow the network's."""
    gradients, statistics = gradients_of(network, frames, labels, smoothing=0.1)
    gradients = {name: value + noise * value.abs().max() * torch.randn_like(value) for name, value in gradients.items()}
    if optimiser is None:
        parameters = network.parameters().items()
        groups = [
            {"params": [value], "weight_decay": 0 if name in network.learned else 0.01} for name, value in parameters
        ]
        optimiser = torch.optim.AdamW(groups, 0.01, (0.9, 0.99))
    parameters = [group["params"][0] for group in optimiser.param_groups]
    for value, gradient in zip(parameters, gradients.values()):
        value.grad = gradient
    optimiser.step()
    for name, value in zip(gradients, parameters):
        network.tensors[name] = value.detach()
    network.hold()
    track(network, statistics)
    return optimiser


def track(network, statistics):
    """Moves the running statistics."""
    for prefix, (mean, var) in statistics.items():
        for what, batch in (("mean", mean), ("var", var)):
            key = f"{prefix}.running_{what}"
            network.tensors[key] = 0.9 * network.tensors[key] + 0.1 * batch


def make(name, text, seed):
    """Makes a case; false where a potential comes too near to a threshold."""
    model = tomllib.loads(text) | {"exact": name in EXACT, "case": name}
    generator = torch.Generator().manual_seed(seed)
    network = Network(model, generator)
    shape = (IMAGES, model["steps"], *(model["input"][key] for key in ("channels", "height", "width")))
    frames = torch.randint(-1, 3, shape, generator=generator).double()
    labels = torch.randint(0, model["classes"], (IMAGES,), generator=generator)
    Spike.nearest, Spike.met = float("inf"), 0
    start = {name: value.clone() for name, value in network.tensors.items()}
    with torch.no_grad():
        logits, spikes, _ = network.run(frames)
    if bool(Spike.met) != model["exact"]:
        return False
    if model.get("readout", {}).get("kind") == "first":
        return write(name, text, seed, network, start, (frames, labels, logits, spikes), {})
    velocity = {}
    gradients = step(network, frames, labels, velocity)
    step(network, frames, labels, velocity)
    after_sgd, network.tensors = network.tensors, {name: value.clone() for name, value in start.items()}
    adamw = step_adamw(network, frames, labels, None)
    step_adamw(network, frames, labels, adamw)
    after_adamw, other = network.tensors, {}
    # AdamW divides by a gradient's size: one that is nearly 0 makes a step of what roundings leave of it.
    network.tensors = {name: value.clone() for name, value in start.items()}
    step_adamw(network, frames, labels, step_adamw(network, frames, labels, None, noise=1e-7), noise=1e-7)
    is_steady = all((after_adamw[name] - value).abs().max() < 5e-6 for name, value in network.tensors.items())
    for kind in SURROGATES.get(name, []):
        Spike.surrogate, network.tensors = (kind, 0.8), {name: value.clone() for name, value in start.items()}
        other[kind], _ = gradients_of(network, frames, labels)
    Spike.surrogate = ("triangle", 1.0)
    files = {"gradients": gradients, "after_sgd": after_sgd} | ({"after_adamw": after_adamw} if is_steady else {})
    files |= {f"gradients_{kind}": values for kind, values in other.items()}
    return write(name, text, seed, network, start, (frames, labels, logits, spikes), files)


def write(name, text, seed, network, start, results, files):
    """Writes a case; false where a potential came too near to a threshold, or neurons are silent."""
    frames, labels, logits, spikes = results
    silent = any(sum(fired) == 0 for layer, fired in zip(network.layers, spikes) if layer["to"] == layer["name"])
    if Spike.nearest < MARGIN or silent:
        return False
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    lines = [f'name = "{name}"'] + [line[8:] for line in text.strip("\n").split("\n")]
    (folder / "model.toml").write_text("\n".join(lines) + "\n")
    safetensors(folder / "checkpoint.safetensors", start)
    for file, values in files.items():
        safetensors(folder / f"{file}.safetensors", values)
    if name in TRAINED:
        (folder / "train.json").write_text(json.dumps(TRAINED[name]) + "\n")
    np.savez(folder / "frames.npz", frames=frames.numpy().astype("i1"), labels=labels.numpy().astype("u1"))
    np.savez(folder / "expected.npz", logits=logits.numpy().astype("f4"), spikes=np.array(spikes, dtype="f4"))
    print(f"{name}: seed {seed}, nearest potential {Spike.nearest:.1e}, spikes {spikes}")
    return True


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name, text in CASES.items():
        if len(sys.argv) < 2 or name in sys.argv[1:]:
            assert any(make(name, text, seed) for seed in range(1000)), f"{name}: no seed keeps its distance"
