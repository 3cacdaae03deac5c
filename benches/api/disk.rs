//! The rate of durable page writes, as a reference.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Instant;

use super::Bench;
use super::rig::report::Report;

/// Writes pages one by one, each made durable before the next.
pub fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    const PAGE: usize = 4096;
    const PAGES: u64 = 256;

    let file = File::create(bench.rig.folder.path().join("pages"))?;
    let (page, begun) = ([0x5a; PAGE], Instant::now());
    let mut count = 0;
    while begun.elapsed() < bench.rig.warm_up {
        file.write_all_at(&page, count % PAGES * PAGE as u64)?;
        file.sync_data()?;
        count += 1;
    }
    report.add("Disk: 4 KiB made durable, one by one", "/s", Some(count as f64 / begun.elapsed().as_secs_f64()), None);
    Ok(())
}
