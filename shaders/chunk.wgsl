// A chunk of rows is added to the sums of a thread, `total…`, which is the `across`th of its row of threads and the
// `down`th of its column.
// repeat k ROWS
{
    // repeat q QUADS
    let drive{q} = drives[{k}u * TILE_QUADS + down * QUADS + {q}u];
    // end
    // repeat w EACH
    let weight{w} = block[{k}u * TILE_WORDS + across + {w}u * ACROSS];
    // end
    // repeat w EACH
    // repeat q QUADS
    // repeat i 4
    total{q}{i}{w} += drive{q}.{i:lane} * weight{w};
    // end
    // end
    // end
}
// end
