//! Fuzz targets for the thumbnail pipeline: inputs that crash, hang, or exceed the memory limit.
//!
//! ```text
//! cargo install cargo-fuzz
//! RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none thumbnail fuzz/corpus/thumbnail tests/fixtures -- \
//!     -max_total_time=600 -max_len=40000 -timeout=10 -rss_limit_mb=1024
//! ```
//!
//! The targets are `probe`, `decode` and `thumbnail` for all formats, and `bmp`, `gif`, `jpeg`, `png`, `tiff` and `webp`
//! for one; overflow checks are enabled. All Rust code is safe, so no sanitizer is required; use `--sanitizer address`
//! for libwebp. Findings are in `fuzz/artifacts`: minimise them with `cargo fuzz tmin`, fix the cause, and add the bytes
//! to the tests of `src/thumbnail`.

use std::panic;

use m3a3_thumbnail::{Fit, Limits, Output, Spec};

/// A small limit keeps each run short.
pub const LIMITS: Limits = Limits { max_pixels: 1_000_000 };

/// Aborts on panics of `src/thumbnail` only, instead of on all panics like the hook of libFuzzer: panics of third-party
/// decoders are caught by the pipeline.
pub fn ignore_third_party_panics() {
    let abort = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if info.location().is_some_and(|location| location.file().contains("src/thumbnail/")) {
            abort(info);
        }
    }));
}

/// A spec of a small thumbnail that depends on the length of the input.
pub fn spec(length: usize) -> Spec {
    let pick = |divisor: usize, choices: usize| length / divisor % choices;
    Spec {
        fit: [Fit::Cover, Fit::Contain, Fit::Inside][pick(1, 3)],
        width: [40, 1, 17, 100][pick(3, 4)],
        height: [40, 1, 33][pick(12, 3)],
        output: [Output::Jpeg, Output::Png, Output::WebP, Output::Auto][pick(36, 4)],
        quality: 80,
        fine: pick(144, 2) == 1,
    }
}
