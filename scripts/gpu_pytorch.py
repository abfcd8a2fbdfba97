#!/usr/bin/env python3
"""Images a second of PyTorch models on a CUDA card: what scripts/gpu_check.sh holds crosspike's figures against.

    scripts/gpu_pytorch.py [--networks vgg9] [--batches 256] [--into FILE.json]
        [--peers eager:f32,eager:tf32,compiled:tf32]

The models are those of against_pytorch.py with random weights and Poisson inputs. `tf32` rounds what is multiplied to
10 bits, as PyTorch does by default in convolutions, `f32` does not: nothing here is compared bit by bit. A figure is
the median of five runs behind three that warm up. Where FILE.json is there, the figures are added to it. `compiled`
takes a minute to compile.
"""

import argparse
import itertools
import json
import statistics
import sys
import time
from pathlib import Path

import torch

from against_pytorch import PEERS, build

WARM, RUNS = 3, 5


def images_per_second(peer, arch, batch, precision):
    torch.manual_seed(0)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    net = PEERS[peer](build(arch, None)).cuda().eval()
    images = torch.rand(batch, 3, 32, 32, device="cuda") * 2 - 1
    seconds = []
    with torch.no_grad():
        for run in range(WARM + RUNS):
            torch.cuda.synchronize()
            start = time.perf_counter()
            net(images, "poisson")
            torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
    return batch / statistics.median(seconds[WARM:])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default="vgg9")
    parser.add_argument("--batches", default="256")
    parser.add_argument("--peers", default="eager:f32,eager:tf32,compiled:tf32", help="models with their precisions")
    parser.add_argument("--into", type=Path, metavar="FILE.json")
    args = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("PyTorch finds no CUDA card")
    rates = []
    print("| network | images | PyTorch | precision | images/s |\n|---|---|---|---|---|")
    choices = [option.split(",") for option in (args.networks, args.peers, args.batches)]
    for network, model, batch in itertools.product(*choices):
        peer, precision = model.split(":")
        rate = images_per_second(peer, network, int(batch), precision)
        rates.append(
            {"network": network, "images": int(batch), "peer": peer, "precision": precision, "images_per_second": rate}
        )
        print(f"| {network} | {batch} | {peer} | {precision} | {rate:.0f} |", flush=True)
    if args.into:
        figures = json.loads(args.into.read_text()) if args.into.exists() else {}
        figures["pytorch"] = {"card": torch.cuda.get_device_name(), "torch": torch.__version__, "rates": rates}
        args.into.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
