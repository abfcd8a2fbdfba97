//! Long work from files: trainings, sweeps, pipelines, the quickstart.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crosspike::profile::shipped::{PROFILES, document as profile_document};
use crosspike::{
    Backend, CHECKPOINT_FILE, Checkpoint, Document, Frame as Rows, MODEL_FILE, MODELS, Overrides, Point, RECIPE_KEYS,
    REPORT_PAGE, Recipe, SEARCH_KEYS, SENSITIVITY_KEYS, SWEEP_KEYS, Search, SearchAnswer, Sensitivity, Shard, Sweep,
    TRAINING_KEYS, Table, There, Training, write_report,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyList, PyString};

use crate::convert::{assignments, document, mapping, text_of};
use crate::errors::raise;
use crate::frame::Frame;
use crate::network::{Model, Network};
use crate::profile::Profile;
use crate::session::backend as backend_of;
use crate::work::{shown, tell, work};

/// The tables and the report of a sweep, a recipe or the quickstart.
#[pyclass(module = "crosspike", frozen)]
pub struct Study {
    points: Vec<Point>,
    out: PathBuf,
    /// A folder that lasts as long as this.
    _folder: Option<tempfile::TempDir>,
}

impl Study {
    fn frame(&self, table: Table) -> Frame {
        Frame { table: Rows::of(&self.points, table) }
    }
}

#[pymethods]
impl Study {
    /// The folder of results: tables, report, checkpoints. Where out was not given it is removed with this object.
    #[getter]
    fn out(&self) -> &Path {
        &self.out
    }

    /// A row a point and chip.
    #[getter]
    fn results(&self) -> Frame {
        self.frame(Table::Results)
    }

    /// A row a point: mean, spread, 95 % interval of accuracy, energy, area.
    #[getter]
    fn summary(&self) -> Frame {
        self.frame(Table::Summary)
    }

    /// A row a point and layer: where spikes and energy are.
    #[getter]
    fn layers(&self) -> Frame {
        self.frame(Table::Layers)
    }

    /// A row a point and component: where energy is.
    #[getter]
    fn components(&self) -> Frame {
        self.frame(Table::Components)
    }

    /// The report as HTML, one page that stands alone; a notebook shows it.
    #[getter]
    fn report(&self) -> PyResult<String> {
        let page = self.out.join(REPORT_PAGE);
        std::fs::read_to_string(&page).map_err(|error| raise(crosspike::Error::Io { path: page, source: error }))
    }

    fn _repr_html_(&self, py: Python<'_>) -> PyResult<String> {
        let page: String = py.import("html")?.call_method1("escape", (self.report()?,))?.extract()?;
        Ok(format!("<iframe srcdoc=\"{page}\" style=\"width:100%;height:640px;border:0\"></iframe>"))
    }

    fn __repr__(&self) -> String {
        format!("Study({} points, {})", self.points.len(), self.out.display())
    }
}

/// The choice of a caller who asked to resume, to force, or for neither.
fn there(resume: bool, force: bool) -> PyResult<There> {
    match (resume, force) {
        (true, true) => Err(PyValueError::new_err("resume and force: expected one of the two")),
        (true, _) => Ok(There::Resumed),
        (_, true) => Ok(There::Replaced),
        _ => Ok(There::Refused),
    }
}

/// A folder that is given, or one for the time being.
fn folder(out: Option<PathBuf>) -> PyResult<(PathBuf, Option<tempfile::TempDir>)> {
    match out {
        Some(out) => Ok((out, None)),
        None => {
            let folder = tempfile::tempdir()?;
            Ok((folder.path().join("out"), Some(folder)))
        }
    }
}

/// What a dict names in place of files: objects, and shipped profiles and models, which it puts into a folder.
struct Files {
    folder: tempfile::TempDir,
    count: usize,
}

impl Files {
    fn write(&mut self, name: &str, text: &str) -> PyResult<PathBuf> {
        self.count += 1;
        let path = self.folder.path().join(format!("{}-{name}", self.count));
        std::fs::write(&path, text)?;
        Ok(path)
    }

    /// The value of a key with paths where it has objects or shipped names.
    fn paths<'py>(&mut self, key: &str, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = value.py();
        if let Some(dict) = mapping(value)? {
            let copy = PyDict::new(py);
            for (name, value) in dict.iter() {
                let key: String = name.extract()?;
                copy.set_item(name, self.paths(&key, &value)?)?;
            }
            return Ok(copy.into_any());
        }
        if let Ok(list) = value.cast::<PyList>() {
            let items = list.iter().map(|item| self.paths(key, &item)).collect::<PyResult<Vec<_>>>()?;
            return Ok(PyList::new(py, items)?.into_any());
        }
        let path = if let Ok(profile) = value.cast::<Profile>() {
            self.write("profile.toml", &profile.get().to_toml())?
        } else if let Ok(model) = value.cast::<Model>() {
            self.write("model.toml", &model.get().to_toml())?
        } else if let Ok(network) = value.cast::<Network>() {
            let path = self.write("network.safetensors", "")?;
            network.get().save(path.clone())?;
            path
        } else {
            let name =
                if value.is_instance_of::<PyString>() { value.extract::<String>()? } else { return Ok(value.clone()) };
            let shipped = match key {
                "model" if is_shipped(&MODELS, &name) => crosspike::model_document(&name),
                "profile" | "profiles" if is_shipped(&PROFILES, &name) => profile_document(&name),
                _ => return Ok(value.clone()),
            };
            self.write(&format!("{name}.toml"), &shipped.map_err(raise)?.to_toml())?
        };
        Ok(path.into_pyobject(py)?.into_any())
    }
}

/// Whether a name is a shipped one's, and no file's.
fn is_shipped(shipped: &[(&str, &str)], name: &str) -> bool {
    shipped.iter().any(|(known, _)| *known == name) && !Path::new(name).exists()
}

/// The document of a file, or of a dict, and the folder that is to last as long as it is used.
fn read(name: &str, source: &Bound<'_, PyAny>) -> PyResult<(Document, tempfile::TempDir)> {
    let mut files = Files { folder: tempfile::tempdir()?, count: 0 };
    let document = match mapping(source)? {
        Some(dict) => document(name, files.paths("", dict.as_any())?.cast::<PyDict>()?)?,
        None => Document::read(&PathBuf::from(text_of(source)?)).map_err(raise)?,
    };
    Ok((document, files.folder))
}

/// quickstart(out=None, force=False, progress=None) -> Study
///
/// The main job in one go, on the embedded digits: train, program with variation, evaluate many chips, compensate.
/// Takes some fifteen seconds. out is the folder for results, force overwrites an earlier run; see Session.evaluate for
/// progress.
#[pyfunction]
#[pyo3(signature = (out=None, force=false, progress=None))]
pub fn quickstart(py: Python<'_>, out: Option<PathBuf>, force: bool, progress: Option<Py<PyAny>>) -> PyResult<Study> {
    let (out, folder) = folder(out)?;
    let progress = shown(py, progress)?;
    let points = work(py, progress.as_ref(), |watcher| {
        let recipe = Recipe::read("crosspike:recipes/quickstart.toml".as_ref(), &Overrides::default())?;
        recipe.run_into(Backend::Cpu.open(tell)?.as_ref(), &out, force, watcher)
    })?;
    Ok(Study { points, out, _folder: folder })
}

/// train(file, out, set=None, force=False, progress=None) -> Network
///
/// Trains as a training file says, a path or a dict of its keys (docs/keys/train.md), into the folder out: checkpoint,
/// log, model, page, and the accuracy on test images in test.json. In a dict a Model, Profile or Network, or a shipped
/// name, stands for a file. An unfinished run of the same configuration goes on; force overwrites another. set
/// overrides keys of the file, the profile ("rram.weight_bits") and the model ("model.steps").
#[pyfunction]
#[pyo3(signature = (file, out, set=None, force=false, progress=None))]
pub fn train(
    py: Python<'_>,
    file: &Bound<'_, PyAny>,
    out: PathBuf,
    set: Option<&Bound<'_, PyAny>>,
    force: bool,
    progress: Option<Py<PyAny>>,
) -> PyResult<Network> {
    let (mut document, _files) = read("train", file)?;
    let overrides = Overrides::sort(&assignments(set)?, &TRAINING_KEYS).map_err(raise)?;
    for own in &overrides.own {
        document.set(own).map_err(raise)?;
    }
    let progress = shown(py, progress)?;
    let tensors = work(py, progress.as_ref(), |watcher| {
        Training::read(&document, &overrides)?.run_into(&out, force, watcher)?;
        write_report(&out)?;
        Checkpoint::read(&out.join(CHECKPOINT_FILE))
    })?;
    let model = Model::from_python(out.join(MODEL_FILE).into_pyobject(py)?.as_any())?;
    Network::of(py, model, &tensors, vec![])
}

/// sweep(file, out=None, set=None, resume=False, force=False, shard=None, backend="auto", progress=None) -> Study or None
///
/// Evaluates points of settings, many chips each, as a sweep file says, a path or a dict of its keys
/// (docs/keys/sweep.md). In a dict a Model, Profile or Network (as checkpoint), or a shipped name, stands for a file.
/// out is the folder for results, where trials are stored as they come: after Ctrl-C or a kill the same call goes on.
/// resume goes on in a folder of another sweep with the trials that still count, force deletes them. shard is (i, n):
/// part i of n, from 1; None is given back while others are not finished. set overrides keys of the file, the profile
/// and the model.
#[pyfunction]
#[pyo3(signature = (file, out=None, set=None, resume=false, force=false, shard=None, backend="auto", progress=None))]
#[expect(clippy::too_many_arguments, reason = "the options of the command")]
pub fn sweep(
    py: Python<'_>,
    file: &Bound<'_, PyAny>,
    out: Option<PathBuf>,
    set: Option<&Bound<'_, PyAny>>,
    resume: bool,
    force: bool,
    shard: Option<(usize, usize)>,
    backend: &str,
    progress: Option<Py<PyAny>>,
) -> PyResult<Option<Study>> {
    let there = there(resume, force)?;
    let (index, of) = shard.unwrap_or((1, 1));
    if !(1..=of).contains(&index) {
        return Err(PyValueError::new_err(format!("shard=({index}, {of}): expected (i, n) with i from 1 to n")));
    }
    if of > 1 && (force || out.is_none()) {
        return Err(PyValueError::new_err(
            "shard: shards share out, and force would delete what others have done; expected out, and no force",
        ));
    }
    let ((document, _files), backend) = (read("sweep", file)?, backend_of(backend)?);
    let overrides = Overrides::sort(&assignments(set)?, &SWEEP_KEYS).map_err(raise)?;
    let (out, folder) = folder(out)?;
    let progress = shown(py, progress)?;
    let points = work(py, progress.as_ref(), |watcher| {
        let (sweep, engine) = (Sweep::from_document(document, &overrides)?, backend.open(tell)?);
        let claimed = sweep.claim(engine.as_ref(), &out, there)?;
        match sweep.run_into(engine.as_ref(), &claimed, Shard { index, of }, watcher)? {
            true => sweep.results(&claimed).map(Some),
            false => Ok(None),
        }
    })?;
    Ok(points.map(|points| Study { points, out, _folder: folder }))
}

/// search(file, out=None, set=None, budget=None, resume=False, force=False, backend="auto", progress=None) -> Found
///
/// Finds the cheapest chip that is good enough, or the front of several goals, as a search file says, a path or a dict
/// of its keys (docs/keys/search.md). budget ends it after so many trials (an int), or so that its answer is judged
/// after about so many seconds (a float), which then depends on the machine. out is the folder for results, where
/// trials are stored as they come: after Ctrl-C or a kill the same call goes on. resume goes on in a folder of a
/// finished or different search with the trials that still count, force deletes them.
#[pyfunction]
#[pyo3(signature = (file, out=None, set=None, budget=None, resume=false, force=false, backend="auto", progress=None))]
#[expect(clippy::too_many_arguments, reason = "the options of the command")]
pub fn search(
    py: Python<'_>,
    file: &Bound<'_, PyAny>,
    out: Option<PathBuf>,
    set: Option<&Bound<'_, PyAny>>,
    budget: Option<&Bound<'_, PyAny>>,
    resume: bool,
    force: bool,
    backend: &str,
    progress: Option<Py<PyAny>>,
) -> PyResult<Found> {
    let there = there(resume, force)?;
    let ((document, _files), backend) = (read("search", file)?, backend_of(backend)?);
    let mut overrides = Overrides::sort(&assignments(set)?, &SEARCH_KEYS).map_err(raise)?;
    let time = match budget {
        None => None,
        Some(budget) if budget.is_instance_of::<PyBool>() => {
            return Err(PyValueError::new_err("budget: expected a whole number of trials, or seconds from 0"));
        }
        Some(budget) => match budget.extract::<u64>() {
            Ok(trials) => {
                overrides.own.push(format!("trials={trials}"));
                None
            }
            Err(_) => {
                let seconds =
                    budget.extract::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                let expected = "budget: expected a whole number of trials, or seconds from 0";
                Some(seconds.ok_or_else(|| PyValueError::new_err(expected))?)
            }
        },
    };
    let (out, folder) = folder(out)?;
    let progress = shown(py, progress)?;
    let answer = work(py, progress.as_ref(), |watcher| {
        let (search, engine) = (Search::from_document(document, &overrides)?, backend.open(tell)?);
        let claimed = search.claim(engine.as_ref(), &out, there)?;
        search.run_into(engine.as_ref(), &claimed, Shard { index: 1, of: 1 }, time, watcher)
    })?;
    let study = Study { points: answer.points.clone(), out, _folder: folder };
    Ok(Found { study: Py::new(py, study)?, answer })
}

/// sensitivity(file, out=None, set=None, force=False, backend="auto", progress=None) -> Study
///
/// Ranks what one key at a time, layer by layer, costs or wins, as a file says, a path or a dict of its keys
/// (docs/keys/sensitivity.md): the summary's points_won over the conditions as they are, on the same chips and images.
/// After Ctrl-C or a kill the same call goes on where out is given; force replaces a finished or different study.
#[pyfunction]
#[pyo3(signature = (file, out=None, set=None, force=false, backend="auto", progress=None))]
pub fn sensitivity(
    py: Python<'_>,
    file: &Bound<'_, PyAny>,
    out: Option<PathBuf>,
    set: Option<&Bound<'_, PyAny>>,
    force: bool,
    backend: &str,
    progress: Option<Py<PyAny>>,
) -> PyResult<Study> {
    let ((document, _files), backend) = (read("sensitivity", file)?, backend_of(backend)?);
    let overrides = Overrides::sort(&assignments(set)?, &SENSITIVITY_KEYS).map_err(raise)?;
    let (out, folder) = folder(out)?;
    let progress = shown(py, progress)?;
    let points = work(py, progress.as_ref(), |watcher| {
        let study = Sensitivity::from_document(document, &overrides)?;
        study.run_into(backend.open(tell)?.as_ref(), &out, force, watcher)
    })?;
    Ok(Study { points, out, _folder: folder })
}

/// What a search found: the answer in words, what the best sets, its profile, and the tables of what was judged on
/// unseen chips and images.
#[pyclass(module = "crosspike", frozen)]
pub struct Found {
    study: Py<Study>,
    answer: SearchAnswer,
}

#[pymethods]
impl Found {
    /// Whether a candidate surely keeps to every constraint, on the chips and images of the search.
    #[getter]
    fn is_met(&self) -> bool {
        self.answer.is_met
    }

    /// The answer in words: a sentence, and what else there is to say.
    #[getter]
    fn answer(&self) -> String {
        std::iter::once(&self.answer.lead).chain(&self.answer.details).cloned().collect::<Vec<_>>().join("\n")
    }

    /// What the best sets, by key.
    #[getter]
    fn best<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let best = PyDict::new(py);
        self.answer.best.iter().try_for_each(|(key, value)| best.set_item(key, value))?;
        Ok(best)
    }

    /// The profile of the best, or of the first of a front.
    #[getter]
    fn profile(&self, py: Python<'_>) -> PyResult<Profile> {
        let out = &self.study.get().out;
        let file = ["best.toml", "front_1.toml"].map(|name| out.join(name)).into_iter().find(|file| file.is_file());
        let file = file.ok_or_else(|| PyValueError::new_err(format!("{}: the folder is gone", out.display())))?;
        Profile::from_python(Some(file.into_pyobject(py)?.as_any()))
    }

    /// Trials that the search took.
    #[getter]
    fn trials(&self) -> u64 {
        self.answer.trials
    }

    /// The tables and the report: what was judged on chips and images that the search has not seen.
    #[getter]
    fn study(&self, py: Python<'_>) -> Py<Study> {
        self.study.clone_ref(py)
    }

    fn __repr__(&self) -> String {
        format!("Found({:?})", self.answer.lead)
    }
}

/// recipe(file, out=None, set=None, force=False, backend="auto", progress=None) -> Study
///
/// Trains and evaluates a pipeline of stages as a recipe file says, a path or a dict of its keys (docs/keys/recipe.md),
/// and says what each wins back and costs. out/cache keeps every finished training and evaluation: after a kill, or
/// where the recipe has changed, only what is missing runs. force writes the tables anew where out holds a finished or
/// different recipe.
#[pyfunction]
#[pyo3(signature = (file, out=None, set=None, force=false, backend="auto", progress=None))]
pub fn recipe(
    py: Python<'_>,
    file: &Bound<'_, PyAny>,
    out: Option<PathBuf>,
    set: Option<&Bound<'_, PyAny>>,
    force: bool,
    backend: &str,
    progress: Option<Py<PyAny>>,
) -> PyResult<Study> {
    let ((document, _files), backend) = (read("recipe", file)?, backend_of(backend)?);
    let overrides = Overrides::sort(&assignments(set)?, &RECIPE_KEYS).map_err(raise)?;
    let (out, folder) = folder(out)?;
    let progress = shown(py, progress)?;
    let points = work(py, progress.as_ref(), |watcher| {
        let recipe = Recipe::from_document(document, &overrides)?;
        recipe.run_into(backend.open(tell)?.as_ref(), &out, force, watcher)
    })?;
    Ok(Study { points, out, _folder: folder })
}
