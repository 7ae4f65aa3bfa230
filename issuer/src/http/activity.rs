//! Whether a connection has a call under way. One that has none for a while is closed: neither protocol does that
//! by itself in all of its states, and places are few.

use hyper::body::{Body, Frame, SizeHint};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Notify;

/// Of one connection.
#[derive(Default)]
pub struct Activity {
    calls: AtomicUsize,
    changed: Notify,
}

/// One call, from its head to the last byte of its answer.
pub struct Busy(Arc<Activity>);

impl Activity {
    pub fn enter(self: &Arc<Self>) -> Busy {
        self.calls.fetch_add(1, Ordering::AcqRel);
        self.changed.notify_waiters();
        Busy(Arc::clone(self))
    }

    /// Returns after `patience` without a call.
    pub async fn idle(&self, patience: Duration) {
        loop {
            let mut changed = pin!(self.changed.notified());
            // Before the count is read: what changes from here on is seen.
            changed.as_mut().enable();
            if self.calls.load(Ordering::Acquire) > 0 {
                changed.await;
            } else if tokio::time::timeout(patience, changed).await.is_err() {
                return;
            }
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::AcqRel);
        self.0.changed.notify_waiters();
    }
}

/// A body that keeps its call going until it is sent or given up.
pub struct Held<B> {
    body: B,
    _busy: Busy,
}

impl<B> Held<B> {
    pub fn new(body: B, busy: Busy) -> Self {
        Self { body, _busy: busy }
    }
}

impl<B: Body + Unpin> Body for Held<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_time_without_a_call_counts() {
        let activity = Arc::new(Activity::default());
        let long = Duration::from_secs(60);
        let start = tokio::time::Instant::now();
        let idle = activity.idle(Duration::from_secs(10));
        let work = async {
            tokio::time::sleep(Duration::from_secs(9)).await;
            let first = activity.enter();
            tokio::time::sleep(long).await;
            let second = activity.enter();
            drop(first);
            tokio::time::sleep(long).await;
            drop(second);
        };
        tokio::join!(idle, work);
        assert_eq!(start.elapsed(), Duration::from_secs(9 + 60 + 60 + 10));
    }
}
