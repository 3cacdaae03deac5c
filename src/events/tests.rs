use proptest::prelude::*;

use super::*;

#[test]
fn every_event_is_parsed_as_it_was_written() {
    let user_id = UserId::new(7).unwrap();
    let job_id = Some(JobId::generate());
    let uploaded = ImageUploaded { user_id, image_path: ImagePath::new("a b/é.jpg").unwrap(), job_id };
    assert_eq!(ImageUploaded::parse(&uploaded.channel(), uploaded.payload().as_bytes()), Ok(uploaded));
    for outcome in [Outcome::Done { url: "/t".into() }, Outcome::Failed { message: "not an image".into() }] {
        let finished = Finished { user_id, job_id, outcome };
        assert_eq!(Finished::parse(&finished.channel(), finished.payload().as_bytes()), Ok(finished));
    }
    let placed = OrderPlaced { order_id: "o \"1\"".parse().unwrap(), customer_id: "7".parse().unwrap() };
    assert_eq!(OrderPlaced::parse(&placed.channel(), placed.payload().as_bytes()), Ok(placed));
    for update in [LeaderboardUpdate::Changed, LeaderboardUpdate::Seeded] {
        assert_eq!(LeaderboardUpdate::parse(&update.channel(), update.payload().as_bytes()), Ok(update));
    }
}

#[test]
fn messages_of_the_node_service_are_parsed() {
    let uploaded = ImageUploaded::parse("image_uploaded", br#"{"userId":1,"imagePath":"x.jpg"}"#).unwrap();
    assert_eq!(uploaded.job_id, None);
    let finished = Finished::parse("finished:1", br#"{"status":"done","url":"uploads/thumbs/x.jpg"}"#).unwrap();
    assert_eq!(finished.outcome, Outcome::Done { url: "uploads/thumbs/x.jpg".into() });
}

#[test]
fn the_error_names_the_malformed_field() {
    let error = |payload: &str| ImageUploaded::parse("image_uploaded", payload.as_bytes()).unwrap_err();
    assert_eq!(error("null"), Malformed::NotAnObject);
    assert_eq!(error("{\"userId\":1"), Malformed::NotAnObject);
    assert!(error(r#"{"userId":"1","imagePath":"x"}"#).to_string().starts_with("userId: got the string \"1\""));
    assert!(error(r#"{"userId":1}"#).to_string().starts_with("imagePath: got nothing"));
    assert!(Finished::parse("finished:x", b"{}").is_err());
    assert!(Finished::parse("finished:1", br#"{"status":"done"}"#).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_parsed_or_rejected(channel in any::<String>(), payload in any::<Vec<u8>>()) {
        let _ = ImageUploaded::parse(&channel, &payload);
        let _ = Finished::parse(&channel, &payload);
        let _ = OrderPlaced::parse(&channel, &payload);
        let _ = LeaderboardUpdate::parse(&channel, &payload);
    }
}
