//! The document that the issuer serves, held against what calls send and get.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

mod common;

use api::{
    AddBreakglass, Approve, Call, Client, Deny, Error, NewToken, Rename, Revoke, Submit, Waiting,
    WaitingList, Withdraw,
};
use axum::body::Body;
use common::people::{Hands, call, trust};
use common::{Host, Place, ROLES, now};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde_json::{Value, json};
use statement::claims::{Request, Target};

/// Why a value is not of a schema; the words of JSON Schema that the document uses.
fn unfit(document: &Value, schema: &Value, value: &Value, at: &str) -> Option<String> {
    if let Some(name) = schema["$ref"].as_str() {
        let schema = document
            .pointer(name.trim_start_matches('#'))
            .expect("schema");
        return unfit(document, schema, value, at);
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let all: Vec<_> = any.iter().map(|s| unfit(document, s, value, at)).collect();
        return all
            .iter()
            .all(Option::is_some)
            .then(|| format!("{at}: {all:?}"));
    }
    let is = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("{other}"),
    };
    let kinds = match &schema["type"] {
        Value::String(kind) => vec![kind.as_str()],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        other => panic!("{at}: no type: {other}"),
    };
    if !kinds.into_iter().any(is) {
        return Some(format!("{at}: {value} is no {}", schema["type"]));
    }
    if let Some(all) = schema["enum"].as_array()
        && !all.contains(value)
    {
        return Some(format!("{at}: {value} is none of {all:?}"));
    }
    let members = value.as_object().into_iter().flatten();
    for (name, member) in members {
        let known = &schema["properties"][name];
        let of = if known.is_null() {
            &schema["additionalProperties"]
        } else {
            known
        };
        if !of.is_object() {
            return Some(format!("{at}: {name} is not said"));
        }
        if let Some(why) = unfit(document, of, member, &format!("{at}.{name}")) {
            return Some(why);
        }
    }
    let must = schema["required"].as_array().into_iter().flatten();
    for name in must.filter_map(Value::as_str) {
        if value.get(name).is_none() {
            return Some(format!("{at}: {name} is missing"));
        }
    }
    let items = value.as_array().into_iter().flatten();
    items
        .enumerate()
        .find_map(|(n, item)| unfit(document, &schema["items"], item, &format!("{at}[{n}]")))
}

struct Document(Value);

impl Document {
    async fn served(place: &Place) -> Self {
        let stream = tokio::net::UnixStream::connect(&place.config.socket).await;
        let io = TokioIo::new(stream.expect("socket"));
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io)
            .await
            .expect("HTTP");
        tokio::spawn(connection);
        let request = hyper::Request::get("/v1/openapi.json")
            .header("host", "x")
            .body(Body::empty());
        let answer = sender
            .send_request(request.expect("request"))
            .await
            .expect("answer");
        assert_eq!(answer.headers()["content-type"], "application/json");
        let body = answer.into_body().collect().await.expect("body").to_bytes();
        Self(serde_json::from_slice(&body).expect("JSON"))
    }

    fn fits(&self, pointer: &[&str], value: &impl Serialize) {
        let schema = pointer.iter().fold(&self.0["paths"], |at, name| &at[name]);
        assert!(schema.is_object(), "{pointer:?} is not there");
        let value = serde_json::to_value(value).expect("JSON");
        let why = unfit(&self.0, schema, &value, "");
        assert_eq!(why, None, "{pointer:?}: {value}");
    }

    fn takes(&self, path: &str, body: &impl Serialize) {
        let json = "application/json";
        self.fits(
            &[path, "post", "requestBody", "content", json, "schema"],
            body,
        );
    }

    fn answers(&self, method: &str, path: &str, answer: &impl Serialize) {
        let json = "application/json";
        self.fits(
            &[path, method, "responses", "200", "content", json, "schema"],
            answer,
        );
    }

    fn refuses(&self, path: &str, error: &Error) {
        let Error::Problem(problem) = error else {
            panic!("{error}");
        };
        let json = "application/problem+json";
        self.fits(
            &[
                path,
                "post",
                "responses",
                "default",
                "content",
                json,
                "schema",
            ],
            problem,
        );
    }
}

#[tokio::test]
async fn what_is_sent_and_answered_is_what_the_document_says() {
    let hands = Hands::new();
    let mut place = Place::new();
    let head = ROLES.split("[[approve]]").next().expect("head");
    place.roles(&format!(
        "{head}[[approve]]\nname = \"two\"\nroles = [\"admin\"]\neffect = \"approve\"\nlevels = [{{ group = \"ops\", count = 2 }}]\n"
    ));
    trust(&place, |c| c.people = hands.people());
    place.config.login = Some(settings::login::Login {
        issuer: "https://login.example.org".to_owned(),
        client_id: "jit".to_owned(),
        claim: "sub".to_owned(),
        people: [("1".to_owned(), "dave".to_owned())].into(),
        claims: [].into(),
        scopes: vec!["email".to_owned()],
        required: true,
    });
    let running = place.start().await;
    let client: Client = place.client();
    let document = Document::served(&place).await;
    assert_eq!(document.0["openapi"], "3.1.0");

    let host = Host::enrolled("a", &client).await;
    document.answers(
        "get",
        "/v1/healthz",
        &client.health().await.expect("health"),
    );
    let login = client.login().await.expect("login");
    assert_eq!(login.scopes, ["openid", "email"]);
    document.answers("get", "/v1/login", &login);
    document.answers("get", "/v1/hosts", &client.hosts().await.expect("hosts"));
    let request = Request {
        approve_until: now() + 600,
        ..host.request()
    };
    let jws = host.sign(&request);
    let submit = Submit {
        request: jws.clone(),
        id_token: Some("x".to_owned()),
    };
    document.takes("/v1/requests", &submit);
    let got = client.submit(&jws).await.expect("answer");
    document.answers("post", "/v1/requests", &got);
    let sig = hands.sign("bob", statement::sshsig::NAMESPACE, &jws);
    let approve = Approve {
        id: request.id.clone(),
        sig: Some(sig),
        id_token: Some("x".to_owned()),
    };
    document.takes("/v1/requests/approve", &approve);
    let got = client.approve(&approve).await.expect("answer");
    document.answers("post", "/v1/requests/approve", &got);
    let list: WaitingList = call(&client, &hands, "bob", &Call::list(), |_| ())
        .await
        .expect("list");
    assert_eq!(list.requests[0].approvals.len(), 1);
    document.answers("get", "/v1/requests", &list);
    let one: Waiting = call(&client, &hands, "bob", &Call::show(&request.id), |_| ())
        .await
        .expect("one");
    document.answers("get", "/v1/requests/show", &one);
    let target: api::AskFor = call(&client, &hands, "alice", &Call::target("test"), |_| ())
        .await
        .expect("target");
    document.answers("get", "/v1/requests/for", &target);

    let (id, reason) = (request.id.clone(), "x".to_owned());
    document.takes("/v1/requests/deny", &Deny { id, reason });
    let withdraw = Withdraw {
        host: host.id.clone(),
        request: "x".to_owned(),
    };
    document.takes("/v1/requests/withdraw", &withdraw);
    for target in [
        Target::Grant("x".to_owned()),
        Target::Kid("x".to_owned()),
        Target::IssuedBefore(1),
    ] {
        let reason = "x".to_owned();
        document.takes("/v1/revocations", &Revoke { target, reason });
    }
    let revoke = Revoke {
        target: Target::Host(host.id.clone()),
        reason: "over".to_owned(),
    };
    let got = client.revoke(&revoke).await.expect("revocation");
    document.answers("post", "/v1/revocations", &got);
    let token = NewToken {
        host: "b".to_owned(),
        labels: [("env".to_owned(), "prod".to_owned())].into(),
        life_s: 60,
        replace: false,
    };
    document.takes("/v1/enrol-tokens", &token);
    let (from, name) = (host.id.clone(), "other".to_owned());
    let rename = Rename { host: from, name };
    document.takes("/v1/hosts/rename", &rename);
    let got = client.rename(&rename).await.expect("renamed");
    document.answers("post", "/v1/hosts/rename", &got);
    let statement = "x".to_owned();
    let refused = client.add_breakglass(&AddBreakglass { statement }).await;
    document.refuses("/v1/breakglass", &refused.expect_err("no statement"));

    // The judge here judges.
    let bad = json!({ "id": 1, "status": "accepted", "detail": "", "more": "" });
    let schema = json!({ "$ref": "#/components/schemas/Submitted" });
    assert!(unfit(&document.0, &schema, &bad, "").is_some());
    running.stop().await;
}
