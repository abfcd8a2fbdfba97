//! What lives as long as the engine: the device, its limits and the pipelines; and how work is submitted and awaited.
//!
//! Nothing of wgpu may panic on us: errors go to error scopes ([`Context::guard`]), a lost device leaves its reason,
//! and waiting for a device that is lost is caught.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use bytemuck::Pod;
use wgpu::{
    BindGroup, BindGroupDescriptor, BindGroupEntry, BindGroupLayout, BindGroupLayoutDescriptor, BindGroupLayoutEntry,
    BindingType, Buffer, BufferBindingType, BufferUsages, CommandEncoder, ComputePass, ComputePipeline, ErrorFilter,
};

use super::adapter::{AdapterInfo, AdapterKind};
use super::limits::{FULL_CARD, Limits};
use super::settings::Layer;
use super::shaders::ShaderKernel;
use super::times::KernelTimes;
use crate::error::{Error, Result};

/// Kernels that are kept: a study may change what their shaders have for constants from point to point.
const MOST_PIPELINES: usize = 512;

/// A kernel, and the bytes of the layer that it is made for.
type Program = (ShaderKernel, Option<Vec<u8>>);

/// A layer's settings, weights and norms on the device.
pub struct LayerGroup {
    group: BindGroup,
    settings: Layer,
}

/// Device, pipelines and limits.
pub struct Context {
    device: wgpu::Device,
    queue: wgpu::Queue,
    pub limits: Limits,
    layer_layout: BindGroupLayout,
    flow_layout: BindGroupLayout,
    /// Whether shaders are made for a layer, with what it says for constants: worth the time of making them on a card.
    pub has_constants: bool,
    /// Whether the driver itself keeps accesses within buffers, as wgpu asks of every Vulkan driver.
    is_robust: bool,
    pipelines: Mutex<HashMap<Program, ComputePipeline>>,
    lost: Arc<Mutex<Option<String>>>,
    /// The times that kernels took, where they are asked for.
    pub times: Option<Mutex<KernelTimes>>,
}

impl Context {
    pub fn new(adapter: &AdapterInfo) -> Result<Self> {
        let offered = adapter.adapter.limits();
        let wanted = wgpu::Limits {
            max_storage_buffer_binding_size: offered.max_storage_buffer_binding_size,
            max_buffer_size: offered.max_buffer_size,
            ..wgpu::Limits::default().or_worse_values_from(&offered)
        };
        // Kernels count in u32, and drivers in signed bytes.
        let largest = wanted.max_storage_buffer_binding_size.min(wanted.max_buffer_size).min(i32::MAX as u64 & !255);
        let limits = Limits {
            buffer_bytes: largest,
            workgroups: wanted.max_compute_workgroups_per_dimension,
            multiplications: if adapter.kind == AdapterKind::Discrete { 1 << 38 } else { 1 << 35 },
            is_card: adapter.kind != AdapterKind::Software,
            full: FULL_CARD,
        };
        let has_stamps = adapter.adapter.features() & wgpu::Features::TIMESTAMP_QUERY;
        let descriptor =
            wgpu::DeviceDescriptor { required_limits: wanted, required_features: has_stamps, ..Default::default() };
        let (device, queue) = pollster::block_on(adapter.adapter.request_device(&descriptor))
            .map_err(|e| Error::Gpu(format!("{}: {e}", adapter.name)))?;
        let lost = Arc::new(Mutex::new(None));
        let keep = |lost: &Arc<Mutex<Option<String>>>, reason: String| {
            lost.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
        };
        let (uncaptured, gone) = (lost.clone(), lost.clone());
        device.on_uncaptured_error(Arc::new(move |e| keep(&uncaptured, e.to_string())));
        device.set_device_lost_callback(move |reason, message| {
            keep(&gone, format!("the device was lost ({reason:?}) {message}").trim_end().into());
        });
        use BufferBindingType::{Storage, Uniform};
        let (read, write) = (Storage { read_only: true }, Storage { read_only: false });
        let (layer_layout, flow_layout) = guard(&device, &lost, || {
            let layer = layout(&device, "layer", &[Uniform, read, read]);
            let flow = layout(&device, "flow", &[Uniform, read, write, write, read]);
            Ok((layer, flow))
        })?;
        let pipelines = Mutex::default();
        Ok(Context {
            device,
            queue,
            limits,
            layer_layout,
            flow_layout,
            has_constants: limits.is_card,
            is_robust: adapter.backend == "vulkan",
            pipelines,
            lost,
            times: None,
        })
    }

    /// Does `work`; whatever wgpu finds wrong in it is its error.
    pub fn guard<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        guard(&self.device, &self.lost, work)
    }

    /// A set of so many time stamps, and the nanoseconds of a tick of the adapter's clock; none where it has no clock
    /// to read.
    pub fn stamps(&self, count: u32) -> Option<(wgpu::QuerySet, f64)> {
        let has_clock = self.device.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        let descriptor = wgpu::QuerySetDescriptor { label: None, ty: wgpu::QueryType::Timestamp, count };
        has_clock.then(|| (self.device.create_query_set(&descriptor), f64::from(self.queue.get_timestamp_period())))
    }

    /// Loses the device, for a test.
    pub fn lose(&self) {
        self.device.destroy();
    }

    /// A buffer for kernels, at least as large as the smallest binding.
    pub fn buffer(&self, label: &str, bytes: u64, usage: BufferUsages) -> Buffer {
        let size = bytes.next_multiple_of(16).max(16);
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size,
            usage,
            mapped_at_creation: false,
        })
    }

    /// Writes to the start of a buffer before the next submission.
    pub fn write<T: Pod>(&self, buffer: &Buffer, values: &[T]) {
        self.queue.write_buffer(buffer, 0, bytemuck::cast_slice(values));
    }

    /// What lives as long as a layer: its settings, weights and norms, uploaded.
    pub fn layer(&self, settings: Layer, weights: &[f32], norms: &[f32]) -> LayerGroup {
        let bytes = |values: usize| 4 * values as u64;
        let storage = BufferUsages::STORAGE | BufferUsages::COPY_DST;
        let uniform = self.buffer("layer", size_of::<Layer>() as u64, BufferUsages::UNIFORM | BufferUsages::COPY_DST);
        let weights_buffer = self.buffer("weights", bytes(weights.len()), storage);
        let norms_buffer = self.buffer("norms", bytes(norms.len()), storage);
        self.write(&uniform, &[settings]);
        self.write(&weights_buffer, weights);
        self.write(&norms_buffer, norms);
        let group = self.group(&self.layer_layout, &[&uniform, &weights_buffer, &norms_buffer]);
        LayerGroup { group, settings }
    }

    /// What a kernel reads, writes and counts into, under a run's settings; `indices` are those of the images, where
    /// any kernel asks.
    pub fn flow(&self, run: &Buffer, from: &Buffer, to: &Buffer, counts: &Buffer, indices: &Buffer) -> BindGroup {
        self.group(&self.flow_layout, &[run, from, to, counts, indices])
    }

    fn group(&self, layout: &BindGroupLayout, buffers: &[&Buffer]) -> BindGroup {
        let entries: Vec<_> = (0..)
            .zip(buffers)
            .map(|(binding, buffer)| BindGroupEntry { binding, resource: buffer.as_entire_binding() })
            .collect();
        self.device.create_bind_group(&BindGroupDescriptor { label: None, layout, entries: &entries })
    }

    /// Hands over commands that others follow.
    pub fn submit(&self, commands: CommandEncoder) {
        self.queue.submit([commands.finish()]);
    }

    pub fn encoder(&self) -> CommandEncoder {
        self.device.create_command_encoder(&Default::default())
    }

    /// Runs `kernel` in `groups` workgroups, `depth` times (z).
    pub fn dispatch(
        &self,
        pass: &mut ComputePass,
        kernel: ShaderKernel,
        (layer, flow): (&LayerGroup, &BindGroup),
        groups: usize,
        depth: usize,
    ) {
        let groups = groups.max(1);
        let x = groups.min(self.limits.workgroups as usize);
        pass.set_pipeline(&self.pipeline(kernel, &layer.settings));
        pass.set_bind_group(0, &layer.group, &[]);
        pass.set_bind_group(1, flow, &[]);
        pass.dispatch_workgroups(x as u32, groups.div_ceil(x) as u32, depth as u32);
    }

    /// A kernel, made when it is first asked for. A driver that refuses it has lost the device, as far as work for it
    /// goes.
    fn pipeline(&self, kernel: ShaderKernel, settings: &Layer) -> ComputePipeline {
        let constants = kernel.constants(settings).filter(|_| self.has_constants);
        let program = (kernel, constants.map(|layer| bytemuck::bytes_of(&layer).to_vec()));
        let mut pipelines = self.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
        if pipelines.len() == MOST_PIPELINES && !pipelines.contains_key(&program) {
            pipelines.clear();
        }
        if let Some(known) = pipelines.get(&program) {
            return known.clone();
        }
        let scopes =
            [ErrorFilter::Internal, ErrorFilter::Validation].map(|filter| self.device.push_error_scope(filter));
        let layouts = [&self.layer_layout, &self.flow_layout];
        let made = pipeline(&self.device, (kernel, constants.as_ref()), layouts, self.is_robust);
        match scopes.into_iter().rev().filter_map(|scope| pollster::block_on(scope.pop())).next() {
            None => _ = pipelines.insert(program, made.clone()),
            Some(error) => {
                let reason = format!("the driver refuses the kernel {kernel:?}: {error}");
                self.lost.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
            }
        }
        made
    }

    /// Submits the commands and waits for the words of `sources`, one after the other, by way of `staging`.
    pub fn finish(
        &self,
        mut encoder: CommandEncoder,
        staging: &Buffer,
        sources: &[(&Buffer, u64)],
    ) -> Result<Vec<u32>> {
        let mut bytes = 0;
        for (source, size) in sources {
            encoder.copy_buffer_to_buffer(source, 0, staging, bytes, *size);
            bytes += size;
        }
        self.queue.submit([encoder.finish()]);
        let (sender, receiver) = mpsc::channel();
        let slice = staging.slice(..bytes);
        slice.map_async(wgpu::MapMode::Read, move |mapped| drop(sender.send(mapped)));
        // wgpu panics where a device is lost while it is awaited.
        let waited = catch_unwind(AssertUnwindSafe(|| self.device.poll(wgpu::PollType::wait_indefinitely())));
        let mapped = receiver.recv_timeout(Duration::from_secs(10));
        if !matches!((waited, mapped), (Ok(Ok(_)), Ok(Ok(())))) {
            return Err(Error::Lost("the device did not finish its work".into()));
        }
        let view = slice.get_mapped_range().map_err(|e| Error::Gpu(e.to_string()))?;
        let words = bytemuck::pod_collect_to_vec(&view);
        drop(view);
        staging.unmap();
        Ok(words)
    }
}

fn guard<T>(device: &wgpu::Device, lost: &Mutex<Option<String>>, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let filters = [ErrorFilter::OutOfMemory, ErrorFilter::Internal, ErrorFilter::Validation];
    let scopes = filters.map(|filter| device.push_error_scope(filter));
    let result = work();
    let errors: Vec<_> = scopes.into_iter().rev().filter_map(|scope| pollster::block_on(scope.pop())).collect();
    if !errors.is_empty() {
        // A device reports its loss only when it is polled.
        _ = catch_unwind(AssertUnwindSafe(|| device.poll(wgpu::PollType::Poll)));
    }
    if let Some(reason) = lost.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
        return Err(Error::Lost(reason.clone()));
    }
    match errors.first() {
        Some(error @ wgpu::Error::OutOfMemory { .. }) => Err(Error::Lost(error.to_string())),
        Some(error) => Err(Error::Gpu(error.to_string())),
        None => result,
    }
}

fn layout(device: &wgpu::Device, label: &str, kinds: &[BufferBindingType]) -> BindGroupLayout {
    let entry = |(binding, ty): (u32, &BufferBindingType)| BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: BindingType::Buffer { ty: *ty, has_dynamic_offset: false, min_binding_size: None },
        count: None,
    };
    let entries: Vec<_> = (0..).zip(kinds).map(entry).collect();
    device.create_bind_group_layout(&BindGroupLayoutDescriptor { label: Some(label), entries: &entries })
}

fn pipeline(
    device: &wgpu::Device,
    (kernel, constants): (ShaderKernel, Option<&Layer>),
    layouts: [&BindGroupLayout; 2],
    is_robust: bool,
) -> ComputePipeline {
    let label = format!("{kernel:?}");
    let source = wgpu::ShaderSource::Wgsl(kernel.source(constants).into());
    let descriptor = wgpu::ShaderModuleDescriptor { label: Some(&label), source };
    let module = if kernel.is_proven() && is_robust {
        let unchecked =
            wgpu::ShaderRuntimeChecks { bounds_checks: false, force_loop_bounding: false, ..Default::default() };
        // SAFETY: the kernel's loops count up to numbers that do not change, its indices into workgroup memory lie
        // within it, as a test of `tiling` shows for every thread, and the driver keeps those into buffers within them.
        unsafe { device.create_shader_module_trusted(descriptor, unchecked) }
    } else {
        device.create_shader_module(descriptor)
    };
    let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some(&label),
        bind_group_layouts: &layouts.map(Some),
        ..Default::default()
    });
    device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(&label),
        layout: Some(&layout),
        module: &module,
        entry_point: Some("main"),
        // The kernels clear what they use of it.
        compilation_options: wgpu::PipelineCompilationOptions {
            zero_initialize_workgroup_memory: false,
            ..Default::default()
        },
        cache: None,
    })
}
