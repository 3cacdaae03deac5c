//! The uploads: do they still have the bytes that came? A sample of them is hashed, each run another one.

use std::path::Path;

use super::Finding;
use crate::files::{Sample, sample_uploads};

const WHAT: &str = "originals";

pub(super) fn check(root: &Path) -> Finding {
    match sample_uploads(root) {
        Ok(sample) => judge(&sample),
        Err(error) => {
            let detail = format!("the uploads below {} cannot be listed: {error}", root.display());
            Finding::error(WHAT, detail, "check images.root and who may read it")
        }
    }
}

fn judge(sample: &Sample) -> Finding {
    let Sample { whole, damaged, unreadable, quarantined } = sample;
    if let Some(first) = damaged.first() {
        let detail = format!("{} of {} sampled are damaged, such as {first}", damaged.len(), whole + damaged.len());
        return Finding::error(WHAT, detail, "check the disk; a picture that is uploaded again is whole again");
    }
    if let Some(unreadable) = unreadable {
        return Finding::error(
            WHAT,
            format!("cannot be read: {unreadable}"),
            "check the disk, and who may read the files",
        );
    }
    let detail = format!("{whole} sampled, all whole");
    if *quarantined == 0 {
        return Finding::ok(WHAT, detail);
    }
    let advice = "check the disk; upload these pictures again, then remove what lies there";
    Finding::warning(WHAT, format!("{detail}; {quarantined} damaged ones in uploads/.damaged"), advice)
}
