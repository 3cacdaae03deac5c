//! Finds the fields of a JSON object that its request type does not have.

use serde::de::{Deserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::Value;

/// The fields of an object that are not those of the struct that it was deserialized into.
#[derive(Debug, Default)]
pub(super) struct UnknownFields {
    pub(super) unknown: Vec<String>,
    /// The fields of the struct.
    pub(super) known: &'static [&'static str],
}

/// Deserializes a struct as [`Value`] does, and records the fields that it does not have.
pub(super) struct Recording<'a> {
    value: Value,
    found: &'a mut UnknownFields,
}

impl<'a> Recording<'a> {
    pub(super) fn new(value: Value, found: &'a mut UnknownFields) -> Self {
        Self { value, found }
    }
}

impl<'de> Deserializer<'de> for Recording<'_> {
    type Error = serde_json::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        if let Value::Object(object) = &self.value {
            let unknown = object.keys().filter(|name| !fields.contains(&name.as_str()));
            *self.found = UnknownFields { unknown: unknown.cloned().collect(), known: fields };
        }
        self.value.deserialize_struct(name, fields, visitor)
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.value.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
