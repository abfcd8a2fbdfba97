// A thread multiplies and adds 16 sums of its own, MULTIPLIED times each: the adapter's arithmetic.

@group(1) @binding(1) var<storage, read> given: array<vec4<f32>>;
@group(1) @binding(2) var<storage, read_write> results: array<vec4<f32>>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = place(group, groups) * 256u + local;
    let x = given[index % arrayLength(&given)];
    let y = x * 0.5;
    var a = x;
    var b = x + 1.0;
    var c = x + 2.0;
    var d = x + 3.0;
    for (var i = 0u; i < MULTIPLIED / 2u; i++) {
        a = fma(a, y, x);
        b = fma(b, y, x);
        c = fma(c, y, x);
        d = fma(d, y, x);
        a = fma(a, x, y);
        b = fma(b, x, y);
        c = fma(c, x, y);
        d = fma(d, x, y);
    }
    results[index % arrayLength(&results)] = a + b + c + d;
}
