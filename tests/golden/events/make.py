"""Small files of every format of events that crosspike reads, written to the formats' specifications, and the frames
that tonic and SpikingJelly make of them.

    python make.py write      with numpy and h5py: writes the folders of files
    python make.py tonic      with tonic: adds what it reads of them, and its frames, to tonic.npz
    python make.py jelly      with SpikingJelly: adds the same to jelly.npz

Events are drawn at random; every set has two classes.
"""

import glob
import os
import struct
import sys
import numpy as np

rng = np.random.default_rng(18)
ROOT = os.path.dirname(os.path.abspath(__file__))


def events(count, width, height, first_us=1000, last_us=300_000):
    t = np.sort(rng.integers(first_us, last_us, count))
    return t, rng.integers(0, width, count), rng.integers(0, height, count), rng.integers(0, 2, count)


def at(*parts):
    path = os.path.join(ROOT, *parts)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return path


def write_nmnist():
    for half in ("Train", "Test"):
        for digit in (0, 1):
            t, x, y, p = events(150, 34, 34)
            rows = [(x, y, t, p) for x, y, t, p in zip(x, y, t, p)]
            if digit == 1:  # An event of row 240 moves what follows by 2^13 microseconds.
                rows.insert(75, (0, 240, t[75], 0))
            with open(at("nmnist", half, str(digit), "00001.bin"), "wb") as file:
                for x, y, t, p in rows:
                    file.write(bytes([x, y, (p << 7) | (t >> 16), (t >> 8) & 255, t & 255]))


def write_gesture():
    for half, user in (("train", "user01_led"), ("test", "user24_led")):
        with open(at("dvs128gesture", f"trials_to_{half}.txt"), "w") as file:
            file.write(f"{user}.aedat\n\n")
        with open(at("dvs128gesture", f"{user}_labels.csv"), "w") as file:
            file.write("class,startTime_usec,endTime_usec\n1,20000,120000\n11,150000,290000\n")
        t, x, y, p = events(400, 128, 128)
        with open(at("dvs128gesture", f"{user}.aedat"), "wb") as file:
            file.write(
                b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 0: DVS128\r\n#Start-Time: 2016-03-22 10:12:58 (TZ+0100)\r\n#!END-HEADER\r\n"
            )
            # A packet of another kind, which readers pass by, as long as a polarity packet of three events.
            file.write(struct.pack("<HHIIIIII", 0, 0, 8, 4, 0, 3, 3, 3) + bytes(24))
            for first in range(0, 400, 150):
                part = slice(first, min(first + 150, 400))
                count = part.stop - part.start
                file.write(struct.pack("<HHIIIIII", 1, 0, 8, 4, 0, count, count, count))
                for x_, y_, t_, p_ in zip(x[part], y[part], t[part], p[part]):
                    file.write(struct.pack("<II", (int(x_) << 17) | (int(y_) << 2) | (int(p_) << 1) | 1, int(t_)))


def write_cifar10dvs():
    for name in ("airplane", "automobile"):
        for number in (0, 1):
            t, x, y, p = events(200, 128, 128)
            with open(at("cifar10dvs", name, f"cifar10_{name}_{number}.aedat"), "wb") as file:
                file.write(
                    b"#!AER-DAT2.0\r\n# This is a raw AE data file - do not edit\r\n# Timestamps tick is 1 us\r\n"
                )
                for x_, y_, t_, p_ in zip(x, y, t, p):
                    file.write(struct.pack(">II", (int(y_) << 8) | (int(x_) << 1) | int(p_), int(t_)))


def write_shd():
    import h5py

    for name, classes in (("shd", 20), ("ssc", 35)):
        for half in ("train", "test"):
            with h5py.File(at(name, f"{name}_{half}.h5"), "w") as file:
                count = 6
                times = file.create_dataset(
                    "spikes/times", (count,), h5py.vlen_dtype(np.float16 if name == "shd" else np.float32)
                )
                units = file.create_dataset("spikes/units", (count,), h5py.vlen_dtype(np.uint16))
                for i in range(count):
                    n = [120, 90, 0, 60, 45, 30][i]
                    times[i] = np.sort(rng.uniform(0, 0.9, n))
                    units[i] = rng.integers(0, 700, n)
                file["labels"] = np.array([0, 1, 2, 0, 1, classes - 1], np.uint16)
                file["extra/speaker"] = np.zeros(count, np.uint16)
                file["extra/keys"] = np.array([f"word {i}".encode() for i in range(classes)])


def write_packed():
    """The same layout in chunks that are packed."""
    import h5py

    with h5py.File(at("packed", "shd_test.h5"), "w") as file:
        options = dict(chunks=(4,), compression="gzip")
        times = file.create_dataset("spikes/times", (10,), h5py.vlen_dtype(np.float32), **options)
        units = file.create_dataset("spikes/units", (10,), h5py.vlen_dtype(np.uint16), **options)
        for i in range(10):
            times[i], units[i] = np.sort(rng.uniform(0, 0.9, 20)), rng.integers(0, 700, 20)
        file.create_dataset("labels", data=np.arange(10, dtype=np.uint16), **options)


def write_words():
    """Words that can be learned: four classes, of a band of channels that moves up or down, early or late, each."""
    import h5py

    for half, count in (("train", 160), ("test", 80)):
        with h5py.File(at("words", f"shd_{half}.h5"), "w") as file:
            times = file.create_dataset("spikes/times", (count,), h5py.vlen_dtype(np.float16))
            units = file.create_dataset("spikes/units", (count,), h5py.vlen_dtype(np.uint16))
            labels = rng.integers(0, 4, count)
            for i, label in enumerate(labels):
                share = np.sort(rng.uniform(0, 1, 60))
                up, late = label % 2, label // 2
                times[i] = 0.1 + 0.4 * late + 0.4 * share
                place = 100 + 500 * (share if up else 1 - share) + rng.normal(0, 30, 60)
                units[i] = np.clip(place, 0, 699)
            file["labels"] = labels.astype(np.uint16)


def write_arrays():
    dtype = np.dtype([("x", "<i2"), ("y", "<i2"), ("t", "<i8"), ("p", "?")])
    for name in ("left", "right"):
        t, x, y, p = events(180, 40, 30)
        array = np.empty(180, dtype)
        array["x"], array["y"], array["t"], array["p"] = x, y, t, p
        np.save(at("arrays", "train", name, "1.npy"), array)
        t, x, y, p = events(180, 40, 30)
        np.savez(at("arrays", "test", name, "1.npz"), t=t, x=x, y=y, p=p)


def tonic_results():
    import tonic
    from tonic.io import events_struct, read_mnist_file
    from tonic.transforms import CenterCrop, ToFrame
    import h5py

    out = {}
    for file in sorted(glob.glob(os.path.join(ROOT, "nmnist", "*", "*", "*.bin"))):
        name = "nmnist/" + "/".join(file.split(os.sep)[-3:])
        made = read_mnist_file(file, events_struct)
        size = (34, 34, 2)
        out[f"{name}:step_us=40000&steps=7"] = ToFrame(size, time_window=40_000)(made)[:7]
        out[f"{name}:steps=5&by=count"] = ToFrame(size, n_event_bins=5)(made)
        cropped = CenterCrop(size, (32, 32))(made)
        out[f"{name}:crop=32&step_us=40000&steps=6"] = ToFrame((32, 32, 2), time_window=40_000)(cropped)[:6]
    for name in ("shd", "ssc"):
        for half in ("train", "test"):
            with h5py.File(os.path.join(ROOT, name, f"{name}_{half}.h5"), "r") as file:
                for i in (0, 1, 3, 4, 5):
                    # As tonic's class HSD makes events of a row.
                    made = tonic.io.make_structured_array(
                        file["spikes/times"][i].astype(np.float64) * 1e6,
                        file["spikes/units"][i],
                        1,
                        dtype=np.dtype([("t", int), ("x", int), ("p", int)]),
                    )
                    made["p"] = 0
                    frames = ToFrame((700, 1, 1), time_window=100_000, start_time=0, end_time=1_000_000)(made.copy())
                    out[f"{name}/{half}/{i}:step_us=100000&steps=10"] = frames[:, 0]
    for file in sorted(glob.glob(os.path.join(ROOT, "arrays", "train", "*", "*.npy"))):
        made = np.load(file)
        out["arrays/" + "/".join(file.split(os.sep)[-3:]) + ":step_us=50000&steps=5"] = ToFrame(
            (40, 30, 2), time_window=50_000
        )(made)[:5]
    np.savez_compressed(os.path.join(ROOT, "tonic.npz"), **{key: value.astype(np.uint8) for key, value in out.items()})
    print("tonic", tonic.__version__, len(out), "series")


def jelly_results():
    from unittest.mock import MagicMock

    for other in ("torchaudio", "torchaudio.transforms"):  # Its data sets of sound import them.
        sys.modules.setdefault(other, MagicMock())
    import spikingjelly.datasets.utils as utils
    from spikingjelly.datasets import cifar10_dvs

    out = {}

    def frames(name, events, height, width):
        for by, split in (("time", "time"), ("count", "number")):
            made = utils.integrate_events_by_fixed_frames_number(events, split, 4, height, width)
            out[f"{name}:steps=4&by={by}"] = made

    for user in ("user01_led", "user24_led"):
        made = utils.load_aedat_v3(os.path.join(ROOT, "dvs128gesture", f"{user}.aedat"))
        for number, (start, end) in enumerate(((20_000, 120_000), (150_000, 290_000))):
            mask = np.logical_and(made["t"] >= start, made["t"] < end)
            frames(f"dvs128gesture/{user}/{number}", {key: value[mask] for key, value in made.items()}, 128, 128)
    for file in sorted(glob.glob(os.path.join(ROOT, "cifar10dvs", "*", "*.aedat"))):
        made = cifar10_dvs._load_origin_data(file)
        frames("cifar10dvs/" + "/".join(file.split(os.sep)[-2:]), made, 128, 128)
    for file in sorted(glob.glob(os.path.join(ROOT, "arrays", "test", "*", "*.npz"))):
        made = dict(np.load(file))
        name = "/".join(file.split(os.sep)[-3:])
        frames(f"arrays/{name}", made, 30, 40)
        # A folder of frames, as its data sets write them.
        series = utils.integrate_events_by_fixed_frames_number(made, "number", 4, 30, 40)
        np.savez_compressed(at("frames", *name.split("/")), frames=series.astype(np.float32))
        np.savez_compressed(at("frames", "train", *name.split("/")[1:]), frames=series[::-1].astype(np.float32))
    # Frames of many pixels and few events: the places and the counts.
    packed = {}
    for key, value in out.items():
        value = np.asarray(value).astype(np.uint8)
        packed[key + "|shape"], packed[key + "|at"] = np.array(value.shape), np.flatnonzero(value).astype(np.uint32)
        packed[key + "|count"] = value.ravel()[packed[key + "|at"]]
    np.savez_compressed(os.path.join(ROOT, "jelly.npz"), **packed)
    print("series", len(out))


if __name__ == "__main__":
    what = sys.argv[1]
    if what == "write":
        for write in (
            write_nmnist,
            write_gesture,
            write_cifar10dvs,
            write_shd,
            write_arrays,
            write_words,
            write_packed,
        ):
            write()
    elif what == "tonic":
        tonic_results()
    else:
        jelly_results()
