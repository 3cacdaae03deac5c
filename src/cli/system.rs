//! The runtime of a process.

use std::future::Future;

/// Runs a future on an actix system, where each thread of an HTTP server gets a runtime of its own.
pub(crate) fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let system = actix_rt::System::new();
    // A server's thread may still be ending when this one is gone. The last handle of the system that is dropped
    // wakes a task of it, and Tokio panics where a thread that ends does so, which aborts the process: so none is the
    // last.
    std::mem::forget(actix_rt::System::current());
    let result = system.block_on(future);
    // Dropping a runtime waits for its blocking tasks, however long they take; the process ends now, and they with it.
    std::mem::forget(system);
    result
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::sync::oneshot;

    use super::*;

    /// A task's value that keeps the thread from ending until the main thread has ended.
    struct EndsLast {
        ending: Option<oneshot::Sender<()>>,
        main_ended: mpsc::Receiver<()>,
    }

    impl Drop for EndsLast {
        fn drop(&mut self) {
            let _ = self.ending.take().map(|ending| ending.send(()));
            // The sender is dropped.
            let _ = self.main_ended.recv();
        }
    }

    #[test]
    fn a_server_s_thread_may_end_after_the_main_thread() {
        let (main_running, main_ended) = mpsc::channel();
        // Its end drops what the thread keeps for itself, like the end of the main thread does.
        let main = std::thread::spawn(|| {
            block_on(async {
                let (ending, is_ending) = oneshot::channel();
                let last = EndsLast { ending: Some(ending), main_ended };
                let arbiter = actix_rt::Arbiter::new();
                arbiter.spawn(async move {
                    std::future::pending::<()>().await;
                    drop(last);
                });
                // The thread runs its commands in order.
                arbiter.stop();
                is_ending.await?;
                // The system hears that the thread is ending, and waits for the next news.
                for _ in 0..10 {
                    tokio::task::yield_now().await;
                }
                Ok(arbiter)
            })
        });
        let arbiter = main.join().unwrap().unwrap();
        drop(main_running);
        // A panic here would abort the process, since the thread's own data is being dropped.
        arbiter.join().unwrap();
    }
}
