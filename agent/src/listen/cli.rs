//! `agent.sock`: anyone may connect; the peer's uid decides what it may ask.

use super::{Stop, answer_calls, read_request, write_reply};
use crate::agent::Agent;
use crate::callers::{CLI_PER_UID, Limits, Op, Peer, identify, may};
use std::rc::Rc;
use tokio::net::{UnixListener, UnixStream};
use wire::cli::{Code, Error, Reply, Request};
use wire::frame::CLI;

/// Serve until told to stop; every call that was accepted has its answer then.
pub async fn serve(agent: Rc<Agent>, listener: UnixListener, stop: Stop) {
    let limits = Limits::new(CLI_PER_UID);
    answer_calls(&agent, listener, stop, |stream| {
        let (agent, limits) = (agent.clone(), limits.clone());
        async move { one(&agent, stream, &limits).await }
    })
    .await;
}

fn error(code: Code, message: &str) -> Reply {
    Reply::Error(Error {
        code,
        message: message.to_owned(),
        hint: None,
    })
}

async fn one(agent: &Rc<Agent>, mut stream: UnixStream, limits: &Limits) {
    let Ok(peer) = identify(&stream) else { return };
    let Some(_slot) = limits.enter(peer.uid) else {
        let _ = write_reply(
            &mut stream,
            &error(Code::Busy, "too many of your calls are open"),
            CLI.reply,
        )
        .await;
        return;
    };
    let reply = match read_request::<_, Request>(&mut stream, CLI.request).await {
        Ok(request) => serve_one(agent, &peer, request).await,
        Err(e) => error(Code::Usage, &format!("the message cannot be read: {e}")),
    };
    let _ = write_reply(&mut stream, &reply, CLI.reply).await;
}

/// What is asked over the message bus, which names no process: only what the uid alone decides.
pub(super) async fn without_process(agent: &Rc<Agent>, uid: u32, request: Request) -> Reply {
    let op = match &request {
        Request::Status { all: false } => Op::Status,
        Request::Status { all: true } => Op::StatusAll,
        Request::Drop { grant: Some(_) } => Op::DropOwn,
        _ => return error(Code::Usage, "this is not asked over the message bus"),
    };
    if !may(uid, op) {
        return only_root();
    }
    let result = match request {
        Request::Drop { grant } => agent.give_back(uid, grant.as_deref()).await,
        _ => agent.status(uid, op == Op::StatusAll).await,
    };
    result.unwrap_or_else(Reply::Error)
}

fn only_root() -> Reply {
    error(Code::NotRoot, "only root may ask this")
}

async fn serve_one(agent: &Rc<Agent>, peer: &Peer, request: Request) -> Reply {
    let op = match &request {
        Request::Status { all: false } => Op::Status,
        Request::Status { all: true } => Op::StatusAll,
        Request::Elevate(_) => Op::Elevate,
        Request::Extend(_) => Op::Extend,
        Request::Wait { .. } => Op::Wait,
        Request::Drop { .. } => Op::DropOwn,
        Request::HostKey => Op::HostKey,
        Request::Enrol { .. } => Op::Enrol,
        Request::Roles => Op::Roles,
        Request::ProveKey { .. } => Op::ProveKey,
        Request::Import { .. } => Op::Import,
        Request::Breakglass(_) => Op::Breakglass,
        Request::Explain { .. } => Op::Explain,
        Request::Probe { .. } => Op::Probe,
        Request::Receivers => Op::Receivers,
    };
    if !may(peer.uid, op) {
        return only_root();
    }
    let result = match request {
        Request::Status { all } => agent.status(peer.uid, all).await,
        Request::Elevate(ask) => agent.elevate(peer, ask).await,
        Request::Extend(ask) => agent.extend(peer, ask).await,
        Request::Wait { request, max_s } => agent.wait(peer.uid, &request, max_s).await,
        Request::Drop { grant } => agent.give_back(peer.uid, grant.as_deref()).await,
        Request::HostKey => agent.host_key(),
        Request::Enrol {
            trust,
            enrolment,
            policy,
            replace,
        } => agent.enrol(trust, enrolment, policy, replace).await,
        Request::Roles => Ok(agent.roles()),
        Request::ProveKey {
            host,
            issuer,
            secret_hash,
        } => agent.prove_key(host, issuer, secret_hash),
        Request::Breakglass(ask) => agent.breakglass(peer, ask).await,
        Request::Import { kind, blob } => agent.import(kind, &blob).await,
        Request::Explain { subject } => agent.explain(peer.uid, subject).await,
        Request::Probe { count } => agent.probe(count).await,
        Request::Receivers => Ok(agent.receivers_now()),
    };
    result.unwrap_or_else(Reply::Error)
}
