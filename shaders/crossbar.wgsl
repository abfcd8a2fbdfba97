// Column sums: a convolution with zero padding, or a fully connected layer as a kernel of 1 on a map of 1x1. Exact in
// any order. A thread sums eight columns (z names which) of one pixel of one map; inputs of more than one digit plane
// are summed plane by plane from the most significant, as the digital shift-and-add behind a crossbar does.

@group(0) @binding(1) var<storage, read> weights: array<vec4<f32>>; // [blocks, kernel positions, channels, 2]
@group(1) @binding(1) var<storage, read> pulses: array<i32>; // [maps, channels, pixels]
@group(1) @binding(2) var<storage, read_write> sums: array<f32>; // [maps, columns, pixels]

fn pulse(n: i32, plane: u32) -> f32 {
    if (PLANES == 1u) {
        return f32(n);
    }
    let magnitude = (abs(n) >> (plane * DIGIT_BITS)) & ((1i << DIGIT_BITS) - 1i);
    return f32(sign(n) * magnitude);
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let size = pixels();
    let index = thread(group, groups, local);
    if (index >= run.images * given_steps() * size) {
        return;
    }
    let map = index / size;
    let pixel = index % size;
    let corner = vec2(pixel % layer.width, pixel / layer.width) - vec2(layer.kernel / 2u);
    let rows = layer.kernel * layer.kernel * layer.channels;
    var total = mat2x4<f32>();
    for (var plane = PLANES; plane > 0u; plane--) {
        var left = vec4<f32>();
        var right = vec4<f32>();
        for (var position = 0u; position < layer.kernel * layer.kernel; position++) {
            // Left of or above the map wraps to far beyond it.
            let at = corner + vec2(position % layer.kernel, position / layer.kernel);
            if (at.x >= layer.width || at.y >= layer.height) {
                continue;
            }
            var source = map * layer.channels * size + at.y * layer.width + at.x;
            var weight = (group.z * rows + position * layer.channels) * 2u;
            for (var channel = 0u; channel < layer.channels; channel++) {
                let n = pulse(pulses[source], plane - 1u);
                left += n * weights[weight];
                right += n * weights[weight + 1u];
                source += size;
                weight += 2u;
            }
        }
        total = f32(1u << DIGIT_BITS) * total + mat2x4(left, right);
    }
    let first = layer.first_column + group.z * COLUMNS;
    for (var i = 0u; i < COLUMNS && first + i < layer.columns; i++) {
        sums[(map * layer.columns + first + i) * size + pixel] = total[i / 4u][i % 4u];
    }
}
