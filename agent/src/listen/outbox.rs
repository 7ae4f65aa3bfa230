//! What waits to be written to the link. It is bounded: a link that does not read is cut off, it does not fill the memory of
//! the agent.

use std::rc::Rc;
use tokio::sync::{Notify, mpsc};
use wire::link::Down;

/// Messages; the largest hold a batch of records, some 100 KiB.
const MOST: usize = 512;

/// The agent's end.
pub struct Outbox {
    tx: mpsc::Sender<Down>,
    full: Rc<Notify>,
}

/// The writer's end: the messages, and the word that there were too many.
pub struct Waiting {
    pub rx: mpsc::Receiver<Down>,
    pub full: Rc<Notify>,
}

/// The link is gone, or will be at once.
#[derive(Debug, PartialEq, Eq)]
pub struct NotSent;

/// Both ends.
#[must_use]
pub fn outbox() -> (Outbox, Waiting) {
    let (tx, rx) = mpsc::channel(MOST);
    let full = Rc::new(Notify::new());
    let waiting = Waiting {
        rx,
        full: full.clone(),
    };
    (Outbox { tx, full }, waiting)
}

impl Outbox {
    /// Never waits. What does not fit costs the link its connection, so that nothing is left out unseen.
    ///
    /// # Errors
    /// [`NotSent`].
    pub fn send(&self, message: Down) -> Result<(), NotSent> {
        self.tx.try_send(message).map_err(|_| {
            self.full.notify_one();
            NotSent
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_link_that_does_not_read_is_told_of_and_not_waited_for() {
        let (outbox, mut waiting) = outbox();
        let word = || Down::Word {
            id: 1,
            word: String::new(),
        };
        for _ in 0..MOST {
            assert_eq!(outbox.send(word()), Ok(()));
        }
        let calm = tokio::time::timeout(Duration::from_millis(10), waiting.full.notified());
        assert!(calm.await.is_err());
        assert_eq!(outbox.send(word()), Err(NotSent));
        waiting.full.notified().await;
        // Read again, it takes more.
        waiting.rx.recv().await.unwrap();
        assert_eq!(outbox.send(word()), Ok(()));
        drop(waiting);
        assert_eq!(outbox.send(word()), Err(NotSent));
    }
}
