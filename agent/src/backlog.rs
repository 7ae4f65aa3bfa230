//! Records that wait while the journal cannot be written. Nobody waits for them, and none is given up while there is room.

use journal::Draft;
use std::collections::VecDeque;

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    Yes,
    /// There is no room, for the first time since all were written.
    FirstLost,
    Lost,
}

/// The oldest first.
pub struct Backlog {
    most: usize,
    drafts: VecDeque<Draft>,
    lost: u64,
}

impl Backlog {
    /// For so many.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            drafts: VecDeque::new(),
            lost: 0,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.drafts.is_empty()
    }

    pub fn front(&self) -> Option<&Draft> {
        self.drafts.front()
    }

    /// Keep it, behind the others.
    pub fn keep(&mut self, draft: Draft) -> Kept {
        if self.drafts.len() < self.most {
            self.drafts.push_back(draft);
            return Kept::Yes;
        }
        self.lost += 1;
        if self.lost == 1 {
            Kept::FirstLost
        } else {
            Kept::Lost
        }
    }

    /// The first is written. When it was the last: how many were lost meanwhile, if any.
    pub fn written(&mut self) -> Option<u64> {
        self.drafts.pop_front();
        let lost = self
            .drafts
            .is_empty()
            .then(|| std::mem::take(&mut self.lost));
        lost.filter(|lost| *lost > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use journal::{Record, Timestamp};

    #[test]
    fn what_has_no_room_is_told_once_and_counted() {
        let draft = || {
            let time = Timestamp {
                unix_ms: 0,
                boot_ns: 0,
                boot_id: String::new(),
            };
            Draft::new(&Record::new("end", time)).unwrap()
        };
        let mut backlog = Backlog::new(2);
        for wanted in [Kept::Yes, Kept::Yes, Kept::FirstLost, Kept::Lost] {
            assert_eq!(backlog.keep(draft()), wanted);
        }
        // Before all are written nothing is known to be over.
        assert_eq!(backlog.written(), None);
        assert_eq!(backlog.keep(draft()), Kept::Yes);
        assert_eq!(backlog.keep(draft()), Kept::Lost);
        assert_eq!(backlog.written(), None);
        assert_eq!(backlog.written(), Some(3));
        // From then on it is told anew.
        for wanted in [Kept::Yes, Kept::Yes, Kept::FirstLost] {
            assert_eq!(backlog.keep(draft()), wanted);
        }
    }
}
