//! Schemas that many operations share.

use serde::{Serialize, Serializer};
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Schema, Type};
use utoipa::openapi::{KnownFormat, RefOr, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

/// An error (RFC 9457).
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// What is wrong, for people.
    pub(crate) detail: String,
    /// The wrong fields.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) errors: Vec<FieldError>,
    /// Equal to `detail`, for older clients.
    pub(crate) message: String,
    /// The id of the log entry with the cause of a 5xx.
    pub(crate) request_id: String,
    #[schema(example = 400)]
    pub(crate) status: u16,
    #[schema(example = "Bad Request")]
    pub(crate) title: String,
    #[serde(rename = "type")]
    #[schema(inline)]
    pub(crate) kind: ProblemType,
}

#[derive(Serialize, ToSchema)]
pub(crate) enum ProblemType {
    #[serde(rename = "about:blank")]
    AboutBlank,
}

/// A wrong field of the body, the query or the path, or a wrong header.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct FieldError {
    #[schema(example = "a whole number from 1 to 9007199254740991")]
    pub(crate) expected: String,
    #[schema(example = "userId")]
    pub(crate) field: String,
    #[schema(example = "the string \"42\"")]
    pub(crate) got: String,
}

/// The constant `true`.
#[derive(Debug)]
pub(crate) struct True;

impl Serialize for True {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(true)
    }
}

impl PartialSchema for True {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::Boolean).enum_values(Some([true])).into()
    }
}

impl ToSchema for True {}

/// An object of any form.
pub(crate) struct AnyObject;

impl PartialSchema for AnyObject {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(true))).into()
    }
}

impl ToSchema for AnyObject {}

/// A file in a request or response.
pub(crate) struct Binary;

impl PartialSchema for Binary {
    fn schema() -> RefOr<Schema> {
        let format = SchemaFormat::KnownFormat(KnownFormat::Binary);
        ObjectBuilder::new().schema_type(Type::String).format(Some(format)).into()
    }
}

impl ToSchema for Binary {}
