//! The store's own thread: one connection, one job after the other. Signing under a counter happens here too, so
//! what has a higher number was also made later and from newer facts.
//!
//! Jobs that wait are done in one transaction, so that they wait for the disk once. Nobody gets an answer before it is durable.

use super::Store;
use crate::error::Error;
use std::sync::mpsc;
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// Jobs in one transaction: the first waits for the last.
const TOGETHER: usize = 32;

/// Something to be done, and somebody who waits for it.
trait Job: Send {
    fn run(&mut self, core: &mut Core);

    /// Whether it is durable.
    fn tell(self: Box<Self>, kept: Result<(), String>);

    /// It makes its own transactions.
    fn is_alone(&self) -> bool;
}

struct Call<T, F> {
    job: Option<F>,
    answer: Option<Result<T, Error>>,
    to: oneshot::Sender<Result<T, Error>>,
    alone: bool,
}

impl<T, F> Job for Call<T, F>
where
    T: Send,
    F: FnOnce(&mut Core) -> Result<T, Error> + Send,
{
    fn run(&mut self, core: &mut Core) {
        self.answer = self.job.take().map(|job| job(core));
    }

    fn tell(self: Box<Self>, kept: Result<(), String>) {
        let answer = match kept {
            Ok(()) => self.answer.unwrap_or(Err(Error::Worker)),
            Err(why) => Err(Error::NotKept(why)),
        };
        // The caller may be gone; what was done is stored all the same.
        let _ = self.to.send(answer);
    }

    fn is_alone(&self) -> bool {
        self.alone
    }
}

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

    fn run(&mut self, mut jobs: Vec<Box<dyn Job>>) {
        let kept = self.store.begin().and_then(|()| {
            for job in &mut jobs {
                job.run(self);
                if !self.store.has_begun() {
                    // It was given up. What came now would be kept by itself, though everybody is told that it was not.
                    break;
                }
            }
            self.store.commit()
        });
        if kept.is_err() {
            // Those that were reserved since are not.
            self.state_seq = 0..0;
        }
        let kept = kept.map_err(|e| e.to_string());
        for job in jobs {
            job.tell(kept.clone());
        }
    }

    fn run_alone(&mut self, mut job: Box<dyn Job>) {
        job.run(self);
        job.tell(Ok(()));
    }
}

/// A handle on the store's thread.
#[derive(Clone)]
pub struct Db {
    jobs: mpsc::Sender<Box<dyn Job>>,
}

impl Db {
    /// Starts the thread. It ends when all handles are gone; join it to know that everything is closed.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(store: Box<dyn Store>, block: u64) -> Result<(Self, JoinHandle<()>), Error> {
        let (jobs, queue) = mpsc::channel::<Box<dyn Job>>();
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || {
                let mut core = Core {
                    store,
                    state_seq: 0..0,
                    block: block.max(1),
                };
                while let Ok(first) = queue.recv() {
                    let mut jobs = Vec::new();
                    let mut next = Some(first);
                    while let Some(job) = next.take_if(|job| !job.is_alone()) {
                        jobs.push(job);
                        if jobs.len() < TOGETHER {
                            next = queue.try_recv().ok();
                        }
                    }
                    if !jobs.is_empty() {
                        core.run(jobs);
                    }
                    if let Some(job) = next {
                        core.run_alone(job);
                    }
                }
            })
            .map_err(Error::System)?;
        Ok((Self { jobs }, thread))
    }

    /// Runs one job. It is carried out also when the caller stops waiting.
    ///
    /// # Errors
    /// The job's, [`Error::NotKept`] or [`Error::Worker`].
    pub async fn call<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Core) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.ask(job, false).await
    }

    /// Runs one job that cannot be a part of a transaction.
    ///
    /// # Errors
    /// The job's, or [`Error::Worker`].
    pub async fn alone<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Core) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.ask(job, true).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Core) -> Result<T, Error> + Send + 'static,
        alone: bool,
    ) -> Result<T, Error> {
        let (to, answer) = oneshot::channel();
        let job: Box<dyn Job> = Box::new(Call {
            job: Some(job),
            answer: None,
            to,
            alone,
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

    /// A store and its thread that does nothing until it is let go.
    fn held() -> (
        Db,
        JoinHandle<()>,
        mpsc::Sender<()>,
        tempfile::NamedTempFile,
    ) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let store = Sqlite::open(file.path()).unwrap();
        let (db, thread) = Db::start(Box::new(store), 3).unwrap();
        let (go, wait) = mpsc::channel();
        let holds = db.clone();
        let (began, is_held) = mpsc::channel();
        std::thread::spawn(move || {
            let hold = move |_: &mut Core| {
                began.send(()).unwrap();
                wait.recv().unwrap();
                Ok(())
            };
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            runtime.unwrap().block_on(holds.alone(hold)).unwrap();
        });
        is_held.recv().unwrap();
        (db, thread, go, file)
    }

    fn waiting<T: Send + 'static>(
        db: &Db,
        job: impl FnOnce(&mut Core) -> Result<T, Error> + Send + 'static,
    ) -> tokio::task::JoinHandle<Result<T, Error>> {
        let db = db.clone();
        tokio::spawn(async move { db.call(job).await })
    }

    #[tokio::test]
    async fn those_that_wait_are_durable_before_anybody_hears_and_fail_alone() {
        let (db, thread, go, file) = held();
        let asked = |hash: &str| crate::store::Asked {
            hash: hash.to_owned(),
            id: hash.to_owned(),
            host: "h".to_owned(),
            sub: "s".to_owned(),
            jws: String::new(),
            at: 1,
        };
        let good = waiting(&db, move |core| core.store.deny(&asked("a"), "no"));
        let bad = waiting(&db, move |core| {
            core.store.deny(&asked("b"), "no")?;
            core.store.grant(&asked("c"), &mut |_| Err(Error::Random))
        });
        tokio::task::yield_now().await;
        go.send(()).unwrap();
        good.await.unwrap().unwrap();
        assert!(matches!(bad.await.unwrap(), Err(Error::Random)));
        // Another reader sees what is durable.
        let mut other = Sqlite::open(file.path()).unwrap();
        use crate::store::Store as _;
        assert!(other.settled("a").unwrap().is_some());
        assert!(other.settled("b").unwrap().is_some());
        assert!(other.settled("c").unwrap().is_none());
        drop(db);
        thread.join().unwrap();
    }

    #[tokio::test]
    async fn what_cannot_be_kept_is_told_to_all_and_no_number_is_used_twice() {
        let (db, thread, go, _file) = held();
        let seq = waiting(&db, Core::next_state_seq);
        let spoil = waiting(&db, |core| core.store.commit());
        let later = waiting(&db, |core| core.store.reserve_state_seq(1000));
        tokio::task::yield_now().await;
        go.send(()).unwrap();
        for failed in [
            seq.await.unwrap().map(|_| ()),
            spoil.await.unwrap(),
            later.await.unwrap().map(|_| ()),
        ] {
            assert!(matches!(failed, Err(Error::NotKept(_))), "{failed:?}");
        }
        let next = db.call(Core::next_state_seq).await.unwrap();
        assert!(next > 3 && next < 1000, "{next}");
        drop(db);
        thread.join().unwrap();
    }
}
