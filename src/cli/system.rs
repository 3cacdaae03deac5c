//! The runtime of a process.

use std::future::Future;

/// Runs a future on an actix system: each thread of an HTTP server has a runtime of its own.
pub(crate) fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let system = actix_rt::System::new();
    // A server's thread may still be exiting after this one. Dropping the last handle of the system wakes one of its
    // tasks, and Tokio panics when an exiting thread does so, which aborts the process. This handle is never dropped.
    std::mem::forget(actix_rt::System::current());
    let result = system.block_on(future);
    // Dropping a runtime waits for its blocking tasks without a limit. The process exits now, and ends them.
    std::mem::forget(system);
    result
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::sync::oneshot;

    use super::*;

    /// A task's value that blocks the exit of its thread until the main thread has exited.
    struct EndsLast {
        ending: Option<oneshot::Sender<()>>,
        main_ended: mpsc::Receiver<()>,
    }

    impl Drop for EndsLast {
        fn drop(&mut self) {
            let _ = self.ending.take().map(|ending| ending.send(()));
            // Returns once the sender is dropped.
            let _ = self.main_ended.recv();
        }
    }

    #[test]
    fn a_server_s_thread_may_exit_after_the_main_thread() {
        let (main_running, main_ended) = mpsc::channel();
        // Exiting drops the thread-local values, as on the main thread.
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
                // The system learns that the thread is exiting, and waits for the next command.
                for _ in 0..10 {
                    tokio::task::yield_now().await;
                }
                Ok(arbiter)
            })
        });
        let arbiter = main.join().unwrap().unwrap();
        drop(main_running);
        // A panic here would abort the process, since thread-local values are being dropped.
        arbiter.join().unwrap();
    }
}
