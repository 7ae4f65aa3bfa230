//! `link.sock`: one link at a time; a new connection takes the place of the old one.

use super::outbox::{Waiting, outbox};
use super::{read_frame, write_frame};
use crate::agent::Agent;
use crate::callers::identify;
use std::rc::Rc;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use wire::frame::{LINK, LINK_DOWN};
use wire::link::Up;

/// Messages read and not yet taken; a link that sends more waits.
const INBOX: usize = 8;

/// Serve for ever. The socket's mode lets in root and the group `jit-link`.
pub async fn serve(agent: Rc<Agent>, listener: UnixListener) {
    // Messages are taken one after the other by a task that no connection's end can cut short: half a revocation is
    // none.
    let (inbox, mut messages) = mpsc::channel::<Up>(INBOX);
    let taker = agent.clone();
    tokio::task::spawn_local(async move {
        while let Some(message) = messages.recv().await {
            taker.from_link(message).await;
        }
    });
    let mut current: Option<tokio::task::JoinHandle<()>> = None;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if identify(&stream).is_err() {
                    continue;
                }
                if let Some(old) = current.take() {
                    old.abort();
                    let _ = old.await;
                }
                let (agent, inbox) = (agent.clone(), inbox.clone());
                current = Some(tokio::task::spawn_local(async move {
                    one(agent, stream, inbox).await;
                }));
            }
            Err(e) => super::accept_failed(&agent, &e).await,
        }
    }
}

async fn one(agent: Rc<Agent>, stream: UnixStream, inbox: mpsc::Sender<Up>) {
    let (mut read, mut write) = stream.into_split();
    let (tx, Waiting { mut rx, full }) = outbox();
    agent.link_up(tx);
    let writer = async {
        while let Some(message) = rx.recv().await {
            if write_frame(&mut write, &message, LINK_DOWN).await.is_err() {
                return;
            }
        }
    };
    let reader = async {
        loop {
            match read_frame::<_, Up>(&mut read, LINK).await {
                Ok(Some(message)) => {
                    if inbox.send(message).await.is_err() {
                        return;
                    }
                }
                Ok(None) => return,
                Err(e) => {
                    agent.alert(&format!("the link sent what cannot be read: {e}"));
                    return;
                }
            }
        }
    };
    tokio::select! {
        () = writer => {}
        () = reader => {}
        () = full.notified() => agent.alert_rarely("the link was cut off: it does not read what it is sent"),
    }
    agent.link_down();
}
