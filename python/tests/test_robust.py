"""Threads, signals, kills and forks: exceptions or right results."""

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
from conftest import model_file

import crosspike


@pytest.fixture(scope="module")
def session():
    network = crosspike.Network.fresh("digits", seed=1)
    return crosspike.Session(network, "rram_4bit", "digits")


def test_threads_at_once_give_their_own_results(session):
    alone = [session.run(chip).logits for chip in range(4)]
    found = [None] * 4

    def work(chip):
        found[chip] = session.run(chip).logits

    threads = [threading.Thread(target=work, args=(chip,)) for chip in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert all(np.array_equal(one, other) for one, other in zip(alone, found))


def test_the_interpreter_is_free_meanwhile(session):
    counted, done = [0], threading.Event()

    def count():
        while not done.is_set():
            counted[0] += 1
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    began = time.monotonic()
    session.evaluate(10)
    took = time.monotonic() - began
    done.set()
    thread.join()
    assert counted[0] > 20 * took


def test_progress_is_told(session):
    class Heard:
        def __init__(self):
            self.updates, self.lines, self.ends = [], [], 0

        def update(self, what, done, total, note):
            self.updates.append((what, done, total))

        def line(self, text):
            self.lines.append(text)

        def end(self):
            self.ends += 1

    heard = Heard()
    session.evaluate(5, progress=heard)
    assert heard.updates[-1] == ("chips", 5, 5) and heard.ends == 1
    with pytest.raises(TypeError, match="progress has no line"):
        session.evaluate(1, progress=object())

    class Broken(Heard):
        def update(self, *_):
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        session.evaluate(5, progress=Broken())
    assert len(session.evaluate(2)) == 2


def test_what_stops_one_call_stops_no_other(session):
    class Slow:
        def update(self, *_):
            time.sleep(0.5)
            raise RuntimeError("broken")

        line = end = lambda self, *_: None

    alone, found = session.evaluate(6).accuracy, []
    other = threading.Thread(target=lambda: found.append(session.evaluate(6).accuracy))
    other.start()
    with pytest.raises(RuntimeError, match="broken"):
        session.evaluate(3, progress=Slow())
    other.join()
    assert np.array_equal(found[0], alone)
    assert np.array_equal(session.evaluate(6).accuracy, alone)


def test_progress_comes_in_order():
    told = []

    class Heard:
        def update(self, what, done, total, note):
            told.append((what, done))

        def line(self, text):
            told.append(text)

        def end(self):
            told.append("end")

    crosspike.quickstart(progress=Heard())
    works = [entry for entry in told if isinstance(entry, tuple) or entry == "end"]
    for before, after in zip(works, works[1:]):
        if before == "end":
            assert after != "end"
        elif isinstance(after, tuple) and after[0] == before[0]:
            assert after[1] >= before[1]
        else:
            assert after == "end", (before, after)
    assert works[-1] == "end"


def script(text, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(text), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_ctrl_c_is_a_keyboard_interrupt_and_work_goes_on_afterwards():
    running = script(
        """
        import crosspike
        session = crosspike.Session(crosspike.Network.fresh("digits"), "rram_4bit", "digits")
        print("ready", flush=True)
        try:
            session.evaluate(100000)
        except KeyboardInterrupt:
            print("interrupted", len(session.evaluate(2)), flush=True)
        """
    )
    assert running.stdout.readline() == "ready\n"
    time.sleep(1.0)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert out == "interrupted 2\n", err


def sweep_file(folder, network):
    checkpoint = folder / "network.safetensors"
    network.save(checkpoint)
    return {
        "name": "scales",
        "model": model_file(folder, "digits"),
        "checkpoint": checkpoint,
        "data": "digits",
        "limit": 60,
        "chips": 40,
        "grid": {"rram.variation.sigma": [0.1, 0.2, 0.3, 0.4]},
    }


def test_a_killed_sweep_goes_on(tmp_path):
    network = crosspike.Network.fresh("digits", seed=1)
    file = sweep_file(tmp_path, network)
    set = {"rram.weight_bits": 4, "rram.variation.kind": "lognormal"}
    whole = crosspike.sweep(file, out=tmp_path / "whole", set=set)
    running = script(
        """
        import sys, crosspike
        folder = sys.argv[1]
        file = eval(sys.argv[2])
        crosspike.sweep(file, out=folder + "/killed", set={"rram.weight_bits": 4, "rram.variation.kind": "lognormal"})
        """,
        tmp_path,
        repr({key: str(value) if hasattr(value, "__fspath__") else value for key, value in file.items()}),
    )
    trials = tmp_path / "killed"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not any(trials.glob("trials-*")):
        time.sleep(0.05)
    time.sleep(0.3)
    running.kill()
    running.wait()
    again = crosspike.sweep(file, out=tmp_path / "killed", set=set, resume=True)
    assert again.results.to_dict() == whole.results.to_dict()
    with pytest.raises(crosspike.UsageError, match="resume=True.*force=True"):
        crosspike.sweep(file, out=tmp_path / "killed", set={**set, "rram.variation.scale": 2.0})
    with pytest.raises(ValueError, match="one of the two"):
        crosspike.sweep(file, out=tmp_path / "killed", set=set, resume=True, force=True)


def test_shards_share_a_folder(tmp_path):
    file = {**sweep_file(tmp_path, crosspike.Network.fresh("digits", seed=1)), "chips": 2}
    set = {"rram.weight_bits": 4, "rram.variation.kind": "lognormal"}
    assert crosspike.sweep(file, out=tmp_path / "shards", set=set, shard=(1, 2)) is None
    merged = crosspike.sweep(file, out=tmp_path / "shards", set=set, shard=(2, 2))
    assert merged.results.to_dict() == crosspike.sweep(file, set=set).results.to_dict()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_is_told_that_it_cannot_work(session):
    session.run(0)
    told = multiprocessing.get_context("fork").Queue()

    def child():
        try:
            session.run(0)
            told.put("ran")
        except RuntimeError as error:
            told.put(str(error))

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    assert "forked" in told.get(timeout=30)
    process.join()


def test_folders_of_others_are_not_overwritten(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(crosspike.UsageError, match="is not empty"):
        crosspike.quickstart(out=tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_the_command_line_is_in_the_wheel():
    done = subprocess.run([sys.executable, "-m", "crosspike", "--version"], capture_output=True, text=True)
    assert done.stdout.strip() == f"crosspike {crosspike.__version__}"
    wrong = subprocess.run([sys.executable, "-m", "crosspike", "infer"], capture_output=True, text=True)
    assert wrong.returncode == 2 and "--model" in wrong.stderr
