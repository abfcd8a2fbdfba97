//! The command line: a file a command. Each parses, calls the library and says what came of it (`said`); exit code 0, 1
//! (failed), 2 (usage) or 130 (interrupted).

mod attack;
mod check;
mod chip;
mod chips;
mod export;
mod export_nir;
mod fit;
mod generate;
#[cfg(feature = "gpu")]
mod gpus;
mod help;
mod import;
mod import_as;
mod import_nir;
mod imported;
mod infer;
mod inferred;
mod keys;
mod map;
mod options;
mod quickstart;
mod recipe;
mod report;
mod said;
mod schema;
mod search;
mod sensitivity;
mod show;
mod slurm;
mod sweep;
mod terminal;
mod tile;
mod train;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use self::said::Said;
use crate::announced;
use crate::error::Result;
use crate::kernels::Instructions;
use crate::monitor::{self, interruptible};

/// Simulates hybrid RRAM + SRAM in-memory-computing chips that run spiking neural networks.
#[derive(Parser)]
#[command(
    name = "crosspike",
    version,
    about,
    max_term_width = 110,
    after_help = "\
Examples:
  crosspike quickstart                         # train, program and compare chips
  crosspike train train.toml --out runs/vat    # train a network as a file says
  crosspike infer --model models/digits.toml --checkpoint runs/vat/checkpoint.safetensors \\
      --data digits --profile hw_profiles/rram_4bit.toml --chips 20
  crosspike map --model models/vgg9.toml --profile hw_profiles/rram_4bit.toml

The environment variable CROSSPIKE_INSTRUCTIONS (portable, avx2, avx-vnni, avx512-vnni, amx) keeps the CPU to an
instruction set, for timing; results are the same to the bit.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 130 interrupted (what is finished is kept)."
)]
struct Cli {
    /// Also write what the command found as JSON to this file, replacing it; `-`: to standard output, in place of text.
    #[arg(long, value_name = "F.json", global = true)]
    json: Option<PathBuf>,
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
    Search(search::Args),
    Sensitivity(sensitivity::Args),
    Recipe(recipe::Args),
    Report(report::Args),
    Export(export::Args),
    Check(check::Args),
    Chip(chip::Args),
    Fit(fit::Args),
    Map(map::Args),
    Tile(tile::Args),
    Import(import::Args),
    ExportNir(export_nir::Args),
    #[cfg(feature = "gpu")]
    Gpus(gpus::Args),
    Schema(schema::Args),
    Show(show::Args),
    Completions(generate::Completions),
    Man(generate::Man),
}

/// Runs the command of this process.
///
/// # Examples
/// ```no_run
/// fn main() -> std::process::ExitCode {
///     crosspike::main()
/// }
/// ```
pub fn main() -> ExitCode {
    ExitCode::from(run(std::env::args_os()))
}

/// Runs the command of some arguments, the first of them the program's name; gives the exit code. It takes over what
/// Ctrl-C does.
///
/// # Examples
/// ```
/// let exit_code = |command: &str| crosspike::run(command.split(' ').map(Into::into));
/// assert_eq!(exit_code("crosspike check models/digits.toml"), 0);
/// assert_eq!(exit_code("crosspike manufacture"), 2); // There is no such command.
/// ```
pub fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    let parsed = command().try_get_matches_from(args).and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(help) => {
            let _ = help.print();
            return help.exit_code() as u8;
        }
    };
    terminal::catch_signals();
    monitor::watch_reading(Box::new(terminal::Terminal::default()));
    let json = cli.json.as_deref();
    let run = || interruptible(|| cli.command.run()).map_err(|error| error.leaving("nothing is written"));
    let ready = Instructions::forced().and_then(|_| said::check(json));
    let done = ready.and_then(|()| run()).and_then(|said| said.tell(json));
    for file in announced::shipped() {
        terminal::note(&format!("{}: no file here, so the one that comes with crosspike was read", file.display()));
    }
    match done {
        Ok(None) => 0,
        Ok(Some(error)) | Err(error) => {
            terminal::tell_error(&error);
            error.exit_code()
        }
    }
}

/// All commands with their options, and what stands below these.
fn command() -> clap::Command {
    help::laid_out(Cli::command())
}

impl Command {
    fn run(self) -> Result<Said> {
        match self {
            Command::Quickstart(args) => quickstart::run(&args),
            Command::Train(args) => train::run(&args),
            Command::Infer(args) => infer::run(&args),
            Command::Attack(args) => attack::run(&args),
            Command::Sweep(args) => sweep::run(&args),
            Command::Search(args) => search::run(&args),
            Command::Sensitivity(args) => sensitivity::run(&args),
            Command::Recipe(args) => recipe::run(&args),
            Command::Report(args) => report::run(&args),
            Command::Export(args) => export::run(&args),
            Command::Check(args) => check::run(&args),
            Command::Chip(args) => chip::run(&args),
            Command::Fit(args) => fit::run(&args),
            Command::Map(args) => map::run(&args),
            Command::Tile(args) => tile::run(&args),
            Command::Import(args) => import::run(&args),
            Command::ExportNir(args) => export_nir::run(&args),
            #[cfg(feature = "gpu")]
            Command::Gpus(args) => gpus::run(&args),
            Command::Schema(args) => schema::run(&args),
            Command::Show(args) => show::run(&args),
            Command::Completions(args) => generate::completions(&args),
            Command::Man(args) => generate::man(&args),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names that occur twice.
    fn repeated(names: impl Iterator<Item = String>) -> Vec<String> {
        let mut seen = std::collections::BTreeSet::new();
        names.filter(|name| !seen.insert(name.clone())).collect()
    }

    #[test]
    fn lines_that_stand_as_they_are_fit_into_a_terminal() {
        let command = command();
        for one in command.get_subcommands().chain([&command]) {
            let words = one.get_after_help().map_or(String::new(), ToString::to_string);
            let long = words.lines().filter(|line| line.starts_with("  ") && line.chars().count() > 80);
            assert_eq!(long.collect::<Vec<_>>(), Vec::<&str>::new(), "{}", one.get_name());
        }
    }

    #[test]
    fn no_command_has_two_options_or_groups_of_one_name() {
        let mut command = Cli::command();
        command.build();
        let mut left = vec![command];
        while let Some(command) = left.pop() {
            let none: Vec<String> = vec![];
            assert_eq!(repeated(command.get_groups().map(|group| group.get_id().to_string())), none, "{command}");
            assert_eq!(repeated(command.get_arguments().map(|arg| arg.get_id().to_string())), none, "{command}");
            let long = command.get_arguments().flat_map(|arg| arg.get_long_and_visible_aliases().unwrap_or_default());
            assert_eq!(repeated(long.map(String::from)), none, "{command}");
            left.extend(command.get_subcommands().cloned());
        }
    }

    /// The commands of a page's shell blocks, line by line: those that are whole, and need no shell to be read.
    fn commands(page: &std::path::Path) -> Vec<Vec<String>> {
        let text = std::fs::read_to_string(page).unwrap().replace("\\\n", " ");
        let mut is_shell = false;
        let mut found = vec![];
        for line in text.lines() {
            match line.trim_start().strip_prefix("```") {
                Some(language) => is_shell = language == "sh",
                None if is_shell => {
                    // A file for the output is the shell's.
                    let line =
                        line.split(" #").next().unwrap_or_default().split(" > ").next().unwrap_or_default().trim();
                    let own = line.strip_prefix("crosspike ").or_else(|| line.strip_prefix("cargo run --release -- "));
                    let needs_a_shell =
                        |words: &&str| words.contains("...") || words.contains(['$', ';', '…', '|', '{']);
                    let words = own.filter(|words| !needs_a_shell(words)).map(|words| words.split_whitespace());
                    found.extend(words.map(|words| words.map(|word| word.replace(['\'', '"'], "")).collect()));
                }
                None => {}
            }
        }
        found
    }

    #[test]
    fn commands_of_the_documents_can_be_given() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let in_folder = |folder: &str| std::fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path());
        let pages = ["docs", "docs/results"].into_iter().flat_map(in_folder);
        let pages =
            pages.chain([root.join("README.md")]).filter(|page| page.extension().is_some_and(|ending| ending == "md"));
        let mut given = 0;
        for page in pages {
            for words in commands(&page) {
                let parsed = Cli::try_parse_from(["crosspike".to_owned()].into_iter().chain(words.iter().cloned()));
                if let Err(error) = parsed {
                    panic!("{}: crosspike {}\n{error}", page.display(), words.join(" "));
                }
                given += 1;
            }
        }
        assert!(given > 30, "{given} commands");
    }
}
