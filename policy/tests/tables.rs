//! Decisions as tables: each file of `tables/` names a policy of `policies/`, one request, and rows that change it.
//! `stock_opa.rs` runs the same rows through OPA.
#![allow(clippy::expect_used, clippy::panic, reason = "test code")]

mod common;

use common::{policy, rows};

#[test]
fn every_row_of_every_table_is_decided_as_it_says() {
    let mut wrong = Vec::new();
    let mut tables = std::collections::BTreeSet::new();
    for row in rows() {
        let got = policy(&row.policy).decide(&row.ask).to_string();
        if !got.starts_with(&row.want) {
            wrong.push(format!(
                "{} row {}\nwant {}\n got {got}",
                row.table, row.number, row.want
            ));
        }
        tables.insert(row.table);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(tables.len() >= 30, "{} tables", tables.len());
}

/// The engine says by its own clock when it stopped. A loaded machine may stop the whole process in between, so the
/// best of some runs counts; each of them must deny.
#[test]
fn a_rule_that_runs_away_is_stopped_and_denies() {
    let odd = policy("odd");
    let mut ask = policy::Ask::new("a", "alice", 60);
    ask.reason = "runaway".to_owned();
    let after: Vec<f64> = (0..10)
        .map(|_| {
            let said = odd.decide(&ask).to_string();
            let start = "deny: The policy's rules fail, so they deny: stopped after ";
            let rest = said.strip_prefix(start).expect(&said);
            let (ms, _) = rest.split_once(" ms, the limit is 50 ms").expect(&said);
            ms.parse().expect(&said)
        })
        .collect();
    let best = after.iter().copied().fold(f64::INFINITY, f64::min);
    assert!((50.0..=60.0).contains(&best), "{after:?}");
}

#[test]
fn the_tests_that_a_policy_brings_along_are_run() {
    let (tried, coverage) = policy::trial::run(&policy("estate"));
    assert_eq!(tried.len(), 4, "{tried:?}");
    assert!(tried.iter().all(|t| t.failure.is_none()), "{tried:?}");
    assert!(coverage.covered > 10, "{coverage:?}");
    assert!(coverage.missed.contains_key("jit.rego"), "{coverage:?}");
}

/// Rules that lead to themselves, or to very many others, end in an answer and never in the end of the process.
#[test]
fn depth_is_a_fault_or_a_denial() {
    let roles = std::fs::read_to_string(common::below("policies/odd/roles.toml")).expect("roles");
    let open = |rules: &str| {
        let mut files = policy::Files::of_roles(&roles);
        files
            .add("jit.rego", format!("package jit\n\n{rules}"))
            .expect("file");
        policy::open(&files)
    };
    let chain: String = (0..300).map(|n| format!("r{n} := r{}\n", n + 1)).collect();
    let long = format!("{chain}r300 := \"automatic\"\n\ndecision := {{\"effect\": r0}}\n");
    let got = open(&long)
        .expect("policy")
        .decide(&policy::Ask::new("a", "alice", 60));
    assert_eq!(got.to_string(), "automatic (rule \"rego\")");
    for (rules, what) in [
        (
            "f(x) := f(x + 1)\n\ndecision := {\"effect\": f(1)}\n",
            "the function f leads to itself",
        ),
        (
            "a := b\n\nb := a\n\ndecision := {\"effect\": a}\n",
            "recursion",
        ),
        (
            "decision := data.jit[x] if x := \"decision\"\n",
            "recursion",
        ),
        (
            "f(x) := y\n\ny := f(1)\n\ndecision := {\"effect\": y}\n",
            "recursion",
        ),
    ] {
        let faults = open(rules).expect_err(rules);
        assert!(faults[0].error.what.contains(what), "{rules}: {faults:?}");
    }
}
