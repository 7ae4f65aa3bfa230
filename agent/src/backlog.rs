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

    /// The first, and its place.
    pub fn first(&self) -> Option<(usize, &Draft)> {
        self.drafts.iter().enumerate().next()
    }

    /// The first behind it that may use the room that the journal keeps.
    pub fn first_that_ends(&self) -> Option<(usize, &Draft)> {
        let mut behind = self.drafts.iter().enumerate().skip(1);
        behind.find(|(_, draft)| draft.may_use_kept_room())
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

    /// The one in this place is written. When it was the last: how many were lost meanwhile, if any.
    pub fn written(&mut self, place: usize) -> Option<u64> {
        self.drafts.remove(place);
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

    fn draft(kind: &str) -> Draft {
        Draft::new(&Record::new(kind, Timestamp::wall(0))).unwrap()
    }

    #[test]
    fn what_ends_does_not_wait_behind_what_needs_more_room() {
        let mut backlog = Backlog::new(9);
        for kind in ["refused", "heartbeat", "end", "refused", "proof"] {
            assert_eq!(backlog.keep(draft(kind)), Kept::Yes);
        }
        let ends = |backlog: &Backlog| backlog.first_that_ends().map(|(place, _)| place);
        assert_eq!(backlog.first().unwrap().0, 0);
        assert_eq!(ends(&backlog), Some(2));
        assert_eq!(backlog.written(2), None);
        assert_eq!(ends(&backlog), Some(3));
        assert_eq!(backlog.written(3), None);
        assert_eq!(ends(&backlog), None);
    }

    #[test]
    fn what_has_no_room_is_told_once_and_counted() {
        let draft = || draft("end");
        let mut backlog = Backlog::new(2);
        for wanted in [Kept::Yes, Kept::Yes, Kept::FirstLost, Kept::Lost] {
            assert_eq!(backlog.keep(draft()), wanted);
        }
        // Before all are written nothing is known to be over.
        assert_eq!(backlog.written(0), None);
        assert_eq!(backlog.keep(draft()), Kept::Yes);
        assert_eq!(backlog.keep(draft()), Kept::Lost);
        assert_eq!(backlog.written(0), None);
        assert_eq!(backlog.written(0), Some(3));
        // From then on it is told anew.
        for wanted in [Kept::Yes, Kept::Yes, Kept::FirstLost] {
            assert_eq!(backlog.keep(draft()), wanted);
        }
    }
}
