//! A surveyed chip as files: tables, NumPy archives, tiles, SPICE decks.

use std::io::{BufWriter, Seek, Write};
use std::path::Path;

use ndarray::{ArrayView2, ArrayView3};
use ndarray_npy::{NpzWriter, WritableElement, WriteNpzError};

use super::{LayerSurvey, TileSurvey};
use crate::atomic;
use crate::crossbar::site::Place;
use crate::device::survey::{DEAD_LINE, STUCK_OFF, STUCK_ON, Survey};
use crate::error::{Error, Result};
use crate::monitor::stop_if_asked;

/// Files that it writes.
pub const FILES: [&str; 6] = ["layers.csv", "converters.csv", "weights.npz", "conductances.npz", "tiles.npz", "tile-*"];

/// How tiles are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum TileForm {
    /// One NumPy archive.
    Npz,
    /// A CSV file a tile.
    Csv,
    /// Not at all.
    None,
}

impl TileForm {
    /// The form's name as the command line writes it.
    pub fn name(self) -> &'static str {
        match self {
            TileForm::Npz => "npz",
            TileForm::Csv => "csv",
            TileForm::None => "none",
        }
    }
}

/// What is written beside weights and conductances.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// How tiles are written.
    pub tiles: TileForm,
    /// Tiles whose SPICE decks are written: layer, row and column.
    pub netlists: &'a [(String, usize, usize)],
    /// The voltage of every word line in a deck, in volt.
    pub volt: f64,
}

impl Wanted<'_> {
    /// An error unless every tile of a deck is there.
    pub fn check(&self, layers: &[LayerSurvey]) -> Result<()> {
        self.netlists.iter().try_for_each(|place| tile_at(layers, place).map(|_| ()))
    }
}

fn tile_at(layers: &[LayerSurvey], (name, row, column): &(String, usize, usize)) -> Result<TileSurvey> {
    let Some(layer) = layers.iter().find(|layer| layer.name == *name) else {
        let known: Vec<&str> = layers.iter().map(|layer| layer.name.as_str()).collect();
        return Err(Error::Usage(format!("--netlist: `{name}` is no layer; expected one of {}", known.join(", "))));
    };
    layer.tile(*row, *column).ok_or_else(|| {
        let (rows, columns) = layer.tiles();
        Error::Usage(match layer.devices {
            Some(_) => format!("--netlist: `{name}` has {rows} x {columns} tiles; expected a place from 0,0"),
            None => {
                format!("--netlist: `{name}` has no conductances; expected a layer on RRAM and rram.model = \"cell\"")
            }
        })
    })
}

/// Writes a chip's files into a folder; gives their names.
///
/// # Errors
/// Where a file cannot be written.
pub fn write(layers: &[LayerSurvey], wanted: &Wanted, folder: &Path) -> Result<Vec<String>> {
    let mut written = vec!["layers.csv".to_owned(), "converters.csv".to_owned(), "weights.npz".to_owned()];
    atomic::write(&folder.join("layers.csv"), layers_table(layers).as_bytes())?;
    atomic::write(&folder.join("converters.csv"), converters_table(layers).as_bytes())?;
    archive(&folder.join("weights.npz"), |npz| layers.iter().try_for_each(|layer| weights(npz, layer)))?;
    if layers.iter().any(|layer| layer.devices.is_some()) {
        let devices = |npz: &mut Npz| layers.iter().try_for_each(|layer| conductances(npz, layer));
        archive(&folder.join("conductances.npz"), devices)?;
        written.push("conductances.npz".into());
        match wanted.tiles {
            TileForm::Npz => {
                archive(&folder.join("tiles.npz"), |npz| layers.iter().try_for_each(|layer| tiles(npz, layer)))?;
                written.push("tiles.npz".into());
            }
            TileForm::Csv => {
                layers.iter().try_for_each(|layer| tile_files(folder, layer))?;
                written.push("tile-*.csv".into());
            }
            TileForm::None => {}
        }
    }
    for place in wanted.netlists {
        let (name, row, column) = place;
        let file = format!("tile-{name}.{row}.{column}.cir");
        let deck = tile_at(layers, place)?.netlist(&format!("{name}, tile {row},{column}"), wanted.volt);
        atomic::write(&folder.join(&file), deck.as_bytes())?;
        written.push(file);
    }
    Ok(written)
}

fn layers_table(layers: &[LayerSurvey]) -> String {
    let mut text =
        "layer,place,rows,columns,slices,tiles_along_rows,tiles_along_columns,stuck_off,stuck_on,on_dead_lines,\
                    residual_rms,companion_shift\n"
            .to_owned();
    for layer in layers {
        let (tile_rows, tile_columns) = layer.tiles();
        let devices = layer.devices.as_ref();
        let count = |code: u8| devices.map_or(String::new(), |devices| faulty(devices, code).to_string());
        let n = layer.residual.len() as f64;
        let square: f64 = layer.residual.iter().map(|miss| f64::from(*miss).powi(2)).sum();
        let cells = [
            layer.name.clone(),
            if layer.place == Place::Rram { "rram".into() } else { "digital".into() },
            layer.rows.to_string(),
            layer.columns.to_string(),
            devices.map_or(String::new(), |devices| devices.targets.len().to_string()),
            tile_rows.to_string(),
            tile_columns.to_string(),
            count(STUCK_OFF),
            count(STUCK_ON),
            count(DEAD_LINE),
            if layer.residual.is_empty() { String::new() } else { format!("{:.9}", (square / n).sqrt()) },
            layer.companion.as_ref().map_or(String::new(), |companion| companion.shift.to_string()),
        ];
        text += &(cells.join(",") + "\n");
    }
    text
}

fn faulty(devices: &Survey, code: u8) -> usize {
    let sides = devices.faults.iter().flat_map(|slice| slice.plus.iter().chain(&slice.minus));
    sides.filter(|fault| **fault == code).count()
}

fn converters_table(layers: &[LayerSurvey]) -> String {
    let mut text = "layer,slice,step,lowest_code,highest_code\n".to_owned();
    for layer in layers {
        for (slice, converter) in layer.converters.iter().enumerate() {
            let (step, lowest, highest) = (converter.step, converter.lowest, converter.highest);
            text += &format!("{},{slice},{step:e},{lowest},{highest}\n", layer.name);
        }
    }
    text
}

/// An archive on its way to a file.
type Npz = NpzWriter<BufWriter<std::fs::File>>;

/// Writes an archive beside its place, and puts it there when it is whole.
fn archive(path: &Path, fill: impl FnOnce(&mut Npz) -> std::result::Result<(), WriteNpzError>) -> Result<()> {
    let file = atomic::temporary(path).map_err(Error::io(path))?;
    let failed = |error: WriteNpzError| Error::file(path, format!("not written: {error}"));
    let mut npz = NpzWriter::new(BufWriter::new(file.reopen().map_err(Error::io(path))?));
    fill(&mut npz).map_err(failed)?;
    let mut writer = npz.finish().map_err(failed)?;
    writer.flush().and_then(|()| writer.stream_position()).map_err(Error::io(path))?;
    file.persist(path).map_err(|error| Error::io(path)(error.error))?;
    Ok(())
}

fn weights(npz: &mut Npz, layer: &LayerSurvey) -> std::result::Result<(), WriteNpzError> {
    let companion = layer.companion.as_ref().map_or(&[][..], |companion| &companion.weights);
    let all = [
        ("target", &layer.target[..]),
        ("programmed", &layer.programmed),
        ("residual", &layer.residual),
        ("operating", &layer.operating),
        ("effective", &layer.effective),
        ("companion", companion),
    ];
    for (what, values) in all.into_iter().filter(|(_, values)| !values.is_empty()) {
        put_matrix(npz, &format!("{}.{what}", layer.name), values, (layer.columns, layer.rows))?;
    }
    Ok(())
}

fn conductances(npz: &mut Npz, layer: &LayerSurvey) -> std::result::Result<(), WriteNpzError> {
    let Some(Survey { targets, programmed, operating, faults, .. }) = &layer.devices else { return Ok(()) };
    for (what, slices) in [("target", targets), ("programmed", programmed), ("operating", operating)] {
        let sides = [("plus", 0), ("minus", 1)];
        for (side, number) in sides {
            let all: Vec<&[f64]> = slices.iter().map(|slice| [&slice.plus[..], &slice.minus][number]).collect();
            put_slices(npz, &format!("{}.{what}.{side}", layer.name), &all, layer.rows)?;
        }
    }
    let of =
        |number: usize| -> Vec<&[u8]> { faults.iter().map(|slice| [&slice.plus[..], &slice.minus][number]).collect() };
    put_slices(npz, &format!("{}.faults.plus", layer.name), &of(0), layer.rows)?;
    put_slices(npz, &format!("{}.faults.minus", layer.name), &of(1), layer.rows)
}

/// Each tile of a layer with its name.
fn each_tile(layer: &LayerSurvey) -> impl Iterator<Item = (String, TileSurvey)> {
    let (rows, columns) = layer.tiles();
    let places = (0..rows).flat_map(move |row| (0..columns).map(move |column| (row, column)));
    places.filter_map(|(row, column)| {
        stop_if_asked();
        Some((format!("{}.{row}.{column}", layer.name), layer.tile(row, column)?))
    })
}

fn tiles(npz: &mut Npz, layer: &LayerSurvey) -> std::result::Result<(), WriteNpzError> {
    for (name, tile) in each_tile(layer) {
        let shape = (tile.rows.len(), tile.lines.len());
        put_matrix(npz, &name, &tile.siemens, shape)?;
        put_matrix(npz, &format!("{name}.target"), &tile.target_siemens, shape)?;
        put_matrix(npz, &format!("{name}.faults"), &tile.faults, shape)?;
    }
    Ok(())
}

fn tile_files(folder: &Path, layer: &LayerSurvey) -> Result<()> {
    for (name, tile) in each_tile(layer) {
        let row = |row: &[f64]| row.iter().map(|siemens| format!("{siemens:e}")).collect::<Vec<_>>().join(",") + "\n";
        let text: String = tile.siemens.chunks(tile.lines.len()).map(row).collect();
        atomic::write(&folder.join(format!("tile-{name}.csv")), text.as_bytes())?;
    }
    Ok(())
}

fn put_matrix<T: WritableElement>(
    npz: &mut Npz,
    name: &str,
    values: &[T],
    shape: (usize, usize),
) -> std::result::Result<(), WriteNpzError> {
    let matrix = ArrayView2::from_shape(shape, values).expect("a matrix has as many values as its shape says");
    npz.add_array(name, &matrix).map(|_| ())
}

/// Slices side by side, `[slices, columns, rows]`.
fn put_slices<T: WritableElement + Copy>(
    npz: &mut Npz,
    name: &str,
    slices: &[&[T]],
    rows: usize,
) -> std::result::Result<(), WriteNpzError> {
    let columns = slices.first().map_or(0, |slice| slice.len() / rows);
    let all = slices.concat();
    let array = ArrayView3::from_shape((slices.len(), columns, rows), &all).expect("slices have the same shape");
    npz.add_array(name, &array).map(|_| ())
}
