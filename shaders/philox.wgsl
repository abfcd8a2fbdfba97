// Philox4x32-10: the function of src/rng.rs.

// The full product of two words: low, high.
fn wide_product(a: u32, b: u32) -> vec2<u32> {
    let low = (a & 0xffffu) * (b & 0xffffu);
    let middle = (a >> 16u) * (b & 0xffffu) + (low >> 16u);
    let other = (a & 0xffffu) * (b >> 16u) + (middle & 0xffffu);
    return vec2(a * b, (a >> 16u) * (b >> 16u) + (middle >> 16u) + (other >> 16u));
}

fn philox4x32(first_key: vec2<u32>, counter: vec4<u32>) -> vec4<u32> {
    var key = first_key;
    var c = counter;
    for (var round = 0u; round < 10u; round++) {
        let p0 = wide_product(0xd2511f53u, c.x);
        let p1 = wide_product(0xcd9e8d57u, c.z);
        c = vec4(p1.y ^ c.y ^ key.x, p1.x, p0.y ^ c.w ^ key.y, p0.x);
        key += vec2(0x9e3779b9u, 0xbb67ae85u);
    }
    return c;
}
