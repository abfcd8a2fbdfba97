// Sums the spikes of each pooling window; what does not fill a window at the right and lower edge is left out.

@group(1) @binding(1) var<storage, read> spikes: array<i32>; // [maps, columns, pixels]
@group(1) @binding(2) var<storage, read_write> pulses: array<i32>; // [maps, columns, pooled pixels]

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let height = layer.height / layer.window_height;
    let width = layer.width / layer.window_width;
    let index = thread(group, groups, local);
    if (index >= run.images * layer.steps * layer.columns * height * width) {
        return;
    }
    let pixel = index % (height * width);
    let y = pixel / width * layer.window_height;
    let x = pixel % width * layer.window_width;
    let corner = index / (height * width) * pixels() + y * layer.width + x;
    var sum = 0;
    for (var i = 0u; i < layer.window_height; i++) {
        for (var j = 0u; j < layer.window_width; j++) {
            sum += spikes[corner + i * layer.width + j];
        }
    }
    pulses[index] = sum;
}
