// Philox alone, for the test on known answers: a draw is a counter and a key, six words.

@group(1) @binding(1) var<storage, read> draws: array<u32>;
@group(1) @binding(2) var<storage, read_write> words: array<vec4<u32>>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let at = id.x * 6u;
    if (id.x >= arrayLength(&words) || at + 5u >= arrayLength(&draws)) {
        return;
    }
    let counter = vec4(draws[at], draws[at + 1u], draws[at + 2u], draws[at + 3u]);
    words[id.x] = philox4x32(vec2(draws[at + 4u], draws[at + 5u]), counter);
}
