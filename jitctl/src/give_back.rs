//! `jitctl drop`.

use crate::agent::unexpected;
use crate::args;
use crate::context::Context;
use crate::exit::{Code, Exit};
use crate::failure::{Failure, SCHEMA_VERSION};
use crate::output::Line;
use crate::remote;
use serde_json::json;
use wire::cli::{Reply, Request};

pub fn command(ctx: &Context, args: &args::Drop) -> Result<u8, Failure> {
    match &args.id {
        Some(id) if args.remote => return remote::give_back(ctx, &args.issuer, id),
        _ => remote::refuse_issuer(&args.issuer, "--remote")?,
    }
    let reply = ctx.agent.ask(&Request::Drop {
        grant: args.id.clone(),
    })?;
    let Reply::Dropped { grants } = reply else {
        return Err(unexpected());
    };
    if grants.is_empty() {
        return Err(Failure::new(
            Code::NoGrant,
            "No grant is active, so none was given back.",
        ));
    }
    ctx.out
        .json(&json!({ "schema_version": SCHEMA_VERSION, "dropped": grants }));
    let lines: Vec<Line> = grants
        .iter()
        .map(|id| Line::new("Given back: ").text(id))
        .collect();
    ctx.out.lines(&lines);
    Ok(Exit::Ok.code())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::fake::Fake;
    use crate::output::Output;

    #[test]
    fn nothing_live_is_exit_6() {
        let fake = Fake::answering(vec![Reply::Dropped { grants: vec![] }]);
        let ctx = Context {
            out: Output::new(true),
            agent: fake.agent.clone(),
        };
        let args = args::Drop {
            id: None,
            all: true,
            remote: false,
            issuer: args::Issuer::default(),
        };
        assert_eq!(command(&ctx, &args).unwrap_err().code, Code::NoGrant);
        assert_eq!(fake.asked(), [Request::Drop { grant: None }]);
    }
}
