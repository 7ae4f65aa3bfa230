//! The store's own thread: one connection, one job after the other. Signing under a counter happens here too, so
//! what has a higher number was also made later and from newer facts.

use super::Store;
use crate::error::Error;
use std::sync::mpsc;
use std::thread::JoinHandle;
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce(&mut Core) + Send>;

/// What a job may use.
pub struct Core {
    pub store: Box<dyn Store>,
    /// Reserved numbers of states that are not used yet.
    state_seq: std::ops::Range<u64>,
    block: u64,
}

impl Core {
    /// The next number of a state. It is durable before it is used: a kill loses numbers, it never repeats one.
    ///
    /// # Errors
    /// The store's.
    pub fn next_state_seq(&mut self) -> Result<u64, Error> {
        if let Some(seq) = self.state_seq.next() {
            return Ok(seq);
        }
        let first = self.store.reserve_state_seq(self.block)?;
        self.state_seq = first + 1..first + self.block;
        Ok(first)
    }
}

/// A handle on the store's thread.
#[derive(Clone)]
pub struct Db {
    jobs: mpsc::Sender<Job>,
}

impl Db {
    /// Starts the thread. It ends when all handles are gone; join it to know that everything is closed.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(store: Box<dyn Store>, block: u64) -> Result<(Self, JoinHandle<()>), Error> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || {
                let mut core = Core {
                    store,
                    state_seq: 0..0,
                    block: block.max(1),
                };
                while let Ok(job) = queue.recv() {
                    job(&mut core);
                }
            })
            .map_err(Error::System)?;
        Ok((Self { jobs }, thread))
    }

    /// Runs one job. It is carried out also when the caller stops waiting.
    ///
    /// # Errors
    /// The job's, or [`Error::Worker`].
    pub async fn call<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Core) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (tell, answer) = oneshot::channel();
        let job: Job = Box::new(move |core| {
            // The caller may be gone; what was done is stored all the same.
            let _ = tell.send(job(core));
        });
        self.jobs.send(job).map_err(|_| Error::Worker)?;
        answer.await.map_err(|_| Error::Worker)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Sqlite;

    #[tokio::test]
    async fn numbers_of_states_rise_by_one_and_over_restarts_by_some() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut last = 0;
        for _ in 0..3 {
            let store = Sqlite::open(file.path()).unwrap();
            let (db, thread) = Db::start(Box::new(store), 3).unwrap();
            for used in 0..5 {
                let seq = db.call(Core::next_state_seq).await.unwrap();
                if used == 0 {
                    assert!(seq > last);
                } else {
                    assert_eq!(seq, last + 1);
                }
                last = seq;
            }
            drop(db);
            thread.join().unwrap();
        }
    }
}
