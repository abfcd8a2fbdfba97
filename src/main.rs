//! The `crosspike` command.

mod process;

use std::process::ExitCode;

fn main() -> ExitCode {
    process::keep_freed_memory();
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // Mesa's device-select layer asks a display server which adapter is the default, and complains where there is
        // none; the choice here is by kind.
        // SAFETY: this is the process's only thread.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
    crosspike::main()
}
