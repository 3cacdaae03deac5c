//! The pipeline from an opened image to its thumbnails: one decode, and for each thumbnail a resize, colour conversion,
//! rotation and encoding.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::encode::{self, Thumbnail};
use super::error::Error;
use super::formats::RowDecoder;
use super::orientation::upright;
use super::plan::Plan;
use super::raster::{Goal, Header, Model, Resized, Subsampled};
use super::resize::{Grid, Resize};
use super::spec::{Output, Spec};
use super::{colour, profile};

/// Factor for the resolution of decoded samples with [`Spec::fine`].
const FINE: f64 = 1.5;

/// Runs `work` and converts a panic to an error, so that a bug in a decoder affects one image and not the process.
pub(super) fn catch_panics<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(Error::corrupt("a decoder panicked")))
}

/// Produces a thumbnail for each of the specs, in their order.
pub(super) fn run(decoder: &mut dyn RowDecoder, specs: &[Spec]) -> Result<Vec<Thumbnail>, Error> {
    let resized = decode_and_resize(decoder, specs)?;
    finish(decoder.header(), specs, resized)
}

/// Decodes the image and resizes it for each of the specs.
pub(super) fn decode_and_resize(decoder: &mut dyn RowDecoder, specs: &[Spec]) -> Result<Vec<Vec<Resized>>, Error> {
    let mut resize = prepare(decoder, specs);
    decoder.decode(&resize.needed(), &mut resize)?;
    resize.finish()
}

/// Shrinks the decoded image as far as the specs allow, and sets up the resize.
pub(super) fn prepare(decoder: &mut dyn RowDecoder, specs: &[Spec]) -> Resize {
    let recipes: Vec<Recipe> = specs.iter().map(|spec| Recipe::new(spec, decoder.header())).collect();
    let planes = decoder.shrink(goal(&recipes));
    let recipes: Vec<Recipe> = recipes.into_iter().map(|recipe| recipe.with_planes(planes.len())).collect();
    let grids = |plane| recipes.iter().map(|recipe| recipe.grids(plane)).collect();
    let targets: Vec<Vec<(Grid, Grid)>> = (0..planes.len()).map(grids).collect();
    Resize::new(decoder.header(), &planes, &targets)
}

/// Converts, rotates and encodes the resized planes of each thumbnail.
pub(super) fn finish(header: &Header, specs: &[Spec], resized: Vec<Vec<Resized>>) -> Result<Vec<Thumbnail>, Error> {
    let finished =
        |(spec, planes): (_, Vec<Resized>)| Recipe::new(spec, header).with_planes(planes.len()).finish(planes, header);
    specs.iter().zip(resized).map(finished).collect()
}

/// The smallest of the steps that the recipes require; without a recipe, the image is decoded at full size.
fn goal(recipes: &[Recipe]) -> Goal {
    let min = |steps: &mut dyn Iterator<Item = f64>| steps.reduce(f64::min).unwrap_or(1.0);
    Goal { step: min(&mut recipes.iter().map(Recipe::step)), chroma: min(&mut recipes.iter().map(Recipe::chroma_step)) }
}

/// How to produce one thumbnail.
struct Recipe<'a> {
    spec: &'a Spec,
    plan: Plan,
    /// Whether YCbCr is encoded without conversion to RGB: chroma is then resized directly to half the size.
    direct: bool,
}

impl<'a> Recipe<'a> {
    fn new(spec: &'a Spec, header: &Header) -> Self {
        let plan = Plan::new(spec, header.width, header.height, header.orientation);
        let subsampled = matches!(spec.output, Output::Jpeg | Output::Auto) && !plan.has_margin();
        let changes_colours = || header.icc.as_deref().is_some_and(|icc| profile::changes_colours(header.model, icc));
        let direct = header.model == Model::YCbCr && subsampled && !changes_colours();
        Self { spec, plan, direct }
    }

    /// Adapts to the number of decoded planes: interleaved channels are always converted.
    fn with_planes(self, planes: usize) -> Self {
        Self { direct: self.direct && planes > 1, ..self }
    }

    fn step(&self) -> f64 {
        self.plan.horizontal.step.min(self.plan.vertical.step) / if self.spec.fine { FINE } else { 1.0 }
    }

    /// JPEG and WebP subsample chroma.
    fn chroma_step(&self) -> f64 {
        self.step() * if self.spec.output == Output::Png { 1.0 } else { 2.0 }
    }

    /// The horizontal and vertical target grid of a plane.
    fn grids(&self, plane: usize) -> (Grid, Grid) {
        if self.direct && plane > 0 { self.plan.halved() } else { (self.plan.horizontal, self.plan.vertical) }
    }

    fn finish(&self, resized: Vec<Resized>, header: &Header) -> Result<Thumbnail, Error> {
        if self.direct {
            return self.finish_subsampled(resized, header);
        }
        let pixels = colour::to_srgb(interleaved(resized), header.model, header.icc.as_deref());
        let pixels = pixels.upright(header.orientation);
        if !self.plan.has_margin() {
            return encode::encode(&pixels, self.spec);
        }
        let transparent = self.spec.output == Output::Png || !pixels.is_opaque();
        let margin = [0, 0, 0, if transparent { 0 } else { u8::MAX }];
        encode::encode(&pixels.centred(self.plan.canvas, margin), self.spec)
    }

    fn finish_subsampled(&self, resized: Vec<Resized>, header: &Header) -> Result<Thumbnail, Error> {
        let planes = resized.into_iter().map(|plane| upright(plane.samples, plane.width, header.orientation));
        let planes = planes.collect::<Vec<_>>().try_into().map_err(|_| Error::corrupt("not three planes of YCbCr"))?;
        let (width, height) = self.plan.canvas;
        Ok(encode::encode_subsampled(&Subsampled { width, height, planes }, self.spec))
    }
}

/// Interleaves planes of one channel each.
fn interleaved(mut planes: Vec<Resized>) -> Resized {
    let channels = planes.len();
    if channels == 1 {
        return planes.remove(0);
    }
    let (width, height) = (planes[0].width, planes[0].height);
    let mut samples = vec![0.0; width * height * channels];
    for (channel, plane) in planes.iter().enumerate() {
        for (target, sample) in samples.iter_mut().skip(channel).step_by(channels).zip(&plane.samples) {
            *target = *sample;
        }
    }
    Resized { width, height, samples }
}
