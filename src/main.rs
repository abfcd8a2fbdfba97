//! The `crosspike` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    crosspike::cli::main()
}
