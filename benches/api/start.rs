//! Start time, and idle memory and CPU.

use super::rig::report::{Report, Target, median, millis};
use super::{Bench, serve};

/// Starts the server several times, on new databases and on an existing one.
pub fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let target = Some(Target::Below(200.0));
    let (mut listening, mut answering, mut again, mut idle) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for start in 0..bench.plan.starts {
        let name = format!("start-{start}");
        let server = serve(bench, &name)?;
        listening.push(millis(server.listening));
        answering.push(millis(server.answering));
        server.ready()?;
        idle.extend(server.usage().map(|usage| usage.rss_kib as f64 / 1024.0));
        drop(server);
        again.push(millis(serve(bench, &name)?.answering));
    }
    report.add("Boot on a new database, until `listening on`", "ms", median(listening), target);
    report.add("Boot on a new database, until the first answer", "ms", median(answering), target);
    report.add("Boot on an existing database, until the first answer", "ms", median(again), target);
    report.add("Idle memory", "MiB", median(idle), Some(Target::Below(20.0)));
    Ok(())
}
