"""Makes the goldens of tests/nir.rs: NIR files, and what other programs make of them.

    python3 tests/golden/nir/make.py [CASE ...]

It needs nir, numpy and, for the cases of other tools, torch, snntorch, norse, sinabs and spikingjelly (1.0.8, 1.26,
2.2, 1.0.0, 1.1.0, 2.0.3 and 2.0.0 made the goldens that are here). A case is a folder: net.nir; recorded.npz with
inputs, logits and each neuron's spikes; and import.json, the options that the file leaves open. The cases under
WRITTEN are graphs of every primitive, run below by plain loops in float64, forward Euler, with what leads round in a
circle a step late. Those under TOOLS are networks that a tool wrote by its own exporter, run by the tool. The cases
`paper_*` are three files of NIR's paper (Pedersen et al., Nature Communications 15, 8122, 2024; BSD-3,
paper_LICENSE), run by the tools that wrote them.
"""

import json
import sys
from pathlib import Path

import nir
import numpy as np

HERE = Path(__file__).parent


# Plain loops over a graph.
# ------------------------------------------------------------------------------------------------------


def convolve(x, node, kernel):
    """x [C, H, W] under weights [N, C/G, kh, kw]."""
    pair = lambda v: (v, v) if np.ndim(v) == 0 else tuple(np.asarray(v).tolist())
    weight, groups = np.asarray(node.weight, float), int(node.groups)
    (sy, sx), (dy, dx) = pair(node.stride), pair(node.dilation)
    py, px = pair(node.padding) if not isinstance(node.padding, str) else [(k - 1) // 2 for k in weight.shape[2:]]
    if kernel == 1:
        weight, (sy, sx), (dy, dx), (py, px) = weight[:, :, None, :], (1, sx), (1, dx), (0, px)
    n, c, kh, kw = weight.shape
    x = np.pad(x, ((0, 0), (py, py), (px, px)))
    height = (x.shape[1] - dy * (kh - 1) - 1) // sy + 1
    width = (x.shape[2] - dx * (kw - 1) - 1) // sx + 1
    out = np.zeros((n, height, width))
    for o in range(n):
        first = o // (n // groups) * c
        for y in range(height):
            for z in range(width):
                window = x[
                    first : first + c,
                    y * sy : y * sy + dy * (kh - 1) + 1 : dy,
                    z * sx : z * sx + dx * (kw - 1) + 1 : dx,
                ]
                out[o, y, z] = (window * weight[o]).sum() + float(node.bias[o])
    return out


def pool(x, node):
    (wy, wx), (sy, sx), (py, px) = (
        tuple(np.asarray(v).tolist()) for v in (node.kernel_size, node.stride, node.padding)
    )
    x = np.pad(x, ((0, 0), (py, py), (px, px)))
    height, width = (x.shape[1] - wy) // sy + 1, (x.shape[2] - wx) // sx + 1
    out = np.zeros((x.shape[0], height, width))
    for y in range(height):
        for z in range(width):
            out[:, y, z] = x[:, y * sy : y * sy + wy, z * sx : z * sx + wx].sum(axis=(1, 2))
    return out / (wy * wx) if isinstance(node, nir.AvgPool2d) else out


class Neurons:
    """A node's neurons, forward Euler; membranes begin at v_leak."""

    nearest = np.inf

    def __init__(self, node, dt):
        self.node, self.dt, self.v, self.i = node, dt, np.asarray(getattr(node, "v_leak", 0.0), float), 0.0

    def step(self, x):
        node, dt = self.node, self.dt
        if isinstance(node, nir.Threshold):
            return self.fire(x, node.threshold)[0]
        r = np.asarray(node.r, float)
        if isinstance(node, (nir.CubaLI, nir.CubaLIF)):
            tau = np.asarray(node.tau_syn, float)
            self.i = self.i + dt / tau * (np.asarray(node.w_in, float) * x - self.i)
            x = self.i
        if isinstance(node, (nir.I, nir.IF)):
            self.v = self.v + dt * r * x
        else:
            tau = np.asarray(node.tau_mem if hasattr(node, "tau_mem") else node.tau, float)
            self.v = self.v + dt / tau * (np.asarray(node.v_leak, float) - self.v + r * x)
        if isinstance(node, (nir.I, nir.LI, nir.CubaLI)):
            return self.v
        spike, v = self.fire(self.v, node.v_threshold)
        self.v = np.where(spike > 0, np.asarray(node.v_reset, float), v)
        return spike

    @staticmethod
    def fire(v, threshold):
        away = np.abs(v - threshold)
        Neurons.nearest = min(Neurons.nearest, away.min())
        return (v > threshold).astype(float), v


def flat(graph, prefix=""):
    """Nodes and edges with graphs within the graph spread."""
    nodes, edges = {}, []
    ends = lambda name, kind: (
        f"{prefix}{name}"
        if not isinstance(graph.nodes[name], nir.NIRGraph)
        else next(
            f"{prefix}{name}.{inner}" for inner, node in graph.nodes[name].nodes.items() if isinstance(node, kind)
        )
    )
    for name, node in graph.nodes.items():
        if isinstance(node, nir.NIRGraph):
            more, inner = flat(node, f"{prefix}{name}.")
            nodes |= more
            edges += inner
        else:
            nodes[prefix + name] = node
    edges += [(ends(a, nir.Output), ends(b, nir.Input)) for a, b in graph.edges]
    return nodes, edges


def run(graph, frames, dt):
    """Output of every step [T, ...] and each node's values, of one series of frames."""
    nodes, edges = flat(graph)
    before = {name: [a for a, b in edges if b == name] for name in nodes}
    # An order from the output back; what is met again while it is under way is read a step late.
    order, state, late = [], {}, set()

    def visit(name):
        state[name] = "open"
        for other in sorted(before[name]):
            if state.get(other) == "open":
                late.add((other, name))
            elif other not in state:
                visit(other)
        state[name] = "done"
        order.append(name)

    visit(
        next(
            name
            for name, node in nodes.items()
            if isinstance(node, nir.Output) and not any(a == name for a, _ in edges)
        )
    )
    neurons = {
        name: Neurons(node, dt)
        for name, node in nodes.items()
        if isinstance(node, (nir.I, nir.IF, nir.LI, nir.LIF, nir.CubaLI, nir.CubaLIF, nir.Threshold))
    }
    values, record = {}, {name: [] for name in nodes}
    for frame in frames:
        old, values = values, {}
        for name in order:
            node = nodes[name]
            taken = [old.get(a) if (a, name) in late else values[a] for a in before[name]]
            # Before the first step nothing was sent: a matrix that leads back gives its bias then, too.
            x = sum(v for v in taken if v is not None) if any(v is not None for v in taken) else None
            if isinstance(node, nir.Input) and not before[name]:
                x = frame
            elif x is None:
                x = np.zeros(np.asarray(node.weight).shape[1])
            if name in neurons:
                x = neurons[name].step(x)
            elif isinstance(node, nir.Conv2d):
                x = convolve(x, node, 2)
            elif isinstance(node, nir.Conv1d):
                x = convolve(x.reshape(x.shape[0], 1, -1), node, 1)[:, 0]
            elif isinstance(node, (nir.Affine, nir.Linear)):
                x = np.asarray(node.weight, float) @ x.reshape(-1) + np.asarray(getattr(node, "bias", 0.0), float)
            elif isinstance(node, nir.Scale):
                x = x * np.asarray(node.scale, float)
            elif isinstance(node, (nir.SumPool2d, nir.AvgPool2d)):
                x = pool(x, node)
            elif isinstance(node, nir.Delay):
                steps = round(float(np.ravel(node.delay)[0]) / dt)
                past = record[before[name][0]]
                past = past + [x] if len(past) == len(record[name]) else past
                x = past[len(record[name]) - steps] if len(record[name]) >= steps else np.zeros_like(x)
            elif isinstance(node, nir.Flatten):
                x = x.reshape(-1)
            values[name] = x
            record[name].append(x)
    return record, nodes


# Networks.
# ----------------------------------------------------------------------------------------------------------------------


class Weights:
    def __init__(self, seed):
        self.random = np.random.default_rng(seed)

    def of(self, *shape, low=-1.0, high=1.0):
        return self.random.uniform(low, high, shape).astype(np.float32)


def chain(*nodes):
    names = ["input"] + [name for name, _ in nodes] + ["output"]
    return dict(nodes), list(zip(names, names[1:]))


def network(shape, nodes, edges, classes):
    nodes = {"input": nir.Input(np.array(shape))} | nodes | {"output": nir.Output(np.array([classes]))}
    return (
        nir.NIRGraph(nodes=nodes, edges=edges, type_check=False)
        if "type_check" in nir.NIRGraph.__init__.__code__.co_varnames
        else nir.NIRGraph(nodes=nodes, edges=edges)
    )


def full(value, *shape):
    return np.full(shape, value, np.float32)


def primitives(w):
    conv = lambda n, c, k, size, **keys: nir.Conv2d(
        input_shape=(size, size),
        weight=w.of(n, c, k, k),
        bias=w.of(n),
        **(dict(stride=1, padding=0, dilation=1, groups=1) | keys),
    )
    return (
        [2, 11, 11],
        *chain(
            ("c1", conv(6, 2, 3, 11, stride=2, padding=1)),
            (
                "lif",
                nir.LIF(
                    tau=full(4e-3, 6, 6, 6),
                    r=full(1.0, 6, 6, 6),
                    v_leak=full(0, 6, 6, 6),
                    v_threshold=full(0.3, 6, 6, 6),
                ),
            ),
            ("sum", nir.SumPool2d(kernel_size=np.array([2, 2]), stride=np.array([2, 2]), padding=np.array([0, 0]))),
            ("c2", conv(8, 3, 3, 3, padding=(2, 2), dilation=2, groups=2)),
            ("if", nir.IF(r=full(500.0, 8, 3, 3), v_threshold=full(1.0, 8, 3, 3))),
            ("avg", nir.AvgPool2d(kernel_size=np.array([2, 2]), stride=np.array([1, 1]), padding=np.array([0, 0]))),
            ("flat", nir.Flatten({"input": np.array([8, 2, 2])}, 0, -1)),
            ("a", nir.Affine(w.of(9, 32), w.of(9))),
            (
                "cuba",
                nir.CubaLIF(
                    tau_syn=full(2e-3, 9),
                    tau_mem=full(5e-3, 9),
                    r=full(3.0, 9),
                    v_leak=full(0, 9),
                    v_threshold=full(0.4, 9),
                    w_in=full(2.0, 9),
                    v_reset=full(0, 9),
                ),
            ),
            ("l", nir.Linear(w.of(4, 9))),
            ("li", nir.LI(tau=full(6e-3, 4), r=full(1.0, 4), v_leak=full(0, 4))),
        ),
        4,
    )


def line(w):
    spread = lambda low, high, *shape: w.of(*shape, low=low, high=high)
    return (
        [3, 20],
        *chain(
            (
                "c",
                nir.Conv1d(
                    input_shape=20, weight=w.of(5, 3, 4), stride=2, padding=1, dilation=1, groups=1, bias=w.of(5)
                ),
            ),
            (
                "lif",
                nir.LIF(
                    tau=spread(2e-3, 6e-3, 5, 10),
                    r=full(1.0, 5, 10),
                    v_leak=full(-0.2, 5, 10),
                    v_threshold=spread(0.1, 0.4, 5, 10),
                    v_reset=full(-0.3, 5, 10),
                ),
            ),
            ("flat", nir.Flatten({"input": np.array([5, 10])}, 0, -1)),
            ("l", nir.Linear(w.of(12, 50))),
            ("t", nir.Threshold(threshold=spread(0.2, 0.8, 12))),
            ("a", nir.Affine(w.of(4, 12), w.of(4))),
            (
                "ci",
                nir.CubaLI(
                    tau_syn=spread(2e-3, 4e-3, 4), tau_mem=spread(3e-3, 6e-3, 4), r=full(1.0, 4), v_leak=full(0, 4)
                ),
            ),
        ),
        4,
    )


def scaled(w):
    spread = lambda low, high, *shape: w.of(*shape, low=low, high=high)
    return (
        [10],
        *chain(
            ("l", nir.Linear(w.of(14, 10))),
            ("s", nir.Scale(spread(0.5, 2.0, 14))),
            (
                "lif",
                nir.LIF(
                    tau=spread(2e-3, 5e-3, 14), r=spread(2.0, 4.0, 14), v_leak=full(0, 14), v_threshold=full(0.5, 14)
                ),
            ),
            ("t", nir.Scale(spread(0.5, 2.0, 14))),
            ("a", nir.Affine(w.of(5, 14), w.of(5))),
            ("i", nir.I(r=full(250.0, 5))),
        ),
        5,
    )


def pooled(w):
    zeros = np.array([0, 0])
    return (
        [1, 8, 8],
        *chain(
            (
                "c",
                nir.Conv2d(
                    input_shape=(8, 8),
                    weight=w.of(4, 1, 3, 3),
                    stride=1,
                    padding="same",
                    dilation=1,
                    groups=1,
                    bias=w.of(4),
                ),
            ),
            ("p", nir.AvgPool2d(kernel_size=np.array([2, 2]), stride=np.array([2, 2]), padding=zeros)),
            ("if", nir.IF(r=full(1000.0, 4, 4, 4), v_threshold=full(0.7, 4, 4, 4))),
            ("f", nir.Flatten({"input": np.array([4, 4, 4])}, 0, -1)),
            ("a", nir.Affine(w.of(3, 64), w.of(3))),
            ("if2", nir.IF(r=full(1000.0, 3), v_threshold=full(1.0, 3))),
        ),
        3,
    )


def nested(w):
    neurons = nir.CubaLIF(
        tau_syn=full(3e-3, 12),
        tau_mem=full(4e-3, 12),
        r=full(4.0, 12),
        v_leak=full(0, 12),
        v_threshold=full(0.5, 12),
        w_in=full(3.0, 12),
        v_reset=full(0, 12),
    )
    inner = nir.NIRGraph(
        nodes={
            "input": nir.Input(np.array([12])),
            "lif": neurons,
            "w_rec": nir.Affine(w.of(12, 12), w.of(12)),
            "output": nir.Output(np.array([12])),
        },
        edges=[("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")],
    )
    nodes, edges = chain(
        ("fc", nir.Affine(w.of(12, 7), w.of(12))),
        ("rnn", inner),
        ("out", nir.Linear(w.of(4, 12))),
        ("last", nir.LIF(tau=full(4e-3, 4), r=full(1.0, 4), v_leak=full(0, 4), v_threshold=full(0.2, 4))),
    )
    return [7], nodes, edges, 4


def loop(w):
    lif = lambda n: nir.LIF(tau=full(2e-3, n), r=full(2.0, n), v_leak=full(0, n), v_threshold=full(0.6, n))
    nodes = {
        "a.w": nir.Affine(w.of(9, 6), w.of(9)),
        "a": lif(9),
        "b.w": nir.Linear(w.of(9, 9)),
        "b": lif(9),
        "back": nir.Linear(w.of(9, 9)),
        "side": nir.Linear(w.of(9, 6)),
        "out": nir.Affine(w.of(4, 9), w.of(4)),
    }
    edges = [
        ("input", "a.w"),
        ("a.w", "a"),
        ("a", "b.w"),
        ("b.w", "b"),
        ("b", "back"),
        ("back", "a"),
        ("input", "side"),
        ("side", "b"),
        ("a", "b"),
        ("b", "out"),
        ("out", "output"),
    ]
    return [6], nodes, edges, 4


def delayed(w):
    lif = lambda n: nir.LIF(tau=full(3e-3, n), r=full(3.0, n), v_leak=full(0, n), v_threshold=full(0.5, n))
    nodes = {
        "a.w": nir.Affine(w.of(9, 6), w.of(9)),
        "a": lif(9),
        "d": nir.Delay(full(2e-3, 9)),
        "b.w": nir.Linear(w.of(9, 9)),
        "b": lif(9),
        "none": nir.Delay(full(0, 9)),
        "out": nir.Affine(w.of(4, 9), w.of(4)),
    }
    edges = [
        ("input", "a.w"),
        ("a.w", "a"),
        ("a", "d"),
        ("d", "b.w"),
        ("b.w", "b"),
        ("a", "b"),
        ("b", "none"),
        ("none", "out"),
        ("out", "output"),
    ]
    return [6], nodes, edges, 4


WRITTEN = {
    "delayed": delayed,
    "primitives": primitives,
    "line": line,
    "scaled": scaled,
    "pooled": pooled,
    "nested": nested,
    "loop": loop,
}


def written(name, seed):
    """Makes a case; false where a potential comes too near to a threshold, or neurons are silent."""
    w = Weights(seed)
    shape, nodes, edges, classes = WRITTEN[name](w)
    graph, dt, steps, series = network(shape, nodes, edges, classes), 1e-3, 12, 3
    frames = (w.random.random((series, steps, *shape)) < 0.4).astype(float)
    Neurons.nearest = np.inf
    runs = [run(graph, one, dt) for one in frames]
    nodes = runs[0][1]
    fires = lambda node: isinstance(node, (nir.IF, nir.LIF, nir.CubaLIF, nir.Threshold))
    spikes = {f"spikes.{n}": np.array([record[n] for record, _ in runs]) for n, node in nodes.items() if fires(node)}
    out = np.array([record["output"] for record, _ in runs])
    last = next(nodes[a] for a, b in edges if b == "output")
    logits = out.sum(1) if fires(last) else out.mean(1) if isinstance(last, (nir.Affine, nir.Linear)) else out[:, -1]
    if Neurons.nearest < 1e-5 or any(found.sum() == 0 for found in spikes.values()):
        return False
    save(name, lambda file: nir.write(file, graph), {"dt": dt}, frames.astype("u1"), logits, spikes)
    print(
        f"{name}: seed {seed}, nearest potential {Neurons.nearest:.1e}, spikes { ({k: int(v.sum()) for k, v in spikes.items()}) }"
    )
    return True


def save(name, write, options, frames, logits, spikes):
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    if write:
        write(str(folder / "net.nir"))
    (folder / "import.json").write_text(json.dumps(options) + "\n")
    counts = {key: value.reshape(*value.shape[:2], -1).sum(2).astype("f4") for key, value in spikes.items()}
    np.savez_compressed(folder / "recorded.npz", frames=frames, logits=np.asarray(logits, "f4"), **counts)


# Networks that other tools wrote, run by them.
# ----------------------------------------------------------------------------------


def snntorch_case(name):
    import snntorch as snn
    import torch
    from snntorch.export_nir import export_to_nir

    torch.manual_seed(1)
    linear = lambda a, b, gain, bias=True: scaled_linear(a, b, gain, bias)
    zero = dict(init_hidden=True, reset_mechanism="zero", reset_delay=True)
    # Exporters need a value of each neuron.
    of = lambda n, **keys: {key: torch.full((n,), value) for key, value in keys.items()}
    layers = {
        "snntorch_leaky": [
            linear(10, 16, 2),
            snn.Leaky(**of(16, beta=0.8, threshold=1.0), **zero),
            linear(16, 5, 3),
            snn.Leaky(**of(5, beta=0.9, threshold=0.8), **zero),
        ],
        "snntorch_subtract": [
            linear(10, 16, 2, False),
            snn.Leaky(beta=torch.linspace(0.5, 0.9, 16), threshold=torch.linspace(0.6, 1.2, 16), init_hidden=True),
            linear(16, 5, 3),
            snn.Leaky(**of(5, beta=0.7, threshold=1.0), init_hidden=True),
        ],
        "snntorch_synaptic": [
            linear(10, 16, 2),
            snn.Synaptic(**of(16, alpha=0.6, beta=0.8, threshold=1.0), **zero),
            linear(16, 5, 3),
            snn.Synaptic(**of(5, alpha=0.5, beta=0.7, threshold=1.0), **zero),
        ],
        "snntorch_recurrent": [
            linear(10, 16, 2),
            snn.RLeaky(beta=0.8, linear_features=16, init_hidden=True, reset_mechanism="zero"),
            linear(16, 5, 3),
            snn.Synaptic(**of(5, alpha=0.4, beta=0.7, threshold=1.0), **zero),
        ],
    }[name]
    net = torch.nn.Sequential(*layers)
    frames = (torch.rand(4, 20, 10) < 0.4).float()
    hidden = [layer for layer in layers if not isinstance(layer, torch.nn.Linear)]
    fired, hooks = {i: [] for i in range(len(hidden))}, []
    with torch.no_grad():
        graph = export_to_nir(net, frames[0, 0])
        for layer in hidden:
            (layer.reset_hidden if hasattr(layer, "reset_hidden") else layer.reset_mem)()
        for i, layer in enumerate(hidden):
            hooks.append(
                layer.register_forward_hook(
                    lambda m, a, out, i=i: fired[i].append(out[0] if isinstance(out, tuple) else out)
                )
            )
        for t in range(frames.shape[1]):
            net(frames[:, t])
    names = [n for n, node in flat(graph)[0].items() if isinstance(node, (nir.LIF, nir.CubaLIF))]
    spikes = {f"spikes.{n}": torch.stack(fired[i], 1).numpy() for i, n in enumerate(sorted(names))}
    reset = "subtract" if name == "snntorch_subtract" else "value"
    # A Leaky of snnTorch that resets to zero does it before the leak, all others behind it.
    options = {"dt": 1e-4, "reset": reset, "reset_at": "spike" if name == "snntorch_leaky" else "next"}
    save(
        name,
        lambda file: nir.write(file, graph),
        options,
        frames.numpy().astype("u1"),
        torch.stack(fired[1], 1).sum(1).numpy(),
        spikes,
    )
    print(name, {k: int(v.sum()) for k, v in spikes.items()})


def scaled_linear(a, b, gain, bias):
    import torch

    layer = torch.nn.Linear(a, b, bias)
    layer.weight.data *= gain
    return layer


def norse_case(name):
    import norse.torch as nt
    import torch

    torch.manual_seed(2)
    p = lambda n, tau, v_th: nt.LIFBoxParameters(
        tau_mem_inv=torch.full((n,), 1 / tau), v_th=torch.full((n,), v_th), v_leak=torch.zeros(n)
    )
    if name == "norse_lif":
        layers = [
            scaled_linear(10, 16, 4, True),
            nt.LIFBoxCell(p(16, 4e-3, 0.3)),
            scaled_linear(16, 5, 4, False),
            nt.LIFBoxCell(p(5, 5e-3, 0.2)),
        ]
    else:
        li = nt.LIBoxParameters(tau_mem_inv=torch.full((5,), 250.0), v_leak=torch.zeros(5))
        layers = [
            scaled_linear(10, 16, 4, True),
            nt.LIFBoxCell(p(16, 4e-3, 0.3)),
            scaled_linear(16, 5, 4, True),
            nt.LIBoxCell(li),
        ]
    net = nt.SequentialState(*layers)
    # Norse's own export divides the step by an inverse time constant, dt/(1/tau), which is tau in units of a step: of
    # 1.
    frames = (torch.rand(4, 20, 10) < 0.4).float()
    from norse.torch.utils.export_nir import to_nir

    graph = to_nir(net, frames[0, 0], dt=1.0)
    fired, out, state = {0: [], 1: []}, [], None
    cells = [layer for layer in layers if not isinstance(layer, torch.nn.Linear)]
    for i, cell in enumerate(cells):
        cell.register_forward_hook(lambda m, a, out, i=i: fired[i].append(out[0]))
    with torch.no_grad():
        for t in range(frames.shape[1]):
            y, state = net(frames[:, t], state)
            out.append(y)
    out = torch.stack(out, 1)
    names = sorted(n for n, node in flat(graph)[0].items() if isinstance(node, nir.LIF))
    spikes = {f"spikes.{n}": torch.stack(fired[i], 1).numpy() for i, n in enumerate(names)}
    logits = out.sum(1) if name == "norse_lif" else out[:, -1]
    save(name, lambda file: nir.write(file, graph), {"dt": 1e-3}, frames.numpy().astype("u1"), logits.numpy(), spikes)
    print(name, {k: int(v.sum()) for k, v in spikes.items()})


def sinabs_case(name):
    import sinabs.activation as sa
    import sinabs.layers as sl
    import sinabs.nir
    import torch

    torch.manual_seed(3)
    single = dict(spike_fn=sa.SingleSpike, reset_fn=sa.MembraneSubtract(), min_v_mem=None, batch_size=3)
    conv = torch.nn.Conv2d(2, 8, 3, stride=2, padding=1, bias=False)
    conv.weight.data *= 3
    layers = [
        conv,
        sl.IAFSqueeze(**single),
        sl.SumPool2d(2),
        torch.nn.Flatten(),
        scaled_linear(8 * 9, 5, 3, True),
        sl.IAFSqueeze(**single),
    ]
    net = torch.nn.Sequential(*layers)
    frames = (torch.rand(3, 15, 2, 12, 12) < 0.3).float()
    fired = {}
    with torch.no_grad():
        net(frames.flatten(0, 1))
        graph = sinabs.nir.to_nir(net, frames.flatten(0, 1))
        # The exporter leaves sizes of maps open, which no file can.
        next(node for node in graph.nodes.values() if isinstance(node, nir.Flatten)).input_type = {
            "input": np.array([8, 3, 3])
        }
        next(node for node in graph.nodes.values() if isinstance(node, nir.Conv2d)).input_shape = (12, 12)
        for layer in (layers[1], layers[5]):
            layer.reset_states()
        for i, layer in ((1, layers[1]), (5, layers[5])):
            layer.register_forward_hook(lambda m, a, out, i=i: fired.__setitem__(i, out.reshape(3, 15, -1)))
        net(frames.flatten(0, 1))
    names = sorted(n for n, node in flat(graph)[0].items() if isinstance(node, nir.IF))
    spikes = {f"spikes.{n}": fired[i].numpy() for i, n in zip((1, 5), names)}
    options = {"dt": 1.0, "reset": "subtract", "fires": "reached"}
    save(
        name, lambda file: nir.write(file, graph), options, frames.numpy().astype("u1"), fired[5].sum(1).numpy(), spikes
    )
    print(name, {k: int(v.sum()) for k, v in spikes.items()})


def spikingjelly_case(name):
    import torch
    from spikingjelly.activation_based import functional, layer, neuron
    from spikingjelly.activation_based.nir_exchange import export_to_nir

    torch.manual_seed(4)
    if name == "spikingjelly_if":
        conv = layer.Conv2d(2, 6, 3, padding=1, bias=False)
        conv.weight.data *= 3
        layers = [
            conv,
            neuron.IFNode(),
            layer.AvgPool2d(2),
            layer.Flatten(),
            layer.Linear(6 * 16, 5),
            neuron.IFNode(v_threshold=0.4),
        ]
        frames = (torch.rand(3, 14, 2, 8, 8) < 0.3).float()
    else:
        layers = [
            layer.Linear(10, 16),
            neuron.LIFNode(tau=3.0, v_threshold=0.4),
            layer.Linear(16, 16, bias=False),
            neuron.ParametricLIFNode(init_tau=2.0, v_threshold=0.3),
            layer.Linear(16, 5),
            neuron.LIFNode(tau=2.0, decay_input=False),
        ]
        frames = (torch.rand(3, 14, 10) < 0.5).float()
        for linear in layers[::2]:
            linear.weight.data *= 3
    net, fired = torch.nn.Sequential(*layers), {}
    with torch.no_grad():
        graph = export_to_nir(net, frames[:, 0])
        functional.reset_net(net)
        nodes = [module for module in layers if isinstance(module, neuron.BaseNode)]
        for module in nodes:
            fired[module] = []
            module.register_forward_hook(lambda m, a, out: fired[m].append(out))
        for t in range(frames.shape[1]):
            net(frames[:, t])
    names = sorted(n for n, node in flat(graph)[0].items() if isinstance(node, (nir.IF, nir.LIF)))
    spikes = {f"spikes.{n}": torch.stack(fired[module], 1).numpy() for n, module in zip(names, nodes)}
    options = {"dt": 1e-4, "fires": "reached"}
    save(
        name,
        lambda file: nir.write(file, graph),
        options,
        frames.numpy().astype("u1"),
        spikes[f"spikes.{names[-1]}"].sum(1),
        spikes,
    )
    print(name, {k: int(v.sum()) for k, v in spikes.items()})


# The networks of NIR's paper, run by the tools that wrote them.
# ------------------------------------------------------------------


def paper(name):
    """Runs a file that stands in a case's folder."""
    import torch

    torch.manual_seed(0)
    file = HERE / name / "net.nir"
    graph = nir.read(str(file))
    if name == "paper_braille":
        import snntorch as snn

        nodes, t = graph.nodes, lambda x: torch.tensor(np.asarray(x)).float()
        kept = lambda tau: float(np.float32(1 - 1e-4 / np.unique(tau)[0]))
        first, last = nodes["lif1.lif"], nodes["lif2"]
        rnn = snn.RSynaptic(
            alpha=kept(first.tau_syn),
            beta=kept(first.tau_mem),
            linear_features=38,
            reset_mechanism="zero",
            reset_delay=True,
        )
        out = snn.Synaptic(alpha=kept(last.tau_syn), beta=kept(last.tau_mem), reset_mechanism="zero", reset_delay=True)
        linears = [torch.nn.Linear(12, 38), rnn.recurrent, torch.nn.Linear(38, 7)]
        for linear, node in zip(linears, (nodes["fc1"], nodes["lif1.w_rec"], nodes["fc2"])):
            linear.weight.data, linear.bias.data = t(node.weight), t(node.bias)
        frames = (torch.rand(8, 48, 12) < 0.15).float()
        s1, i1, v1 = rnn.init_rsynaptic()
        i2, v2 = out.init_synaptic()
        fired = {"spikes.lif1.lif": [], "spikes.lif2": []}
        with torch.no_grad():
            for x in frames.unbind(1):
                s1, i1, v1 = rnn(linears[0](x), s1, i1, v1)
                s2, i2, v2 = out(linears[2](s1), i2, v2)
                fired["spikes.lif1.lif"].append(s1)
                fired["spikes.lif2"].append(s2)
        spikes = {key: torch.stack(value, 1).numpy() for key, value in fired.items()}
        logits, options = spikes["spikes.lif2"].sum(1), {"dt": 1e-4, "reset_at": "next"}
    elif name == "paper_sinabs":
        import sinabs.activation as sa
        import sinabs.layers as sl
        import sinabs.nir

        net = sinabs.nir.from_nir(str(file), batch_size=2)
        frames, spikes = (torch.rand(2, 24, 2, 34, 34) < 0.12).float(), {}
        for part, layer in net.named_modules():
            if isinstance(layer, sl.IAFSqueeze):
                # One spike a step, and no lower bound of the membrane, as NIR says.
                layer.spike_fn, layer.reset_fn, layer.min_v_mem = sa.SingleSpike, sa.MembraneSubtract(), None
                key = "spikes." + part.split(".")[-1]
                layer.register_forward_hook(
                    lambda m, a, out, key=key: spikes.__setitem__(key, out.reshape(2, 24, -1).numpy())
                )
        with torch.no_grad():
            net(frames.flatten(0, 1))
        logits, options = spikes["spikes.12"].sum(1), {"dt": 1.0, "reset": "subtract", "fires": "reached"}
    else:
        from norse.torch.utils.import_nir import from_nir

        net, state, out = from_nir(graph, dt=1e-3), None, []
        frames = torch.rand(3, 60, 1) * 0.6
        with torch.no_grad():
            for x in frames.unbind(1):
                y, state = net(x, state)
                out.append(y)
        spikes = {"spikes.1": torch.stack(out, 1).numpy()}
        logits, options = spikes["spikes.1"].sum(1), {"dt": 1e-3}
    whole = frames.numpy()
    save(name, None, options, whole.astype("u1") if name != "paper_norse" else whole, logits, spikes)
    print(name, {k: int(v.sum()) for k, v in spikes.items()})


TOOLS = {
    name: snntorch_case for name in ("snntorch_leaky", "snntorch_subtract", "snntorch_synaptic", "snntorch_recurrent")
}
TOOLS |= {name: paper for name in ("paper_braille", "paper_sinabs", "paper_norse")}
TOOLS |= {name: spikingjelly_case for name in ("spikingjelly_if", "spikingjelly_lif")}
TOOLS |= {"norse_lif": norse_case, "norse_li": norse_case, "sinabs_conv": sinabs_case}

if __name__ == "__main__":
    wanted = lambda name: len(sys.argv) < 2 or name in sys.argv[1:]
    for name in filter(wanted, WRITTEN):
        assert any(written(name, seed) for seed in range(200)), f"{name}: no seed keeps its distance"
    for name in filter(wanted, TOOLS):
        TOOLS[name](name)
