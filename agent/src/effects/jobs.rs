//! Ends of systemd's jobs, read by one task for all who wait for one.
//!
//! Who asks for a job does not listen while he waits for systemd's answer, and a reader of the bus whose listener does not
//! listen reads nothing more, the answer neither: with a listener for each job, more jobs at once than a listener holds
//! signals stopped each other until their time was over.

use super::units::{ManagerProxy, UnitError};
use futures_util::StreamExt;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

/// Jobs of one connection. The last clone stops the reading.
#[derive(Clone)]
pub struct Jobs {
    known: Arc<Mutex<Known>>,
    _reader: Arc<Reader>,
}

#[derive(Default)]
struct Known {
    /// Whoever waits for the end of a job, by its path.
    waiting: HashMap<String, oneshot::Sender<String>>,
    /// Asked for, without an answer so far: a fast job ends before its path is known.
    asked: usize,
    /// How jobs ended that nobody waited for meanwhile.
    ended: HashMap<String, String>,
    closed: bool,
}

struct Reader(AbortHandle);

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Jobs {
    /// # Errors
    /// When the bus does not answer.
    pub async fn listen(manager: &ManagerProxy<'static>) -> Result<Self, UnitError> {
        let mut removed = manager.receive_job_removed().await?;
        let known = Arc::new(Mutex::new(Known::default()));
        let told = known.clone();
        let reader = tokio::spawn(async move {
            while let Some(signal) = removed.next().await {
                // One that cannot be read is nobody's: who waits for it waits in vain, and not for long.
                if let Ok(args) = signal.args() {
                    lock(&told).end(args.job.as_str(), args.result);
                }
            }
            let mut known = lock(&told);
            known.closed = true;
            known.waiting.clear();
        });
        Ok(Self {
            known,
            _reader: Arc::new(Reader(reader.abort_handle())),
        })
    }

    /// From before a job is asked for until its path is known: no end is missed meanwhile.
    #[must_use]
    pub fn ask(&self) -> Asked {
        lock(&self.known).asked += 1;
        Asked(self.known.clone())
    }
}

/// Somebody asks for a job.
pub struct Asked(Arc<Mutex<Known>>);

impl Asked {
    /// Wait for the end of this job and return its result; `None` when the bus has closed.
    pub async fn end_of(self, job: &str) -> Option<String> {
        let end = lock(&self.0).wait(job);
        drop(self);
        end.await.ok()
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let mut known = lock(&self.0);
        known.asked -= 1;
        if known.asked == 0 {
            known.ended.clear();
        }
    }
}

impl Known {
    fn end(&mut self, job: &str, result: &str) {
        match self.waiting.remove(job) {
            // Who has stopped waiting misses nothing.
            Some(who) => drop(who.send(result.to_owned())),
            None if self.asked > 0 => {
                self.ended.insert(job.to_owned(), result.to_owned());
            }
            None => {}
        }
    }

    fn wait(&mut self, job: &str) -> oneshot::Receiver<String> {
        let (tell, end) = oneshot::channel();
        match self.ended.remove(job) {
            Some(result) => drop(tell.send(result)),
            None if self.closed => {}
            None => {
                self.waiting.insert(job.to_owned(), tell);
            }
        }
        end
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(known: &Arc<Mutex<Known>>) -> Asked {
        lock(known).asked += 1;
        Asked(known.clone())
    }

    #[tokio::test]
    async fn a_job_that_ends_before_its_path_is_known_is_not_missed() {
        let known = Arc::new(Mutex::new(Known::default()));
        let (fast, slow) = (asked(&known), asked(&known));
        lock(&known).end("/job/1", "done");
        lock(&known).end("/job/of/others", "done");
        assert_eq!(fast.end_of("/job/1").await.as_deref(), Some("done"));
        let end = tokio::spawn(async move { slow.end_of("/job/2").await });
        while lock(&known).waiting.is_empty() {
            tokio::task::yield_now().await;
        }
        lock(&known).end("/job/2", "timeout");
        assert_eq!(end.await.unwrap().as_deref(), Some("timeout"));
        let known = lock(&known);
        assert!(known.ended.is_empty() && known.waiting.is_empty());
    }

    #[tokio::test]
    async fn a_bus_that_has_closed_ends_no_job() {
        let known = Arc::new(Mutex::new(Known::default()));
        lock(&known).closed = true;
        assert_eq!(asked(&known).end_of("/job/1").await, None);
    }
}
