//! What the benches share: samples, rows with their goals, the table and its JSON.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::project;

/// Whether `JIT_BENCH_QUICK` asks for a look instead of figures: a tenth of the rounds.
pub fn quick() -> bool {
    std::env::var_os("JIT_BENCH_QUICK").is_some_and(|v| v == "1")
}

/// Measured values of one kind, pooled over all rounds.
#[derive(Debug, Clone, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// Takes more in.
    pub fn add(&mut self, values: impl IntoIterator<Item = f64>) {
        self.0.extend(values);
        self.0.sort_by(f64::total_cmp);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The smallest sample that at least this share of all does not exceed.
    #[track_caller]
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )]
    pub fn at(&self, share: f64) -> f64 {
        let rank = (share * self.0.len() as f64).ceil() as usize;
        let index = rank.clamp(1, self.0.len().max(1)) - 1;
        *self.0.get(index).expect("a sample")
    }

    pub fn p50(&self) -> f64 {
        self.at(0.5)
    }

    pub fn p99(&self) -> f64 {
        self.at(0.99)
    }

    /// `p50 / p90 / p99`.
    pub fn shown(&self) -> String {
        let [a, b, c] = [0.5, 0.9, 0.99].map(|share| short(self.at(share)));
        format!("{a} / {b} / {c}")
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut samples = Self::default();
        samples.add(values);
        samples
    }
}

/// What a row has to reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// Ours at most so many times what stands beside it.
    TimesAtMost(f64),
    /// Ours at least so many times what stands beside it.
    TimesAtLeast(f64),
    /// Ours less than what stands beside it.
    Below,
    AtMost(f64),
    AtLeast(f64),
}

/// One line of the table.
#[derive(Debug, Clone)]
pub struct Row {
    what: String,
    unit: &'static str,
    ours: f64,
    /// The rival or the raw baseline of the same run.
    beside: Option<(String, f64)>,
    goal: Option<Goal>,
    /// How many values ours comes from; 1 = counted or read once.
    samples: usize,
}

impl Row {
    pub fn new(what: impl Into<String>, unit: &'static str, ours: f64) -> Self {
        Self {
            what: what.into(),
            unit,
            ours,
            beside: None,
            goal: None,
            samples: 1,
        }
    }

    #[must_use]
    pub fn beside(mut self, name: &str, value: f64) -> Self {
        self.beside = Some((name.to_owned(), value));
        self
    }

    #[must_use]
    pub fn goal(mut self, goal: Goal) -> Self {
        self.goal = Some(goal);
        self
    }

    #[must_use]
    pub fn of(mut self, samples: usize) -> Self {
        self.samples = samples;
        self
    }

    /// Ours by what stands beside it.
    pub fn ratio(&self) -> Option<f64> {
        self.beside.as_ref().map(|(_, value)| self.ours / value)
    }

    /// Whether the goal is reached; `None` without one.
    #[track_caller]
    pub fn passes(&self) -> Option<bool> {
        let ratio = || self.ratio().expect("something beside it");
        Some(match self.goal? {
            Goal::TimesAtMost(most) => ratio() <= most,
            Goal::TimesAtLeast(least) => ratio() >= least,
            Goal::Below => ratio() < 1.0,
            Goal::AtMost(most) => self.ours <= most,
            Goal::AtLeast(least) => self.ours >= least,
        })
    }

    fn goal_shown(&self) -> String {
        match self.goal {
            None => String::new(),
            Some(Goal::TimesAtMost(most)) => format!("≤ {most}×"),
            Some(Goal::TimesAtLeast(least)) => format!("≥ {least}×"),
            Some(Goal::Below) => "below".to_owned(),
            Some(Goal::AtMost(most)) => format!("≤ {most} {}", self.unit),
            Some(Goal::AtLeast(least)) => format!("≥ {least} {}", self.unit),
        }
    }

    fn line(&self) -> String {
        let beside = self.beside.as_ref().map_or_else(String::new, |(name, v)| {
            format!("{} {} ({name})", short(*v), self.unit)
        });
        let ratio = self
            .ratio()
            .map_or_else(String::new, |r| format!("{r:.2}×"));
        let pass = match self.passes() {
            None => "",
            Some(true) => "yes",
            Some(false) => "**missed**",
        };
        let (what, ours, unit, n) = (&self.what, short(self.ours), self.unit, self.samples);
        let goal = self.goal_shown();
        format!("| {what} | {ours} {unit} | {beside} | {ratio} | {goal} | {pass} | {n} |")
    }

    fn json(&self) -> Value {
        json!({
            "what": self.what,
            "unit": self.unit,
            "ours": self.ours,
            "beside": self.beside.as_ref().map(|(name, value)| json!({"what": name, "value": value})),
            "ratio": self.ratio(),
            "goal": self.goal.map(|_| self.goal_shown()),
            "pass": self.passes(),
            "samples": self.samples,
        })
    }
}

/// All rows of one run.
#[derive(Debug, Default)]
pub struct Table {
    sections: Vec<(String, Vec<Row>)>,
}

impl Table {
    /// The rows that follow belong together.
    #[allow(clippy::print_stdout, reason = "the bench tells how far it is")]
    pub fn section(&mut self, title: &str) {
        println!("── {title}");
        self.sections.push((title.to_owned(), Vec::new()));
    }

    #[track_caller]
    #[allow(clippy::print_stdout, reason = "the bench tells how far it is")]
    pub fn add(&mut self, row: Row) {
        println!("{}", row.line());
        let (_, rows) = self.sections.last_mut().expect("a section");
        rows.push(row);
    }

    fn rows(&self) -> impl Iterator<Item = &Row> {
        self.sections.iter().flat_map(|(_, rows)| rows)
    }

    /// As Markdown.
    pub fn shown(&self) -> String {
        let mut text = String::new();
        for (title, rows) in &self.sections {
            let _ = writeln!(text, "\n### {title}\n");
            text.push_str("| what | ours | beside it | ratio | goal | met | n |\n");
            text.push_str("|---|---|---|---|---|---|---|\n");
            for row in rows {
                let _ = writeln!(text, "{}", row.line());
            }
        }
        let met = self.rows().filter(|r| r.passes() == Some(true)).count();
        let missed = self.rows().filter(|r| r.passes() == Some(false)).count();
        let _ = writeln!(text, "\n{met} goals met, {missed} missed.");
        text
    }

    /// Prints the whole table and leaves it in `target/bench/NAME.json` and `.md`.
    #[allow(clippy::print_stdout, reason = "the table is what a bench makes")]
    pub fn finish(&self, name: &str) {
        let machine = machine();
        let shown = format!("{machine}{}\n{}", rounds(), self.shown());
        println!("\n{shown}");
        let rows: Vec<Value> = self
            .sections
            .iter()
            .flat_map(|(title, rows)| {
                rows.iter().map(move |row| {
                    let mut value = row.json();
                    value["section"] = json!(title);
                    value
                })
            })
            .collect();
        let all = json!({
            "schema_version": 1,
            "bench": name,
            "quick": quick(),
            "machine": machine.trim(),
            "rows": rows,
        });
        let dir = target().join("bench");
        fs::create_dir_all(&dir).expect("a folder for the figures");
        let text = serde_json::to_string_pretty(&all).expect("JSON");
        fs::write(dir.join(format!("{name}.json")), text + "\n").expect("the figures");
        fs::write(dir.join(format!("{name}.md")), shown).expect("the table");
    }
}

/// Where the build leaves its products.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| project::root().join("target"), PathBuf::from)
}

/// Date, processors, kernel, load.
fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info
        .lines()
        .find_map(|l| l.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, name)| name);
    let cores = info.lines().filter(|l| l.starts_with("processor")).count();
    let date = crate::command::must("date", &["-u", "+%Y-%m-%d %H:%M UTC"], crate::host::LIMIT);
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or("?");
    format!(
        "{}, {cores} × {model}, Linux {}, load at the end {load}.",
        date.text(),
        read("/proc/sys/kernel/osrelease").trim()
    )
}

fn rounds() -> &'static str {
    if quick() {
        " A quick look with few rounds: no figures to keep."
    } else {
        ""
    }
}

/// Three digits that count.
fn short(value: f64) -> String {
    let size = value.abs();
    if size >= 100.0 || value.fract() == 0.0 {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples_by_rank() {
        let samples: Samples = (1..=100).rev().map(f64::from).collect();
        assert_eq!(samples.p50(), 50.0);
        assert_eq!(samples.p99(), 99.0);
        assert_eq!(samples.at(1.0), 100.0);
        let one: Samples = [7.0].into_iter().collect();
        assert_eq!((one.p50(), one.p99()), (7.0, 7.0));
    }

    #[test]
    fn a_goal_is_judged_by_its_kind() {
        let row = |ours: f64, goal| Row::new("x", "ms", ours).beside("raw", 4.0).goal(goal);
        for (ours, goal, passes) in [
            (5.0, Goal::TimesAtMost(1.25), true),
            (5.1, Goal::TimesAtMost(1.25), false),
            (3.6, Goal::TimesAtLeast(0.9), true),
            (3.5, Goal::TimesAtLeast(0.9), false),
            (3.9, Goal::Below, true),
            (4.0, Goal::Below, false),
            (2.0, Goal::AtMost(2.0), true),
            (2.1, Goal::AtMost(2.0), false),
            (2.0, Goal::AtLeast(2.0), true),
            (1.9, Goal::AtLeast(2.0), false),
        ] {
            assert_eq!(row(ours, goal).passes(), Some(passes), "{ours} {goal:?}");
        }
        assert_eq!(Row::new("x", "ms", 1.0).passes(), None);
    }

    #[test]
    fn what_is_missed_stands_in_the_table_and_in_its_sum() {
        let mut table = Table::default();
        table.section("Path");
        table.add(
            Row::new("a", "ms", 1.5)
                .beside("raw", 1.0)
                .goal(Goal::TimesAtMost(1.2))
                .of(9),
        );
        table.add(Row::new("b", "MB", 3.0).goal(Goal::AtMost(15.0)));
        let shown = table.shown();
        assert!(
            shown.contains("| a | 1.50 ms | 1 ms (raw) | 1.50× | ≤ 1.2× | **missed** | 9 |"),
            "{shown}"
        );
        assert!(
            shown.contains("| b | 3 MB |  |  | ≤ 15 MB | yes | 1 |"),
            "{shown}"
        );
        assert!(shown.ends_with("1 goals met, 1 missed.\n"), "{shown}");
    }
}
