//! How a workgroup of `shaders/product.wgsl` and `shaders/columns.wgsl` cuts up its matrix, and the shader's text for
//! it.

/// The cut: a thread sums quads of pixels by words of columns, and a workgroup a rectangle of threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tiling {
    /// Threads of a workgroup.
    pub threads: u32,
    /// Threads side by side, each at columns of its own.
    pub across: u32,
    /// Quads of pixels of a thread.
    pub quads: u32,
    /// Words of columns of a thread.
    pub each: u32,
    /// Words of rows that a workgroup has in its memory at a time.
    pub chunk: u32,
}

/// The workgroup memory that every WebGPU device has.
const MEMORY_BYTES: u32 = 16 << 10;
/// Bytes of four floats.
const VECTOR_BYTES: u32 = 16;

impl Tiling {
    /// The cut for more than 32 columns.
    pub const WIDE: Tiling = Tiling { threads: 64, across: 8, quads: 2, each: 2, chunk: 4 };
    /// The cut for 17 to 32 columns.
    pub const HALF: Tiling = Tiling { threads: 64, across: 8, quads: 2, each: 1, chunk: 4 };
    /// The cut for at most 16 columns.
    pub const NARROW: Tiling = Tiling { threads: 64, across: 4, quads: 2, each: 1, chunk: 4 };
    /// The cut for few pixels: more workgroups, each of less work.
    pub const FEW: Tiling = Tiling { threads: 64, across: 8, quads: 1, each: 1, chunk: 8 };
    /// The cut for more than 32 columns behind converters, whose codes take registers of their own.
    pub const CODES: Tiling = Tiling { threads: 128, across: 16, quads: 2, each: 1, chunk: 4 };
    /// Every cut there is.
    #[cfg(test)]
    pub const ALL: [Tiling; 5] = [Tiling::WIDE, Tiling::HALF, Tiling::NARROW, Tiling::FEW, Tiling::CODES];

    /// Quads of pixels of a workgroup.
    const fn tile_quads(self) -> u32 {
        self.threads / self.across * self.quads
    }

    /// Pixels of a workgroup.
    pub const fn pixels(self) -> usize {
        4 * self.tile_quads() as usize
    }

    /// Words of columns of a workgroup.
    pub const fn words(self) -> usize {
        (self.across * self.each) as usize
    }

    /// The workgroup's memory.
    const fn bytes(self) -> u32 {
        4 * self.chunk * (self.tile_quads() + self.across * self.each) * VECTOR_BYTES
    }

    /// A shader's constants, and its text with what is inserted and repeated written out.
    pub fn source(self, shader: &str) -> String {
        debug_assert!(self.bytes() <= MEMORY_BYTES);
        let Tiling { threads, across, quads, each, chunk } = self;
        let counts = [
            ("4", 4),
            ("QUADS", quads),
            ("EACH", each),
            ("ROWS", 4 * chunk),
            ("QUAD_LOADS", (chunk * self.tile_quads()).div_ceil(threads)),
            ("WEIGHT_LOADS", (4 * chunk * across * each).div_ceil(threads)),
        ];
        let constants = [("THREADS", threads), ("ACROSS", across), ("QUADS", quads), ("EACH", each), ("CHUNK", chunk)];
        let constants = constants.map(|(name, value)| format!("const {name} = {value}u;\n"));
        constants.concat() + &repeated(&inserted(shader), &counts)
    }
}

/// The lines of a shader, those of the parts it names in their places.
fn inserted(shader: &str) -> Vec<&str> {
    let of_part = |line| match str::trim(line) {
        "// insert tiled" => inserted(include_str!("../../../shaders/tiled.wgsl")),
        "// insert chunk" => inserted(include_str!("../../../shaders/chunk.wgsl")),
        _ => vec![line],
    };
    shader.lines().flat_map(of_part).collect()
}

/// The lines, those between `// repeat x COUNT` and its `// end` written so many times, `{x}` being the number and
/// `{x:lane}` the component.
fn repeated(lines: &[&str], counts: &[(&str, u32)]) -> String {
    let mut text = String::new();
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        at += 1;
        let Some(head) = line.trim_start().strip_prefix("// repeat ") else {
            text += line;
            text.push('\n');
            continue;
        };
        let (name, count) = head.split_once(' ').expect("a repetition has a name and a count");
        let (_, count) = counts.iter().find(|(known, _)| *known == count).expect("a count that is known");
        let length = end(&lines[at..]);
        let body = repeated(&lines[at..at + length], counts);
        at += length + 1;
        for number in 0..*count {
            let lane = &"xyzw"[number as usize % 4..][..1];
            text +=
                &body.replace(&format!("{{{name}}}"), &number.to_string()).replace(&format!("{{{name}:lane}}"), lane);
        }
    }
    text
}

/// Lines before the end of a repetition.
fn end(lines: &[&str]) -> usize {
    let mut depth = 1;
    let ends = lines.iter().position(|line| {
        let line = line.trim_start();
        depth += i32::from(line.starts_with("// repeat ")) - i32::from(line == "// end");
        depth == 0
    });
    ends.expect("a repetition ends")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shader runs without checks of its indices into workgroup memory: those of every thread and chunk lie within
    /// it, every pixel and column is summed by one thread, and every place of a chunk is brought by one.
    #[test]
    fn every_thread_stays_within_its_workgroups_memory() {
        for tiling in Tiling::ALL {
            let Tiling { threads, across, quads, each, chunk } = tiling;
            let (tile_quads, tile_words) = (tiling.tile_quads(), across * each);
            assert!(threads % across == 0 && threads % tile_quads == 0 && tiling.bytes() <= MEMORY_BYTES, "{tiling:?}");
            let (chunk_quads, chunk_weights) = (chunk * tile_quads, 4 * chunk * tile_words);
            let mut rows_brought = vec![0; 4 * chunk_quads as usize];
            let mut brought = (vec![0; 4 * chunk_quads as usize], vec![0; chunk_weights as usize]);
            let mut summed = vec![0; (tile_quads * tile_words) as usize];
            for local in 0..threads {
                // A thread of product.wgsl brings a word of rows at a time, one of columns.wgsl a row.
                for quad in (local..chunk_quads).step_by(threads as usize) {
                    let to = quad / tile_quads * 4 * tile_quads + quad % tile_quads;
                    (0..4).for_each(|i| brought.0[(to + i * tile_quads) as usize] += 1);
                }
                for at in (local..4 * chunk_quads).step_by(threads as usize) {
                    rows_brought[at as usize] += 1;
                    assert_eq!(at % tile_quads, local % tile_quads, "a thread brings the same pixels of every row");
                }
                (threads - 1 - local..chunk_weights)
                    .step_by(threads as usize)
                    .for_each(|at| brought.1[at as usize] += 1);
                let (column, down) = (local % across, local / across);
                for (q, w) in (0..quads).flat_map(|q| (0..each).map(move |w| (q, w))) {
                    let (quad, word) = (down * quads + q, column + w * across);
                    summed[(quad * tile_words + word) as usize] += 1;
                    assert!(
                        (4 * chunk - 1) * tile_quads + quad < 4 * chunk_quads
                            && (4 * chunk - 1) * tile_words + word < chunk_weights
                    );
                }
            }
            assert!(
                [&brought.0, &brought.1, &rows_brought, &summed].into_iter().flatten().all(|times| *times == 1),
                "{tiling:?}"
            );
        }
    }

    #[test]
    fn repetitions_nest() {
        let lines = ["a", " // repeat i TWO", "b{i}", "// repeat k TWO", "{i}{k:lane}", "// end", "// end", "c"];
        assert_eq!(repeated(&lines, &[("TWO", 2)]), "a\nb0\n0x\n0y\nb1\n1x\n1y\nc\n");
    }
}
