//! Looks for bytes that thumbnails cannot stand: a panic, a hang, more memory than is allowed.
//!
//! ```text
//! cargo install cargo-fuzz
//! RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none thumbnail fuzz/corpus/thumbnail tests/fixtures -- \
//!     -max_total_time=600 -max_len=40000 -timeout=10 -rss_limit_mb=1024
//! ```
//!
//! The targets are `probe`, `decode` and `thumbnail`. It runs with overflow checks. The Rust that we use is safe throughout,
//! so no sanitizer is needed; one for libwebp's sake is `--sanitizer address`. What is found lies in `fuzz/artifacts`:
//! make it small with `cargo fuzz tmin`, mend the cause, and keep the bytes among `src/thumbnail`'s tests.
//!
//! It owns no code of the server: `src/thumbnail`, which imports nothing of the rest, is compiled into it.

use std::panic;

use crate::thumbnail::{Fit, Limits, Output, Spec};

#[path = "../../src/thumbnail/mod.rs"]
pub mod thumbnail;

/// Few pixels, so that inputs are quick.
pub const LIMITS: Limits = Limits { max_pixels: 1_000_000 };

/// Aborts where our own code panics, as libFuzzer's hook does for any. A panic of another decoder is contained, and costs
/// its picture only.
pub fn forgive_others() {
    let abort = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if info.location().is_some_and(|location| location.file().contains("src/thumbnail/")) {
            abort(info);
        }
    }));
}

/// Some wish for a small thumbnail, another for each length of the input.
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
