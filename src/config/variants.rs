//! The syntax of `images.variants`: several thumbnails in one text.
//!
//! ```text
//! variants  variant { "," variant }
//! variant   name "=" width "x" height { word }
//! word      "cover" | "contain" | "inside" | "jpeg" | "png" | "webp" | "auto" | "q" quality | "fine"
//! ```
//!
//! Words are separated by whitespace, which may also surround "," and "=".

use m3a3_thumbnail::{Fit, Output, Spec};

use super::reader::{ParseError, quoted};

const MAX_VARIANTS: usize = 16;
const MAX_NAME: usize = 32;
const MAX_SIDE: u32 = 4096;
const HAS_WEBP: bool = Output::WebP.is_available();

/// A thumbnail to create for every image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variant {
    /// 1 to 32 of a-z, 0-9, "-" and "_"; unique.
    pub(crate) name: String,
    /// The thumbnail; width and height are at most 4096 pixels.
    pub(crate) spec: Spec,
}

const EXPECTED_FIT: &str = "cover, contain or inside";

fn fit_by_name(name: &str) -> Option<Fit> {
    match name {
        "cover" => Some(Fit::Cover),
        "contain" => Some(Fit::Contain),
        "inside" => Some(Fit::Inside),
        _ => None,
    }
}

/// The values that [`default_output`] accepts.
pub(super) const EXPECTED_DEFAULT_OUTPUT: &str =
    if HAS_WEBP { "jpeg, webp or auto" } else { "jpeg (this m3a3 was built without libwebp)" };
const EXPECTED_OUTPUT: &str =
    if HAS_WEBP { "jpeg, png, webp or auto" } else { "jpeg or png (this m3a3 was built without libwebp)" };

/// The format of variants without one.
pub(super) fn default_output(name: &str) -> Option<Output> {
    output_by_name(name).filter(|output| *output != Output::Png)
}

fn output_by_name(name: &str) -> Option<Output> {
    let output = match name {
        "jpeg" => Output::Jpeg,
        "png" => Output::Png,
        "webp" => Output::WebP,
        "auto" => Output::Auto,
        _ => return None,
    };
    output.is_available().then_some(output)
}

impl Variant {
    /// An example for error messages.
    pub(super) const EXAMPLE: &str = "a text such as \"thumb=300x300, card=600x400 inside q70\"";

    /// Parses one or more variants; `output` is the format of those without one.
    pub(super) fn parse_all(text: &str, output: Output) -> Result<Vec<Self>, ParseError> {
        let mut variants: Vec<Self> = Vec::new();
        for part in text.split(',') {
            let variant = Self::parse(part.trim(), output)?;
            if variants.iter().any(|other| other.name == variant.name) {
                return Err(ParseError::new(format!("two variants {:?}", variant.name), "a unique name for each"));
            }
            variants.push(variant);
        }
        match variants.len() {
            1..=MAX_VARIANTS => Ok(variants),
            number => Err(ParseError::new(format!("{number} variants"), format!("at most {MAX_VARIANTS}"))),
        }
    }

    fn parse(text: &str, output: Output) -> Result<Self, ParseError> {
        let shape = || ParseError::new(quoted(text), "NAME=WIDTHxHEIGHT such as thumb=300x300, separated by commas");
        let (name, rest) = text.split_once('=').ok_or_else(shape)?;
        let mut words = rest.split_whitespace();
        let (width, height) = size(words.next().unwrap_or_default(), text)?;
        let mut options = Options::default();
        words.try_for_each(|word| options.add(word, text))?;
        if options.output == Some(Output::Png) && options.quality.is_some() {
            return Err(ParseError::new(quoted(text), "no quality for png, which is lossless"));
        }
        let defaults = Spec::default();
        let spec = Spec {
            fit: options.fit.unwrap_or(defaults.fit),
            width,
            height,
            output: options.output.unwrap_or(output),
            quality: options.quality.unwrap_or(defaults.quality),
            fine: options.fine,
        };
        Ok(Self { name: checked_name(name.trim(), text)?, spec })
    }
}

/// The words after the size.
#[derive(Default)]
struct Options {
    fit: Option<Fit>,
    output: Option<Output>,
    quality: Option<u8>,
    fine: bool,
}

impl Options {
    fn add(&mut self, word: &str, variant: &str) -> Result<(), ParseError> {
        let quality = word.strip_prefix('q').and_then(|digits| number(digits, 100)).and_then(|q| u8::try_from(q).ok());
        let is_first = if let Some(fit) = fit_by_name(word) {
            self.fit.replace(fit).is_none()
        } else if let Some(output) = output_by_name(word) {
            self.output.replace(output).is_none()
        } else if let Some(quality) = quality {
            self.quality.replace(quality).is_none()
        } else if word == "fine" {
            !std::mem::replace(&mut self.fine, true)
        } else {
            let expected = format!("{EXPECTED_FIT}; {EXPECTED_OUTPUT}; q1 to q100; or fine");
            return Err(invalid_part(word, variant, expected));
        };
        let expected = "at most one fit, one format, one quality and one \"fine\"";
        if is_first { Ok(()) } else { Err(invalid_part(word, variant, expected)) }
    }
}

fn checked_name(name: &str, variant: &str) -> Result<String, ParseError> {
    let is_allowed = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    if (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(is_allowed) {
        return Ok(name.to_owned());
    }
    Err(invalid_part(name, variant, format!("a name of 1 to {MAX_NAME} characters from a-z, 0-9, \"-\" and \"_\"")))
}

fn size(text: &str, variant: &str) -> Result<(u32, u32), ParseError> {
    let sides = text.split_once('x').and_then(|(width, height)| number(width, MAX_SIDE).zip(number(height, MAX_SIDE)));
    let expected = || format!("a size such as 600x400, each side from 1 to {MAX_SIDE}");
    sides.ok_or_else(|| invalid_part(text, variant, expected()))
}

/// Parses a number of digits only, from 1 to `max`.
fn number(digits: &str, max: u32) -> Option<u32> {
    let number = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten();
    number.filter(|number| (1..=max).contains(number))
}

fn invalid_part(part: &str, variant: &str, expected: impl Into<String>) -> ParseError {
    ParseError::new(format!("{} in {}", quoted(part), quoted(variant)), expected)
}

#[cfg(test)]
mod tests;
