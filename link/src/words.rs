//! The host's word for a call to an issuer elsewhere. Only the agent can give it: the link holds no key.

use crate::carry::ToAgent;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use wire::link::Up;

/// The agent answers from memory.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is none.
pub enum Wordless {
    /// The agent is gone.
    Gone,
    /// It does not answer.
    Silent,
}

/// Questions to the agent that wait for their answers.
#[derive(Default)]
pub struct Words(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    next: u64,
    asked: HashMap<u64, oneshot::Sender<String>>,
}

impl Words {
    /// A fresh one, for one call.
    pub async fn ask(&self, agent: &ToAgent) -> Result<String, Wordless> {
        let (tell, answer) = oneshot::channel();
        let id = {
            let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.asked.retain(|_, waiter| !waiter.is_closed());
            waiting.next += 1;
            let id = waiting.next;
            waiting.asked.insert(id, tell);
            id
        };
        if agent.send(&Up::Word { id }).await.is_err() {
            return Err(Wordless::Gone);
        }
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(word)) => Ok(word),
            _ => Err(Wordless::Silent),
        }
    }

    /// The agent's answer; one that nobody waits for is dropped.
    pub fn answer(&self, id: u64, word: String) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiter) = waiting.asked.remove(&id) {
            let _ = waiter.send(word);
        }
    }
}
