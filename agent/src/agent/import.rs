//! A statement that root brings in a file, for a host without a link: taken by the same checks.

use super::Agent;
use super::elevate::error;
use super::statements::New;
use std::rc::Rc;
use wire::cli::{Code, Error, Reply};
use wire::link::Kind;

impl Agent {
    /// Takes one statement.
    ///
    /// # Errors
    /// [`Code::Denied`] with the sentence of the refusal, which is journaled as one of the link's would be.
    pub async fn import(self: &Rc<Self>, kind: Kind, blob: &str) -> Result<Reply, Error> {
        let taken = self.take(kind, blob).await;
        self.changed.notify_waiters();
        match taken {
            Ok(new) => Ok(Reply::Imported {
                new: matches!(new, New::Yes),
            }),
            Err(why) => Err(error(
                Code::Denied,
                format!("the statement was refused: {why}"),
                None,
            )),
        }
    }
}
