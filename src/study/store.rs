//! Finished trials on disk: one append-only CSV a shard, a line a trial, written as it ends.
//!
//! A trial is named by a [`Key`], the hash of everything that determines it but the chip, and by the chip. So it counts
//! wherever it is asked for again, and nowhere else. A line counts once its end is there and its check digits are
//! right: a kill loses the running trial, a power loss at most one second more, for what was written is brought to the
//! disk that often. All numbers are integers, so nothing is lost in writing. A shard's file is locked while it is
//! written to.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::trial::{HEADER, Key, Trial};
use crate::error::{Error, Result};
use crate::lock::{self, FolderAccess};

/// How often what was written is brought to the disk.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// A shard's file, open for appending, locked against other processes.
pub struct Store {
    shared: Arc<Shared>,
    path: PathBuf,
    end: Option<(Sender<()>, JoinHandle<()>)>,
}

struct Shared {
    file: File,
    written: AtomicBool,
    /// What a disk refused behind our back: it says so once, and the next call that can tell does.
    failed: Mutex<Option<std::io::Error>>,
}

impl Shared {
    /// Brings to the disk what is not there.
    fn sync(&self) {
        if self.written.swap(false, Ordering::AcqRel)
            && let Err(error) = self.file.sync_data()
        {
            *self.failed() = Some(error);
        }
    }

    fn failed(&self) -> MutexGuard<'_, Option<std::io::Error>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An error where the disk has refused anything since the last call.
    fn check(&self) -> std::io::Result<()> {
        self.failed().take().map_or(Ok(()), Err)
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
    /// [`Error::File`] where another process writes to it or it is no file of trials, [`Error::Io`] where the system
    /// refuses.
    pub fn open(path: &Path) -> Result<Self> {
        let io = |error| Error::io(path)(error);
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(path).map_err(io)?;
        if !lock::take(&file, FolderAccess::Alone).map_err(io)? {
            let message = "another process writes to it; expected one at a time for each shard";
            return Err(Error::file(path, message));
        }
        let whole = whole_lines(&mut file, path)?;
        file.set_len(whole).map_err(io)?;
        if whole == 0 {
            file.write_all(HEADER.as_bytes()).map_err(io)?;
        }
        let shared = Arc::new(Shared { file, written: AtomicBool::new(true), failed: Mutex::new(None) });
        let (sender, ended) = channel::<()>();
        let syncing = shared.clone();
        let thread = std::thread::spawn(move || {
            while ended.recv_timeout(SYNC_EVERY) == Err(RecvTimeoutError::Timeout) {
                syncing.sync();
            }
        });
        Ok(Store { shared, path: path.to_path_buf(), end: Some((sender, thread)) })
    }

    /// Appends one trial that a backend ran.
    ///
    /// # Errors
    /// [`Error::Io`] where the disk refuses it, or has refused an earlier one; [`Error::File`] where it could not be
    /// read again.
    pub fn push(&mut self, trial: &Trial, backend: &str) -> Result<()> {
        self.shared.check().map_err(Error::io(&self.path))?;
        let line = trial.line(backend);
        if line.strip_suffix('\n').and_then(Trial::from_line).as_ref() != Some(trial) {
            return Err(Error::file(
                &self.path,
                format!("chip {} cannot be written as a line that reads as it", trial.chip),
            ));
        }
        (&self.shared.file).write_all(line.as_bytes()).map_err(Error::io(&self.path))?;
        self.shared.written.store(true, Ordering::Release);
        Ok(())
    }

    /// Brings everything to the disk.
    pub fn close(self) -> Result<()> {
        self.shared.sync();
        self.shared.check().map_err(Error::io(&self.path))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let Some((sender, thread)) = self.end.take() else { return };
        drop(sender);
        let _ = thread.join();
        self.shared.sync();
    }
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
        let read = reader.read_until(b'\n', &mut line).map_err(io)?;
        if whole == 0 && !HEADER.as_bytes().starts_with(&line) {
            let message = "not a file of trials of this version; expected its header, or an empty file";
            return Err(Error::file(path, message));
        }
        if !line.ends_with(b"\n") {
            return Ok(whole);
        }
        whole += read as u64;
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

/// All trials in all files of a folder.
pub fn read_all(folder: &Path) -> Result<HashMap<Key, OfKey>> {
    let mut found: HashMap<Key, OfKey> = HashMap::new();
    each(folder, |trial| _ = found.entry(trial.key).or_default().insert(trial.chip, trial))?;
    Ok(found)
}

/// Goes through all whole trials of a folder. A line that is not what was written is none.
fn each(folder: &Path, mut found: impl FnMut(Trial)) -> Result<()> {
    for path in files(folder)? {
        let mut reader = BufReader::new(File::open(&path).map_err(Error::io(&path))?);
        let mut line = Vec::new();
        loop {
            line.clear();
            if reader.read_until(b'\n', &mut line).map_err(Error::io(&path))? == 0 {
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
    use crate::study::trial::TrialSplit;

    fn trial(chip: u64) -> Trial {
        Trial {
            key: Key::of(&serde_json::json!("some")),
            chip,
            correct: 5,
            images: 10,
            spikes: 100,
            sram_bytes: 7,
            steps: 80,
            clipped: 3,
            saturated: 1,
            energy_fj: (chip > 0).then_some(9),
            split: TrialSplit {
                layer_spikes: vec![90, 10],
                layer_fj: if chip > 0 { vec![4, 0, 5] } else { vec![] },
                component_fj: vec![],
                figures: vec![7, 8],
            },
        }
    }

    fn chips(folder: &Path) -> Vec<u64> {
        read(folder, std::iter::once(trial(0).key)).unwrap().remove(&trial(0).key).unwrap().into_keys().collect()
    }

    #[test]
    fn the_header_says_how_many_components_there_are() {
        let count = crate::study::trial::components().count();
        assert!(HEADER.contains(&format!(",component_fj_of_{count},")), "{count}");
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(&folder.path().join(shard_name(1, 1))).unwrap();
        (0..3).for_each(|chip| store.push(&trial(chip), "a card (Vulkan), 8").unwrap());
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
        store.push(&trial(0), "cpu").unwrap();
        let one = std::fs::read(&path).unwrap().len();
        store.push(&trial(1), "cpu").unwrap();
        drop(store);
        let bytes = std::fs::read(&path).unwrap();
        for cut in 0..bytes.len() {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            Store::open(&path).unwrap().push(&trial(7), "cpu").unwrap();
            assert_eq!(chips(folder.path()), if cut < one { vec![7] } else { vec![0, 7] }, "cut at {cut}");
        }
    }

    #[test]
    fn a_line_that_a_disk_has_changed_is_no_trial() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(shard_name(1, 1));
        let mut store = Store::open(&path).unwrap();
        (0..3).for_each(|chip| store.push(&trial(chip), "a card (Vulkan), 8").unwrap());
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
