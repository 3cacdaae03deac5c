//! Names of thumbnails: keyed by a secret of the installation, and those of older versions.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use sha2::{Digest, Sha256};

use crate::harness::app::{App, Process};
use crate::harness::binary::Ran;
use crate::harness::pictures::jpeg;

const MIGRATION: &str = "2026-11-28-000020_key_thumbnail_names";

/// Uploads the same image as every test, and returns the path of its thumbnail.
async fn thumbnail_of(app: &App, server: &Process, user: i64) -> String {
    let accepted = app.upload(server.url(), user, &jpeg(1)).await;
    let done = app.outcome(server.url(), &accepted).await;
    done["thumbnailUrl"].as_str().unwrap_or_else(|| panic!("{done}")).to_owned()
}

async fn content(app: &App, server: &Process, path: &str) -> Vec<u8> {
    let response = app.http.get(format!("{}{path}", server.url())).send().await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    response.bytes().await.unwrap().to_vec()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The secret in upper-case hex.
fn secret(app: &App) -> String {
    #[derive(QueryableByName)]
    struct Secret {
        #[diesel(sql_type = diesel::sql_types::Text)]
        secret: String,
    }
    let query = "SELECT hex(secret) AS secret FROM thumbnail_name_key";
    diesel::sql_query(query).get_result::<Secret>(&mut app.database()).unwrap().secret
}

#[tokio::test]
async fn an_image_has_another_name_in_each_installation_but_the_same_in_all_its_processes() {
    let (app, other) = (App::new(&[]).await, App::new(&[]).await);
    let (mut up, other_up) = (app.up(), other.up());
    let path = thumbnail_of(&app, &up, 1).await;
    let bytes = content(&app, &up, &path).await;
    let other_path = thumbnail_of(&other, &other_up, 1).await;
    assert_eq!(content(&other, &other_up, &other_path).await, bytes);
    assert_ne!(other_path, path);
    for known in [&bytes[..], &jpeg(1)] {
        let guess = format!("/thumbnails/{}.jpg", sha256(known));
        assert_eq!(app.get(up.url(), &guess).await.0, 404, "it is computed without the key");
    }

    up.stop();
    let (serve, _worker) = (app.serve(), app.worker());
    assert_eq!(thumbnail_of(&app, &serve, 2).await, path);
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn thumbnails_of_an_older_version_are_served_under_their_names() {
    let app = App::new(&[]).await;
    let mut up = app.up();
    let path = thumbnail_of(&app, &up, 1).await;
    let bytes = content(&app, &up, &path).await;
    app.assert_no_job_is_left().await;
    up.stop();
    let old = older_version(&app, path.strip_prefix("/thumbnails/").unwrap(), &bytes);

    let up = app.up();
    assert_eq!(app.get(up.url(), "/status/1").await.1["thumbnailUrl"], old.as_str());
    assert_eq!(content(&app, &up, &old).await, bytes);
    let new = thumbnail_of(&app, &up, 2).await;
    assert!(new != old && new != path, "{new} has another key than {path}, which the migration has removed");
    assert_eq!(content(&app, &up, &new).await, bytes);
    assert_eq!(content(&app, &up, &old).await, bytes, "it keeps its name");
    let audit = Ran::of(&mut app.command(&["audit"]));
    assert_eq!(audit.code, Some(0), "{audit:?}");
    app.assert_no_job_is_left().await;
}

/// Makes the installation that of a version without keys, and returns the new path of its thumbnail.
fn older_version(app: &App, name: &str, bytes: &[u8]) -> String {
    let hash = sha256(bytes);
    let old = format!("{hash}.jpg");
    let file = |name: &str| app.dir.path().join(format!("data/thumbnails/{}/{name}", &name[..2]));
    std::fs::create_dir_all(file(&old).parent().unwrap()).unwrap();
    std::fs::rename(file(name), file(&old)).unwrap();
    let down = format!("{}/migrations/{MIGRATION}/down.sql", env!("CARGO_MANIFEST_DIR"));
    let down = std::fs::read_to_string(down).unwrap();
    let version: String = MIGRATION.split('_').next().unwrap().replace('-', "");
    let changes = format!(
        "UPDATE thumbnails SET name = '{old}'; UPDATE images SET thumbnail_url = '/thumbnails/{old}';
         UPDATE users SET thumbnail_image = replace(thumbnail_image, '{name}', '{old}'); {down}
         DELETE FROM __diesel_schema_migrations WHERE version = '{version}'"
    );
    app.database().batch_execute(&changes).unwrap();
    format!("/thumbnails/{old}")
}

#[tokio::test]
async fn the_key_is_shown_nowhere() {
    let app = App::new(&["log.level=debug"]).await;
    let mut up = app.up();
    thumbnail_of(&app, &up, 1).await;
    app.assert_no_job_is_left().await;
    let secret = secret(&app);
    let mut shown = app.http.get(format!("{}/metrics", up.url())).send().await.unwrap().text().await.unwrap();
    for command in [&["doctor"][..], &["config", "show"], &["audit"], &["jobs", "list"]] {
        let ran = Ran::of(&mut app.command(command));
        shown.push_str(&format!("{}{}", ran.stdout, ran.stderr));
    }
    up.stop();
    shown.push_str(&up.stderr());
    assert!(shown.contains("m3a3_http_requests_total") && shown.contains("job done"), "{shown}");
    assert!(!shown.to_uppercase().contains(&secret));
    app.assert_no_job_is_left().await;
}
