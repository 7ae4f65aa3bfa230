//! `gate.sock`: one question, one answer, one connection. Root's processes only, by the socket's mode and by the
//! peer's uid.

use super::{Stop, answer_calls, read_request, write_reply};
use crate::agent::Agent;
use crate::callers::{GATE_PER_UID, Limits, identify};
use std::rc::Rc;
use tokio::net::{UnixListener, UnixStream};
use wire::frame::GATE;
use wire::gate::{Reply, Request};

/// Serve until told to stop; every call that was accepted has its answer then.
pub async fn serve(agent: Rc<Agent>, listener: UnixListener, stop: Stop) {
    let limits = Limits::new(GATE_PER_UID);
    answer_calls(&agent, listener, stop, |stream| {
        let (agent, limits) = (agent.clone(), limits.clone());
        async move { one(&agent, stream, &limits).await }
    })
    .await;
}

async fn one(agent: &Rc<Agent>, mut stream: UnixStream, limits: &Limits) {
    let Ok(peer) = identify(&stream) else { return };
    if peer.uid != 0 {
        return;
    }
    let Some(_slot) = limits.enter(peer.process.facts.uid) else {
        let reply = Reply::Deny {
            text: "jit: too many calls of yours are being decided at once; try again.".into(),
        };
        let _ = write_reply(&mut stream, &reply, GATE.reply).await;
        return;
    };
    let reply = match read_request::<_, Request>(&mut stream, GATE.request).await {
        Ok(request) => agent.gate(peer, request).await,
        Err(e) => {
            let facts = &peer.process.facts;
            let record = agent
                .note(journal::kind::REFUSED)
                .uid(facts.uid)
                .decision("deny")
                .detail("what", "call")
                .detail("pid", facts.pid)
                .detail("why", format!("gate.sock: {e}"));
            agent.refuse(facts.uid, record);
            return;
        }
    };
    // A peer that is gone needs no answer.
    let _ = write_reply(&mut stream, &reply, GATE.reply).await;
}
