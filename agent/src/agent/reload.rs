//! SIGHUP: what the administrator set is read again, taken whole or not at all.

use super::Agent;
use crate::config;
use journal::kind;

impl Agent {
    /// Take the files as they are now; one with a fault changes nothing, and that is said. What is live stays as it was
    /// granted: limits are those of what is given from now on.
    pub async fn reload(&self) {
        let new = match config::load() {
            Ok(new) => new,
            Err(fault) => {
                return self.alert(&format!("the configuration stays as it was: {fault}"));
            }
        };
        // Of limits that come into force now: what was held before counts from the first request on.
        self.recall_held(&new.ceiling).await;
        let (was, changed) = match &*self.config.borrow() {
            Ok(old) => (None, new.changed(old)),
            Err(why) => (Some(why.clone()), Vec::new()),
        };
        let mut record = self.note(kind::CONFIG).detail("changed", changed);
        if let Some(why) = was {
            record = record.detail("instead_of", why);
        }
        self.log.later(record);
        *self.config.borrow_mut() = Ok(new);
        // An answer may depend on it.
        self.changed.notify_waiters();
    }
}
