//! The signal to stop, seen by every task.

use tokio::sync::watch;

/// Sends it.
pub struct Stopping(watch::Sender<bool>);

/// Waits for it.
#[derive(Clone)]
pub struct Stop(watch::Receiver<bool>);

#[must_use]
pub fn pair() -> (Stopping, Stop) {
    let (send, receive) = watch::channel(false);
    (Stopping(send), Stop(receive))
}

impl Stopping {
    pub fn now(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Returns once it is said, or nobody is left who could say it. May be dropped while waiting.
    pub async fn said(&mut self) {
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}
