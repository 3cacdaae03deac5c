//! The kinds of jobs that there are. Who makes a job and who runs it share its kind, and nothing else of each other.

/// A kind of job: which worker runs it, and how long its dedup keys hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// The name in the `kind` column.
    pub name: &'static str,
    /// How long a dedup key keeps another job of the same key away.
    pub dedup: DedupScope,
}

impl Kind {
    /// The kind of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        KINDS.into_iter().find(|kind| kind.name == name)
    }
}

/// How long a dedup key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DedupScope {
    /// While the job is queued or running.
    WhileActive,
    /// For ever.
    Forever,
}

/// Makes the thumbnail of an image.
pub const THUMBNAIL: Kind = Kind { name: "thumbnail", dedup: DedupScope::WhileActive };
/// Reports a purchase to the webhook's receiver.
pub const WEBHOOK: Kind = Kind { name: "webhook", dedup: DedupScope::Forever };
/// Takes an image into the warehouse, or an order on for fulfilment.
pub const WAREHOUSE: Kind = Kind { name: "warehouse", dedup: DedupScope::Forever };
/// Sends a mail.
pub const EMAIL: Kind = Kind { name: "email", dedup: DedupScope::Forever };

/// Every kind.
pub const KINDS: [Kind; 4] = [THUMBNAIL, WEBHOOK, WAREHOUSE, EMAIL];
