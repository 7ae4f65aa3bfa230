//! Rules in Rego v1, run by regorus. The answer is `data.jit.decision`.
//!
//! A failing built-in fails the decision (`opa eval --strict-builtin-errors`): else `not allowed_ticket(…)` would turn
//! true by an error.

use crate::answer;
use crate::ask::Input;
use crate::calls;
use crate::engine::{Engine, Step};
use crate::error::Fault;
use crate::outcome::Outcome;
use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{LimitError, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::Duration;

/// One decision takes at most this long by the engine's own clock.
pub const TIME_LIMIT: Duration = Duration::from_millis(50);

/// The rule that decides.
const ENTRY: &str = "data.jit.decision";

/// Steps between two looks at the clock.
const STEPS: NonZeroU32 = NonZeroU32::new(32).unwrap();

/// Bytes of stack for a run: rules that lead to rules take some kilobytes each.
const STACK: usize = 64 << 20;

/// The engine with all rules, ready to run. Each run has a copy of its own.
#[derive(Clone, Debug)]
pub(crate) struct Rego {
    engine: regorus::Engine,
    modules: BTreeMap<String, Module>,
}

/// One file, as far as we look into it.
#[derive(Clone, Debug)]
struct Module {
    /// `data.jit`
    package: String,
    rules: BTreeSet<String>,
    is_test: bool,
}

/// A test and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    pub file: String,
    pub name: String,
    /// Why it failed.
    pub failure: Option<String>,
}

/// Lines of rules that ran, and that did not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    pub covered: usize,
    /// By file.
    pub missed: BTreeMap<String, Vec<u32>>,
}

/// Why a run gave nothing.
pub(crate) enum Stopped {
    /// After so long, by the engine's clock.
    Late(Duration),
    Failed(String),
}

impl Rego {
    pub(crate) fn new<'a>(
        files: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Vec<Fault>> {
        let files: Vec<(&str, &str)> = files.collect();
        // What could exhaust a stack is found before the engine sees it.
        let deep = calls::too_deep(&files);
        if !deep.is_empty() {
            return Err(deep);
        }
        let first = files.first().map_or("", |(file, _)| *file).to_owned();
        apart(|| Self::prepare(files)).unwrap_or_else(|stopped| {
            let hint = "this is a fault of the engine: write the rule in another way";
            Err(vec![Fault::new(&first, 0, stopped.sentence(), hint)])
        })
    }

    fn prepare(files: Vec<(&str, &str)>) -> Result<Self, Vec<Fault>> {
        let mut engine = regorus::Engine::new();
        engine.set_strict_builtin_errors(true);
        engine.set_gather_prints(true);
        engine.set_execution_timer_config(ExecutionTimerConfig {
            limit: TIME_LIMIT,
            check_interval: STEPS,
        });
        let defined: BTreeSet<&str> = files.iter().flat_map(|(_, t)| calls::heads(t)).collect();
        let (mut modules, mut faults) = (BTreeMap::new(), Vec::new());
        for (file, text) in files {
            match engine.add_policy(file.to_owned(), text.to_owned()) {
                Err(e) => faults.push(fault(file, &e.to_string())),
                Ok(package) => {
                    faults.extend(calls::fault(file, text, &defined));
                    let takes_arguments = calls::functions(text);
                    let rules = calls::heads(text).into_iter();
                    let module = Module {
                        package,
                        rules: rules
                            .filter(|r| !takes_arguments.contains(r))
                            .map(str::to_owned)
                            .collect(),
                        is_test: file.ends_with("_test.rego"),
                    };
                    modules.insert(file.to_owned(), module);
                }
            }
        }
        let decides =
            |m: &Module| m.package == "data.jit" && m.rules.contains("decision") && !m.is_test;
        if faults.is_empty() && !modules.values().any(decides) {
            faults.push(Fault::new(
                modules.keys().next().map_or("", String::as_str),
                0,
                "nothing here decides",
                "begin a file with `package jit` and give it a rule `decision`",
            ));
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        // The first run prepares the engine; copies share what it prepared.
        if let Err(Stopped::Failed(e)) = value(&mut engine, ENTRY) {
            let first = modules.keys().next().map_or("", String::as_str);
            let found = fault(first, &e);
            // Without an input a rule may fail; what cannot even be put in order is a fault.
            if is_static(&found) {
                return Err(vec![found]);
            }
        }
        Ok(Self { engine, modules })
    }

    fn run(&self, input: &Input) -> Result<Value, Stopped> {
        let input = as_value(input)?;
        apart(|| {
            let mut engine = self.engine.clone();
            engine.set_input(input);
            value(&mut engine, ENTRY)
        })?
    }

    /// Runs every rule `test_…` of the files `*_test.rego`.
    pub(crate) fn test(&self) -> (Vec<Tried>, Coverage) {
        apart(|| self.try_all()).unwrap_or_else(|stopped| {
            let broken = Tried {
                file: String::new(),
                name: "all".to_owned(),
                failure: Some(stopped.sentence()),
            };
            (vec![broken], Coverage::default())
        })
    }

    fn try_all(&self) -> (Vec<Tried>, Coverage) {
        let mut engine = self.engine.clone();
        engine.set_enable_coverage(true);
        let tests = self.modules.iter().filter(|(_, m)| m.is_test);
        let mut all = Vec::new();
        for (file, module) in tests {
            for name in module.rules.iter().filter(|r| r.starts_with("test_")) {
                let failure = match value(&mut engine, &format!("{}.{name}", module.package)) {
                    Ok(Value::Bool(true)) => None,
                    Ok(Value::Undefined) => Some("it did not hold".to_owned()),
                    Ok(other) => Some(format!("it is {other}, not true")),
                    Err(stopped) => Some(stopped.sentence()),
                };
                all.push(Tried {
                    file: file.clone(),
                    name: name.clone(),
                    failure,
                });
            }
        }
        (all, self.coverage(&engine))
    }

    fn coverage(&self, engine: &regorus::Engine) -> Coverage {
        let mut coverage = Coverage::default();
        let Ok(report) = engine.get_coverage_report() else {
            return coverage;
        };
        for file in report.files {
            if self.modules.get(&file.path).is_none_or(|m| m.is_test) {
                continue;
            }
            coverage.covered += file.covered.len();
            if !file.not_covered.is_empty() {
                let lines = file.not_covered.into_iter().collect();
                coverage.missed.insert(file.path, lines);
            }
        }
        coverage
    }
}

impl Engine for Rego {
    fn route(&self, input: &Input) -> Result<Outcome, String> {
        match self.run(input) {
            Ok(Value::Undefined) => Err(format!(
                "No rule of the policy gives role {} to {}.",
                input.ask().role,
                input.ask().requester.login
            )),
            Ok(value) => {
                let value = serde_json::to_value(&value).map_err(|e| e.to_string())?;
                answer::outcome(value)
            }
            Err(stopped) => Err(format!(
                "The policy's rules fail, so they deny: {}.",
                stopped.sentence().trim_end_matches('.')
            )),
        }
    }

    fn explain(&self, input: &Input) -> Vec<Step> {
        apart(|| self.steps(input)).unwrap_or_default()
    }

    fn fault(&self, input: &Input) -> Option<Fault> {
        let first = self.modules.keys().next().map_or("", String::as_str);
        // A loaded machine may stop the whole process in between: a rule that takes long does so each time.
        let mut run = self.run(input);
        for _ in 0..2 {
            if matches!(run, Err(Stopped::Late(_))) {
                run = self.run(input);
            }
        }
        match run {
            Ok(_) => None,
            Err(Stopped::Failed(e)) => Some(fault(first, &e)),
            Err(late @ Stopped::Late(_)) => {
                let hint = "look for a rule that tries many combinations";
                Some(Fault::new(first, 0, late.sentence(), hint))
            }
        }
    }

    fn as_rego(&self) -> Option<&Rego> {
        Some(self)
    }
}

impl Rego {
    fn steps(&self, input: &Input) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut engine = self.engine.clone();
        match as_value(input) {
            Ok(value) => engine.set_input(value),
            Err(_) => return steps,
        }
        let ours = self.modules.values().filter(|m| !m.is_test);
        let names: BTreeSet<String> = ours
            .flat_map(|m| m.rules.iter().map(|r| format!("{}.{r}", m.package)))
            .collect();
        for rule in names {
            let said = match value(&mut engine, &rule) {
                Ok(Value::Undefined) => "does not hold".to_owned(),
                Ok(value) => value.to_string(),
                Err(stopped) => stopped.sentence(),
            };
            steps.push(Step { rule, said });
        }
        steps
    }
}

impl Stopped {
    fn sentence(&self) -> String {
        match self {
            Self::Late(after) => format!(
                "stopped after {:.1} ms, the limit is {} ms",
                after.as_secs_f64() * 1000.0,
                TIME_LIMIT.as_millis()
            ),
            Self::Failed(e) => match fault("", e) {
                Fault { file, error } if error.line > 0 => {
                    format!("{file} line {}: {}", error.line, error.what)
                }
                Fault { error, .. } => error.what,
            },
        }
    }
}

/// A thread of its own for a run: a stack that no accepted rule exhausts, and a panic that ends nothing else.
fn apart<T: Send>(run: impl FnOnce() -> T + Send) -> Result<T, Stopped> {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .stack_size(STACK)
            .spawn_scoped(scope, run)
            .map_err(|e| Stopped::Failed(format!("no thread for it: {e}")))?
            .join()
            .map_err(|_| Stopped::Failed("the engine broke down".to_owned()))
    })
}

fn as_value(input: &Input) -> Result<Value, Stopped> {
    let failed = |e: String| Stopped::Failed(e);
    serde_json::to_value(input)
        .map(Value::from)
        .map_err(|e| failed(e.to_string()))
}

fn value(engine: &mut regorus::Engine, rule: &str) -> Result<Value, Stopped> {
    engine
        .eval_rule(rule.to_owned())
        .map_err(|e| match e.downcast_ref::<LimitError>() {
            Some(LimitError::TimeLimitExceeded { elapsed, .. }) => Stopped::Late(*elapsed),
            _ => Stopped::Failed(e.to_string()),
        })
}

/// From the engine's own words: `--> FILE:LINE:COLUMN`, the line, and `error: …` at the end.
fn fault(file: &str, said: &str) -> Fault {
    let place = said.split("--> ").nth(1).and_then(|s| s.lines().next());
    let mut parts = place.unwrap_or_default().rsplitn(3, ':');
    let (_, line, named) = (parts.next(), parts.next(), parts.next());
    let line = line.and_then(|l| l.parse().ok()).unwrap_or(0);
    let what = said.rsplit("error: ").next().unwrap_or(said).trim();
    let what = what.lines().next().unwrap_or("the rules cannot be used");
    let hint = "see docs/spec/policy.md";
    Fault::new(named.unwrap_or(file), line, what, hint)
}

/// Whether rules could not even be put in order.
fn is_static(fault: &Fault) -> bool {
    [
        "undefined variable",
        "unsafe",
        "recursion",
        "cycl",
        "conflict",
    ]
    .iter()
    .any(|w| fault.error.what.contains(w))
}
