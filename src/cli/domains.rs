//! The domains whose jobs an operator may see to.

use crate::email::EmailWorker;
use crate::images::ThumbnailWorker;
use crate::jobs::Domain;
use crate::orders::WebhookWorker;
use crate::warehouse::WarehouseWorker;

/// All of them.
pub(super) fn domains() -> Vec<Domain> {
    vec![
        Domain::of::<ThumbnailWorker>(),
        Domain::of::<WebhookWorker>(),
        Domain::of::<WarehouseWorker>(),
        Domain::of::<EmailWorker>(),
    ]
}
