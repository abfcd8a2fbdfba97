//! Finished trials on disk: one append-only CSV a shard, a line a trial, written as it ends.
//!
//! A trial is named by a [`Key`], the hash of everything that determines it but the chip, and by the chip. So it counts
//! wherever it is asked for again, and nowhere else. A line counts once its end is there and its check digits are right: a
//! kill loses the running trial, a power loss at most one second more, for what was written is brought to the disk that
//! often. All numbers are integers, so nothing is lost in writing. A shard's file is locked while it is written to.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::table::ChipRow;
use crate::attack::Judged;
use crate::crossbar::cost::Spent;
use crate::engine::Counts;
use crate::engine::evaluate::ChipResult;
use crate::engine::price::Price;
use crate::error::{Error, Result};
use crate::output::canonical;
use crate::profile::Energy;

/// The hash of everything that determines some trials but the chip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Key(u64);

impl Key {
    /// The first 64 bits of the SHA-256 of an identity's canonical JSON.
    pub fn of(identity: &Value) -> Self {
        Key(digest(canonical(identity).as_bytes()))
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl From<Key> for String {
    fn from(key: Key) -> String {
        key.to_string()
    }
}

impl TryFrom<String> for Key {
    type Error = String;
    fn try_from(text: String) -> std::result::Result<Self, String> {
        let is_key = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let key = u64::from_str_radix(&text, 16).ok().filter(|_| is_key);
        key.map(Key).ok_or_else(|| format!("`{text}`, expected 16 hexadecimal digits"))
    }
}

fn digest(bytes: &[u8]) -> u64 {
    let digest = Sha256::digest(bytes);
    digest.iter().take(8).fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// One finished trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// What it is a trial of.
    pub key: Key,
    /// The chip's index.
    pub chip: u64,
    /// Images classified correctly.
    pub correct: u64,
    /// Images run.
    pub images: u64,
    /// Spikes of all layers, steps and images.
    pub spikes: u64,
    /// Bytes that the chip's companion arrays hold.
    pub sram_bytes: u64,
    /// Time steps run, of all images.
    pub steps: u64,
    /// Partial sums beyond a converter's range, of all steps and images.
    pub clipped: u64,
    /// Sums at which an adder saturated, likewise.
    pub saturated: u64,
    /// Femtojoule of all images; absent where the profile has no costs, or they are not known.
    pub energy_fj: Option<u64>,
    /// What layers and components have of it.
    pub split: Split,
}

/// A trial's spikes and energy, by layer and component; empty where they are not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Spikes of each spiking layer, all steps and images.
    pub layer_spikes: Vec<u64>,
    /// Femtojoule of each layer, all images.
    pub layer_fj: Vec<u64>,
    /// Femtojoule of each component of [`components`], all images.
    pub component_fj: Vec<u64>,
}

/// The components of an image's energy.
pub fn components() -> impl Iterator<Item = &'static str> {
    Energy::default().all().into_iter().map(|(name, _)| name).filter(|name| *name != "write_pulse")
}

impl Split {
    fn of(counts: &Counts, spent: Option<&Spent>, price: &Price, images: usize) -> Self {
        let layer_spikes = counts.spikes.iter().map(|steps| steps.iter().sum()).collect();
        let Some(spent) = spent else { return Split { layer_spikes, ..Split::default() } };
        let femtojoule = |pj: f64| (pj * 1000.0 * images as f64).round() as u64;
        let layer = |name: &str| spent.layers.get(name).map_or(0.0, |parts| parts.values().sum());
        let component = |name: &str| spent.layers.values().filter_map(|parts| parts.get(name)).sum();
        Split {
            layer_spikes,
            layer_fj: price.layers().map(|name| femtojoule(layer(name))).collect(),
            component_fj: components().map(|name| femtojoule(component(name))).collect(),
        }
    }
}

impl Trial {
    /// Of a chip that ran so many images: of its early answers where there are any. Spikes then are those of the steps that
    /// images ran, where they are known, else of all.
    pub fn of(key: Key, chip: u64, result: &ChipResult, steps: usize, price: &Price) -> Self {
        let (correct, counts, ran) = match &result.exit {
            Some(early) => (early.correct, early.counts.as_ref(), early.steps.iter().sum()),
            None => (result.correct, None, result.logits.nrows() * steps),
        };
        let (counts, images, spent) =
            (counts.unwrap_or(&result.counts), result.logits.nrows(), price.of_result(result, steps));
        Trial {
            key,
            chip,
            correct: correct as u64,
            images: images as u64,
            spikes: counts.total_spikes(),
            sram_bytes: result.sram_bytes as u64,
            steps: ran as u64,
            clipped: result.counts.clipped.iter().sum(),
            saturated: result.counts.saturated.iter().sum(),
            energy_fj: spent.as_ref().map(|spent| (spent.total_pj * 1000.0 * images as f64).round() as u64),
            split: Split::of(counts, spent.as_ref(), price, images),
        }
    }

    /// Of a chip under attack.
    pub fn attacked(key: Key, chip: u64, judged: &Judged, steps: usize) -> Self {
        Trial {
            key,
            chip,
            correct: judged.correct as u64,
            images: judged.images as u64,
            spikes: judged.counts.total_spikes(),
            sram_bytes: judged.sram_bytes as u64,
            steps: (judged.images * steps) as u64,
            clipped: judged.counts.clipped.iter().sum(),
            saturated: judged.counts.saturated.iter().sum(),
            energy_fj: None,
            split: Split::default(),
        }
    }

    /// Percent of images classified correctly.
    pub fn accuracy(&self) -> f64 {
        100.0 * self.correct as f64 / self.images as f64
    }

    /// As it stands in a table.
    pub fn row(&self) -> ChipRow {
        ChipRow {
            chip: self.chip,
            accuracy: self.accuracy(),
            spikes_per_image: self.spikes as f64 / self.images as f64,
            clipped_per_image: self.clipped as f64 / self.images as f64,
            saturated_per_image: self.saturated as f64 / self.images as f64,
            energy_pj_per_image: self.energy_fj.map(|fj| fj as f64 / 1000.0 / self.images as f64),
            sram_bytes: self.sram_bytes,
        }
    }

    fn line(&self) -> String {
        let Trial { key, chip, correct, images, spikes, sram_bytes, steps, clipped, saturated, energy_fj, split } =
            self;
        let energy = energy_fj.map_or(String::new(), |fj| fj.to_string());
        let list = |numbers: &[u64]| numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(";");
        let Split { layer_spikes, layer_fj, component_fj } = split;
        let split = [layer_spikes, layer_fj, component_fj].map(|numbers| list(numbers)).join(",");
        let text = format!(
            "{key},{chip},{correct},{images},{spikes},{sram_bytes},{steps},{clipped},{saturated},{energy},{split}"
        );
        format!("{text},{}\n", check(&text))
    }

    /// The trial of a line without its end; none where it is not what was written.
    fn from_line(line: &str) -> Option<Self> {
        let (text, digits) = line.rsplit_once(',')?;
        if digits != check(text) {
            return None;
        }
        let mut fields = text.split(',');
        let key = Key::try_from(fields.next()?.to_string()).ok()?;
        let mut next = || fields.next().and_then(|field| field.parse::<u64>().ok());
        Some(Trial {
            key,
            chip: next()?,
            correct: next()?,
            images: next().filter(|images| *images > 0)?,
            spikes: next()?,
            sram_bytes: next()?,
            steps: next()?,
            clipped: next()?,
            saturated: next()?,
            energy_fj: next(),
            split: {
                let mut list = || {
                    let numbers = fields.next()?.split(';').filter(|number| !number.is_empty());
                    numbers.map(|number| number.parse::<u64>().ok()).collect::<Option<Vec<u64>>>()
                };
                Split { layer_spikes: list()?, layer_fj: list()?, component_fj: list()? }
            },
        })
    }
}

/// The first line of a file.
const HEADER: &str = "key,chip,correct,images,spikes,sram_bytes,steps,clipped,saturated,energy_fj,\
                      layer_spikes,layer_fj,component_fj,check\n";
/// How often what was written is brought to the disk.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// Digits that tell a line as it was written from one that a disk has made.
fn check(text: &str) -> String {
    format!("{:08x}", digest(text.as_bytes()) >> 32)
}

/// A shard's file, open for appending, locked against other processes.
pub struct Store {
    shared: Arc<Shared>,
    path: PathBuf,
    end: Option<(Sender<()>, JoinHandle<()>)>,
}

struct Shared {
    file: File,
    written: AtomicBool,
}

impl Shared {
    /// Brings to the disk what is not there.
    fn sync(&self) -> std::io::Result<()> {
        if self.written.swap(false, Ordering::AcqRel) { self.file.sync_data() } else { Ok(()) }
    }
}

/// The name of a shard's file, counted from 1.
pub fn shard_name(shard: usize, of: usize) -> String {
    format!("trials-{shard}-of-{of}.csv")
}

impl Store {
    /// Opens a shard's file and cuts a half-written last line off.
    ///
    /// # Errors
    /// [`Error::File`] where another process writes to it or it is no file of trials, [`Error::Io`] where the system refuses.
    pub fn open(path: &Path) -> Result<Self> {
        let io = |error| Error::io(path)(error);
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(path).map_err(io)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                let message = "another process writes to it; expected one at a time for each shard";
                return Err(Error::file(path, message));
            }
            // Some file systems have no locks.
            Err(TryLockError::Error(error)) if error.kind() != std::io::ErrorKind::Unsupported => {
                return Err(io(error));
            }
            _ => {}
        }
        let whole = whole_lines(&mut file, path)?;
        file.set_len(whole).map_err(io)?;
        if whole == 0 {
            file.write_all(HEADER.as_bytes()).map_err(io)?;
        }
        let shared = Arc::new(Shared { file, written: AtomicBool::new(true) });
        let (sender, ended) = channel::<()>();
        let syncing = shared.clone();
        let thread = std::thread::spawn(move || {
            while ended.recv_timeout(SYNC_EVERY) == Err(RecvTimeoutError::Timeout) {
                // What fails here fails at the next write, or at the end.
                let _ = syncing.sync();
            }
        });
        Ok(Store { shared, path: path.to_path_buf(), end: Some((sender, thread)) })
    }

    /// Appends one trial.
    pub fn push(&mut self, trial: &Trial) -> Result<()> {
        (&self.shared.file).write_all(trial.line().as_bytes()).map_err(Error::io(&self.path))?;
        self.shared.written.store(true, Ordering::Release);
        Ok(())
    }

    /// Brings everything to the disk.
    pub fn close(self) -> Result<()> {
        self.shared.sync().map_err(Error::io(&self.path))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let Some((sender, thread)) = self.end.take() else { return };
        drop(sender);
        let _ = thread.join();
        let _ = self.shared.sync();
    }
}

/// An error where another process writes to a folder's trials.
pub fn check_idle(folder: &Path) -> Result<()> {
    for path in files(folder)? {
        let file = File::open(&path).map_err(Error::io(&path))?;
        if let Err(TryLockError::WouldBlock) = file.try_lock_shared() {
            return Err(Error::file(
                &path,
                "another process writes to it; expected it to be finished or stopped first",
            ));
        }
    }
    Ok(())
}

/// A folder's files of trials, in the order of their names.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(Error::io(folder))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()).map_err(Error::io(folder)));
    let mut paths = paths.collect::<Result<Vec<PathBuf>>>()?;
    paths.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("trials-") && name.ends_with(".csv")
    });
    paths.sort();
    Ok(paths)
}

/// Bytes of a file's whole lines, where it is one of trials.
fn whole_lines(file: &mut File, path: &Path) -> Result<u64> {
    let io = |error| Error::io(path)(error);
    file.seek(SeekFrom::Start(0)).map_err(io)?;
    let (mut reader, mut line, mut whole) = (BufReader::new(&mut *file), Vec::new(), 0);
    loop {
        line.clear();
        let read = (&mut reader).take_line(&mut line).map_err(io)?;
        if whole == 0 && !HEADER.as_bytes().starts_with(&line) {
            return Err(Error::file(path, "not a file of trials; expected its header, or an empty file"));
        }
        if !line.ends_with(b"\n") {
            return Ok(whole);
        }
        whole += read as u64;
    }
}

/// A line of a file of trials is short; what is longer is none.
const LONGEST_LINE: u64 = 1 << 12;

trait TakeLine {
    /// Reads a line with its end, or what there is of it.
    fn take_line(self, line: &mut Vec<u8>) -> std::io::Result<usize>;
}

impl<R: BufRead> TakeLine for &mut R {
    fn take_line(self, line: &mut Vec<u8>) -> std::io::Result<usize> {
        std::io::Read::take(self, LONGEST_LINE).read_until(b'\n', line)
    }
}

/// Appends a finished process's line to the timing table, which starts with its header.
pub fn append_timing(path: &Path, shard: usize, of: usize, trials: u64, time: Duration) -> Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path).map_err(Error::io(path))?;
    let header = if file.metadata().map_err(Error::io(path))?.len() == 0 { "shard,of,trials,seconds\n" } else { "" };
    let line = format!("{header}{shard},{of},{trials},{:.2}\n", time.as_secs_f64());
    file.write_all(line.as_bytes()).map_err(Error::io(path))
}

/// Trials by chip.
pub type OfKey = BTreeMap<u64, Trial>;

/// The trials of some keys in all files of a folder; a key without any has an empty entry.
pub fn read(folder: &Path, keys: impl Iterator<Item = Key>) -> Result<HashMap<Key, OfKey>> {
    let mut found: HashMap<Key, OfKey> = keys.map(|key| (key, OfKey::new())).collect();
    each(folder, |trial| {
        if let Some(of_key) = found.get_mut(&trial.key) {
            of_key.insert(trial.chip, trial);
        }
    })?;
    Ok(found)
}

/// Goes through all whole trials of a folder. A line that is not what was written is none.
fn each(folder: &Path, mut found: impl FnMut(Trial)) -> Result<()> {
    for path in files(folder)? {
        let mut reader = BufReader::new(File::open(&path).map_err(Error::io(&path))?);
        let mut line = Vec::new();
        loop {
            line.clear();
            if (&mut reader).take_line(&mut line).map_err(Error::io(&path))? == 0 {
                break;
            }
            let whole = line.strip_suffix(b"\n").and_then(|line| std::str::from_utf8(line).ok());
            whole.and_then(Trial::from_line).into_iter().for_each(&mut found);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(chip: u64) -> Trial {
        Trial {
            key: Key(0x0123_4567_89ab_cdef),
            chip,
            correct: 5,
            images: 10,
            spikes: 100,
            sram_bytes: 7,
            steps: 80,
            clipped: 3,
            saturated: 1,
            energy_fj: (chip > 0).then_some(9),
            split: Split {
                layer_spikes: vec![90, 10],
                layer_fj: if chip > 0 { vec![4, 0, 5] } else { vec![] },
                component_fj: vec![],
            },
        }
    }

    fn chips(folder: &Path) -> Vec<u64> {
        read(folder, std::iter::once(trial(0).key)).unwrap().remove(&trial(0).key).unwrap().into_keys().collect()
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(&folder.path().join(shard_name(1, 1))).unwrap();
        (0..3).for_each(|chip| store.push(&trial(chip)).unwrap());
        store.close().unwrap();
        let other = Key::of(&serde_json::json!({"a": 1}));
        let found = read(folder.path(), [trial(0).key, other].into_iter()).unwrap();
        assert_eq!(found[&trial(0).key].values().cloned().collect::<Vec<_>>(), [trial(0), trial(1), trial(2)]);
        assert!(found[&other].is_empty());
        assert_eq!(Key::try_from(other.to_string()).unwrap(), other);
        assert!(Key::try_from("+123456789abcdef".to_string()).is_err());
    }

    #[test]
    fn a_half_written_trial_is_cut_off_and_the_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(shard_name(1, 1));
        let mut store = Store::open(&path).unwrap();
        store.push(&trial(0)).unwrap();
        let one = std::fs::read(&path).unwrap().len();
        store.push(&trial(1)).unwrap();
        drop(store);
        let bytes = std::fs::read(&path).unwrap();
        for cut in 0..bytes.len() {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            Store::open(&path).unwrap().push(&trial(7)).unwrap();
            assert_eq!(chips(folder.path()), if cut < one { vec![7] } else { vec![0, 7] }, "cut at {cut}");
        }
    }

    #[test]
    fn a_line_that_a_disk_has_changed_is_no_trial() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(shard_name(1, 1));
        let mut store = Store::open(&path).unwrap();
        (0..3).for_each(|chip| store.push(&trial(chip)).unwrap());
        drop(store);
        let bytes = std::fs::read(&path).unwrap();
        for at in HEADER.len()..bytes.len() {
            for other in [0, b'\n', bytes[at] ^ 1, b','] {
                let mut changed = bytes.clone();
                changed[at] = other;
                std::fs::write(&path, &changed).unwrap();
                let found = chips(folder.path());
                assert!(changed == bytes || (found.len() < 3 && found.iter().all(|chip| *chip < 3)), "{at}: {found:?}");
            }
        }
        std::fs::write(&path, "point,chip\n1,2\n").unwrap();
        assert!(Store::open(&path).is_err_and(|error| error.to_string().contains("not a file of trials")));
    }

    #[test]
    fn one_process_at_a_time_writes_a_shard() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(shard_name(1, 2));
        let store = Store::open(&path).unwrap();
        assert!(Store::open(&path).is_err_and(|error| error.to_string().contains("another process")));
        drop(store);
        assert!(Store::open(&path).is_ok());
    }
}
