//! Clients that disconnect while the server makes their upload durable.

use std::collections::BTreeSet;
use std::path::Path;

use diesel::prelude::*;
use futures_util::future::join_all;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use crate::harness::app::App;
use crate::harness::pictures::jpeg;
use crate::harness::raw_http::connect;
use crate::harness::within;
use crate::limits;

const UPLOADS: u32 = 100;

#[derive(QueryableByName)]
struct Original {
    #[diesel(sql_type = diesel::sql_types::Text)]
    path: String,
}

/// An image that is unique for its number.
fn image(number: u32) -> Vec<u8> {
    [jpeg(1), number.to_be_bytes().to_vec()].concat()
}

fn request(image: &[u8]) -> Vec<u8> {
    let before = "--x\r\nContent-Disposition: form-data; name=\"userId\"\r\n\r\n1\r\n\
                  --x\r\nContent-Disposition: form-data; name=\"image\"; filename=\"x.jpg\"\r\n\r\n";
    let after = "\r\n--x--\r\n";
    let head = format!(
        "POST /enqueue HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n\
         Content-Length: {}\r\n\r\n",
        before.len() + image.len() + after.len()
    );
    [head.as_bytes(), before.as_bytes(), image, after.as_bytes()].concat()
}

/// The path of an upload below the image root.
fn path(image: &[u8]) -> String {
    let hash: String = Sha256::digest(image).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("uploads/{}/{hash}.jpg", &hash[..2])
}

/// Polls without a pause, so that the client disconnects before the server responds.
async fn until_stored(file: &Path) {
    let stored = async {
        while !file.exists() {
            tokio::task::yield_now().await;
        }
    };
    within("the image gets its name", stored).await;
}

#[tokio::test]
async fn an_upload_whose_client_disconnects_gets_its_row_or_leaves_no_file() {
    let app = App::new(&[]).await;
    let mut serve = app.serve();
    let root = app.dir.path().join("data");
    let uploads = (0..UPLOADS).map(async |number| {
        let image = image(number);
        let mut stream = connect(serve.url()).await;
        stream.write_all(&request(&image)).await.unwrap();
        // The others disconnect after their last byte.
        if number % 2 == 0 {
            until_stored(&root.join(path(&image))).await;
        }
    });
    join_all(uploads).await;
    // A server that has drained has no upload in progress.
    assert!(serve.stop().success());

    let stored = limits::files(&app, "data/uploads")
        .into_iter()
        .filter(|file| !file.components().any(|part| part.as_os_str() == ".tmp"));
    let stored: BTreeSet<String> =
        stored.map(|file| file.strip_prefix(&root).unwrap().to_str().unwrap().to_owned()).collect();
    let rows = diesel::sql_query("SELECT path FROM images").load::<Original>(&mut app.database()).unwrap();
    let rows: BTreeSet<String> = rows.into_iter().map(|original| original.path).collect();
    assert_eq!(stored, rows);
    assert!(stored.len() >= UPLOADS as usize / 2);
}
