//! What is refused, and the words it is refused with: each case is one spoiled file.

use super::*;

fn refusal(spec: &str, base: &Path) -> String {
    match open(spec, base, Split::Test) {
        Ok(_) => panic!("{spec} was accepted"),
        Err(error) => error.to_string(),
    }
}

fn assert_refused(cases: &[(&str, String)]) {
    let failed: Vec<_> = cases.iter().filter(|(expected, message)| !message.contains(expected)).collect();
    assert!(failed.is_empty(), "expected words and actual messages: {failed:#?}");
}

#[test]
fn an_unknown_set_is_a_usage_error() {
    for spec in ["", "digit", "idx", "idx:", "mnist:dir", "frames:", "digits:dir"] {
        let error = open(spec, Path::new(""), Split::Train).unwrap_err();
        assert!(matches!(&error, Error::Usage(message) if message.contains("cifar100:DIR")), "{spec}: {error}");
    }
}

#[test]
fn missing_files_are_named() {
    let dir = tempdir().unwrap();
    let (at, folder) = (dir.path(), dir.path().display().to_string());
    fs::create_dir(at.join("train.bin")).unwrap();
    assert_refused(&[
        ("no t10k-images-idx3-ubyte or .gz here; expected the MNIST-style files", refusal("idx:.", at)),
        ("absent: no such folder; expected the MNIST-style files", refusal("idx:absent", at)),
        ("expected the binary version of CIFAR-10: data_batch_1.bin", refusal("cifar10:.", at)),
        ("absent: no such folder; expected the binary version of CIFAR-100", refusal("cifar100:absent", at)),
        ("absent.npz: ", refusal("frames:absent.npz", at)),
        (folder.as_str(), refusal("images:absent.npz", at)),
    ]);
    let error = open("cifar100:.", at, Split::Train).unwrap_err();
    assert!(matches!(error, Error::Io { .. } | Error::File { .. }), "{error}");
}

#[test]
fn spoiled_idx_files_are_refused() {
    let images = "t10k-images-idx3-ubyte";
    let huge = idx(&[u32::MAX, u32::MAX, u32::MAX], &[]);
    let case = |name: &str, bytes: Vec<u8>| {
        let dir = idx_folder();
        let plain = name.trim_end_matches(".gz");
        for old in [plain.to_owned(), format!("{plain}.gz")] {
            let _ = fs::remove_file(dir.path().join(old));
        }
        fs::write(dir.path().join(name), bytes).unwrap();
        refusal("idx:.", dir.path())
    };
    let packed_name = format!("{images}.gz");
    assert_refused(&[
        ("holds less", case(images, idx(&[2, 2, 3], &[0; 11]))),
        ("holds more", case(images, idx(&[2, 2, 3], &[0; 13]))),
        ("holds less", case(&packed_name, gzip(&idx(&[2, 2, 3], &[0; 11])))),
        ("holds more", case(&packed_name, gzip(&idx(&[2, 2, 3], &[0; 13])))),
        ("ends at byte 7", case(images, vec![0, 0, 8, 3, 0, 0, 0])),
        ("ends at byte 0", case(images, vec![])),
        ("begins with [00, 00, 0d, 03]", case(images, vec![0, 0, 13, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0])),
        ("more than 1099511627776 bytes", case(images, huge.clone())),
        ("more than 1099511627776 bytes", case(&packed_name, gzip(&huge))),
        ("can hold", case(&packed_name, gzip(&idx(&[1 << 30, 1, 1], &[])))),
        (&packed_name, case(&packed_name, vec![1, 2, 3])),
        (&packed_name, case(&packed_name, gzip(&idx(&[2, 2, 3], &[0; 12]))[..20].to_vec())),
        ("there is nothing in it", case(images, idx(&[0, 2, 3], &[]))),
        ("the training images are 1x2x3", case(images, idx(&[2, 3, 2], &[0; 12]))),
        ("3 labels for 2 images", case("t10k-labels-idx1-ubyte", idx(&[3], &[0; 3]))),
        ("label of image 1 is 3; the classes are 0 to 2", case("t10k-labels-idx1-ubyte", idx(&[2], &[0, 3]))),
        ("all pixels are alike", case("train-images-idx3-ubyte", idx(&[6, 2, 3], &[5; 36]))),
    ]);
}

#[test]
fn spoiled_cifar_files_are_refused() {
    let case = |label_bytes: usize, bytes: Vec<u8>| {
        let dir = cifar_folder(label_bytes);
        fs::write(dir.path().join(if label_bytes == 1 { "test_batch.bin" } else { "test.bin" }), bytes).unwrap();
        refusal(if label_bytes == 1 { "cifar10:." } else { "cifar100:." }, dir.path())
    };
    assert_refused(&[
        ("3072 bytes are not a whole number of records of 3073", case(1, vec![0; 3072])),
        ("0 bytes are not", case(1, vec![])),
        ("of records of 3074", case(2, vec![0; 3073])),
        ("label of image 1 is 10; the classes are 0 to 9", case(1, [vec![0; 3073], vec![10; 3073]].concat())),
        ("label of image 0 is 100; the classes are 0 to 99", case(2, vec![100; 3074])),
    ]);
}

#[test]
fn spoiled_npz_files_are_refused() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("f.npz");
    let case = |frames: &Array5<f32>, labels: &[i64]| {
        npz(&path, "frames", frames, labels, true);
        refusal("frames:f.npz", dir.path())
    };
    let good = Array5::<f32>::zeros((2, 3, 1, 2, 2));
    let (mut nan, mut infinite) = (good.clone(), good.clone());
    nan[[1, 2, 0, 1, 0]] = f32::NAN;
    infinite[[0, 0, 0, 0, 1]] = f32::INFINITY;
    assert_refused(&[
        ("frames[1, 2, 0, 1, 0] is NaN", case(&nan, &[0, 0])),
        ("frames[0, 0, 0, 0, 1] is inf", case(&infinite, &[0, 0])),
        ("1 labels for 2", case(&good, &[0])),
        ("labels[1] is -1", case(&good, &[0, -1])),
        ("labels[0] is 1000000", case(&good, &[1_000_000, 0])),
        ("there is nothing in it", case(&Array5::zeros((0, 3, 1, 2, 2)), &[])),
        ("`images`: no such array; the archive holds frames.npy, labels.npy", refusal("images:f.npz", dir.path())),
    ]);
    npz(&path, "frames", &Array2::<f32>::zeros((2, 1)), &[0, 0], false);
    assert_refused(&[("expected [N, T, C, H, W], [N, T, C, W] or [N, T, C]", refusal("frames:f.npz", dir.path()))]);
    // Lines and rows are maps of one row, or of one pixel.
    npz(&path, "frames", &Array4::<f32>::zeros((2, 3, 4, 5)), &[0, 0], false);
    let shape = |spec: &str| Dataset::open(spec, dir.path(), Split::Test).unwrap().shape();
    assert_eq!(shape("frames:f.npz"), Shape { channels: 4, height: 1, width: 5 });
    npz(&path, "frames", &Array3::<f32>::zeros((2, 3, 4)), &[0, 0], false);
    assert_eq!(shape("frames:f.npz"), Shape { channels: 4, height: 1, width: 1 });
    let images = |add: &dyn Fn(&mut NpzWriter<fs::File>)| {
        images_npz(&path, |writer| {
            writer.add_array("images", &Array4::<u8>::from_shape_fn((2, 3, 1, 1), |(n, ..)| n as u8)).unwrap();
            add(writer);
        });
        refusal("images:f.npz", dir.path())
    };
    let three = Array1::from(vec![1.0, 2.0, 3.0]);
    assert_refused(&[
        ("holds some of `mean`, `std` and `full`", images(&|writer| writer.add_array("mean", &three).unwrap())),
        (
            "`std`: expected numbers above 0",
            images(&|writer| {
                writer.add_array("mean", &three).unwrap();
                writer.add_array("std", &(&three - 1.0)).unwrap();
            }),
        ),
        (
            "`mean`: the shape is [2]; expected [] or [3]",
            images(&|writer| {
                writer.add_array("mean", &Array1::from(vec![1.0, 2.0])).unwrap();
                writer.add_array("std", &three).unwrap();
            }),
        ),
    ]);
    images_npz(&path, |writer| writer.add_array("images", &Array4::<u8>::zeros((2, 1, 2, 2))).unwrap());
    assert_refused(&[("all pixels of channel 0 are alike", refusal("images:f.npz", dir.path()))]);
    images_npz(&path, |writer| {
        writer.add_array("images", &Array4::<f32>::zeros((2, 1, 2, 2))).unwrap();
        writer.add_array("std", &three).unwrap();
    });
    assert_refused(&[(
        "`std`: normalises whole-numbered pixels, and `images` are real",
        refusal("images:f.npz", dir.path()),
    )]);
    fs::write(&path, b"PK nothing of the kind").unwrap();
    assert_refused(&[("expected an npz archive", refusal("frames:f.npz", dir.path()))]);
}

#[test]
fn npy_headers_are_not_believed() {
    let dir = tempdir().unwrap();
    let case = |member: &[u8]| {
        let mut writer = zip::ZipWriter::new(fs::File::create(dir.path().join("f.npz")).unwrap());
        writer.start_file("frames.npy", SimpleFileOptions::default()).unwrap();
        writer.write_all(member).unwrap();
        writer.finish().unwrap();
        refusal("frames:f.npz", dir.path())
    };
    let npy = |shape: &str, bytes: usize| {
        let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n");
        [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), &vec![0; bytes]].concat()
    };
    let nested = npy(&"(".repeat(60_000), 0);
    let text = |from: &str, to: &str| String::from_utf8_lossy(&npy("(1, 1, 1, 1, 1)", 4)[10..]).replace(from, to);
    let complex = [&npy("(1, 1, 1, 1, 1)", 4)[..10], text("<f4", "<c8").as_bytes()].concat();
    assert_refused(&[
        ("does not fit a member", case(&npy("(4, 1, 1, 1, 1)", 15))),
        ("does not fit a member", case(&npy("(4, 1, 1, 1, 1)", 17))),
        ("does not fit a member", case(&npy("(1099511627776, 1, 1, 1, 1)", 8))),
        ("does not fit a member", case(&npy("(4294967296, 4294967296, 1, 1, 1)", 8))),
        ("shape", case(&npy("(99999999999999999999999, 1, 1, 1, 1)", 8))),
        ("shape", case(&npy("(-1, 1, 1, 1, 1)", 8))),
        ("type <c8; accepted are whole numbers", case(&complex)),
        ("expected at most", case(&nested)),
        ("`frames`: ", case(&npy("(", 0))),
        ("expected at most", case(b"\x93NUMPY\x02\x00\xff\xff\xff\xff")),
        ("`frames`: ", case(b"\x93NUM")),
        ("labels", case(&npy("(4, 1, 1, 1, 1)", 16))),
    ]);
}
