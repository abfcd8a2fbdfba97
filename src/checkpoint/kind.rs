//! What a file is that is taken for a checkpoint and is none.

/// Opcode, length and first bytes of the number with which `torch.save` began its files before PyTorch 1.6.
const LEGACY_PYTORCH: [u8; 6] = [0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46];

/// First bytes of files, and what to say of them.
const KINDS: &[(&[u8], &str)] = &[
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself; `git lfs pull` fetches it"),
    (b"\x1f\x8b", "compressed by gzip; unpack it first (gunzip, or tar -xzf)"),
    (b"BZh", "compressed by bzip2; unpack it first"),
    (b"\xfd7zXZ\0", "compressed by xz; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd; unpack it first"),
    (
        b"\x89HDF\r\n\x1a\n",
        "an HDF5 file; one of NIR becomes a model and its checkpoint by `crosspike import`, of others save the weights \
         by PyTorch or safetensors",
    ),
    (b"GGUF", "a GGUF file, which is not read; save the weights by PyTorch or safetensors"),
    (b"\x93NUMPY", "a NumPy array; expected named tensors, in a PyTorch or safetensors file"),
];

/// What a file is instead of a checkpoint, by its first bytes and its length; none where it may be one.
pub(super) fn instead(bytes: &[u8]) -> Option<String> {
    if bytes.is_empty() {
        return Some("an empty file".into());
    }
    if let Some((_, what)) = KINDS.iter().find(|(start, _)| bytes.starts_with(start)) {
        return Some((*what).into());
    }
    if bytes.get(257..262) == Some(b"ustar") {
        return Some("a tar archive; unpack it first (tar -xf)".into());
    }
    if bytes.first() == Some(&0x80) && bytes.get(2..8) == Some(&LEGACY_PYTORCH) {
        return Some(
            "a PyTorch file of the old format, before 1.6; load it in PyTorch and save it again (the zip format is the \
             default)"
                .into(),
        );
    }
    if bytes.first() == Some(&0x80) && bytes.get(1).is_some_and(|protocol| (2..=5).contains(protocol)) {
        return Some(
            "a pickle that is none of torch.save; save the weights by torch.save(model.state_dict(), …)".into(),
        );
    }
    text(bytes)
}

/// What a text is: a web page in place of a download, or any other.
fn text(bytes: &[u8]) -> Option<String> {
    let head = &bytes[..bytes.len().min(512)];
    let is_text = |b: &u8| !b.is_ascii_control() || b.is_ascii_whitespace();
    let head = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The last character may be cut in two.
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&head[..error.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    // A safetensors file begins with the length of its header, whose upper bytes are 0 and no text.
    if !head.as_bytes().iter().all(is_text) {
        return None;
    }
    let start = head.trim_start().to_ascii_lowercase();
    let what = match () {
        () if start.starts_with("<!doctype html") || start.starts_with("<html") => {
            "a web page, not the file that it may offer; download the file itself"
        }
        () => "a text file; expected weights, in a PyTorch or safetensors file",
    };
    Some(what.into())
}
