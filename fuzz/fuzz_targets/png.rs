//! Any bytes after the signature of PNG decode or return an error. `cfg(fuzzing)` disables the checksums of the decoder,
//! but not that of the image data, which `src/thumbnail` calculates: rows that are decoded are also verified.
#![no_main]

use libfuzzer_sys::fuzz_target;
use m3a3_fuzz::{LIMITS, ignore_third_party_panics, spec};
use m3a3_thumbnail::bench_hooks::decode;

fuzz_target!(init: ignore_third_party_panics(), |bytes: &[u8]| {
    let _ = decode(&[b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR", bytes].concat(), &spec(bytes.len()), &LIMITS);
});
