//! The uploads: do they still have the bytes that came? A sample of them is hashed, each run another one.

use std::path::Path;

use super::Finding;
use crate::files::{Sample, sample_uploads};

const WHAT: &str = "originals";

pub(super) fn examine(root: &Path) -> Finding {
    match sample_uploads(root) {
        Ok(sample) => judge(&sample),
        Err(error) => {
            let seen = format!("the uploads below {} cannot be listed: {error}", root.display());
            Finding::wrong(WHAT, seen, "check images.root and who may read it")
        }
    }
}

fn judge(sample: &Sample) -> Finding {
    let Sample { whole, damaged, unreadable, quarantined } = sample;
    if let Some(first) = damaged.first() {
        let seen = format!("{} of {} sampled are damaged, such as {first}", damaged.len(), whole + damaged.len());
        return Finding::wrong(WHAT, seen, "check the disk; a picture that is uploaded again is whole again");
    }
    if let Some(unreadable) = unreadable {
        return Finding::wrong(
            WHAT,
            format!("cannot be read: {unreadable}"),
            "check the disk, and who may read the files",
        );
    }
    let seen = format!("{whole} sampled, all whole");
    if *quarantined == 0 {
        return Finding::fine(WHAT, seen);
    }
    let advice = "check the disk; upload these pictures again, then remove what lies there";
    Finding::worrying(WHAT, format!("{seen}; {quarantined} damaged ones in uploads/.damaged"), advice)
}
