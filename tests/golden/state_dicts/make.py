"""Small networks of other tools, their state dicts under the names that these tools give them, and what they did: for
`import --as`.

    python make.py jelly       with torch, safetensors and SpikingJelly
    python make.py snntorch    with torch and snnTorch
    python make.py spikesim    with torch: SpikeSim's VGG9 in plain loops

Each case is a folder: weights.* (the state dict), recorded.npz (inputs, logits, spikes by layer), args (what `import`
is told) and, where the model is none of crosspike's own, model.toml. The weights of SpikeSim's VGG9 are those of a
formula (`formula`), which the test has too.
"""

import os
import sys
import numpy as np
import torch
from torch import nn

ROOT = os.path.dirname(os.path.abspath(__file__))
torch.manual_seed(18)
torch.set_num_threads(1)


def folder(case):
    os.makedirs(os.path.join(ROOT, case), exist_ok=True)
    return os.path.join(ROOT, case)


def write(case, frames, logits, spikes, args, model=None, table=None):
    """Frames [T, N, C, H, W], logits [N, classes], spikes by name, each a list over steps of [N, ...]."""
    at = folder(case)
    record = {
        f"spikes.{name}": np.stack([s.reshape(len(s), -1).sum(1) for s in steps], 1).astype(np.int64)
        for name, steps in spikes.items()
    }
    np.savez_compressed(
        os.path.join(at, "recorded.npz"), frames=np.swapaxes(frames, 0, 1).astype(np.float32), logits=logits, **record
    )
    for name, text in (("args", "\n".join(args) + "\n"), ("model.toml", model), ("map.toml", table)):
        if text:
            with open(os.path.join(at, name), "w") as file:
                file.write(text)
    rates = {name: round(float(np.mean([s.mean() for s in steps])), 3) for name, steps in spikes.items()}
    print(case, "logits to", np.abs(logits).max(), "rates", rates)


def randomise(net):
    """Norms as after a training."""
    for module in net.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm1d)):
            module.running_mean.uniform_(-0.3, 0.3)
            module.running_var.uniform_(0.3, 1.2)
            module.weight.data.uniform_(0.8, 1.8)
            module.bias.data.uniform_(-0.1, 0.5)


def run(net, frames, neurons, reset):
    """The mean of the outputs of every step, and the spikes of some modules."""
    spikes = {name: [] for name in neurons}
    handles = [
        module.register_forward_hook(lambda m, i, out, name=name: spikes[name].append(out.detach().numpy().copy()))
        for name, module in neurons.items()
    ]
    reset()
    with torch.no_grad():
        outputs = [net(torch.from_numpy(frame)) for frame in frames]
    for handle in handles:
        handle.remove()
    return torch.stack(outputs).mean(0).numpy(), spikes


def frames_of(steps, count, shape):
    rng = np.random.default_rng(3)
    return rng.integers(0, 2, (steps, count, *shape)).astype(np.float32)


def jelly():
    from safetensors.torch import save_file
    from spikingjelly.activation_based import functional, neuron, layer
    from spikingjelly.activation_based.model.sew_resnet import BasicBlock

    # A spike-element-wise residual network (SEW) of integrate-and-fire neurons, of SpikingJelly's own blocks.
    def block(inplanes, planes, stride):
        downsample = None
        if stride != 1:
            downsample = nn.Sequential(
                layer.Conv2d(inplanes, planes, 1, stride, bias=False), nn.BatchNorm2d(planes), neuron.IFNode()
            )
        return BasicBlock(inplanes, planes, stride, downsample, cnf="ADD", spiking_neuron=neuron.IFNode)

    net = nn.Sequential()
    net.conv1, net.bn1, net.sn1 = layer.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), neuron.IFNode()
    net.layer1, net.layer2 = block(8, 8, 1), block(8, 16, 2)
    net.pool, net.flat, net.fc = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)
    randomise(net)
    net.eval()
    frames = frames_of(4, 5, (3, 8, 8))
    neurons = {
        "stem": net.sn1,
        "a1": net.layer1.sn1,
        "a2": net.layer1,
        "s": net.layer2.downsample,
        "b1": net.layer2.sn1,
        "b2": net.layer2,
    }
    logits, spikes = run(net, frames, neurons, lambda: functional.reset_net(net))
    # A block's second neurons send what is added to their spikes: the record has what they fire themselves.
    spikes["a2"] = [both - through for both, through in zip(spikes["a2"], spikes["stem"])]
    spikes["b2"] = [both - through for both, through in zip(spikes["b2"], spikes["s"])]
    model = """name = "sew_small"
steps = 4
classes = 10
input = { channels = 3, height = 8, width = 8 }
neuron = { leak = 1.0, threshold = 1.0, reset = "zero", fires = "reached" }
norm = "batch"
readout = { bias = true }
layers = [
  { name = "stem", conv = 8 },
  { name = "a1", conv = 8 },
  { name = "a2", conv = 8, add_behind = "stem" },
  { name = "b1", conv = { channels = 16, stride = 2 } },
  { name = "s", conv = { channels = 16, kernel = 1, stride = 2 }, from = "a2" },
  { name = "b2", conv = 16, from = "b1", add_behind = "s" },
  { pool = "global" },
]
"""
    # As a script with DataParallel saves it, beside an epoch and an optimiser.
    state = {f"module.{name}": value for name, value in net.state_dict().items()}
    write("sew", frames, logits, spikes, ["--as", "model.toml"], model)
    torch.save({"epoch": 3, "state_dict": state, "optimizer": {"lr": 0.1}}, os.path.join(folder("sew"), "weights.pth"))

    # Neurons that learn their time constant (PLIF), in a sequence, in double precision.
    net = nn.Sequential(
        layer.Conv2d(2, 6, 3, padding=1, bias=False),
        nn.BatchNorm2d(6),
        neuron.ParametricLIFNode(init_tau=2.0),
        nn.AvgPool2d(2),
        layer.Conv2d(6, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        neuron.ParametricLIFNode(init_tau=3.0),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 12, bias=False),
        neuron.ParametricLIFNode(init_tau=1.5),
        nn.Linear(12, 4),
    )
    randomise(net)
    for module in net:
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data *= 3
    net[9].weight.data *= 6
    net.eval()
    frames = frames_of(6, 5, (2, 8, 8))
    logits, spikes = run(
        net, frames, {"conv1": net[2], "conv2": net[6], "fc1": net[10]}, lambda: functional.reset_net(net)
    )
    model = """name = "plif"
steps = 6
classes = 4
input = { channels = 2, height = 8, width = 8 }
neuron = { scaled_input = true, threshold = 1.0, reset = "zero", fires = "reached", given = { leak = "layer" } }
norm = "batch"
readout = { bias = true }
layers = [ { conv = 6 }, { pool = 2 }, { conv = 8 }, { pool = 2 }, { fc = 12, norm = "none" } ]
"""
    write("plif", frames, logits, spikes, ["--as", "model.toml"], model)
    torch.save(
        {name: value.double() if value.is_floating_point() else value for name, value in net.state_dict().items()},
        os.path.join(folder("plif"), "weights.pt"),
    )

    # A residual network with torchvision's names and pulses that join currents, as a safetensors file, in bfloat16.
    class Basic(nn.Module):
        def __init__(self, inplanes, planes, stride):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(inplanes, planes, 3, stride, 1, bias=False), nn.BatchNorm2d(planes)
            self.conv2, self.bn2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False), nn.BatchNorm2d(planes)
            self.downsample = None
            if stride != 1:
                self.downsample = nn.Sequential(
                    nn.Conv2d(inplanes, planes, 1, stride, bias=False), nn.BatchNorm2d(planes)
                )
            self.sn1, self.sn2 = neuron.LIFNode(tau=2.0, decay_input=False), neuron.LIFNode(tau=2.0, decay_input=False)

        def forward(self, x):
            y = self.sn1(self.bn1(self.conv1(x)))
            return self.sn2(self.bn2(self.conv2(y)) + (x if self.downsample is None else self.downsample(x)))

    net = nn.Module()
    net.conv1, net.bn1, net.sn1 = (
        nn.Conv2d(3, 6, 3, 1, 1, bias=False),
        nn.BatchNorm2d(6),
        neuron.LIFNode(tau=2.0, decay_input=False),
    )
    net.layer1, net.layer2 = (
        nn.Sequential(Basic(6, 6, 1), Basic(6, 6, 1)),
        nn.Sequential(Basic(6, 12, 2), Basic(12, 12, 1)),
    )
    net.fc = nn.Linear(12, 10, bias=False)
    net.forward = lambda x: net.fc(net.layer2(net.layer1(net.sn1(net.bn1(net.conv1(x))))).mean((2, 3)))
    randomise(net)
    net.eval()
    for parameter in list(net.parameters()) + [b for b in net.buffers() if b.is_floating_point()]:
        parameter.data = parameter.data.bfloat16().float()
    frames = frames_of(4, 5, (3, 8, 8))
    neurons = {"stem": net.sn1}
    for group, name in ((1, "g1"), (2, "g2")):
        for number in (0, 1):
            of_block = getattr(net, f"layer{group}")[number]
            neurons[f"{name}b{number + 1}a"], neurons[f"{name}b{number + 1}b"] = of_block.sn1, of_block.sn2
    logits, spikes = run(net.forward, frames, neurons, lambda: functional.reset_net(net))
    model = """name = "resnet_small"
steps = 4
classes = 10
input = { channels = 3, height = 8, width = 8 }
neuron = { leak = 0.5, threshold = 1.0, reset = "zero", fires = "reached" }
norm = "batch"
layers = [
  { name = "stem", conv = 6 },
  { name = "g1b1a", conv = 6 },
  { name = "g1b1b", conv = 6, add = "stem" },
  { name = "g1b2a", conv = 6 },
  { name = "g1b2b", conv = 6, add = "g1b1b" },
  { name = "g2b1a", conv = { channels = 12, stride = 2 } },
  { name = "g2b1b", conv = 12 },
  { name = "g2b1s", conv = { channels = 12, kernel = 1, stride = 2 }, from = "g1b2b", joins = "g2b1b" },
  { name = "g2b2a", conv = 12 },
  { name = "g2b2b", conv = 12, add = "g2b1b" },
  { pool = "global" },
]
"""
    write("torchvision", frames, logits, spikes, ["--as", "model.toml"], model)
    save_file(
        {name: value.bfloat16() if value.is_floating_point() else value for name, value in net.state_dict().items()},
        os.path.join(folder("torchvision"), "weights.safetensors"),
    )

    # Names and orders that mislead: each network has its own model of three layers, and the state dict finds its places
    # all the same.
    def chain(case, blocks, path, prefix="", norms=(True, True, True)):
        """Blocks are lists of (name, part) in the order of registration, part one of conv, norm and neuron."""
        net, steps = nn.Module(), []
        for block, has_norm in zip(blocks, norms):
            made = {
                "conv": nn.Conv2d(4, 4, 3, padding=1, bias=False),
                "norm": nn.BatchNorm2d(4),
                "neuron": neuron.LIFNode(tau=2.0, decay_input=False),
            }
            for name, part in block:
                parent = net
                for step in name.split(".")[:-1]:
                    if not hasattr(parent, step):
                        setattr(parent, step, nn.Module())
                    parent = getattr(parent, step)
                setattr(parent, name.split(".")[-1], made[part])
            steps.append((made, has_norm))
        net.head = nn.Linear(64, 5, bias=False)

        def forward(x):
            for made, has_norm in steps:
                x = made["conv"](x)
                x = made["neuron"](made["norm"](x) if has_norm else x)
            return net.head(x.flatten(1))

        randomise(net)
        net.eval()
        for made, _ in steps:
            made["conv"].weight.data *= 5
        frames = frames_of(4, 4, (4, 4, 4))
        neurons = {f"conv{i + 1}": made["neuron"] for i, (made, _) in enumerate(steps)}
        logits, spikes = run(forward, frames, neurons, lambda: functional.reset_net(net))
        layers = ", ".join("{ conv = 4 }" if has_norm else '{ conv = 4, norm = "none" }' for _, has_norm in steps)
        model = f"""name = "{case}"
steps = 4
classes = 5
input = {{ channels = 4, height = 4, width = 4 }}
neuron = {{ leak = 0.5, threshold = 1.0, reset = "zero", fires = "reached" }}
norm = "batch"
layers = [ {layers} ]
"""
        write(case, frames, logits, spikes, ["--as", "model.toml"], model)
        (save_file if path.endswith("safetensors") else torch.save)(net.state_dict(), os.path.join(folder(case), path))

    chain("norm_first", [[(f"b{i}.bn", "norm"), (f"b{i}.conv", "conv")] for i in "xyz"], "weights.pth")
    chain("apart", [[(f"l{i}.bn.0", "norm"), (f"l{i}.layer.0", "conv")] for i in (1, 2, 3)], "weights.safetensors")
    chain("zero_based", [[(f"conv{i}", "conv"), (f"bn{i}", "norm")] for i in range(3)], "weights.pth")
    chain(
        "offset",
        [[("conv1", "conv")], [("conv2", "conv"), ("bn1", "norm")], [("conv3", "conv"), ("bn2", "norm")]],
        "weights.pth",
        norms=(False, True, True),
    )
    chain(
        "tail",
        [
            [("conv1", "conv"), ("bn1", "norm")],
            [("body.0.conv", "conv"), ("body.0.bn", "norm")],
            [("conv2", "conv"), ("bn2", "norm")],
        ],
        "weights.pth",
    )

    # Names that say nothing and matrices of one shape out of order: a table places them. The tensors are views, none of
    # them contiguous.
    torch.manual_seed(5)
    matrices = [nn.Linear(9, 9, bias=False) for _ in range(3)]
    out = nn.Linear(9, 3, bias=False)
    cells = [neuron.LIFNode(tau=tau, decay_input=False) for tau in (2.0, 3.0, 4.0)]
    parts = [part for pair in zip(matrices, cells) for part in pair]
    for matrix in matrices:
        matrix.weight.data *= 4
    net = nn.Sequential(*parts, out).eval()
    frames = frames_of(8, 6, (9,))
    logits, spikes = run(
        net, frames, {f"fc{i + 1}": cell for i, cell in enumerate(cells)}, lambda: functional.reset_net(net)
    )
    state = {
        "c": matrices[2].weight.t().contiguous().t(),
        "a.kernel": matrices[0].weight.t().contiguous().t(),
        "b.weight": matrices[1].weight.t().contiguous().t(),
    }
    state |= {
        "head.weight": out.weight,
        "taus.0": torch.tensor(2.0),
        "taus.1": torch.tensor([3.0]),
        "taus.2": torch.tensor(4.0),
        "teacher.weight": torch.zeros(3, 3),
    }
    model = """name = "chain"
steps = 8
classes = 3
input = { channels = 9, height = 1, width = 1 }
neuron = { threshold = 1.0, reset = "zero", fires = "reached", given = { leak = "layer" } }
norm = "none"
layers = [ { fc = 9 }, { fc = 9 }, { fc = 9 } ]
"""
    table = """# Where the tensors go.
"a.kernel" = "fc1.weight"
"b" = "fc2"
"c" = "fc3.weight"
"taus.0" = { to = "fc1.leak", rule = "tau" }
"taus.1" = { to = "fc2.leak", rule = "tau" }
"taus.2" = { to = "fc3.leak", rule = "tau" }
"teacher" = ""
"""
    write(
        "table",
        np.asarray(frames)[..., None, None],
        logits,
        spikes,
        ["--as", "model.toml", "--map", "map.toml"],
        model,
        table,
    )
    torch.save(state, os.path.join(folder("table"), "weights.pt"))


def snntorch():
    import snntorch as snn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.lif1 = nn.Conv2d(1, 12, 5), snn.Leaky(beta=0.5)
            self.conv2, self.lif2 = nn.Conv2d(12, 64, 5), snn.Leaky(beta=0.5)
            self.fc1, self.lif3 = nn.Linear(64 * 4 * 4, 10), snn.Leaky(beta=0.5)
            self.pool = nn.MaxPool2d(2)

    net = Net().eval()
    net.conv1.weight.data *= 6
    net.conv2.weight.data *= 5
    net.fc1.weight.data *= 3
    for parameter in net.parameters():
        parameter.data = parameter.data.half().float()
    frames = frames_of(6, 4, (1, 28, 28))
    mem1, mem2, mem3 = net.lif1.init_leaky(), net.lif2.init_leaky(), net.lif3.init_leaky()
    spikes, counts = {"lif1": [], "lif2": []}, 0
    with torch.no_grad():
        for frame in frames:
            one, mem1 = net.lif1(net.pool(net.conv1(torch.from_numpy(frame))), mem1)
            two, mem2 = net.lif2(net.pool(net.conv2(one)), mem2)
            three, mem3 = net.lif3(net.fc1(two.flatten(1)), mem3)
            spikes["lif1"].append(one.numpy().copy())
            spikes["lif2"].append(two.numpy().copy())
            counts = counts + three.numpy()
    write("snntorch", frames, counts, spikes, ["--as", "snntorch_mnist", "--set", "model.steps=6"])
    torch.save(net.half().state_dict(), os.path.join(folder("snntorch"), "weights.pth"))


def formula(name, shape, scale):
    """Values from -scale to scale by a hash of the tensor's name and each value's place (splitmix64), in steps of
    1/256: sums of such weights are exact in float32, in any order."""
    seed = np.uint64(sum((i + 1) * ord(c) for i, c in enumerate(name)))
    with np.errstate(over="ignore"):
        z = (np.arange(int(np.prod(shape)), dtype=np.uint64) + seed * np.uint64(1 << 32) + np.uint64(1)) * np.uint64(
            0x9E3779B97F4A7C15
        )
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    unit = (z >> np.uint64(40)).astype(np.float64) / (1 << 24)
    return torch.from_numpy((np.floor((2 * unit - 1) * scale * 256) / 256).astype(np.float32).reshape(shape))


def spikesim():
    widths = [(64, 3), (64, 64), (128, 64), (128, 128), (256, 128), (256, 256), (256, 256)]
    shapes = {f"conv{i + 1}.weight": (out, into, 3, 3) for i, (out, into) in enumerate(widths)}
    shapes |= {"fc1.weight": (1024, 4096), "fc2.weight": (10, 1024)}
    state = {name: formula(name, shape, 14.0 / np.sqrt(np.prod(shape[1:]))) for name, shape in shapes.items()}
    frames = np.random.default_rng(7).integers(0, 2, (5, 2, 3, 32, 32)).astype(np.float32)
    membranes, spikes, total = {}, {name[:-7]: [] for name in shapes if name != "fc2.weight"}, 0

    def fire(name, current):
        """v <- v + (x - v)/2, a spike where v reaches 1, then v <- 0."""
        v = membranes.get(name, torch.zeros_like(current))
        v = 0.5 * v + 0.5 * current
        spike = (v >= 1.0).float()
        membranes[name] = v * (1 - spike)
        spikes[name].append(spike.numpy())
        return spike

    with torch.no_grad():
        for frame in frames:
            x = torch.from_numpy(frame)
            for i in range(1, 8):
                x = fire(f"conv{i}", nn.functional.conv2d(x, state[f"conv{i}.weight"], padding=1))
                if i in (2, 4, 7):
                    x = nn.functional.avg_pool2d(x, 2)
            x = fire("fc1", x.flatten(1) @ state["fc1.weight"].T)
            total = total + x @ state["fc2.weight"].T
    write("spikesim", frames, (total / len(frames)).numpy(), spikes, ["--as", "spikesim_vgg9"])


if __name__ == "__main__":
    {"jelly": jelly, "snntorch": snntorch, "spikesim": spikesim}[sys.argv[1]]()
