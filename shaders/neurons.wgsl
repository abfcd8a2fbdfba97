// Leaky integrate-and-fire: src/forward/neurons.rs. A thread scans four columns of one pooling window of one image over
// all steps, membranes in registers: u = leak*u + (gain*sum + offset), in floats or fixed point; a spike iff u >
// threshold; then u = u - threshold; or what other neurons do. The window's spikes are summed before they are written.
// What does not fill a window at the right and lower edge is counted and left out. Windows of more than MOST_WINDOW
// pixels are for pool.wgsl: here they are 1x1. A workgroup's threads are of one image.

@group(0) @binding(2) var<storage, read> norms: array<vec4<f32>>; // [chips, steps, columns / 4] of gain, offset; then constants
@group(1) @binding(1) var<storage, read> sums: array<vec4<f32>>; // [chips, images, steps or 1, pixels, columns / 4]
@group(1) @binding(2) var<storage, read_write> pulses: array<u32>; // [chips, images, steps, windows, columns / 4]
@group(1) @binding(3) var<storage, read_write> counts: array<atomic<u32>>; // see src/engine/gpu/buffers.rs

var<workgroup> fired: array<atomic<u32>, MOST_STEPS>;
var<workgroup> driven: array<atomic<u32>, MOST_STEPS>;

// The potential after a step: src/network/dynamics.rs.
fn advance(u: vec4<f32>, gain: vec4<f32>, sum: vec4<f32>, offset: vec4<f32>) -> vec4<f32> {
    let leaked = rounded(layer.leak * u);
    let current = rounded(gain * sum);
    if (layer.fixed == 0u) {
        return leaked + (current + offset);
    }
    return held(to_unit(leaked) + (to_unit(current) + offset));
}

// A sum, in fixed point held to the membrane's range.
fn held(exact: vec4<f32>) -> vec4<f32> {
    if (layer.fixed == 0u) {
        return exact;
    }
    if (layer.wraps == 0u) {
        return clamp(exact, vec4(layer.lowest), vec4(layer.highest));
    }
    let turn = -2.0 * layer.lowest;
    return exact - floor((exact - layer.lowest) * layer.inverse_turn) * turn;
}

// A product, in fixed point of the membrane's unit.
fn part(product: vec4<f32>) -> vec4<f32> {
    let exact = rounded(product);
    if (layer.fixed == 0u) {
        return exact;
    }
    return to_unit(exact);
}

// The state that a general neuron keeps from step to step.
struct State {
    membrane: vec4<f32>,
    synaptic: vec4<f32>,
    adapted: vec4<f32>,
    fired: vec4<f32>,
    rest: vec4<f32>,
}

// The constants that may differ from neuron to neuron: src/network/constants.rs.
struct Constants {
    leak: vec4<f32>,
    threshold: vec4<f32>,
    input: vec4<f32>,
    synaptic_leak: vec4<f32>,
    adaptation: vec4<f32>,
    adaptation_leak: vec4<f32>,
    taken: vec4<f32>,
}

// Those of a word of columns at a pixel: behind the norms where they differ.
fn constants(word: u32, pixel: u32) -> Constants {
    if (layer.own_places == 0u) {
        return Constants(
            vec4(layer.leak),
            vec4(layer.threshold),
            vec4(layer.input_share),
            vec4(layer.synaptic_leak),
            vec4(layer.adaptation),
            vec4(layer.adaptation_leak),
            vec4(layer.taken),
        );
    }
    let place = select(pixel, 0u, layer.own_places == 1u);
    let at = layer.own_from + 7u * (place * layer.column_words + word);
    return Constants(
        norms[at],
        norms[at + 1u],
        norms[at + 2u],
        norms[at + 3u],
        norms[at + 4u],
        norms[at + 5u],
        norms[at + 6u],
    );
}

// A step of it, after which `fired` says where it fired: src/network/dynamics.rs.
fn advance_general(old: State, own: Constants, current: vec4<f32>) -> State {
    var state = old;
    let x = part(own.input * current);
    state.synaptic = held(part(own.synaptic_leak * old.synaptic) + x);
    state.adapted = held(part(own.adaptation_leak * old.adapted) + old.fired);
    let threshold = own.threshold + part(own.adaptation * state.adapted);
    let integrated = held(part(own.leak * old.membrane) + state.synaptic);
    let rests = old.rest > vec4<f32>();
    let before = select(integrated, old.membrane, rests);
    let last = select(vec4<f32>(), old.fired, layer.next == 1u);
    let taken = held(before - rounded(own.taken * last));
    let potential = select(taken, vec4(layer.reset_value), vec4(layer.is_set == 1u) & (last > vec4<f32>()));
    let fires = (potential > threshold) | (vec4(layer.reached == 1u) & (potential == threshold));
    state.fired = select(vec4<f32>(), vec4(1.0), fires & !rests);
    let now = select(state.fired, vec4<f32>(), layer.next == 1u);
    let after = held(potential - rounded(own.taken * now));
    state.membrane = select(after, vec4(layer.reset_value), vec4(layer.is_set == 1u) & (now > vec4<f32>()));
    state.rest = select(max(old.rest - 1.0, vec4<f32>()), vec4(layer.refractory), state.fired > vec4<f32>());
    return state;
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    for (var t = local; t < layer.steps; t += WORKGROUP) {
        atomicStore(&fired[t], 0u);
        atomicStore(&driven[t], 0u);
    }
    workgroupBarrier();
    let chip = group.z;
    let window = vec2(layer.scan_width, layer.scan_height);
    let map = vec2(layer.width, layer.height);
    let windows = (map + window - 1u) / window;
    let whole = map / window;
    let image_groups = (windows.x * windows.y * layer.column_words + WORKGROUP - 1u) / WORKGROUP;
    let image = place(group, groups) / image_groups;
    let index = place(group, groups) % image_groups * WORKGROUP + local;
    let word = index % layer.column_words;
    let at = vec2(index / layer.column_words % windows.x, index / layer.column_words / windows.x);
    if (image < run.images && at.y < windows.y) {
        var u = array<vec4<f32>, MOST_WINDOW>();
        var states = array<State, MOST_WINDOW>();
        // A current is there for every step.
        let given = select(sum_steps(), layer.steps, layer.joined == 1u);
        let size = pixels() * layer.column_words;
        let first = (chip * run.images + image) * given * size + word;
        // Windows for pool.wgsl are counted there.
        let apart = any(window != vec2(layer.window_width, layer.window_height));
        let fan = select(next_fan_out(at), 0u, apart || layer.counts_next == 0u);
        let result = ((chip * run.images + image) * layer.steps * whole.y + at.y) * whole.x + at.x;
        for (var t = 0u; t < layer.steps; t++) {
            let norm = 2u * ((chip * layer.steps + t) * layer.column_words + word);
            let gain = select(norms[norm], vec4(1.0), layer.joined == 1u);
            let offset = select(norms[norm + 1u], vec4<f32>(), layer.joined == 1u);
            var pulse = vec4<i32>();
            for (var i = 0u; i < MOST_WINDOW; i++) {
                let pixel = at * window + vec2(i % window.x, i / window.x);
                if (i < window.x * window.y && all(pixel < map)) {
                    let source = first + min(t, given - 1u) * size + (pixel.y * map.x + pixel.x) * layer.column_words;
                    if (layer.general == 1u) {
                        let own = constants(word, pixel.y * map.x + pixel.x);
                        states[i] = advance_general(states[i], own, share(gain, sums[source], offset));
                        pulse += vec4<i32>(states[i].fired);
                        continue;
                    }
                    let potential = advance(u[i], gain, sums[source], offset);
                    let spike = potential > vec4(layer.threshold);
                    u[i] = select(potential, potential - layer.threshold, spike);
                    pulse += vec4<i32>(spike);
                }
            }
            if (any(pulse != vec4<i32>())) {
                atomicAdd(&fired[t], u32(pulse.x + pulse.y + pulse.z + pulse.w));
            }
            if (all(at < whole)) {
                pulses[(result + t * whole.y * whole.x) * layer.column_words + word] = packed(pulse);
                if (fan > 0u && any(pulse != vec4<i32>())) {
                    atomicAdd(&driven[t], fan * drive_times(pulse));
                }
            }
        }
    }
    workgroupBarrier();
    if (image >= run.images) {
        return;
    }
    let counters = image * run.image_counters;
    let spikes = counters + (1u + chip * layer.layers + layer.index) * layer.steps;
    let drives = counters + drives_from(chip, layer.next_index);
    for (var t = local; t < layer.steps; t += WORKGROUP) {
        atomicAdd(&counts[spikes + t], atomicLoad(&fired[t]));
        if (layer.counts_next == 1u) {
            atomicAdd(&counts[drives + t], atomicLoad(&driven[t]));
        }
    }
}
