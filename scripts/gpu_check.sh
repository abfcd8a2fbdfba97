#!/bin/sh
# What a graphics card has to show: that it is found, that its results are the CPU's bit for bit, and what time it takes.
#
#     scripts/gpu_check.sh [FILTER [FILE.json]]                  builds what it runs
#     BUILT=FOLDER scripts/gpu_check.sh [FILTER [FILE.json]]     runs FOLDER/crosspike, FOLDER/with_tools (the tests) and FOLDER/time_engines
#
# FILTER, such as `digits`, names the networks that are timed: all take six minutes on a large card, and half an hour on a driver that is
# software. FILE.json (gpu_check.json) takes every figure; where all networks are timed and python3 has PyTorch with CUDA, its figures on the same card too.
# The tests must run: without an adapter they fail. Figures belong into docs/performance.md, with the card's name and driver.
set -eu
cd "$(dirname "$0")/.."
figures=${2:-gpu_check.json}
if [ -z "${BUILT:-}" ]; then
    cargo build --release --locked --bins --examples
    BUILT=$(mktemp -d)
    trap 'rm -rf "$BUILT"' EXIT
    tests=$(cargo test --release --locked --no-run --test with_tools 2>&1 | sed -n 's/.*(\(.*with_tools-[0-9a-f]*\)).*/\1/p')
    cp target/release/crosspike target/release/examples/time_engines "$BUILT"
    cp "$tests" "$BUILT/with_tools"
fi
failed=0
step() {
    echo
    echo "== $1"
    shift
    "$@" || failed=1
}
step "Adapters" "$BUILT/crosspike" gpus
rm -f "$figures"
step "CPU and GPU, one after the other" "$BUILT/time_engines" "${1:-}" "$figures"
step "The GPU's results are the CPU's" env CROSSPIKE_REQUIRE_GPU=1 "$BUILT/with_tools" gpu
for backend in cpu gpu auto; do
    step "Four chips, --backend $backend" "$BUILT/crosspike" infer --model tests/golden/bntt/model.toml \
        --checkpoint tests/golden/bntt/checkpoint.safetensors --data images:tests/golden/bntt/images.npz \
        --profile hw_profiles/rram_4bit.toml --chips 4 --backend $backend
done
if [ -z "${1:-}" ] && python3 -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null; then
    step "PyTorch on the same card" python3 scripts/gpu_pytorch.py --into "$figures"
fi
exit $failed
