# One command for each habit (https://just.systems).

# Formatting, lints and documentation, warnings as errors
check:
    cargo fmt --all -- --check
    cargo clippy --release --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --release --no-deps

# All tests; GPU tests skip with a printed reason where there is no adapter
test:
    cargo test --release

# Kernels with their roofline, and networks; see docs/performance.md
bench:
    cargo bench

# The main job
quickstart:
    cargo run --release -- quickstart

# The API's documentation in a browser
docs:
    cargo doc --release --no-deps --open
