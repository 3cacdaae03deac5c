//! From an opened picture to its thumbnails: one decode, and for each thumbnail a resize, colours, a turn and a file.

use super::colour::{self, Model, Subsampled};
use super::decode::{Goal, Header, Source};
use super::orientation::upright;
use super::resize::{Grid, Resize, Resized};
use super::spec::Plan;
use super::{Error, Output, Spec, Thumbnail, encode, profile};

/// How much closer samples lie where the picture is wanted fine.
const FINE: f64 = 1.5;

/// Makes a thumbnail for each of the specs, in their order.
pub(super) fn make(source: &mut dyn Source, specs: &[Spec]) -> Result<Vec<Thumbnail>, Error> {
    let made = resized(source, specs)?;
    finish(source.header(), specs, made)
}

/// Decodes, and resizes to what each of the specs wants.
pub(super) fn resized(source: &mut dyn Source, specs: &[Spec]) -> Result<Vec<Vec<Resized>>, Error> {
    let mut resize = shrunk(source, specs);
    source.read(&resize.needed(), &mut resize)?;
    resize.finish()
}

/// Lets the source shrink as much as the specs allow, and prepares to resize what it then gives.
pub(super) fn shrunk(source: &mut dyn Source, specs: &[Spec]) -> Resize {
    let ways: Vec<Way> = specs.iter().map(|spec| Way::new(spec, source.header())).collect();
    let planes = source.shrink(goal(&ways));
    let ways: Vec<Way> = ways.into_iter().map(|way| way.of(planes.len())).collect();
    let grids = |plane| ways.iter().map(|way| way.grids(plane)).collect();
    let targets: Vec<Vec<(Grid, Grid)>> = (0..planes.len()).map(grids).collect();
    Resize::new(source.header(), &planes, &targets)
}

/// Gives each resized picture its colours, its direction and its file.
pub(super) fn finish(header: &Header, specs: &[Spec], made: Vec<Vec<Resized>>) -> Result<Vec<Thumbnail>, Error> {
    let finished = |(spec, planes): (_, Vec<Resized>)| Way::new(spec, header).of(planes.len()).finish(planes, header);
    specs.iter().zip(made).map(finished).collect()
}

/// The largest steps that every thumbnail is content with; without any, the picture is decoded in full.
fn goal(ways: &[Way]) -> Goal {
    let least = |steps: &mut dyn Iterator<Item = f64>| steps.reduce(f64::min).unwrap_or(1.0);
    Goal { step: least(&mut ways.iter().map(Way::step)), chroma: least(&mut ways.iter().map(Way::chroma_step)) }
}

/// How one thumbnail is made.
struct Way<'a> {
    spec: &'a Spec,
    plan: Plan,
    /// Whether YCbCr goes into the file as it is: chroma is then resized to half the size at once.
    direct: bool,
}

impl<'a> Way<'a> {
    fn new(spec: &'a Spec, header: &Header) -> Self {
        let plan = Plan::new(spec, header.width, header.height, header.orientation);
        let converted = header.icc.as_deref().is_some_and(|icc| profile::matters(header.model, icc));
        let plain = header.model == Model::YCbCr && !converted;
        Self { spec, plan, direct: plain && matches!(spec.output, Output::Jpeg | Output::Auto) && !plan.padded() }
    }

    /// For a picture that comes as this many planes.
    fn of(self, planes: usize) -> Self {
        Self { direct: self.direct && planes > 1, ..self }
    }

    fn step(&self) -> f64 {
        self.plan.across.step.min(self.plan.down.step) / if self.spec.fine { FINE } else { 1.0 }
    }

    /// JPEG and WebP keep only every second sample of chroma.
    fn chroma_step(&self) -> f64 {
        self.step() * if self.spec.output == Output::Png { 1.0 } else { 2.0 }
    }

    /// Where the samples of a plane are wanted.
    fn grids(&self, plane: usize) -> (Grid, Grid) {
        if self.direct && plane > 0 { self.plan.halved() } else { (self.plan.across, self.plan.down) }
    }

    fn finish(&self, resized: Vec<Resized>, header: &Header) -> Result<Thumbnail, Error> {
        if self.direct {
            return self.subsampled(resized, header);
        }
        let pixels = colour::to_srgb(interleaved(resized), header.model, header.icc.as_deref());
        let pixels = pixels.upright(header.orientation);
        if !self.plan.padded() {
            return encode::encode(&pixels, self.spec);
        }
        let clear = self.spec.output == Output::Png || !pixels.opaque();
        let around = [0, 0, 0, if clear { 0 } else { u8::MAX }];
        encode::encode(&pixels.centred(self.plan.canvas, around), self.spec)
    }

    fn subsampled(&self, resized: Vec<Resized>, header: &Header) -> Result<Thumbnail, Error> {
        let planes = resized.into_iter().map(|plane| upright(plane.samples, plane.width, header.orientation));
        let planes = planes.collect::<Vec<_>>().try_into().map_err(|_| Error::corrupt("not three planes of YCbCr"))?;
        let (width, height) = self.plan.canvas;
        Ok(encode::encode_subsampled(&Subsampled { width, height, planes }, self.spec))
    }
}

/// Planes of one channel each, side by side.
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
