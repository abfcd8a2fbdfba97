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
    Checkpoint::parse(bytes, None).expect_err("must be refused")
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
        let checkpoint = Checkpoint::parse(&file, None).unwrap();
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
        (
            stored(b"\x80\x02cos\nsystem\nU\x04trueq\x00\x85R."),
            "a whole object, a `os.system`, of which nothing is executed",
        ),
        (stored(b"\x80\x02c__builtin__\neval\nU\x011\x85R."), "a whole object, a `__builtin__.eval`"),
        (stored(&one_tensor("FloatStorage", 0, b"K\x07\x85", b"K\x01\x85")), "does not fit its storage of 6 values"),
        (stored(&one_tensor("FloatStorage", 6, b")", b")")), "does not fit its storage"),
        (stored(&one_tensor("FloatStorage", 0, b"J\xff\xff\xff\xff\x85", b"K\x01\x85")), "shape is no tuple of sizes"),
        (
            stored(&one_tensor("FloatStorage", 0, b"J\xff\xff\xff\x7f\x85", b"K\x00\x85")),
            "more values are described than its storages",
        ),
        (stored(&one_tensor("HalfStorage", 0, b"K\x06\x85", b"K\x01\x85")), "has 24 bytes; expected 6 values of 2"),
        (stored(b"\x80\x02}q\x00U\x01aK\x01s."), "no tensors by name"),
        (stored(b"\x80\x02(((((("), "the pickle ends early"),
        (stored(b"\x80\x06N."), "pickle protocol 6"),
        (stored(b"\x80\x02\xff."), "opcode 0xff, which no protocol has"),
        (stored(b"\x80\x02Ntr0."), "no mark"),
        (stored(b"\x80\x02]K\x01s."), "the stack is empty"),
        (stored(b"\x80\x02NK\x01a."), "items without a list"),
        (stored(b"\x80\x02NK\x01K\x02s."), "entries without a dictionary"),
        (stored(b"\x80\x04\x8c\x01aK\x01\x93."), "a name that is no text"),
        (stored(b""), "the pickle ends early"),
        (pytorch_file(&whole, &values, "big", CompressionMethod::Stored), "not little-endian"),
        (b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9 j\xa8P\x19.".to_vec(), "old format, before 1.6"),
        (b"PK\x03\x04".to_vec(), "damaged zip file"),
        (huge, "header"),
        (long, "header"),
        (vec![1, 2, 3], "neither a PyTorch zip file (torch.save) nor a safetensors file"),
        (Vec::new(), "an empty file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\n".to_vec(), "a pointer of Git LFS"),
        (b"\n<!DOCTYPE html><html>".to_vec(), "a web page"),
        (b"# Weights\n\nSee there.\n".to_vec(), "a text file"),
        (b"\x1f\x8b\x08\0\0".to_vec(), "compressed by gzip"),
        ([&[0x64; 257][..], b"ustar\x0000"].concat(), "a tar archive"),
        (b"\x89HDF\r\n\x1a\n\0\0".to_vec(), "an HDF5 file; one of NIR becomes a model"),
        (b"\x80\x04\x95\0\0".to_vec(), "a pickle that is none of torch.save"),
        (b"\x93NUMPY\x01\0".to_vec(), "a NumPy array"),
        (zip_of("x/labels.npy"), "a NumPy archive"),
        (zip_of("x/other"), "not written by torch.save"),
        (b"z\xd3z".to_vec(), "neither a PyTorch zip file"),
        (b"\x7fELF\0\0\0\0\0\0\0\0".to_vec(), "neither a PyTorch zip file"),
    ];
    for (bytes, expected) in cases {
        let message = message(&bytes);
        assert!(message.contains(expected), "expected {expected:?}: {message}");
    }
    assert!(Checkpoint::parse(&stored(&whole), None).is_ok(), "the unharmed file is read");
}

/// A zip file of one empty entry.
fn zip_of(entry: &str) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file(entry, SimpleFileOptions::default()).unwrap();
    zip.finish().unwrap().into_inner()
}

#[test]
fn every_protocol_and_whatever_stands_beside_the_weights_is_read() {
    for protocol in 0..=5 {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/pickles/protocol{protocol}.pth"));
        let checkpoint = Checkpoint::read(&path).unwrap();
        let expected = [
            ("h", &[2][..], Values::F32(vec![0.5, -2.0])),
            ("i", &[2], Values::I64(vec![-1, 2])),
            ("p", &[2], Values::F32(vec![1.0, 2.0])),
            ("s", &[2], Values::F32(vec![1.0, 2.0])),
            ("u", &[1], Values::I64(vec![65535])),
            ("w", &[2, 3], Values::F32((0..6).map(|x| x as f32).collect())),
        ];
        let expected = expected.map(|(name, shape, values)| (name.to_owned(), tensor(shape, values)));
        assert_eq!(checkpoint.tensors, BTreeMap::from(expected), "protocol {protocol}");
        assert_eq!(checkpoint.numbers.get("global_step"), Some(&90.0), "protocol {protocol}");
        let found = Checkpoint::read_at(&path, Some("optimizer")).unwrap_err().to_string();
        assert!(
            found.contains("nothing of the key `optimizer` holds tensors; it has `state_dict` (6 tensors)"),
            "{found}"
        );
    }
}

#[test]
fn weights_under_other_keys_are_found_or_asked_for() {
    let file = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/pickles").join(name);
    let value = |key| Checkpoint::read_at(&file("several.pth"), Some(key)).unwrap().f32("w", &[1]).unwrap()[0];
    assert_eq!((value("teacher"), value("student.weights")), (1.0, 2.0));
    let error = Checkpoint::read(&file("several.pth")).unwrap_err().to_string();
    let listed =
        "tensors under several keys: `teacher` (1 tensors), `student.weights` (1 tensors); choose one with --key";
    assert!(error.contains(listed), "{error}");
    let error = Checkpoint::read_at(&file("several.pth"), Some("student")).unwrap_err().to_string();
    assert!(error.contains("nothing of the key `student` holds tensors; it has `teacher`"), "{error}");
    let alone = Checkpoint::read(&file("elsewhere.pth")).unwrap();
    assert_eq!(
        (alone.f32("w", &[1]).unwrap()[0], &alone.notices[0][..]),
        (4.0, "the weights are those under `snn.weights`")
    );
    let error = Checkpoint::read_at(&sample("checkpoint.safetensors"), Some("x")).unwrap_err().to_string();
    assert!(error.contains("a safetensors file has no keys"), "{error}");
}

#[test]
fn entries_may_be_compressed_or_without_a_checksum_but_not_damaged() {
    let (pickle, values): (_, Vec<u8>) = (
        one_tensor("FloatStorage", 0, b"K\x06\x85", b"K\x01\x85"),
        (0..6).flat_map(|x| (x as f32).to_le_bytes()).collect(),
    );
    let read =
        |bytes: &[u8]| Checkpoint::parse(bytes, None).map(|checkpoint| checkpoint.f32("w", &[6]).unwrap().to_vec());
    let expected = vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
    assert_eq!(read(&pytorch_file(&pickle, &values, "little", CompressionMethod::Deflated)).unwrap(), expected);
    let whole = pytorch_file(&pickle, &values, "little", CompressionMethod::Stored);
    // The checksum stands in the entry's own header and in the directory at the end.
    let crc = flate2_crc(&values).to_le_bytes();
    let places: Vec<usize> = (0..whole.len() - 4).filter(|at| whole[*at..*at + 4] == crc).collect();
    assert_eq!(places.len(), 2);
    let with = |bytes: [u8; 4]| {
        let mut changed = whole.clone();
        places.iter().for_each(|at| changed[*at..*at + 4].copy_from_slice(&bytes));
        changed
    };
    assert_eq!(read(&with([0; 4])).unwrap(), expected);
    assert!(read(&with([1, 2, 3, 4])).unwrap_err().contains("its checksum does not hold"));
}

fn flate2_crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[test]
fn a_compressed_entry_holds_what_it_declares_and_no_more() {
    let pickle = one_tensor("FloatStorage", 0, b"J\x00\x00\x10\x00\x85", b"K\x01\x85");
    let at = pickle.windows(4).position(|bytes| bytes == b"cpuK").unwrap() + 3;
    let pickle = [&pickle[..at], b"J\x00\x00\x10\x00", &pickle[at + 2..]].concat();
    let zeros = vec![0; 4 << 20];
    let whole = pytorch_file(&pickle, &zeros, "little", CompressionMethod::Deflated);
    let size = (4u32 << 20).to_le_bytes();
    let places: Vec<usize> = (0..whole.len() - 4).filter(|at| whole[*at..*at + 4] == size).collect();
    for declared in [0u32, 24, 4 << 20, (4 << 20) + 1, u32::MAX - 1] {
        let mut changed = whole.clone();
        places.iter().for_each(|at| changed[*at..*at + 4].copy_from_slice(&declared.to_le_bytes()));
        let found = Checkpoint::parse(&changed, None);
        assert_eq!(found.is_ok(), declared == 4 << 20, "{declared}: {:?}", found.err());
    }
}

#[test]
fn types_that_are_not_read_matter_where_they_are_asked_for() {
    let checkpoint =
        Checkpoint::parse(&stored(&one_tensor("QInt8Storage", 0, b"K\x06\x85", b"K\x01\x85")), None).unwrap();
    assert_eq!(checkpoint.unread["w"], "a tensor of `torch.QInt8Storage`");
    let error = checkpoint.f32("w", &[6]).unwrap_err().to_string();
    assert!(error.contains("`w` of the checkpoint is a tensor of `torch.QInt8Storage`, which is not read"), "{error}");
    // An array of NumPy in the place of a tensor.
    let array = b"\x80\x02}(U\x01wcnumpy.core.multiarray\n_reconstruct\n)RU\x01vctorch._utils\n_rebuild_tensor_v2\n\
                  ((U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x06tQK\x00K\x06\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtRu.";
    let checkpoint = Checkpoint::parse(&stored(array), None).unwrap();
    assert_eq!(checkpoint.unread["w"], "a `numpy.core.multiarray._reconstruct`");
}

#[test]
fn programs_that_repeat_what_they_remember_take_little() {
    // A long name, and a list of many pairs, each asked for again and again.
    let mut names = b"\x80\x04\x8d".to_vec();
    names.extend((1u64 << 20).to_le_bytes());
    names.extend(vec![b'x'; 1 << 20]);
    names.extend(b"\x94");
    names.extend(b"h\x00h\x00\x93".repeat(200_000));
    names.extend(b".");
    let mut pairs = b"\x80\x02](".to_vec();
    pairs.extend(b"K\x01K\x02\x86".repeat(100_000));
    pairs.extend(b"eq\x00ccollections\nOrderedDict\nq\x01");
    pairs.extend(b"h\x01h\x00\x85R".repeat(100_000));
    pairs.extend(b".");
    for program in [names, pairs] {
        let began = std::time::Instant::now();
        assert!(Checkpoint::parse(&stored(&program), None).is_err());
        // Quadratic work would take minutes.
        assert!(began.elapsed().as_secs() < 20);
    }
}

#[test]
fn what_all_names_begin_with_is_taken_off() {
    let renamed = |prefixes: &[&str]| {
        let mut checkpoint = Checkpoint::default();
        for (i, name) in ["conv1.weight", "bntt1.0.weight", "fc1.weight"].iter().enumerate() {
            let name = format!("{}{name}", prefixes[i % prefixes.len()]);
            checkpoint.tensors.insert(name, tensor(&[1], Values::F32(vec![1.0])));
        }
        Checkpoint::parse(&checkpoint.to_safetensors().unwrap(), None).unwrap()
    };
    for prefix in
        ["", "module.", "_orig_mod.", "model.", "net.", "module.module.", "_orig_mod.module.", "snn.backbone."]
    {
        let found = renamed(&[prefix]);
        assert_eq!(
            found.tensors.keys().collect::<Vec<_>>(),
            ["bntt1.0.weight", "conv1.weight", "fc1.weight"],
            "{prefix}"
        );
        assert_eq!(found.notices.len(), usize::from(!prefix.is_empty()), "{prefix}: {:?}", found.notices);
        assert!(found.notices.iter().all(|notice| notice.contains(&format!("`{prefix}`"))));
    }
    assert_eq!(renamed(&["module.", ""]).tensors.len(), 3, "not all of them");
    assert!(renamed(&["module.", ""]).tensors.contains_key("module.conv1.weight"));
    let mut one = Checkpoint::default();
    one.tensors.insert("conv1.weight".into(), tensor(&[1], Values::F32(vec![1.0])));
    let one = Checkpoint::parse(&one.to_safetensors().unwrap(), None).unwrap();
    assert!(one.tensors.contains_key("conv1.weight"), "a layer's name is no prefix");
}

#[test]
fn damaged_files_never_panic() {
    for name in ["checkpoint.safetensors", "checkpoint.pth.tar"] {
        let bytes = std::fs::read(sample(name)).unwrap();
        for length in (0..bytes.len()).step_by(211).chain(0..200).chain(bytes.len() - 200..bytes.len()) {
            assert!(Checkpoint::parse(&bytes[..length], None).is_err(), "{name} cut to {length} bytes");
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
            let _ = Checkpoint::parse(&damaged, None);
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
            let _ = Checkpoint::parse(&stored(&damaged), None);
        }
    }
}
