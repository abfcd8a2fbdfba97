//! `crosspike chip`.

use std::path::PathBuf;

use serde_json::json;

use super::chips::MadeFrom;
use super::said::Said;
use super::terminal::Terminal;
use crate::error::{Error, Result};
use crate::lock::FolderAccess;
use crate::monitor::Monitor;
use crate::output::OutputFolder;
use crate::survey::files::{FILES, TileForm, Wanted, write};
use crate::survey::survey;

/// Write what was programmed onto one manufactured chip: conductances, faults, weights, residuals, ranges, tiles.
#[derive(clap::Args)]
#[command(after_help = "\
Writes into OUT:
  layers.csv         a row a layer: its size, tiles, faults, what its cells
                     miss, its companion array's shift
  converters.csv     a row a layer and slice: the converters' range
  weights.npz        LAYER.target, .programmed, .residual, .operating,
                     .effective, .companion: float32 [columns, rows]
  conductances.npz   LAYER.target.plus, .programmed.plus, .operating.plus, and
                     .minus: float64 [slices, columns, rows] in microsiemens;
                     LAYER.faults.plus and .minus: uint8, 0 works, 1 stuck
                     off, 2 stuck on, 3 on a dead line
  tiles.npz          LAYER.ROW.COLUMN, .target and .faults: [word lines, bit
                     lines], conductances in siemens; with --tiles csv the
                     files tile-LAYER.ROW.COLUMN.csv, as `crosspike tile
                     --conductances` takes them
  tile-LAYER.ROW.COLUMN.cir   with --netlist: a SPICE deck of the tile

Conductances are of profiles with rram.model = \"cell\"; what a weight's devices are stands in docs/hardware.md.

Examples:
  crosspike chip --model models/digits.toml --checkpoint C --data digits --profile hw_profiles/rram_wan_2022.toml \\
      --chip 7 --out runs/chip7
  crosspike chip ... --chip 7 --out runs/chip7 --tiles csv --netlist conv2:0,0 --volt 0.2")]
pub struct Args {
    /// The chip of the seed, from 0.
    #[arg(long, value_name = "I", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..1 << 20))]
    chip: u64,
    /// The folder for the files.
    #[arg(long)]
    out: PathBuf,
    /// How tiles are written.
    #[arg(long, default_value = "npz")]
    tiles: TileForm,
    /// Also write the SPICE deck of a tile; several times for several.
    #[arg(long, value_name = "LAYER:ROW,COLUMN", value_parser = tile)]
    netlist: Vec<(String, usize, usize)>,
    /// The voltage of every word line in the deck, in volt.
    #[arg(long, value_name = "V", default_value_t = 0.1, requires = "netlist")]
    volt: f64,
    /// Overwrite an earlier chip.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    made: MadeFrom,
    #[command(flatten)]
    nir: super::import_nir::Args,
}

/// The place of a tile.
fn tile(text: &str) -> std::result::Result<(String, usize, usize), String> {
    let found = text.rsplit_once(':').and_then(|(layer, place)| {
        let (row, column) = place.split_once(',')?;
        Some((layer.to_owned(), row.parse().ok()?, column.parse().ok()?))
    });
    found.ok_or_else(|| "expected LAYER:ROW,COLUMN, such as conv2:0,1".into())
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Said> {
    if !args.volt.is_finite() {
        return Err(Error::Usage(format!("--volt {}: expected a finite voltage", args.volt)));
    }
    let setup = args.made.read(None, Some(&args.nir))?;
    let blueprint = args.made.blueprint(&setup, None)?;
    let terminal = Terminal::default();
    blueprint.notices().iter().for_each(|notice| terminal.line(notice));
    let layers = survey(&blueprint, args.chip)?;
    let wanted = Wanted { tiles: args.tiles, netlists: &args.netlist, volt: args.volt };
    wanted.check(&layers)?;
    let mut origin = args.made.origin("chip", &setup, &blueprint)?;
    for (key, value) in [
        ("chip", json!(args.chip)),
        ("tiles", json!(args.tiles.name())),
        ("netlists", json!(args.netlist)),
        ("volt", json!(args.volt)),
    ] {
        origin["configuration"][key] = value;
    }
    let folder = OutputFolder::claim(&args.out, &origin, args.force, &FILES, FolderAccess::Alone)?;
    let written = write(&layers, &wanted, folder.path())?;
    folder.finish()?;
    let cells: usize = layers.iter().filter(|layer| layer.devices.is_some()).map(|layer| layer.target.len()).sum();
    let (chip, count) = (args.chip, layers.len());
    let text = match cells {
        0 => {
            format!("chip {chip}: weights of {count} layers; its cells have no conductances (rram.model = \"weight\")")
        }
        _ => format!("chip {chip}: conductances of {cells} weights in {count} layers"),
    };
    let text = format!("{text}\nwrote {} to {}", written.join(", "), args.out.display());
    Ok(Said::new(text, json!({ "chip": args.chip, "wrote": written, "out": args.out })))
}
