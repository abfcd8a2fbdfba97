//! A network's latent weights, norms and biases, checked against the model: a checkpoint with shapes proven.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use ndarray_rand::RandomExt;
use ndarray_rand::rand_distr::Uniform;
use sha2::{Digest, Sha256};

use super::companion::{self, CompanionWeights};
use super::constants::{Constant, Constants, Extent};
use super::encode::Encoding;
use super::layer::{Layer, NormKind};
use super::looks::looks;
use super::model::Model;
use super::names::{self, norm_name};
use crate::checkpoint::{Checkpoint, Tensor, Values};
use crate::error::{Error, Result};
use crate::numeric::hex;
use crate::profile::CompanionForm;
use crate::rng::{Stream, Substream, stream_key};

/// ε of BNTT.
pub const NORM_EPSILON: f32 = 1e-4;
/// ε of a batch norm for all steps, PyTorch's default.
pub const BATCH_EPSILON: f32 = 1e-5;

/// Latent weights and norms of every layer of a model.
///
/// # Examples
/// ```
/// use crosspike::{Model, Network};
///
/// let model = Model::named("digits", &[])?;
/// let mut network = Network::xavier(&model, 1);
/// assert_eq!(network.layers[0].rram.len(), 16 * 9); // Columns of nine rows: kernels of 3 x 3.
/// network.layers[0].rram[0] = 0.25;
/// assert_ne!(network.hash(), Network::xavier(&model, 1).hash());
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// One entry a layer of [`Model::layers`].
    pub layers: Vec<LayerWeights>,
    /// How the companion arrays were trained, where the checkpoint says: what a profile leaves open.
    pub form: Option<CompanionForm>,
}

/// A network from a file.
///
/// # Examples
/// ```
/// use crosspike::{Encoding, Model, Network};
///
/// let model = Model::named("digits", &[])?;
/// let checkpoint = Network::xavier(&model, 1).to_checkpoint(&model, Default::default());
/// let loaded = Network::load(&model, &checkpoint)?; // Of a file: Network::read.
/// assert_eq!(loaded.hash, checkpoint.hash());
/// assert!(loaded.notices_with(Encoding::Poisson).is_empty());
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The network.
    pub network: Network,
    /// The SHA-256 of the file's tensors: [`Checkpoint::hash`].
    pub hash: String,
    /// What the user should know of it.
    pub notices: Vec<String>,
    /// How the images of its training were encoded, where its metadata says so.
    trained_with: Option<String>,
}

/// A network that no file holds; its hash is [`Network::hash`].
impl From<Network> for Loaded {
    fn from(network: Network) -> Self {
        Loaded { hash: network.hash(), network, notices: vec![], trained_with: None }
    }
}

impl Loaded {
    /// The warning that the user should have where images are encoded so.
    pub fn notices_with(&self, encoding: Encoding) -> Vec<String> {
        let other = self.trained_with.iter().filter(|trained| **trained != encoding.to_string());
        let other = other.map(|trained| {
            format!("the network was trained with the encoding `{trained}`, and its images are sent with `{encoding}`")
        });
        self.notices.iter().cloned().chain(other).collect()
    }
}

/// One layer's state.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerWeights {
    /// Latent weights of the RRAM array (or of the digital layer), `[columns, rows]`.
    pub rram: Vec<f32>,
    /// The companion array's, where the network is a hybrid.
    pub sram: Option<CompanionWeights>,
    /// The bias, added to each column's sum, where the layer has one, `[columns]`.
    pub bias: Option<Vec<f32>>,
    /// The norms of a layer that has some.
    pub norm: Option<Norm>,
    /// Constants of its neurons that the model leaves to the checkpoint.
    pub constants: Constants,
}

/// The norms of a layer: one a step, `[steps, channels]`, scale without shift (BNTT), or one for all, `[1, channels]`,
/// with a shift.
#[derive(Clone, Debug, PartialEq)]
pub struct Norm {
    /// Scale γ.
    pub gamma: Vec<f32>,
    /// Shift β of a norm for all steps.
    pub shift: Option<Vec<f32>>,
    /// Running mean.
    pub mean: Vec<f32>,
    /// Running variance (unbiased).
    pub var: Vec<f32>,
    /// Batches seen, per norm.
    pub tracked: Vec<i64>,
}

impl LayerWeights {
    /// The latent weights that training moves: the companion array's where there is one, for the RRAM below it is
    /// fixed.
    pub fn trained(&self) -> &[f32] {
        self.sram.as_ref().map_or(&self.rram, |array| &array.latent)
    }

    /// The weights that are trained, to be moved.
    pub fn trained_mut(&mut self) -> &mut [f32] {
        self.sram.as_mut().map_or(&mut self.rram, |array| &mut array.latent)
    }
}

impl LayerWeights {
    /// Gain and offset of sums, `[steps, columns]`, counted in pulses of `unit`: of norms and bias, `norm(unit·x +
    /// bias) = gain·x + offset`. An error that names the layer where one of them is no number.
    pub fn fold(&self, unit: f32, steps: usize, layer: &Layer) -> Result<(Vec<f32>, Vec<f32>)> {
        let columns = layer.columns();
        let bias = |column: usize| self.bias.as_ref().map_or(0.0, |bias| f64::from(bias[column]));
        let fold = |i: usize| {
            let Some(norm) = &self.norm else { return (unit, bias(i % columns) as f32) };
            let at = i % norm.gamma.len();
            let (gain, centre) = (norm.gain(at), f64::from(norm.mean[at]) - bias(i % columns));
            let offset = match &norm.shift {
                Some(shift) => f64::from(shift[at]) - gain * centre,
                None => -gain * centre,
            };
            ((gain * f64::from(unit)) as f32, offset as f32)
        };
        let (gain, offset): (Vec<f32>, Vec<f32>) = (0..steps * columns).map(fold).unzip();
        let Some(i) = (0..gain.len()).find(|i| !(gain[*i].is_finite() && offset[*i].is_finite())) else {
            return Ok((gain, offset));
        };
        let norm = self.norm.as_ref().map_or(String::new(), |norm| {
            let at = i % norm.gamma.len();
            format!(": the norm's γ is {}, its mean {}, its variance {}", norm.gamma[at], norm.mean[at], norm.var[at])
        });
        Err(Error::Mismatch(format!(
            "`{}` has a gain of {} and an offset of {} at place {i}, beyond what f32 holds{norm}",
            layer.name, gain[i], offset[i]
        )))
    }
}

impl Norm {
    /// At its identity; none of a layer that has none.
    fn new(layer: &Layer, steps: usize) -> Option<Self> {
        let (norms, shifts) = match layer.norm {
            NormKind::None => return None,
            NormKind::Bntt => (steps, false),
            NormKind::Batch => (1, true),
        };
        let n = norms * layer.columns();
        let shift = shifts.then(|| vec![0.0; n]);
        Some(Norm { gamma: vec![1.0; n], shift, mean: vec![0.0; n], var: vec![1.0; n], tracked: vec![0; norms] })
    }

    /// Whether one norm is for all steps.
    pub fn is_for_all_steps(&self) -> bool {
        self.shift.is_some()
    }

    /// The ε that is added to a variance before its root is taken.
    pub fn epsilon(&self) -> f32 {
        if self.is_for_all_steps() { BATCH_EPSILON } else { NORM_EPSILON }
    }

    /// Scale over the running standard deviation.
    fn gain(&self, at: usize) -> f64 {
        f64::from(self.gamma[at]) / (f64::from(self.var[at]) + f64::from(self.epsilon())).sqrt()
    }
}

impl<'a> From<&'a Network> for Cow<'a, Network> {
    fn from(network: &'a Network) -> Self {
        Cow::Borrowed(network)
    }
}

impl Network {
    /// Fresh weights: Xavier uniform with gain 2, norms at their identity.
    pub fn xavier(model: &Model, seed: u64) -> Self {
        let layers = model.layers();
        let layers = layers.iter().enumerate().map(|(i, layer)| LayerWeights {
            rram: xavier(layer, seed, Stream::Init, i as u64),
            sram: None,
            bias: layer.has_bias.then(|| vec![0.0; layer.columns()]),
            norm: Norm::new(layer, model.steps),
            constants: layer
                .constants()
                .map(|(constant, extent, _)| (constant, vec![layer.neuron.get(constant); extent.count(layer.map())]))
                .collect(),
        });
        Network { layers: layers.collect(), form: None }
    }

    /// Reads a checkpoint file; gives the hash of its content, too, and what the user should know of it.
    pub fn read(model: &Model, file: &Path) -> Result<Loaded> {
        Self::load(model, &Checkpoint::read(file)?).map_err(|error| match error {
            Error::Mismatch(message) => Error::file(file, message),
            other => other,
        })
    }

    /// Takes a checkpoint's tensors; gives its hash, too, and what the user should know of it.
    pub fn load(model: &Model, checkpoint: &Checkpoint) -> Result<Loaded> {
        let network = Self::from_checkpoint(model, checkpoint)?;
        let configuration = &checkpoint.metadata["configuration"];
        let trained_with = configuration["encoding"].as_str().map(str::to_owned);
        let other_steps = configuration["model"]["steps"].as_u64().filter(|steps| *steps != model.steps as u64);
        let other_steps = other_steps.map(|steps| {
            format!(
                "the network was trained with {steps} steps, and the model has {}: `model.steps` sets them",
                model.steps
            )
        });
        let mut notices = [checkpoint.notices.clone(), names::left_out(model, checkpoint)].concat();
        notices.extend(other_steps);
        Ok(Loaded { network, hash: checkpoint.hash(), notices, trained_with })
    }

    /// Takes a checkpoint's tensors; a missing tensor, another shape, other steps, a value that is not finite, or a
    /// tensor that would change what the network does and has no place in the model, is an error that names it.
    pub fn from_checkpoint(model: &Model, checkpoint: &Checkpoint) -> Result<Self> {
        Self::checked(model, checkpoint).map_err(|error| match (error, trained_as(&checkpoint.metadata)) {
            (Error::Mismatch(message), Some(name)) if name != model.name => {
                Error::Mismatch(format!("{message}; its metadata says that it was trained as the model `{name}`"))
            }
            (Error::Mismatch(message), None) if !is_of_layers(model, checkpoint) => match looks(checkpoint) {
                Ok(looks) => Error::Mismatch(format!("{message}; it looks like another network: {looks}")),
                Err(missing) => {
                    let prefix = checkpoint.prefix_of_most().map_or(String::new(), |said| format!("; {said}"));
                    Error::Mismatch(format!("{message}; no model can run it: {missing}{prefix}"))
                }
            },
            (error, _) => error,
        })
    }

    fn checked(model: &Model, checkpoint: &Checkpoint) -> Result<Self> {
        names::check(model, checkpoint)?;
        let hybrid = checkpoint.tensors.keys().any(|name| name.ends_with(".WR"));
        let layers = model.layers();
        for layer in layers.iter().filter(|l| l.norm == NormKind::Bntt) {
            let prefix = format!("{}.", norm_name(layer));
            let indices =
                checkpoint.tensors.keys().filter_map(|n| n.strip_prefix(&prefix)?.split('.').next()?.parse().ok());
            let steps = indices.max().map_or(0, |last: usize| last.saturating_add(1));
            if steps != model.steps {
                return Err(Error::Mismatch(format!(
                    "the checkpoint has {steps} steps in `{prefix}*`, the model {}; set `model.steps` or use another \
                     checkpoint",
                    model.steps
                )));
            }
        }
        let layers = layers.iter().map(|layer| {
            let shape = layer.weight_shape();
            let weight_name = format!("{}.weight", layer.name);
            let rram_name = format!("{}.WR", layer.name);
            let weight = finite(checkpoint, &weight_name, &shape)?;
            let is_hybrid = hybrid && checkpoint.tensors.contains_key(&rram_name);
            let (rram, sram) = if is_hybrid {
                let kept = companion::read_mask(checkpoint, &layer.name, weight.len())?;
                (finite(checkpoint, &rram_name, &shape)?, Some(CompanionWeights { latent: weight, kept }))
            } else {
                (weight, None)
            };
            let bias = layer.has_bias.then(|| finite(checkpoint, &format!("{}.bias", layer.name), &[layer.columns()]));
            let norm = read_norm(checkpoint, model.steps, layer)?;
            Ok(LayerWeights {
                rram,
                sram,
                bias: bias.transpose()?,
                norm,
                constants: read_constants(checkpoint, layer)?,
            })
        });
        let form = companion::read_form(&checkpoint.metadata)?;
        Ok(Network { layers: layers.collect::<Result<_>>()?, form })
    }

    /// The tensors under their published names.
    pub fn to_checkpoint(&self, model: &Model, mut metadata: serde_json::Value) -> Checkpoint {
        if let Some(form) = &self.form {
            companion::write_form(form, &mut metadata);
        }
        let mut tensors = BTreeMap::new();
        let mut put = |name: String, shape: Vec<usize>, values: Values| tensors.insert(name, Tensor { shape, values });
        for (layer, state) in model.layers().iter().zip(&self.layers) {
            let name = &layer.name;
            let weight = state.sram.as_ref().map_or(&state.rram, |array| &array.latent);
            put(format!("{name}.weight"), layer.weight_shape(), Values::F32(weight.clone()));
            if let Some(array) = &state.sram {
                put(format!("{name}.WR"), layer.weight_shape(), Values::F32(state.rram.clone()));
                if let Some(mask) = companion::mask(array) {
                    put(companion::mask_name(name), vec![mask.len()], Values::U8(mask));
                }
            }
            if let Some(bias) = &state.bias {
                put(format!("{name}.bias"), vec![bias.len()], Values::F32(bias.clone()));
            }
            for (constant, extent, _) in layer.constants() {
                let values = Values::F32(state.constants[&constant].clone());
                put(format!("{name}.{}", constant.name()), extent.shape(layer.map()), values);
            }
            let Some(norm) = &state.norm else { continue };
            let channels = layer.columns();
            for (t, tracked) in norm.tracked.iter().enumerate() {
                let prefix = names::norm_prefix(layer, t);
                let mut of_norm = |what: &str, values: &[f32]| {
                    let values = values[t * channels..(t + 1) * channels].to_vec();
                    put(format!("{prefix}.{what}"), vec![channels], Values::F32(values));
                };
                of_norm("weight", &norm.gamma);
                of_norm("running_mean", &norm.mean);
                of_norm("running_var", &norm.var);
                norm.shift.iter().for_each(|shift| of_norm("bias", shift));
                put(format!("{prefix}.num_batches_tracked"), vec![], Values::I64(vec![*tracked]));
            }
        }
        Checkpoint { tensors, metadata, ..Checkpoint::default() }
    }

    /// The SHA-256 of all that a chip is made of: weights, masks and norms. How often the norms were estimated makes no
    /// chip.
    pub fn hash(&self) -> String {
        let mut hash = Sha256::new();
        let mut add = |values: &[f32]| {
            hash.update((values.len() as u64).to_le_bytes());
            hash.update(bytemuck::cast_slice::<f32, u8>(values));
        };
        for LayerWeights { rram, sram, bias, norm, constants } in &self.layers {
            add(rram);
            let kept = sram.as_ref().and_then(|array| array.kept.as_ref());
            add(sram.as_ref().map_or(&[], |array| &array.latent));
            add(&kept.map_or(vec![], |kept| kept.iter().map(|kept| f32::from(u8::from(*kept))).collect()));
            let of_norm = |values: fn(&Norm) -> &Vec<f32>| norm.as_ref().map_or(&[][..], |norm| values(norm));
            for values in [of_norm(|norm| &norm.gamma), of_norm(|norm| &norm.mean), of_norm(|norm| &norm.var)] {
                add(values);
            }
            bias.iter().chain(norm.iter().filter_map(|norm| norm.shift.as_ref())).for_each(|values| add(values));
            constants.values().for_each(|values| add(values));
        }
        hex(&hash.finalize())
    }

    /// Whether every weight and statistic is a finite number.
    pub fn is_finite(&self) -> bool {
        let all = |values: &[f32]| values.iter().all(|v| v.is_finite());
        self.layers.iter().all(|layer| {
            let norm = layer.norm.as_ref().is_none_or(|n| all(&n.gamma) && all(&n.mean) && all(&n.var));
            let shifts = layer.bias.iter().chain(layer.norm.iter().filter_map(|norm| norm.shift.as_ref()));
            norm && shifts.chain(layer.constants.values()).all(|values| all(values))
                && all(&layer.rram)
                && layer.sram.as_ref().is_none_or(|array| all(&array.latent))
        })
    }

    /// Whether any layer carries a companion array of its own.
    pub fn is_hybrid(&self) -> bool {
        self.layers.iter().any(|l| l.sram.is_some())
    }
}

/// Xavier uniform weights with gain 2, `[columns, rows]`.
pub fn xavier(layer: &Layer, seed: u64, stream: Stream, index: u64) -> Vec<f32> {
    let unrolling = layer.unrolling();
    let field = unrolling.window.positions();
    let fans = unrolling.input.channels * field + layer.columns() * field;
    let bound = (2.0 * (6.0 / fans as f64).sqrt()) as f32;
    let mut random = Substream::new(stream_key(seed, stream, index), [0; 3]);
    let distribution = Uniform::new_inclusive(-bound, bound).expect("the bound is positive and finite");
    ndarray::Array1::random_using(layer.rows() * layer.columns(), distribution, &mut random).to_vec()
}

/// Whether a checkpoint has the weights of the model's layers, and of no others.
fn is_of_layers(model: &Model, checkpoint: &Checkpoint) -> bool {
    let layers = model.layers();
    let weights = checkpoint.tensors.iter().filter(|(name, _)| name.ends_with(".weight") && !name.starts_with("bn"));
    let shapes = layers.iter().map(|layer| (format!("{}.weight", layer.name), layer.weight_shape()));
    weights.count() == layers.len()
        && shapes
            .into_iter()
            .all(|(name, shape)| checkpoint.tensors.get(&name).is_some_and(|tensor| tensor.shape == shape))
}

/// The model that a checkpoint of ours was trained as.
fn trained_as(metadata: &serde_json::Value) -> Option<&str> {
    metadata["configuration"]["model"]["name"].as_str()
}

fn finite(checkpoint: &Checkpoint, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
    let values = checkpoint.f32(name, shape)?;
    match values.iter().position(|v| !v.is_finite()) {
        Some(at) => Err(Error::Mismatch(format!("`{name}`[{at}] is {}, expected a finite number", values[at]))),
        None => Ok(values.to_vec()),
    }
}

fn read_constants(checkpoint: &Checkpoint, layer: &Layer) -> Result<Constants> {
    let read = |(constant, extent, _): (Constant, Extent, bool)| {
        let name = format!("{}.{}", layer.name, constant.name());
        let values = finite(checkpoint, &name, &extent.shape(layer.map()))?;
        match values.iter().position(|value| !constant.may_be(*value)) {
            Some(at) => {
                Err(Error::Mismatch(format!("`{name}`[{at}] is {}, expected {}", values[at], constant.range())))
            }
            None => Ok((constant, values)),
        }
    };
    layer.constants().map(read).collect()
}

fn read_norm(checkpoint: &Checkpoint, steps: usize, layer: &Layer) -> Result<Option<Norm>> {
    let Some(Norm { tracked, shift, .. }) = Norm::new(layer, steps) else { return Ok(None) };
    let (mut gamma, mut mean, mut vars, mut batches) = (vec![], vec![], vec![], vec![]);
    let mut shifts = shift.map(|_| vec![]);
    for t in 0..tracked.len() {
        let prefix = names::norm_prefix(layer, t);
        let shape = [layer.columns()];
        gamma.extend(finite(checkpoint, &format!("{prefix}.weight"), &shape)?);
        mean.extend(finite(checkpoint, &format!("{prefix}.running_mean"), &shape)?);
        let var = finite(checkpoint, &format!("{prefix}.running_var"), &shape)?;
        if let Some(negative) = var.iter().find(|v| **v < 0.0) {
            return Err(Error::Mismatch(format!("`{prefix}.running_var` holds {negative}, expected a variance ≥ 0")));
        }
        vars.extend(var);
        if let Some(shifts) = &mut shifts {
            shifts.extend(finite(checkpoint, &format!("{prefix}.bias"), &shape)?);
        }
        let tracked = checkpoint.tensors.get(&format!("{prefix}.num_batches_tracked"));
        batches.push(match tracked.map(|t| &t.values) {
            Some(Values::I64(values)) => values.first().copied().unwrap_or(0),
            _ => 0,
        });
    }
    Ok(Some(Norm { gamma, shift: shifts, mean, var: vars, tracked: batches }))
}
