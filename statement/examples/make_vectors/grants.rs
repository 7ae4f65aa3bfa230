//! Grant bundles: how they are made here, and the good ones.

use crate::Cases;
use crate::world::*;
use serde_json::{Value, json};
use statement::claims::{Grant, Request, Typ};
use statement::detail::{AllOr, Command};
use statement::digest::sha256_b64;

/// A grant bundle in the making; what a test does not touch is right.
pub struct Making<'a> {
    pub world: &'a World,
    /// Payload of the request.
    pub request: String,
    /// Payload of the grant; `req_hash` is set unless it was changed.
    pub grant: Value,
}

impl<'a> Making<'a> {
    pub fn new(world: &'a World, request: &Request, grant: &Grant) -> Making<'a> {
        Making {
            world,
            request: tree(request).to_string(),
            grant: tree(grant),
        }
    }

    pub fn request_jws(&self) -> String {
        self.world.host.over(Typ::Request, &self.request)
    }

    /// The grant's payload as text, for the request's bytes.
    pub fn payload(&self) -> String {
        let mut grant = self.grant.clone();
        if grant["req_hash"] == json!(sha256_b64(b"")) {
            grant["req_hash"] = json!(sha256_b64(self.request_jws().as_bytes()));
        }
        grant.to_string()
    }

    pub fn bundle(&self) -> String {
        self.with_payload(&self.payload())
    }

    pub fn with_payload(&self, payload: &str) -> String {
        self.with_jws(&self.world.grant.over(Typ::Grant, payload))
    }

    pub fn with_header(&self, header: &str) -> String {
        self.with_jws(&self.world.grant.jws(header, &self.payload()))
    }

    pub fn with_jws(&self, jws: &str) -> String {
        json!({"v": 1, "grant": jws, "request": b64(self.request_jws()), "approvals": []})
            .to_string()
    }
}

pub fn accepted(cases: &mut Cases, world: &World) {
    let plain = Making::new(world, &request(), &grant());
    cases.accept("plain", plain.bundle());
    cases.accept(
        "through signer and bundle",
        world.bundle(&grant(), &request()),
    );
    let header = world
        .grant
        .header("jit-grant+jwt")
        .replace("EdDSA", "Ed25519");
    cases.accept("alg Ed25519 of RFC 9864", plain.with_header(&header));
    cases.accept(
        "ES256",
        plain.with_jws(&world.es256.over(Typ::Grant, &plain.payload())),
    );
    cases.accept(
        "blanks in the claims",
        plain.with_payload(&plain.payload().replace(',', " ,\n\t")),
    );
    cases.accept("empty lists spelled out", {
        let grant = with(&grant(), "/authorization_details/0/cwd", json!([]));
        Making {
            grant: with(&grant, "/authorization_details/0/tty", json!(false)),
            ..Making::new(world, &request(), &self::grant())
        }
        .bundle()
    });

    let asked = Request {
        aud: vec![HOST.into(), GROUP.into()],
        ..request()
    };
    let given = Grant {
        aud: vec![GROUP.into()],
        ..grant()
    };
    cases.accept("by group", Making::new(world, &asked, &given).bundle());

    let mut less = detail();
    less.commands = AllOr::List(vec![Command {
        path: "/usr/bin/id".into(),
        args: vec!["-u".into()],
    }]);
    less.shell = false;
    less.runas = AllOr::List(vec!["root".into(), "#33".into()]);
    less.env = vec!["http_proxy".into()];
    let given = Grant {
        authorization_details: vec![less.clone()],
        ..grant()
    };
    cases.accept(
        "less than asked",
        Making::new(world, &request(), &given).bundle(),
    );
    let given = Grant {
        authorization_details: vec![less, detail()],
        exp: T0 + 60,
        ..grant()
    };
    cases.accept(
        "two details, shorter",
        Making::new(world, &request(), &given).bundle(),
    );

    let asked = Request {
        ticket: Some("OPS-1".into()),
        extends: Some(REQUEST_ID.into()),
        not_before: T0 + 500,
        ..request()
    };
    let given = Grant {
        ticket: Some("OPS-1".into()),
        extends: Some(REQUEST_ID.into()),
        nbf: T0 + 500,
        exp: T0 + 1400,
        ..grant()
    };
    cases.accept(
        "ticket, extension, later start",
        Making::new(world, &asked, &given).bundle(),
    );
}
