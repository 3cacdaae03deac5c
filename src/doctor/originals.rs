//! Checks a random sample of the uploads against their hashes.

use std::path::Path;

use super::Finding;
use crate::files::{Sample, sample_uploads};

const SUBJECT: &str = "originals";

pub(super) fn check(root: &Path) -> Finding {
    match sample_uploads(root) {
        Ok(sample) => evaluate(&sample),
        Err(error) => {
            let detail = format!("the uploads below {} cannot be listed: {error}", root.display());
            Finding::error(SUBJECT, detail, "check images.root and its permissions")
        }
    }
}

fn evaluate(sample: &Sample) -> Finding {
    let Sample { intact, damaged, unreadable, quarantined } = sample;
    if let Some(first) = damaged.first() {
        let detail = format!("{} of {} sampled are damaged, such as {first}", damaged.len(), intact + damaged.len());
        return Finding::error(SUBJECT, detail, "check the disk; uploading the same image again repairs it");
    }
    if let Some(unreadable) = unreadable {
        let detail = format!("cannot be read: {unreadable}");
        return Finding::error(SUBJECT, detail, "check the disk and the permissions of the files");
    }
    let detail = format!("{intact} sampled, all intact");
    if *quarantined == 0 {
        return Finding::ok(SUBJECT, detail);
    }
    let advice = "check the disk; upload these images again, then delete the damaged files";
    Finding::warning(SUBJECT, format!("{detail}; {quarantined} damaged ones in uploads/.damaged"), advice)
}
