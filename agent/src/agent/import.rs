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
        if kind == Kind::Grant && self.stopping.get() {
            // No stream would bring it again.
            let why = "the agent is being stopped and takes no grant any more";
            return Err(error(
                Code::Internal,
                why,
                Some("import it again when the agent runs"),
            ));
        }
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
