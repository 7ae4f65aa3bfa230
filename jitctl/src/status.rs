//! `jitctl status`.

use crate::agent::unexpected;
use crate::args;
use crate::context::Context;
use crate::exit::{Code, Exit};
use crate::failure::Failure;
use crate::interrupt::unless_interrupted;
use crate::show;
use std::time::Duration;
use wire::cli::{Reply, Request, Status};

const EACH: Duration = Duration::from_secs(1);

pub fn command(ctx: &Context, args: &args::Status) -> Result<u8, Failure> {
    let (all, watch) = (args.all, args.watch);
    if !watch {
        let status = ask(ctx, all)?;
        print(ctx, &status, all);
        return Ok(exit(&status).code());
    }
    let ctx = ctx.clone();
    unless_interrupted("Interrupted.", move || {
        loop {
            let more = match ask(&ctx, all) {
                Ok(status) => {
                    ctx.out.clear();
                    print(&ctx, &status, all)
                }
                // The agent may come back; whoever watches wants to see both.
                Err(failure) if failure.code == Code::AgentUnreachable => {
                    ctx.out.clear();
                    ctx.out.failure(&failure);
                    true
                }
                Err(failure) => return Err(failure),
            };
            if !more {
                return Ok(Exit::Ok.code());
            }
            std::thread::sleep(EACH);
        }
    })
}

fn ask(ctx: &Context, all: bool) -> Result<Status, Failure> {
    match ctx.agent.ask(&Request::Status { all })? {
        Reply::Status(status) => Ok(status),
        _ => Err(unexpected()),
    }
}

fn print(ctx: &Context, status: &Status, all: bool) -> bool {
    ctx.out.json(&show::status_json(status, all)) && ctx.out.lines(&show::status_lines(status, all))
}

fn exit(status: &Status) -> Exit {
    if status.grants.is_empty() {
        Exit::NoGrant
    } else {
        Exit::Ok
    }
}
