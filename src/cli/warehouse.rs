//! `m3a3 warehouse`: totals of the warehouse.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::composition::data_access::with_database;
use super::help;
use super::output;
use super::output::table::table;
use super::subcommand::{Launcher, Subcommand};
use crate::config::Config;
use crate::warehouse::{self, Report};

const EXAMPLES: &str = "\
Examples:
  m3a3 warehouse report
  m3a3 warehouse report --format json
  m3a3 warehouse report --format csv > report.csv";

/// Report on the warehouse
#[derive(clap::Subcommand)]
pub(super) enum Warehouse {
    Report(ReportCommand),
}

/// Print totals of assets, space saved by deduplication, and orders per day
#[derive(Args)]
#[command(after_help = help::laid_out(EXAMPLES))]
pub(super) struct ReportCommand {
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Aligned columns
    Table,
    /// JSON object
    Json,
    /// CSV
    Csv,
}

impl Subcommand for Warehouse {
    fn run(self, launcher: Launcher) -> anyhow::Result<ExitCode> {
        let Self::Report(report) = self;
        launcher.run(async move |config| report.print(config).await)
    }
}

impl ReportCommand {
    async fn print(&self, config: &Config) -> anyhow::Result<ExitCode> {
        let report = with_database(config, async |database| Ok(database.read(warehouse::report).await?)).await?;
        output::print(&match self.format {
            Format::Json => format!("{}\n", serde_json::to_string_pretty(&report)?),
            Format::Table => table(["METRIC", "VALUE"], &rows(&report)),
            Format::Csv => csv(&report),
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

fn rows(report: &Report) -> Vec<[String; 2]> {
    let sums = [
        ("assets", report.assets),
        ("references", report.references),
        ("bytes", report.bytes),
        ("bytesSaved", report.bytes_saved),
    ];
    let sums = sums.map(|(name, sum)| [name.to_owned(), sum.to_string()]);
    let days = report.orders_per_day.iter().map(|(day, orders)| [format!("orders {day}"), orders.to_string()]);
    sums.into_iter().chain(days).collect()
}

/// RFC 4180; no metric or value needs quotes.
fn csv(report: &Report) -> String {
    let lines = rows(report).into_iter().map(|[name, sum]| format!("{name},{sum}\r\n"));
    format!("what,sum\r\n{}", lines.collect::<String>())
}
