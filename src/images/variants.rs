//! The rows of thumbnails, one or more per image. Every function runs inside the caller's transaction.

use std::collections::{BTreeMap, HashMap};

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use serde::Serialize;
use utoipa::ToSchema;

use super::links::Links;
use crate::db::UnixMillis;
use crate::db::read_models::{VARIANT, VariantEntry};
use crate::db::schema::thumbnails;
use crate::files::ThumbnailName;

/// A stored thumbnail.
#[derive(Debug, Clone)]
pub(crate) struct Thumbnail {
    /// Its name in the configuration.
    pub(super) variant: String,
    pub(super) name: ThumbnailName,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) bytes: usize,
}

impl Thumbnail {
    /// The path on the API server.
    pub(super) fn url(&self) -> String {
        url(self.name.as_str())
    }
}

/// All thumbnails of one image.
#[derive(Debug, Clone)]
pub(crate) struct Thumbnails {
    /// The one that `thumbnailUrl` names.
    pub(super) first: Thumbnail,
    pub(super) others: Vec<Thumbnail>,
}

impl Thumbnails {
    /// The file names, by pixels, descending.
    pub(super) fn names_by_size(&self) -> Vec<String> {
        let mut all: Vec<&Thumbnail> = std::iter::once(&self.first).chain(&self.others).collect();
        all.sort_by_key(|thumbnail| std::cmp::Reverse(u64::from(thumbnail.width) * u64::from(thumbnail.height)));
        all.into_iter().map(|thumbnail| thumbnail.name.to_string()).collect()
    }
}

impl VariantEntry {
    pub(super) fn url(&self) -> String {
        url(&self.name)
    }

    pub(super) fn size(&self) -> Size {
        Size { bytes: self.bytes, height: self.height, width: self.width }
    }
}

/// All thumbnails of the image by name, one of which is at `thumbnailUrl`. Omitted for thumbnails of other services.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Variants(BTreeMap<String, VariantInfo>);

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Variant)]
pub(super) struct VariantInfo {
    #[schema(minimum = 1, example = 20000)]
    bytes: i64,
    #[schema(minimum = 1, example = 300)]
    height: i32,
    /// A path on this server, or a URL below `serve.public_url`.
    #[schema(example = "/thumbnails/9f86d0….jpg")]
    url: String,
    #[schema(minimum = 1, example = 300)]
    width: i32,
}

/// The size of the thumbnail at `thumbnailUrl`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Size {
    #[schema(minimum = 1)]
    bytes: i64,
    #[schema(minimum = 1)]
    height: i32,
    #[schema(minimum = 1)]
    width: i32,
}

impl Variants {
    /// `None` if there are none.
    pub(super) fn new(variants: &[VariantEntry], links: &Links) -> Option<Self> {
        let info = |variant: &VariantEntry| {
            let VariantEntry { bytes, height, width, .. } = *variant;
            (variant.variant.clone(), VariantInfo { bytes, height, url: links.to(variant.url()), width })
        };
        (!variants.is_empty()).then(|| Self(variants.iter().map(info).collect()))
    }
}

fn url(name: &str) -> String {
    format!("/thumbnails/{name}")
}

pub(super) fn insert(
    connection: &mut SqliteConnection,
    image_id: i64,
    made: &Thumbnails,
    at: UnixMillis,
) -> QueryResult<()> {
    for (position, thumbnail) in (0_i32..).zip(std::iter::once(&made.first).chain(&made.others)) {
        diesel::insert_into(thumbnails::table)
            .values((
                thumbnails::image_id.eq(image_id),
                thumbnails::variant.eq(&thumbnail.variant),
                thumbnails::position.eq(position),
                thumbnails::name.eq(thumbnail.name.as_str()),
                thumbnails::width.eq(i32::try_from(thumbnail.width).unwrap_or(i32::MAX)),
                thumbnails::height.eq(i32::try_from(thumbnail.height).unwrap_or(i32::MAX)),
                thumbnails::bytes.eq(i64::try_from(thumbnail.bytes).unwrap_or(i64::MAX)),
                thumbnails::created_at.eq(at),
            ))
            .execute(connection)?;
    }
    Ok(())
}

/// The thumbnails of an image, in the order of the configuration.
pub(super) fn of_image(connection: &mut SqliteConnection, image_id: i64) -> QueryResult<Vec<VariantEntry>> {
    thumbnails::table
        .filter(thumbnails::image_id.eq(image_id))
        .order(thumbnails::position)
        .select(VARIANT)
        .load(connection)
}

/// The thumbnails of several images, by image id.
pub(super) fn of_images(
    connection: &mut SqliteConnection,
    ids: &[i64],
) -> QueryResult<HashMap<i64, Vec<VariantEntry>>> {
    let rows = thumbnails::table
        .filter(thumbnails::image_id.eq_any(ids))
        .order((thumbnails::image_id, thumbnails::position))
        .select((thumbnails::image_id, VARIANT))
        .load::<(i64, VariantEntry)>(connection)?;
    let mut variants: HashMap<i64, Vec<VariantEntry>> = HashMap::new();
    for (image_id, variant) in rows {
        variants.entry(image_id).or_default().push(variant);
    }
    Ok(variants)
}
