//! Contract: both file formats give the same tensors, canonical bytes are stable, and no file, however damaged or
//! hostile, is executed or makes reading panic.

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use serde_json::json;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::*;

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/bntt").join(name)
}

fn tensor(shape: &[usize], values: Values) -> Tensor {
    Tensor { shape: shape.to_vec(), values }
}

/// A PyTorch file of a pickle and one storage, `data/0`.
fn pytorch_file(pickle: &[u8], storage: &[u8], byte_order: &str, method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    for (name, bytes) in [("data.pkl", pickle), ("byteorder", byte_order.as_bytes()), ("data/0", storage)] {
        zip.start_file(format!("sample/{name}"), options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// Protocol 2 for `{'w': tensor}`, a view of six floats; `shape` and `strides` are opcodes.
fn one_tensor(kind: &str, offset: u8, shape: &[u8], strides: &[u8]) -> Vec<u8> {
    let mut pickle = b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((U\x07storage".to_vec();
    pickle.extend(format!("ctorch\n{kind}\nU\x010U\x03cpuK\x06tQK").bytes());
    pickle.push(offset);
    pickle.extend([shape, strides].concat());
    pickle.extend(b"\x89ccollections\nOrderedDict\n)RtRs.");
    pickle
}

fn stored(pickle: &[u8]) -> Vec<u8> {
    let values: Vec<u8> = (0..6).flat_map(|value| (value as f32).to_le_bytes()).collect();
    pytorch_file(pickle, &values, "little", CompressionMethod::Stored)
}

fn message(bytes: &[u8]) -> String {
    Checkpoint::parse(bytes).expect_err("must be refused")
}

#[test]
fn both_formats_hold_the_same_tensors() {
    for name in ["checkpoint", "hybrid"] {
        let safetensors = Checkpoint::read(&sample(&format!("{name}.safetensors"))).unwrap();
        let pytorch = Checkpoint::read(&sample(&format!("{name}.pth.tar"))).unwrap();
        assert!(safetensors.tensors.len() > 50, "{name}");
        assert_eq!(safetensors.tensors, pytorch.tensors, "{name}");
        assert_eq!(safetensors.hash(), pytorch.hash(), "{name}");
    }
}

#[test]
fn what_is_written_is_read_and_canonical() {
    let mut checkpoint = Checkpoint { metadata: json!({"seed": 7, "a": {"z": [1, 0.5], "b": null}}), ..<_>::default() };
    checkpoint.tensors.insert("b.steps".into(), tensor(&[], Values::I64(vec![-3])));
    checkpoint.tensors.insert("a.weight".into(), tensor(&[2, 1], Values::F32(vec![0.1, f32::NEG_INFINITY])));
    checkpoint.tensors.insert("empty".into(), tensor(&[3, 0], Values::F32(vec![])));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.safetensors");
    checkpoint.write(&path).unwrap();
    checkpoint.write(&path).unwrap();
    assert_eq!(Checkpoint::read(&path).unwrap(), checkpoint);
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(bytes, checkpoint.to_safetensors().unwrap());
    let header = String::from_utf8_lossy(&bytes);
    assert!(
        header.contains(r#"{"__metadata__":{"crosspike":"{\"a\":{\"b\":null,\"z\":[1,0.5]},\"seed\":7}"}"#),
        "{header}"
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");

    let hash = checkpoint.hash();
    checkpoint.metadata = json!(null);
    assert_eq!(checkpoint.hash(), hash, "metadata does not enter the hash");
    assert_eq!(
        hash, "5709898d8151e8fe1ec4aab6558cc66b88833d86f576348129605bb0ee39d02f",
        "change only with the definition of the hash"
    );
    checkpoint.tensors.insert("bad".into(), tensor(&[2], Values::F32(vec![1.0])));
    assert!(checkpoint.to_safetensors().is_err(), "shape and values disagree");
}

#[test]
fn f32_names_the_tensor_and_both_shapes() {
    let mut checkpoint = Checkpoint::default();
    checkpoint.tensors.insert("conv1.weight".into(), tensor(&[2], Values::F32(vec![1.0, 2.0])));
    checkpoint.tensors.insert("steps".into(), tensor(&[], Values::I64(vec![1])));
    assert_eq!(checkpoint.f32("conv1.weight", &[2]).unwrap(), [1.0, 2.0]);
    let cases = [
        ("conv1.weight", "tensor `conv1.weight` of the checkpoint has shape [2]; expected [4]"),
        ("conv1.WR", "no tensor `conv1.WR` (expected shape [4]); near it: conv1.weight"),
        ("fc1.weight", "no tensor `fc1.weight` (expected shape [4]); it has for example conv1.weight, steps"),
    ];
    for (name, expected) in cases {
        let error = checkpoint.f32(name, &[4]).unwrap_err().to_string();
        assert!(error.contains(expected), "{name}: {error}");
    }
    assert!(checkpoint.f32("steps", &[]).unwrap_err().to_string().contains("integers"));
}

#[test]
fn views_are_copied_in_the_order_of_their_indices() {
    type Case = (u8, &'static [u8], &'static [u8], &'static [usize], &'static [f32]);
    let cases: [Case; 6] = [
        (0, b"K\x02K\x03\x86", b"K\x03K\x01\x86", &[2, 3], &[0., 1., 2., 3., 4., 5.]),
        (0, b"K\x03K\x02\x86", b"K\x01K\x03\x86", &[3, 2], &[0., 3., 1., 4., 2., 5.]),
        (1, b"K\x02\x85", b"K\x02\x85", &[2], &[1., 3.]),
        (5, b")", b")", &[], &[5.]),
        (2, b"K\x03\x85", b"K\x00\x85", &[3], &[2., 2., 2.]),
        (4, b"K\x01\x85", b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x85", &[1], &[4.]),
    ];
    for (offset, shape, strides, expected_shape, expected) in cases {
        let file = stored(&one_tensor("FloatStorage", offset, shape, strides));
        let checkpoint = Checkpoint::parse(&file).unwrap();
        assert_eq!(checkpoint.f32("w", expected_shape).unwrap(), expected, "{expected_shape:?} from {offset}");
    }
}

#[test]
fn hostile_files_are_refused_with_a_reason() {
    let whole = one_tensor("FloatStorage", 0, b"K\x06\x85", b"K\x01\x85");
    let values = [0; 24];
    let huge = [&u64::MAX.to_le_bytes()[..], b"{}"].concat();
    let long = [&99_999_999u64.to_le_bytes()[..], b"{}"].concat();
    let cases = [
        (stored(b"\x80\x02cos\nsystem\nU\x04trueq\x00\x85R."), "asks to call `os.system`; only tensors are read"),
        (stored(b"\x80\x02c__builtin__\neval\nU\x011\x85R."), "asks to call `__builtin__.eval`"),
        (stored(&one_tensor("QInt8Storage", 0, b")", b")")), "asks to call `torch.QInt8Storage`"),
        (stored(&one_tensor("FloatStorage", 0, b"K\x07\x85", b"K\x01\x85")), "does not fit its storage of 6 values"),
        (stored(&one_tensor("FloatStorage", 6, b")", b")")), "does not fit its storage"),
        (stored(&one_tensor("FloatStorage", 0, b"J\xff\xff\xff\xff\x85", b"K\x01\x85")), "shape is no tuple of sizes"),
        (stored(&one_tensor("FloatStorage", 0, b"J\xff\xff\xff\x7f\x85", b"K\x00\x85")), "more values are described"),
        (stored(&one_tensor("HalfStorage", 0, b"K\x06\x85", b"K\x01\x85")), "has 24 bytes; expected 6 values of 2"),
        (stored(b"\x80\x02}q\x00U\x01aK\x01s."), "no tensors by name"),
        (stored(b"\x80\x02(((((("), "the pickle ends early"),
        (stored(b"\x80\x04N."), "pickle protocol 4"),
        (stored(b""), "the pickle ends early"),
        (pytorch_file(&whole, &values, "big", CompressionMethod::Stored), "not little-endian"),
        (pytorch_file(&whole, &values, "little", CompressionMethod::Deflated), "is compressed"),
        (b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9 j\xa8P\x19.".to_vec(), "old format, before 1.6"),
        (b"PK\x03\x04".to_vec(), "damaged zip file"),
        (huge, "header"),
        (long, "header"),
        (Vec::new(), "neither a PyTorch zip nor a safetensors file"),
    ];
    for (bytes, expected) in cases {
        let message = message(&bytes);
        assert!(message.contains(expected), "expected {expected:?}: {message}");
    }
    assert!(Checkpoint::parse(&stored(&whole)).is_ok(), "the unharmed file is read");
}

#[test]
fn damaged_files_never_panic() {
    for name in ["checkpoint.safetensors", "checkpoint.pth.tar"] {
        let bytes = std::fs::read(sample(name)).unwrap();
        for length in (0..bytes.len()).step_by(211).chain(0..200).chain(bytes.len() - 200..bytes.len()) {
            assert!(Checkpoint::parse(&bytes[..length]).is_err(), "{name} cut to {length} bytes");
        }
        let mut state = 1u64;
        for _ in 0..600 {
            let mut damaged = bytes.clone();
            for _ in 0..3 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let place = (state >> 33) as usize;
                // Half of the damage in the first 8 KB, where headers and the pickle are.
                let place = if place.is_multiple_of(2) { place % 8192 } else { place % bytes.len() };
                damaged[place] ^= 1 << (state >> 29 & 7);
            }
            let _ = Checkpoint::parse(&damaged);
        }
    }
}

#[test]
fn damaged_pickles_never_panic() {
    let pickle = one_tensor("FloatStorage", 0, b"K\x02K\x03\x86", b"K\x03K\x01\x86");
    for place in 0..pickle.len() {
        for flip in 1..=255 {
            let mut damaged = pickle.clone();
            damaged[place] ^= flip;
            let _ = Checkpoint::parse(&stored(&damaged));
        }
    }
}
