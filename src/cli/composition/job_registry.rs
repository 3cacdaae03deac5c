//! The registry of job kinds, for operators' commands.

use std::sync::Arc;

use crate::email::EmailWorker;
use crate::events::Finished;
use crate::images::ThumbnailWorker;
use crate::jobs::operator::KindHooks;
use crate::orders::WebhookWorker;
use crate::warehouse::WarehouseWorker;

/// All kinds; `finished` publishes the end of a thumbnail job.
pub(crate) fn job_kinds(finished: impl Fn(Finished) + Clone + Send + Sync + 'static) -> Arc<[KindHooks]> {
    Arc::new([
        KindHooks::publishing::<ThumbnailWorker>(finished),
        KindHooks::of::<WebhookWorker>(),
        KindHooks::of::<WarehouseWorker>(),
        KindHooks::of::<EmailWorker>(),
    ])
}
