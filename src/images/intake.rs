//! Messages on `image_uploaded`: a doorbell for the worker, and other programs' way to hand in a picture.

use tokio_util::sync::CancellationToken;

use super::Resources;
use super::store::{self, Accepted, Submission};
use crate::bus::Signal;
use crate::events::ImageUploaded;
use crate::jobs::Wake;

/// Hears the channel until the shutdown: turns bare messages into jobs, and rings for every sign of work.
///
/// Several processes may hear the same message; one row comes of it. A message with a `jobId` has its row already.
pub async fn listen(resources: Resources, wake: Wake, shutdown: CancellationToken) {
    let mut uploaded = resources.bus.subscribe::<ImageUploaded>();
    loop {
        let signal = tokio::select! {
            () = shutdown.cancelled() => return,
            signal = uploaded.next() => signal,
        };
        match signal {
            None => return shutdown.cancelled().await,
            Some(Signal::Resync) => {}
            Some(Signal::Event(ImageUploaded { job_id: Some(_), .. })) => {}
            Some(Signal::Event(bare)) => take_in(&resources, bare).await,
        }
        wake.ring();
    }
}

async fn take_in(resources: &Resources, message: ImageUploaded) {
    let user_id = message.user_id;
    let mail = resources.mail.clone();
    let submission = Submission { user_id, path: message.image_path, original_name: None, key: None, once: true, mail };
    match resources.database.write(move |connection| store::accept(connection, &submission)).await {
        Ok(Accepted::New(receipt)) => {
            tracing::info!(job.id = %receipt.job_id, user.id = %user_id, "took in another program's picture");
        }
        Ok(_) => {}
        Err(error) => tracing::error!(user.id = %user_id, error = %error, "another program's picture is lost"),
    }
}
