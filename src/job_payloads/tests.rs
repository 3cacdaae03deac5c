//! Tests of the stored form of the payloads.

use serde_json::Value;

use super::*;
use crate::ids::{ImagePath, OrderId};
use crate::jobs::Task;

fn user(id: i64) -> UserId {
    UserId::new(id).unwrap()
}

/// Checks that a task is stored as these bytes, reads back from them, and has the user of `userId`.
fn assert_stored<T: Task + PartialEq + std::fmt::Debug>(task: &T, payload: &str) {
    assert_eq!(serde_json::to_string(task).unwrap(), payload);
    let read: T = serde_json::from_str(payload).unwrap();
    assert_eq!(&read, task);
    let json: Value = serde_json::from_str(payload).unwrap();
    assert_eq!(json["userId"].as_i64(), task.user_id().map(UserId::get), "{payload}");
}

#[test]
fn payloads_are_byte_for_byte_those_in_existing_databases() {
    let image_path = ImagePath::new("photos/ä \"1\".jpg").unwrap();
    let order_id: OrderId = "o-1".parse().unwrap();
    let mail = MailPreferences::parse("upload_received,thumbnail_failed").unwrap();
    assert_stored(
        &ThumbnailTask { image_path: image_path.clone(), mail, user_id: user(7) },
        r#"{"imagePath":"photos/ä \"1\".jpg","mail":["upload_received","thumbnail_failed"],"userId":7}"#,
    );
    assert_stored(
        &WebhookTask { order_id: order_id.clone(), user_id: Some(user(7)) },
        r#"{"orderId":"o-1","userId":7}"#,
    );
    assert_stored(&WebhookTask { order_id: order_id.clone(), user_id: None }, r#"{"orderId":"o-1","userId":null}"#);
    assert_stored(
        &WarehouseTask::Image { image_id: 1, user_id: user(7), image_path },
        r#"{"task":"image","imageId":1,"userId":7,"imagePath":"photos/ä \"1\".jpg"}"#,
    );
    assert_stored(
        &WarehouseTask::Order { order_id: order_id.clone(), user_id: None, placed_at: 5 },
        r#"{"task":"order","orderId":"o-1","userId":null,"placedAt":5}"#,
    );
    let file_name = "ü.jpg".to_owned();
    assert_stored(
        &MailTask::UploadReceived { user_id: user(7), file_name: file_name.clone() },
        r#"{"notice":"upload_received","userId":7,"picture":"ü.jpg"}"#,
    );
    let (thumbnail, variants) = ("0f.jpg".to_owned(), vec!["1f.png".to_owned(), "0f.jpg".to_owned()]);
    assert_stored(
        &MailTask::ThumbnailReady { user_id: user(7), file_name: file_name.clone(), thumbnail, variants },
        r#"{"notice":"thumbnail_ready","userId":7,"picture":"ü.jpg","thumbnail":"0f.jpg","variants":["1f.png","0f.jpg"]}"#,
    );
    assert_stored(
        &MailTask::ThumbnailFailed { user_id: user(7), file_name, message: "no".to_owned(), image_id: None },
        r#"{"notice":"thumbnail_failed","userId":7,"picture":"ü.jpg","message":"no"}"#,
    );
    assert_stored(
        &MailTask::OrderConfirmed { user_id: Some(user(7)), order_id, placed_at: 5 },
        r#"{"notice":"order_confirmed","userId":7,"orderId":"o-1","placedAt":5}"#,
    );
    let site = "https://shop.example/images".to_owned();
    assert_stored(
        &MailTask::ConfirmAddress { user_id: user(7), confirmation_id: 3, site, expires: 5 },
        r#"{"notice":"confirm_address","userId":7,"confirmationId":3,"site":"https://shop.example/images","expires":5}"#,
    );
}

#[test]
fn payloads_of_earlier_and_later_versions_are_read() {
    for payload in [
        r#"{"imagePath":"a.jpg","userId":7}"#,
        r#"{"imagePath":"a.jpg","mail":["birthday"],"userId":7}"#,
        r#"{"imagePath":"a.jpg","mail":"all","userId":7}"#,
    ] {
        let task: ThumbnailTask = serde_json::from_str(payload).unwrap();
        assert_eq!(task.mail, MailPreferences::all(), "{payload}");
    }
    let task: WebhookTask = serde_json::from_str(r#"{"orderId":"o-1"}"#).unwrap();
    assert_eq!(task.user_id, None);
    let ready = r#"{"notice":"thumbnail_ready","userId":7,"picture":"a.jpg","thumbnail":"0f.jpg"}"#;
    assert!(serde_json::from_str::<MailTask>(ready).is_ok());
}

#[test]
fn a_payload_with_an_invalid_value_is_rejected() {
    for bad in [
        r#"{"task":"image","imageId":1,"userId":0,"imagePath":"a.jpg"}"#,
        r#"{"task":"image","imageId":1,"userId":1,"imagePath":"../a.jpg"}"#,
        r#"{"task":"order","orderId":"","userId":null,"placedAt":0}"#,
        r#"{"task":"nothing"}"#,
        "null",
    ] {
        assert!(serde_json::from_str::<WarehouseTask>(bad).is_err(), "{bad}");
    }
    assert!(serde_json::from_str::<WebhookTask>(r#"{"orderId":""}"#).is_err());
}

#[test]
fn a_failed_image_has_one_mail_that_can_be_withdrawn() {
    let (file_name, message) = ("a.jpg".to_owned(), "no".to_owned());
    let failed = MailTask::ThumbnailFailed { user_id: user(7), file_name, message, image_id: Some(3) };
    assert_eq!(failed.dedup_key().as_deref(), Some("image 3 failed"));
}

#[test]
fn kinds_have_distinct_names() {
    for kind in KINDS {
        assert_eq!(kind_by_name(kind.name), Some(kind));
    }
    assert_eq!(kind_by_name("cat"), None);
}

#[test]
fn a_customer_with_a_numeric_id_is_that_user() {
    let user = |customer: &str| user_of(&customer.parse().unwrap()).map(UserId::get);
    assert_eq!(user("7"), Some(7));
    for other in ["u-7", "7.0", "-7", "0", "9007199254740992"] {
        assert_eq!(user(other), None, "{other}");
    }
}
