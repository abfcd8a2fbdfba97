//! The `crosspike` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    crosspike::kernels::keep_freed_memory();
    crosspike::cli::main()
}
