//! The configured variants as specifications of the thumbnail library.

use crate::config::{Fit, Images, Output, Variant};
use crate::images::VariantSpec;
use crate::thumbnail::{self, Spec};

/// The thumbnails to create for every image.
pub(crate) fn wanted(config: &Images) -> Vec<VariantSpec> {
    let wanted = |variant: &Variant| VariantSpec { variant: variant.name.clone(), spec: spec(variant) };
    config.variants.iter().map(wanted).collect()
}

fn spec(variant: &Variant) -> Spec {
    let fit = match variant.fit {
        Fit::Cover => thumbnail::Fit::Cover,
        Fit::Contain => thumbnail::Fit::Contain,
        Fit::Inside => thumbnail::Fit::Inside,
    };
    let output = match variant.output {
        Output::Jpeg => thumbnail::Output::Jpeg,
        Output::Png => thumbnail::Output::Png,
        Output::WebP => thumbnail::Output::WebP,
        Output::Auto => thumbnail::Output::Auto,
    };
    let &Variant { width, height, quality, fine, .. } = variant;
    Spec { fit, width, height, output, quality, fine }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_variant_is_the_default_of_the_library() {
        let (fit, output, name) = (Fit::Cover, Output::Jpeg, "thumb".to_owned());
        assert_eq!(
            spec(&Variant { name, width: 300, height: 300, fit, output, quality: 80, fine: false }),
            Spec::default()
        );
    }
}
