//! The command line: a file a command. Each parses, calls the library and prints; exit code 0, 1 (failed) or 2 (usage).

mod attack;
mod check;
mod chips;
mod export;
mod generate;
mod gpus;
mod import;
mod infer;
mod map;
mod options;
mod quickstart;
mod recipe;
mod report;
mod schema;
mod slurm;
mod sweep;
mod terminal;
mod tile;
mod train;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::{Error, Result};

/// Simulates hybrid RRAM + SRAM in-memory-computing chips that run spiking neural networks.
#[derive(Parser)]
#[command(
    name = "crosspike",
    version,
    about,
    max_term_width = 110,
    after_help = "\
Examples:
  crosspike quickstart                          train, program and compare chips on the embedded digits
  crosspike train train.toml --out runs/vat     train a network as a TOML file says
  crosspike infer --model models/digits.toml --checkpoint runs/vat/checkpoint.safetensors \\
      --data digits --profile hw_profiles/rram_4bit.toml --chips 20
  crosspike map --model models/vgg9.toml --profile hw_profiles/rram_4bit.toml

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Quickstart(quickstart::Args),
    Train(train::Args),
    Infer(infer::Args),
    Attack(attack::Args),
    Sweep(sweep::Args),
    Recipe(recipe::Args),
    Report(report::Args),
    Export(export::Args),
    Check(check::Args),
    Map(map::Args),
    Tile(tile::Args),
    Import(import::Args),
    Gpus(gpus::Args),
    Schema(schema::Args),
    Completions(generate::Completions),
    Man(generate::Man),
}

/// Runs the command of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // Mesa's device-select layer asks a display server which adapter is the default, and complains where there is
        // none; the choice here is by kind.
        // SAFETY: this is the process's only thread.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
    terminal::catch_signals();
    let done = match cli.command {
        Command::Quickstart(args) => quickstart::run(&args),
        Command::Train(args) => train::run(&args),
        Command::Infer(args) => infer::run(&args),
        Command::Attack(args) => attack::run(&args),
        Command::Sweep(args) => sweep::run(&args),
        Command::Recipe(args) => recipe::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Map(args) => map::run(&args),
        Command::Tile(args) => tile::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Gpus(args) => gpus::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Completions(args) => generate::completions(&args),
        Command::Man(args) => generate::man(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::note(&format!("error: {error}"));
            ExitCode::from(error.exit_code())
        }
    }
}

/// Prints a line to standard output; a closed pipe is an error, not a panic.
fn say(text: &str) -> Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).map_err(Error::io("standard output"))
}
