//! The domains whose jobs an operator may see to.

use std::sync::Arc;

use crate::email::EmailWorker;
use crate::events::Finished;
use crate::images::ThumbnailWorker;
use crate::jobs::Domain;
use crate::orders::WebhookWorker;
use crate::warehouse::WarehouseWorker;

/// All of them; `finished` announces the end of a thumbnail job.
pub(super) fn domains(finished: impl Fn(Finished) + Clone + Send + Sync + 'static) -> Arc<[Domain]> {
    Arc::new([
        Domain::announced::<ThumbnailWorker>(finished),
        Domain::of::<WebhookWorker>(),
        Domain::of::<WarehouseWorker>(),
        Domain::of::<EmailWorker>(),
    ])
}
