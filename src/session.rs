//! A session: one network on one kind of chip, read and checked once, from which as many chips as are asked for are
//! programmed and run. The command line and other languages' packages go this way.

use std::borrow::Cow;
use std::ops::Range as Indices;
use std::path::Path;
use std::sync::Arc;

use crate::chip::{Blueprint, Chip};
use crate::data::Dataset;
use crate::engine::Engine;
use crate::engine::backend::Backend;
use crate::engine::calibrate::with_ranges;
use crate::engine::chip_result::ChipResult;
use crate::engine::evaluate::{Evaluation, check_fit};
use crate::engine::price::Price;
use crate::error::{Error, Result};
use crate::network::weights::Loaded;
use crate::network::{Encoder, Encoding, InputCode, Model};
use crate::numeric::Range;
use crate::profile::Profile;
use crate::survey::{LayerSurvey, survey};
use crate::system::Spent;

/// How a session is opened, beside its profile, model and network.
///
/// # Examples
/// ```
/// # use crosspike::{Dataset, Model, Network, Profile, Split};
/// use crosspike::{Backend, Options, Session};
///
/// # let (profile, model) = (Profile::named("rram_4bit", &[])?, Model::named("digits", &[])?);
/// # let (network, data) = (Network::xavier(&model, 1), Dataset::open("digits", "".as_ref(), Split::Test)?.limit(20));
/// let options = Options { seed: 7, backend: Backend::Cpu, batch: 16, ..Options::default() };
/// let session = Session::open(&profile, model, network, &data, options)?;
/// assert_eq!((session.backend(), session.options().seed), ("cpu".to_owned(), 7));
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    /// The seed of chips and encoding.
    pub seed: u64,
    /// The encoder; absent: `frames` for frame data, `poisson` otherwise.
    pub encoding: Option<Encoding>,
    /// The training images that converters' ranges are calibrated and reads counted on (`adc.range = "calibrated"`,
    /// `rram.disturb`, `sram.trim_bits`, `sram.rank`, `sram.budget_by = "output"`); absent: the training half of the
    /// data.
    pub calibration: Option<Arc<Dataset>>,
    /// What runs the chips.
    pub backend: Backend,
    /// Images at once, at least 1; never changes a result.
    pub batch: usize,
    /// Hears what the user should know while engines open and run.
    pub tell: fn(&str),
}

impl Default for Options {
    fn default() -> Self {
        let backend = Backend::default();
        Options { seed: 1, encoding: None, calibration: None, backend, batch: 64, tell: |_| {} }
    }
}

/// What chips of a series are made from, and what their inputs will be.
pub(crate) struct Source<'a, 'd> {
    pub profile: &'d Profile,
    pub model: Cow<'a, Model>,
    pub loaded: Cow<'a, Loaded>,
    pub encoding: Encoding,
    /// The whole set that judges the chips.
    pub whole: &'d Dataset,
}

impl<'a> Source<'a, '_> {
    /// The series of chips of a seed, whose inputs are wide enough for the images, those that ranges are calibrated on,
    /// and `more`.
    ///
    /// # Errors
    /// Unless images and model fit together, and where calibration lacks its images or has no use.
    pub fn blueprint(self, seed: u64, calibration: Option<Arc<Dataset>>, more: Option<Range>) -> Result<Blueprint<'a>> {
        let Source { profile, model, loaded, encoding, whole } = self;
        check_fit(whole, &model)?;
        if calibration.is_some() && !profile.wants_calibration() {
            return Err(Error::Usage(
                "calibration data: the profile profiles no converters and counts no reads or inputs; expected adc.bits \
                 above 0 and adc.range = \"calibrated\", rram.disturb.images, rram.program.verify_share below 1, \
                 sram.trim_bits, sram.rank, or sram.budget_by = \"output\", with it".into(),
            ));
        }
        let open = || match calibration {
            Some(training) => whole.check_beside(&training).map(|()| training),
            None => whole.training_beside(None, Path::new("")).map(Arc::new),
        };
        let profiled = profile.wants_calibration().then(open).transpose().map_err(|error| match error {
            Error::Mismatch(message) => Error::Usage(format!(
                "calibration data: adc.range = \"calibrated\", rram.disturb, sram.trim_bits, sram.rank and \
                 sram.budget_by = \"output\" profile the network on training images; {message}"
            )),
            placed => placed,
        })?;
        let others = more.into_iter().chain(profiled.as_deref().map(Dataset::range));
        let inputs = InputCode::of(encoding, others.fold(whole.range(), Range::with), profile.tile.input_bits)?;
        let of_weights = loaded.notices_with(encoding).into_iter();
        let of_data = whole.notices().chain(profiled.iter().flat_map(|training| training.notices()));
        let network = match loaded {
            Cow::Borrowed(loaded) => Cow::Borrowed(&loaded.network),
            Cow::Owned(loaded) => Cow::Owned(loaded.network),
        };
        let blueprint = Blueprint::new(profile, model, network, inputs, seed)?.remarked(of_weights.chain(of_data));
        match profiled {
            Some(training) => with_ranges(blueprint, seed, || Ok(training.as_ref())),
            None => Ok(blueprint),
        }
    }
}

/// One network on one kind of chip.
pub struct Session {
    blueprint: Blueprint<'static>,
    engine: Box<dyn Engine>,
    encoding: Encoding,
    options: Options,
}

impl Session {
    /// Opens a network on chips of a profile, whose inputs are wide enough for the values of a data set.
    ///
    /// # Errors
    /// Where profile, model, network and data do not fit together, the profile asks for calibration and has no images
    /// for it, or the backend cannot be opened.
    pub fn open(
        profile: &Profile,
        model: Model,
        network: impl Into<Loaded>,
        data: &Dataset,
        options: Options,
    ) -> Result<Session> {
        if options.batch == 0 {
            return Err(Error::Usage("batch: 0 images at once; expected at least 1".into()));
        }
        let encoding = Encoding::resolve(options.encoding, data.frame_steps(), model.steps)?;
        let (model, loaded) = (Cow::Owned(model), Cow::Owned(network.into()));
        let source = Source { profile, model, loaded, encoding, whole: data };
        let blueprint = source.blueprint(options.seed, options.calibration.clone(), None)?;
        let engine = options.backend.open(options.tell)?;
        Ok(Session { blueprint, engine, encoding, options })
    }

    /// What its chips are made from.
    pub fn blueprint(&self) -> &Blueprint<'static> {
        &self.blueprint
    }

    /// How it was opened.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The encoder in force.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// `cpu`, or `gpu` with its adapter.
    pub fn backend(&self) -> String {
        self.engine.name()
    }

    /// All that the user should know before reading results.
    pub fn notices(&self) -> Vec<String> {
        self.blueprint.notices()
    }

    /// Manufactures chip `index` of the session's seed.
    ///
    /// # Errors
    /// Where a layer's weights are beyond what can be held, a tile's lines cannot be solved, or chips answer together
    /// (`system.ensemble`), so that one by itself has no answer.
    pub fn program(&self, index: u64) -> Result<Chip> {
        let ensemble = self.blueprint.profile().system.ensemble;
        if ensemble > 1 {
            return Err(Error::Mismatch(format!(
                "system.ensemble = {ensemble}: chips answer together, and one by itself does not; expected them to be \
                 evaluated, or system.ensemble = 1"
            )));
        }
        Chip::program(&self.blueprint, index)
    }

    /// Every layer of chip `index`: what was asked for, what was programmed, what is missing, and what stands on each
    /// tile.
    ///
    /// ```
    /// use crosspike::{Dataset, Model, Network, Options, Profile, Session, Split};
    ///
    /// let (profile, model) = (Profile::named("rram_wan_2022", &[])?, Model::named("digits", &[])?);
    /// let (network, data) = (Network::xavier(&model, 1), Dataset::open("digits", "".as_ref(), Split::Test)?);
    /// let session = Session::open(&profile, model, network, &data, Options::default())?;
    /// let layers = session.survey(7)?;
    /// let tile = layers[1].tile(0, 0).expect("its cells have conductances");
    /// assert_eq!(tile.siemens.len(), tile.rows.len() * tile.lines.len());
    /// # Ok::<(), crosspike::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Session::program`].
    pub fn survey(&self, index: u64) -> Result<Vec<LayerSurvey>> {
        survey(&self.blueprint, index)
    }

    /// Runs every image of a set on a chip.
    ///
    /// # Errors
    /// Where images and chip do not fit together, or the engine fails.
    pub fn run(&self, chip: &Chip, data: &Dataset) -> Result<ChipResult> {
        self.evaluation(data)?.run(chip)
    }

    /// Runs every image on chips `indices` and hands each result over, in their order; an error of `each` ends the
    /// series.
    ///
    /// # Errors
    /// Those of [`Session::program`], [`Session::run`] and `each`.
    pub fn evaluate(
        &self,
        data: &Dataset,
        indices: Indices<u64>,
        each: impl FnMut(u64, &ChipResult) -> Result<()>,
    ) -> Result<()> {
        self.evaluation(data)?.series(&self.blueprint, indices, each)
    }

    /// What an image took of a chip on average, by layer and component; none where the profile has no costs.
    pub fn spent(&self, result: &ChipResult) -> Option<Spent> {
        Price::of(&self.blueprint).of_result(result, self.blueprint.steps()).map(|(spent, _)| spent)
    }

    fn evaluation<'a>(&'a self, data: &'a Dataset) -> Result<Evaluation<'a>> {
        let model = self.blueprint.model();
        check_fit(data, model)?;
        Encoding::resolve(Some(self.encoding), data.frame_steps(), model.steps)?;
        let encoder = Encoder::new(self.blueprint.inputs(), model.input, self.options.seed, 0);
        Ok(Evaluation::on(self.engine.as_ref(), data, encoder, model.steps).batches_of(self.options.batch))
    }
}
