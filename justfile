# One command for each habit (https://just.systems); `just` alone lists them.

list:
    @just --list

# Formatting, lints and documentation, warnings as errors
check:
    cargo fmt --all -- --check
    ruff format --check .
    cargo clippy --release --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --release --no-deps

# All tests; what needs a graphics adapter, a simulator or a browser skips with a printed reason where there is none
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

# The documentation as a site, in target/book (cargo install mdbook)
book:
    mdbook build

# Whether the oldest Rust that Cargo.toml promises still builds it (rustup toolchain install 1.89.0)
oldest:
    cargo +1.89.0 check --locked --all-features --lib --bins

# Binary, wheel, notices and checksums for Linux of glibc 2.28 and later, in target/release-files
release:
    scripts/release

# The pictures of the README, made again from the quickstart
pictures:
    CROSSPIKE=target/release/crosspike scripts/pictures

# Comparisons with other tools and silicon, made again
validate:
    scripts/validate/run
