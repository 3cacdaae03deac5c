//! Any bytes decode, or say why not.
#![no_main]

use libfuzzer_sys::fuzz_target;
use m3a3_fuzz::thumbnail::stages::decode;
use m3a3_fuzz::{LIMITS, forgive_others, spec};

fuzz_target!(init: forgive_others(), |bytes: &[u8]| {
    let _ = decode(bytes, &spec(bytes.len()), &LIMITS);
});
