//! The loader of IDX files on a published data set, Debian's copy of Fashion-MNIST.

use std::path::Path;

use crosspike::data::{Dataset, Split};

const FOLDER: &str = "/usr/share/datasets/fashion-mnist";

/// The tests.
pub const TESTS: &[crate::Test] = &crate::tests![fashion_mnist_has_its_published_normalisation];

/// Why it is not there.
pub fn missing() -> Option<String> {
    (!Path::new(FOLDER).is_dir()).then(|| format!("no {FOLDER}"))
}

fn fashion_mnist_has_its_published_normalisation() {
    let train = Dataset::open(&format!("idx:{FOLDER}"), Path::new(""), Split::Train).unwrap();
    let test = Dataset::open("idx:fashion-mnist", Path::new("/usr/share/datasets"), Split::Test).unwrap();
    assert_eq!((train.len(), test.len(), test.classes()), (60_000, 10_000, 10));
    let black = |set: &Dataset| {
        let mut image = vec![f32::NAN; set.shape().len()];
        set.read(0, None, &mut image).unwrap();
        image[0]
    };
    let (mean, std) = (0.2860, 0.3530);
    assert!((f64::from(black(&test)) + mean / std).abs() < 5e-4, "a black pixel is {}", black(&test));
    assert_eq!(black(&train), black(&test));
}
