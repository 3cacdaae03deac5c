//! The configured variants as requests to the thumbnail worker.

use crate::config::{Images, Variant};
use crate::images::VariantSpec;

/// The thumbnails to create for every image.
pub(crate) fn wanted(config: &Images) -> Vec<VariantSpec> {
    let wanted = |variant: &Variant| VariantSpec { variant: variant.name.clone(), spec: variant.spec };
    config.variants.iter().map(wanted).collect()
}
