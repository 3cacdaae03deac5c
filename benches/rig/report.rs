//! The figures, as a Markdown table and a JSON object.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::load::Measured;
use super::machine::Cores;

/// The target of a figure.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    /// At least.
    AtLeast(f64),
    /// At most.
    AtMost(f64),
    /// Less than this.
    Below(f64),
}

impl Target {
    fn is_reached(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
            Self::Below(bound) => value < bound,
        }
    }

    fn describe(self, unit: &str) -> String {
        let (sign, bound) = match self {
            Self::AtLeast(bound) => ("≥", bound),
            Self::AtMost(bound) => ("≤", bound),
            Self::Below(bound) => ("<", bound),
        };
        format!("{sign} {} {unit}", number(bound))
    }
}

/// The figures of a run, in order.
#[derive(Debug)]
pub struct Report {
    conditions: String,
    rows: Vec<[String; 4]>,
    values: Map<String, Value>,
}

impl Report {
    pub fn new(cores: &Cores) -> Self {
        Self { conditions: cores.to_string(), rows: Vec::new(), values: Map::new() }
    }

    /// Adds a figure; `None` if it cannot be measured.
    pub fn add(&mut self, name: &str, unit: &str, value: Option<f64>, target: Option<Target>) {
        let shown = value.map_or_else(|| "not measured".to_owned(), |value| format!("{} {unit}", number(value)));
        let wanted = target.map_or_else(String::new, |target| target.describe(unit));
        let reached = match (value, target) {
            (Some(value), Some(target)) if target.is_reached(value) => "yes",
            (Some(_), Some(_)) => "**no**",
            _ => "",
        };
        eprintln!("{name}: {shown}");
        self.values.insert(
            name.to_owned(),
            json!({
                "value": value,
                "unit": unit,
                "target": target.map(|target| target.describe(unit)),
                "reached": value.zip(target).map(|(value, target)| target.is_reached(value)),
            }),
        );
        self.rows.push([name.to_owned(), shown, wanted, reached.to_owned()]);
    }

    /// Adds the figures of a load; the targets are for its rate, its 99th percentile and its CPU time, in this order.
    pub fn add_load(&mut self, name: &str, load: &Measured, [rate, p99, cpu]: [Option<Target>; 3]) {
        self.add(name, "/s", Some(load.rate()), rate);
        self.add(&format!("{name}: p50"), "ms", Some(millis(load.percentile(50))), None);
        self.add(&format!("{name}: p99"), "ms", Some(millis(load.percentile(99))), p99);
        self.add(&format!("{name}: CPU of the server per 1,000"), "s", load.cpu_per_thousand(), cpu);
    }

    /// Prints everything to stdout.
    pub fn print(&self) -> anyhow::Result<()> {
        let mut text =
            format!("\n{}.\n\n| measured | figure | target | reached |\n|---|--:|--:|---|\n", self.conditions);
        for [name, value, target, reached] in &self.rows {
            writeln!(text, "| {name} | {value} | {target} | {reached} |")?;
        }
        println!("{text}\n{}", json!({ "conditions": self.conditions, "figures": self.values }));
        Ok(())
    }
}

/// The median; `None` of no values.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// In milliseconds.
pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Three significant digits, thousands apart.
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        0.0 | 100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        _ => 4,
    };
    let text = format!("{value:.decimals$}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() { grouped } else { format!("{grouped}.{fraction}") }
}
