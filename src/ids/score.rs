//! Scores.

use std::fmt;

use serde::ser::Error;
use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::Invalid;

/// A score: a finite IEEE 754 double, like the scores of sorted sets in Redis and the numbers of JavaScript. Negative
/// zero is valid: it equals zero, and keeps its sign.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, ToSchema)]
#[schema(example = 42)]
pub struct Score(f64);

impl Score {
    /// Positive zero.
    pub const ZERO: Self = Self(0.0);
    const EXPECTED: &str = "a finite number";

    /// # Errors
    /// If the number is infinite or NaN.
    pub fn new(number: f64) -> Result<Self, Invalid> {
        if number.is_finite() {
            Ok(Self(number))
        } else {
            Err(Invalid { got: number.to_string(), expected: Self::EXPECTED })
        }
    }

    /// The nearest score: infinity, which only other programs write, becomes the largest finite score.
    pub fn nearest(number: f64) -> Self {
        Self::new(number.clamp(f64::MIN, f64::MAX)).unwrap_or(Self::ZERO)
    }

    /// Validates a JSON value, or a missing field (`None`).
    ///
    /// # Errors
    /// If it is not a number (strings are refused), or too large for a double.
    pub fn from_json(value: Option<&Value>) -> Result<Self, Invalid> {
        let number = value.and_then(Value::as_f64).and_then(|number| Self::new(number).ok());
        number.ok_or_else(|| Invalid::json(value, Self::EXPECTED))
    }

    /// The number; finite.
    pub fn get(self) -> f64 {
        self.0
    }

    /// The higher of two scores.
    #[must_use]
    pub fn best(self, other: Self) -> Self {
        if other.0 > self.0 { other } else { self }
    }

    /// The sum.
    ///
    /// # Errors
    /// If it is too large for a double.
    pub fn plus(self, other: Self) -> Result<Self, Invalid> {
        Self::new(self.0 + other.0)
    }
}

impl Serialize for Score {
    /// Integers have no decimal point, as in JavaScript. Every score is parsed back as the same double.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const I64_RANGE: f64 = 9_223_372_036_854_775_808.0;
        if self.0 == 0.0 && self.0.is_sign_negative() {
            // Integers have no negative zero, and a double would be written as -0.0.
            let text: &RawValue = serde_json::from_str("-0").map_err(S::Error::custom)?;
            return text.serialize(serializer);
        }
        let is_whole = self.0.fract() == 0.0 && self.0.abs() < I64_RANGE;
        if is_whole { serializer.serialize_i64(self.0 as i64) } else { serializer.serialize_f64(self.0) }
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn written(number: f64) -> String {
        serde_json::to_string(&Score::new(number).unwrap()).unwrap()
    }

    #[test]
    fn integers_are_written_as_in_javascript() {
        assert_eq!(written(100.0), "100");
        assert_eq!(written(-7.0), "-7");
        assert_eq!(written(0.1), "0.1");
        assert_eq!(written(9_007_199_254_740_992.0), "9007199254740992");
        assert_eq!(written(9_007_199_254_740_994.0), "9007199254740994");
        assert_eq!(written(0.0), "0");
        assert_eq!(written(-0.0), "-0");
        assert_eq!(written(1e308), "1e+308");
    }

    #[test]
    fn zero_keeps_its_sign() {
        let [zero, negative] = [0.0, -0.0].map(|number| Score::new(number).unwrap());
        let is_negative = |score: Score| score.get().is_sign_negative();
        assert!(is_negative(negative.plus(negative).unwrap()) && !is_negative(negative.plus(zero).unwrap()));
        assert!(is_negative(negative.best(zero)) && !is_negative(zero.best(negative)), "neither is higher");
        for text in ["-0", "-0.0", "-0e5"] {
            let read: Value = serde_json::from_str(text).unwrap();
            assert!(is_negative(Score::from_json(Some(&read)).unwrap()), "{text}");
        }
    }

    #[test]
    fn infinity_becomes_the_largest_score() {
        let nearest = |number| Score::nearest(number).get();
        assert_eq!([f64::INFINITY, f64::NEG_INFINITY, 7.0].map(nearest), [f64::MAX, f64::MIN, 7.0]);
    }

    #[test]
    fn only_finite_numbers_are_scores() {
        for good in [json!(1), json!(-0.0), json!(1.5), json!(1e308), json!(u64::MAX)] {
            assert!(Score::from_json(Some(&good)).is_ok(), "{good}");
        }
        for bad in [json!("42"), json!(null), json!(true), json!([1]), json!({})] {
            assert!(Score::from_json(Some(&bad)).is_err(), "{bad}");
        }
        assert!(Score::from_json(None).is_err());
        assert!(Score::new(f64::NAN).is_err());
        assert!(Score::new(1e308).unwrap().plus(Score::new(1e308).unwrap()).is_err());
    }

    proptest! {
        #[test]
        fn every_score_survives_json(number in prop::num::f64::ANY) {
            if let Ok(score) = Score::new(number) {
                let read: f64 = serde_json::from_str(&serde_json::to_string(&score).unwrap()).unwrap();
                prop_assert_eq!(read.to_bits(), number.to_bits());
            }
        }
    }
}
